//! The console: the PL011 that the device tree names.
//!
//! `arm-pl011-uart` drives it: of the Trusted Firmware Rust crates, kept up, and waits without
//! `spin_loop`. Before the device tree is read, and where it names no UART, output goes nowhere;
//! there is still the verdict.

use core::fmt::{self, Write};
use core::ptr::NonNull;

use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use stage1_paging::Pa;

use crate::base::Lock;
use crate::base::layout;

static UART: Lock<Option<Uart<'static>>> = Lock::new(None);

/// Sends output to the UART at `base`.
///
/// # Safety
/// 1. `base` is a PL011's, from the device tree, and mapped in the device area now and for ever.
/// 2. Nothing else drives it.
pub(crate) unsafe fn init(base: Pa) {
    let Some(registers) = NonNull::new(layout::device(base).raw() as *mut PL011Registers) else {
        return;
    };
    // SAFETY: the caller's two points are `UniqueMmioPointer`'s.
    let pointer = unsafe { UniqueMmioPointer::new(registers) };
    *UART.lock() = Some(Uart::new(pointer));
}

/// Writes to the console.
pub fn print(arguments: fmt::Arguments<'_>) {
    if let Some(uart) = UART.lock().as_mut() {
        // The UART's `write_str` does not fail.
        let _ = uart.write_fmt(arguments);
    }
}

/// Writes to the console from a panic or an exception report, even if the code that failed was
/// writing.
///
/// # Safety
/// The kernel is stopping: what held the console does not run again.
pub(crate) unsafe fn print_last(text: &str) {
    // SAFETY: the caller's promise.
    if let Some(uart) = unsafe { UART.seize() }.as_mut() {
        let _ = uart.write_str(text);
    }
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::machine::console::print(format_args!("\n")) };
    ($($argument:tt)*) => {{
        $crate::machine::console::print(format_args!($($argument)*));
        $crate::machine::console::print(format_args!("\n"));
    }};
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::machine::console::print(format_args!($($argument)*)) };
}
