// The exception vectors of EL1 (Arm ARM, "Exception vectors"): sixteen entries of 0x80 bytes, in one table aligned to 2 KiB.
//
// Four of them are this kernel's: those from EL1 with SP_EL1. The other twelve cannot happen, since SP_EL0 is no
// stack here and no code runs at EL0; they are complete all the same, so that what cannot happen is reported by name.
//
// From traps/mod.rs: {frame} = size of TrapFrame, {shift} = STACK_SHIFT, {trap} = the handler.

.set FRAME,      {frame}
.set SHIFT,      {shift}
.set OVERFLOWED, 16                     // added to the vector's number

// One entry. An exception always arrives on SP_EL1, whichever stack pointer was selected.
//
// First of all, before anything is pushed: is there a stack? A stack is the upper half of a block of 2 << SHIFT bytes aligned
// to its size, and the lower half is the guard. So an address inside the stack has bit SHIFT set, and one in the guard has it
// clear. The top of an empty stack is the first address of the next block and would read as guard; this is why
// the frame is subtracted before the test: what is tested is the frame's lowest address, and it has the bit set exactly if all of the
// frame is in the stack. No register is free yet, and `tbz` cannot test SP: sums of SP and x0 take x0 apart again.
//
// A stack pointer that was wild rather than too low, with the bit set by chance, faults at the first `stp` and comes back here,
// one frame lower; the bit is clear after at most (1 << SHIFT) / FRAME rounds, and the overflow stack takes it from there.
.macro vector number
.balign 0x80
    sub     sp, sp, #FRAME
    add     sp, sp, x0                  // sp' = sp + x0
    sub     x0, sp, x0                  // x0' = sp' - x0  = sp
    tbz     x0, #SHIFT, 1f
    sub     x0, sp, x0                  // x0  = sp' - x0' = x0
    sub     sp, sp, x0                  // sp  = sp' - x0  = sp
    stp     x0, x1, [sp]
    mov     x1, #\number
    add     x0, sp, #FRAME              // SP where the exception was taken
    b       save

    // Overflow. The thread registers of EL0 hold what has no other place; there is no EL0. The stack is this core's by Aff0,
    // not by its record: TPIDR_EL1 may not be set yet, and memory is not to be trusted now.
1:  msr     tpidr_el0, x0               // sp
    sub     x0, sp, x0
    msr     tpidrro_el0, x0             // x0
    adrp    x0, overflow_stacks
    mov     sp, x0
    mrs     x0, mpidr_el1
    ubfiz   x0, x0, #(SHIFT + 1), #3    // Aff0 of eight cores, times a block
    add     sp, sp, x0
    mov     x0, #(2 << SHIFT)
    add     sp, sp, x0                  // the block's end: the stack's top
    sub     sp, sp, #FRAME
    mrs     x0, tpidrro_el0
    stp     x0, x1, [sp]
    mov     x1, #(\number + OVERFLOWED)
    mrs     x0, tpidr_el0
    add     x0, x0, #FRAME              // SP where the exception was taken
    b       save
.endm

.section .text.vectors, "ax"
.balign 2048
.global exception_vectors
exception_vectors:
    vector  0                           // EL1, SP_EL0: synchronous
    vector  1                           //              IRQ
    vector  2                           //              FIQ
    vector  3                           //              SError
    vector  4                           // EL1, SP_EL1: synchronous
    vector  5                           //              IRQ
    vector  6                           //              FIQ
    vector  7                           //              SError
    vector  8                           // EL0, AArch64: synchronous
    vector  9                           //              IRQ
    vector  10                          //              FIQ
    vector  11                          //              SError
    vector  12                          // EL0, AArch32: synchronous
    vector  13                          //              IRQ
    vector  14                          //              FIQ
    vector  15                          //              SError
.balign 0x80

// The rest of the frame, the handler, and back. x0 = the SP of before, x1 = the vector; x0 and x1 themselves are saved.
// The handler runs with D, A, I and F masked, as the exception left them.
save:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    stp     x30, x0, [sp, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [sp, #256]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [sp, #272]
    mov     x0, sp
    bl      {trap}

    // Back to where ELR in the frame says; the handler may have changed it. ESR and FAR are not restored: they
    // belong to the exception. Not reached from an overflow stack, which this would not leave.
    ldp     x2, x3, [sp, #256]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp]
    add     sp, sp, #FRAME
    eret

// The stacks for the report of an overflow, `overflow_stacks`, are laid out by linker.ld, one per core and shaped like any other,
// guard and all: an access of the report that faults by intent passes the test at the top of this file.
