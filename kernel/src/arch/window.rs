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

macro_rules! hint {
    ($n:literal) => {
        // SAFETY: an unallocated HINT is a NOP (Arm ARM C6.2, HINT). It is not declared `nomem`, so
        // no memory access moves across it: what the source puts inside the window is inside.
        unsafe { asm!(concat!("hint #", $n), options(nostack, preserves_flags)) }
    };
}

/// Starts the window, with a tag of up to 16 nibbles: the one pushed first is the highest.
#[inline]
pub fn start(window: Window, tag: &[u8]) {
    for &nibble in tag {
        push_nibble(nibble);
    }
    match window {
        Window::Work => hint!("0x50"),
        Window::Test => hint!("0x51"),
    }
}

/// Ends the window.
#[inline]
pub fn end(window: Window) {
    match window {
        Window::Work => hint!("0x58"),
        Window::Test => hint!("0x59"),
    }
}

/// The tag as a number, as the plugin prints it.
pub fn tag_value(tag: &[u8]) -> u64 {
    tag.iter()
        .fold(0, |value, &nibble| (value << 4) | u64::from(nibble & 0xF))
}

fn push_nibble(nibble: u8) {
    match nibble & 0xF {
        0x0 => hint!("0x40"),
        0x1 => hint!("0x41"),
        0x2 => hint!("0x42"),
        0x3 => hint!("0x43"),
        0x4 => hint!("0x44"),
        0x5 => hint!("0x45"),
        0x6 => hint!("0x46"),
        0x7 => hint!("0x47"),
        0x8 => hint!("0x48"),
        0x9 => hint!("0x49"),
        0xA => hint!("0x4A"),
        0xB => hint!("0x4B"),
        0xC => hint!("0x4C"),
        0xD => hint!("0x4D"),
        0xE => hint!("0x4E"),
        _ => hint!("0x4F"),
    }
}
