// switch_context(x0 = where `from` leaves its registers, x1 = where `to` left its own, x2 = the task `to`, x3 = the task `from`)
// returns x3, but to the caller of `to`. Interrupts are masked.
//
// In a section of its own: every address of it is a point of the forced schedules (linker.ld).

.section .text.forced.switch, "ax"
.global switch_context
switch_context:
    stp     x19, x20, [x0]
    stp     x21, x22, [x0, #16]
    stp     x23, x24, [x0, #32]
    stp     x25, x26, [x0, #48]
    stp     x27, x28, [x0, #64]
    stp     x29, x30, [x0, #80]
    mov     x9, sp
    str     x9, [x0, #96]               // from here on `from` can go on, but is in no queue yet
    ldp     x19, x20, [x1]
    ldp     x21, x22, [x1, #16]
    ldp     x23, x24, [x1, #32]
    ldp     x25, x26, [x1, #48]
    ldp     x27, x28, [x1, #64]
    ldp     x29, x30, [x1, #80]
    ldr     x9, [x1, #96]
    mov     sp, x9
    msr     sp_el0, x2                  // the current task goes with its stack
    mov     x0, x3
    ret
