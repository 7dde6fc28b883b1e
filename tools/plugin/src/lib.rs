//! The outside witness: a QEMU plugin that counts what really executed.
//!
//! It knows nothing of the kernel but its marks, three HINTs that are NOPs to the machine:
//! `hint #0x40+n` pushes nibble n onto the tag of the next region, `hint #0x50+w` starts window w, which takes the tag,
//! and `hint #0x58+w` ends window w. For each window that ends it appends a line to the file named by its argument
//! `out=`: `<tag hex> <w> <instructions>`, and for each kind of barrier and TLBI that was executed in it `<kind>=<number>`. A kind is
//! an instruction with its domain and type, or its operation, as the assembler spells it: `dsb-ishst=3 tlbi-vale1is=1`. A barrier
//! of another kind than the kernel has counted is a difference, also where the totals agree.
//!
//! What is counted:
//!
//! 1. **Every core.** Each counts for itself, without locks or atomic additions; a window is the difference of the sums
//!    over all cores between its two marks. Barriers of another core fall into the window if that core executed them
//!    before the end as the guest itself can order it (a release store that is seen, an interrupt).
//! 2. **What was started.** An instruction counts when it begins, by a call in front of it and not by the length of a
//!    translated block. One that faults counts, once for each time it is tried; one behind it in the block does not.
//!    An instruction without a barrier's encoding is never taken for one; an undefined TLBI counts, and then traps.
//! 3. **Between the marks.** The marks of a window are not in it; marks of other windows inside it are instructions.
//!
//! A start of a window that is open, an end of one that is not, and a window that is never ended are written as lines
//! that begin with `!`.

// A test program has no QEMU around it that `api` and `hooks` could be linked with.
#[cfg(not(test))]
mod api;
mod count;
mod decode;
#[cfg(not(test))]
mod hooks;
