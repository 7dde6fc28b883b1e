// The first instruction to Rust, on the first core and on every other. No stack until the upper half; registers only.
//
// x20 = the device tree, where the loader passes it (first core). x21 = the kernel's root table and the core's number (any
// other core), or 0: which of the two this is.

.set HCR_RW,            1 << 31
.set HCR_E2H,           34              // the bit's number
.set SPSR_EL1H_MASKED,  0x3C5           // EL1h, D A I F masked
// RES1 bits of SCTLR_EL1 without extensions: LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS. MMU and caches off.
.set SCTLR_OFF,         (1 << 29) | (1 << 28) | (1 << 23) | (1 << 22) | (1 << 20) | (1 << 11)
.set SCTLR_WXN,         1 << 19         // what is writable is not executable
.set SCTLR_ON,          SCTLR_OFF | (1 << 12) | (1 << 3) | (1 << 2) | (1 << 0)   // I, SA, C, M
.set MAIR,              0xFF04          // 0: Device-nGnRE, 1: Normal write-back read/write-allocate
// 48-bit both halves, 4 KiB granule both; walks write-back write-allocate, inner shareable: so that a store ordered by
// `dsb ishst` is one that the table walker sees. IPS and AS are filled in from the ID registers.
.set TCR, (16 << 0) | (1 << 8) | (1 << 10) | (3 << 12) | (0 << 14) | (16 << 16) | (1 << 24) | (1 << 26) | (3 << 28) | (2 << 30)

.macro load_physical register, symbol
    adrp    \register, \symbol          // the MMU is off: adrp yields physical addresses
    add     \register, \register, :lo12:\symbol
.endm

.section .text.boot, "ax"
.global _start
_start:
    mov     x20, x0
    mov     x21, xzr

    // Only the first core goes on: another one would run through the same early state. It comes back through PSCI.
    mrs     x0, mpidr_el1
    ldr     x1, =0xFF00FFFFFF           // Aff3, Aff2, Aff1, Aff0
    tst     x0, x1
    b.ne    park
    b       at_entry

// What PSCI CPU_ON enters, by its physical address. x0 = the context that `cores.rs` passed by `boot::secondary_context`. It is all that this
// core is given: it reads no memory that another core has written before the MMU and the caches are on.
.global secondary_start
secondary_start:
    mov     x21, x0

at_entry:
    mrs     x0, CurrentEL
    cmp     x0, #(1 << 2)
    b.eq    at_el1
    cmp     x0, #(2 << 2)
    b.ne    cannot_run                  // EL3 is firmware's

    // EL2: EL1 is AArch64, its timers and GIC registers are its own, nothing traps to an EL2 that nobody serves.
    mov     x0, #HCR_RW
    msr     hcr_el2, x0
    isb                                 // E2H is clear: it decides what CNTHCTL_EL2, CPTR_EL2 and SCTLR_EL1 mean below
    mrs     x0, hcr_el2
    tbnz    x0, #HCR_E2H, cannot_run    // RES1 where FEAT_E2H0 is not implemented
    mov     x0, #3
    msr     cnthctl_el2, x0             // EL1 may read counters and set timers
    msr     cntvoff_el2, xzr
    mov     x0, #0x33FF                 // RES1 bits, no trap of FP
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4             // GIC system registers?
    cbz     x0, 1f
    mrs     x0, S3_4_C12_C9_5           // ICC_SRE_EL2
    mov     x1, #0b1001                 // SRE, Enable: EL1 may use them
    orr     x0, x0, x1
    msr     S3_4_C12_C9_5, x0
    isb                                 // the next access depends on SRE
1:  ldr     x0, =SCTLR_OFF
    msr     sctlr_el1, x0
    mov     x0, #SPSR_EL1H_MASKED
    msr     spsr_el2, x0
    adr     x0, at_el1
    msr     elr_el2, x0
    eret                                // synchronises all of the above

