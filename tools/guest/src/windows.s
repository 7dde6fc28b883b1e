// Windows whose contents are counted by hand, for the plugin to agree with. What is counted is what lies between the
// two marks, the marks themselves not.
//
//   hint #0x40+n   push nibble n onto the tag        hint #0x50+w   start window w        hint #0x58+w   end window w

.text

// Every kind of barrier. dsb 9, isb 2, dmb 8, tlbi 0; instructions 24, for the NOP-like five count as nothing else.
.global window_barriers
window_barriers:
    hint    #0x4b
    hint    #0x4a
    hint    #0x50
    dsb     sy
    dsb     st
    dsb     ld
    dsb     ish
    dsb     ishst
    dsb     ishld
    dsb     nsh
    dsb     nshst
    dsb     osh
    dmb     sy
    dmb     st
    dmb     ld
    dmb     ish
    dmb     ishst
    dmb     ishld
    dmb     nsh
    dmb     osh
    isb
    isb     #3
    nop
    yield
    clrex
    hint    #0x20
    csdb
    hint    #0x58
    ret

// A loop of 1000 turns. dsb 1000, isb 1000, dmb 0, tlbi 0; instructions 1 + 1000 * 4.
.global window_loop
window_loop:
    hint    #0x41
    hint    #0x40
    hint    #0x40
    hint    #0x57
    mov     x0, #1000
1:  dsb     ishst
    isb
    subs    x0, x0, #1
    b.ne    1b
    hint    #0x5f
    ret

// TLBIs, two of them by range. dsb 1, isb 1, dmb 0, tlbi 8; instructions 12.
.global window_tlbi
window_tlbi:
    hint    #0x47
    hint    #0x51
    mov     x0, #0
    tlbi    vmalle1
    tlbi    vmalle1is
    tlbi    vae1, x0
    tlbi    vae1is, x0
    tlbi    vaale1is, x0
    tlbi    aside1is, x0
    sys     #0, c8, c2, #1, x0          // tlbi rvae1is, x0
    sys     #0, c8, c6, #5, x0          // tlbi rvale1, x0
    dsb     ish
    isb
    dc      civac, x0                   // a SYS that is none
    hint    #0x59
    ret

// Two windows that overlap without nesting, and a tag that the second does not inherit.
// Window 2, tag 0xd1: dsb 2, isb 1; instructions 7, three of them marks of window 3.
// Window 3, tag 0xd2: dsb 1, isb 2; instructions 4, one of them the mark that ends window 2.
.global window_overlap
window_overlap:
    hint    #0x4d
    hint    #0x41
    hint    #0x52
    dsb     ish
    hint    #0x4d
    hint    #0x42
    nop
    hint    #0x53
    dsb     ish
    isb
    hint    #0x5a
    isb
    hint    #0x5b
    ret

// A load that faults in the middle of a straight line: what comes before it, the load itself, the handler and what
// comes after it count, each once. dsb 2; instructions 2 + 1 + 4 + 3.
.global window_fault
window_fault:
    hint    #0x4f
    hint    #0x54
    mov     x0, #0x0f000000             // nothing there
    dsb     ish
    ldr     x1, [x0]
    dsb     ish
    nop
    nop
    hint    #0x5c
    ret

// Branches over counted instructions, taken and not. dsb 2, isb 1; instructions 9.
.global window_branch
window_branch:
    hint    #0x4c
    hint    #0x55
    mov     x0, #0
    cbnz    x0, 1f
    dsb     ish
    cbz     x0, 1f
    dsb     ish
    dsb     ish
1:  isb
    tbz     x0, #0, 2f
    isb
2:  cmp     x0, #1
    b.eq    3f
    dsb     ish
3:  hint    #0x5d
    ret

// x0 turns with a barrier of each kind, on whichever core calls it: dsb, isb, dmb and tlbi x0 each.
.global storm
storm:
    dsb     ish
    isb
    dmb     ish
    tlbi    vmalle1
    subs    x0, x0, #1
    b.ne    storm
    ret

// The second core: says that it is there, waits for the word, storms, says that it is done, sleeps.
// x0 points to { go, turns, here, done }.
.global second_core
second_core:
    mov     x19, x0
    mov     x1, #1
    str     x1, [x19, #16]
1:  ldr     x1, [x19]
    cbz     x1, 1b
    ldr     x0, [x19, #8]
    bl      storm
    mov     x1, #1
    add     x2, x19, #24
    stlr    x1, [x2]                    // whoever sees it sees the storm as over
2:  wfi
    b       2b

// Two cores storm in one window: x0 as above. dsb, isb, dmb, tlbi 2 * turns; the instructions depend on how long each
// waits for the other.
.global window_two_cores
window_two_cores:
    stp     x30, x19, [sp, #-16]!
    mov     x19, x0
1:  ldr     x1, [x19, #16]
    cbz     x1, 1b
    hint    #0x42
    hint    #0x4c
    hint    #0x56
    mov     x1, #1
    str     x1, [x19]
    ldr     x0, [x19, #8]
    bl      storm
2:  ldr     x1, [x19, #24]
    cbz     x1, 2b
    hint    #0x5e
    ldp     x30, x19, [sp], #16
    ret

// x0 turns of nothing, to measure what a plugin costs.
.global spin
spin:
    add     x1, x1, #1
    eor     x2, x1, x0
    ldr     x3, [sp]
    subs    x0, x0, #1
    b.ne    spin
    ret

// Marks that do not fit: window 0 is never ended, window 1 was never started, window 2 is started twice.
.global window_unfit
window_unfit:
    hint    #0x50
    hint    #0x59
    hint    #0x52
    hint    #0x52
    hint    #0x5a
    ret
