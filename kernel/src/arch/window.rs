//! Measured regions, marked by HINTs that this architecture leaves unallocated.
//!
//! They execute as NOPs everywhere, and a QEMU plugin sees them go by: it counts what is executed
//! between the start and the end of a window without any word from the kernel. The kernel's report
//! writes down the kernel's own counts of the same window, and the boot runner fails the boot when
//! the two differ.

use core::arch::asm;

/// One of the eight windows that may be open at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Window {
    /// A workload's measured region.
    Work = 0,
    /// A test's own region.
    Test = 1,
}

/// Executes an unallocated HINT.
#[inline(always)]
fn hint<const N: u8>() {
    // SAFETY: an unallocated HINT is a NOP (Arm ARM C6.2, HINT). It is not declared `nomem`, so
    // no memory access moves across it: what the source puts inside the window is inside.
    unsafe { asm!("hint #{}", const N, options(nostack, preserves_flags)) }
}

/// Pushes the tag of the next window that starts, for who starts it with a HINT of its own: the one that is pushed first is the
/// highest of up to 16 nibbles.
pub fn push_tag(tag: &[u8]) {
    for &nibble in tag {
        push_nibble(nibble);
    }
}

/// Starts the window, with a tag of up to 16 nibbles: the one pushed first is the highest.
#[inline]
pub fn start(window: Window, tag: &[u8]) {
    push_tag(tag);
    match window {
        Window::Work => hint::<0x50>(),
        Window::Test => hint::<0x51>(),
    }
}

/// Ends the window.
#[inline]
pub fn end(window: Window) {
    match window {
        Window::Work => hint::<0x58>(),
        Window::Test => hint::<0x59>(),
    }
}

/// The tag as a number, as the plugin prints it.
pub fn tag_value(tag: &[u8]) -> u64 {
    tag.iter()
        .fold(0, |value, &nibble| (value << 4) | u64::from(nibble & 0xF))
}

fn push_nibble(nibble: u8) {
    // A HINT has its number in the instruction.
    const PUSH: [fn(); 16] = [
        push::<0>, push::<1>, push::<2>, push::<3>, push::<4>, push::<5>, push::<6>, push::<7>,
        push::<8>, push::<9>, push::<10>, push::<11>, push::<12>, push::<13>, push::<14>,
        push::<15>,
    ];
    PUSH[usize::from(nibble & 0xF)]();
}

fn push<const NIBBLE: u8>() {
    // SAFETY: as [`hint`]'s.
    unsafe { asm!("hint #{}", const 0x40 + NIBBLE, options(nostack, preserves_flags)) }
}