at_el1:
    msr     daifset, #0xF
    msr     spsel, #1                   // SP_EL0 is not a stack here: it holds the current task

    mrs     x0, id_aa64mmfr0_el1
    ubfx    x1, x0, #28, #4             // TGran4: 0 or 1 where the 4 KiB granule is there
    cmp     x1, #1
    b.hi    cannot_run
    and     x1, x0, #0xF                // PARange
    cmp     x1, #5                      // 48 bits are all that these descriptors hold
    mov     x2, #5
    csel    x1, x1, x2, lo
    ldr     x2, =TCR
    orr     x2, x2, x1, lsl #32         // IPS
    ubfx    x1, x0, #4, #4              // ASIDBits: 2 means 16
    cmp     x1, #2
    cset    x1, eq
    orr     x2, x2, x1, lsl #36         // AS
    msr     tcr_el1, x2
    ldr     x0, =MAIR
    msr     mair_el1, x0
    load_physical x0, early_idmap_l0
    msr     ttbr0_el1, x0
    load_physical x0, early_kernel_l0
    ands    x1, x21, #~0xFFF            // another core has the kernel's own tables from the start
    csel    x0, x0, x1, eq
    msr     ttbr1_el1, x0

    // Whatever a TLB holds from before is not ours. Local: what other cores hold is theirs. The DSB completes it, the ISB
    // makes the registers above and the empty TLB count for the next instruction.
    tlbi    vmalle1
    dsb     nsh
    ic      iallu
    dsb     nsh
    isb
    ldr     x0, =SCTLR_ON
    cbz     x21, 1f
    orr     x0, x0, #SCTLR_WXN          // the early tables are writable and executable, the kernel's are not
1:  msr     sctlr_el1, x0
    isb                                 // from here on the identity map translates
    ldr     x0, =in_upper_half
    br      x0

in_upper_half:
    ldr     x0, =exception_vectors
    msr     vbar_el1, x0
    msr     sp_el0, xzr                 // no current task yet
    msr     tpidr_el1, xzr              // no core record yet
    isb
    mov     x29, xzr                    // the first frame: nobody called
    cbnz    x21, secondary
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
2:  cmp     x0, x1
    b.hs    3f
    stp     xzr, xzr, [x0], #16
    b       2b
3:  ldr     x0, =__boot_stack_top
    mov     sp, x0
    mov     x0, x20
    bl      kernel_entry
    b       park

secondary:
    and     x0, x21, #0xFFF             // its number
    ldr     x1, =secondary_stack_tops
    ldr     x1, [x1, x0, lsl #3]        // caches are on: what the first core stored is seen
    mov     sp, x1
    bl      secondary_entry
    b       park

// The machine is one this kernel cannot run on. There is no console yet: the status says it (semihosting
// SYS_EXIT_EXTENDED: ADP_Stopped_ApplicationExit, 5).
cannot_run:
    adr     x1, 4f
    mov     w0, #0x20
    hlt     #0xF000
park:
    wfe
    b       park
.balign 8
4:  .quad   0x20026, 5

// boot::replace_ttbr1: runs at its physical address, in the identity map. x0 = the new root.
.global replace_ttbr1_in_idmap
replace_ttbr1_in_idmap:
    load_physical x9, empty_table
    msr     ttbr1_el1, x9
    isb                                 // no walk through the old root from here on
    tlbi    vmalle1                     // and nothing cached from it: local, as no other core runs
    dsb     nsh                         // the invalidation is complete
    isb                                 // also for instructions already fetched
    msr     ttbr1_el1, x0
    isb                                 // the return below is fetched through the new tables
    ret
.ltorg

// Where the stack of each core that is not the first ends: written by `boot::set_secondary_stack`.
.section .bss.secondary, "aw", %nobits
.balign 8
.global secondary_stack_tops
secondary_stack_tops:
    .zero   8 * 8
