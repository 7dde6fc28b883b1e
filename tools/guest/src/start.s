// EL1, MMU off. QEMU has loaded the sections and zeroed the rest; the other cores are off until PSCI starts them.

.section .text.start, "ax"
.global _start
_start:
    adrp    x9, __stack_end
    add     x9, x9, :lo12:__stack_end
    mov     sp, x9
    adrp    x9, vectors
    add     x9, x9, :lo12:vectors
    msr     vbar_el1, x9
    isb
    bl      guest
    b       .

// Any exception from EL1 with its own stack, synchronous: go on behind the instruction that faulted. 4 instructions.
.balign 0x800
vectors:
    .balign 0x80
    b       .
    .balign 0x80
    b       .
    .balign 0x80
    b       .
    .balign 0x80
    b       .
    .balign 0x80
    mrs     x9, elr_el1
    add     x9, x9, #4
    msr     elr_el1, x9
    eret
    .balign 0x80
    b       .
    .balign 0x80
    b       .
    .balign 0x80
    b       .
    .balign 0x800
