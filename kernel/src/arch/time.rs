//! The generic timer: the virtual counter, and this core's virtual timer.
//!
//! Virtual, as an EL2 that starts the kernel has put its offset to zero (`entry.s`), and QEMU's
//! other entry has it there. `aarch64-cpu` knows the registers; `arm-generic-timer` waits with
//! `spin_loop`.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0};
use tock_registers::interfaces::{Readable, Writeable};

use super::registers;

/// The counter now. It may have been read a little early: no ISB, which nothing that waits needs.
pub fn now() -> u64 {
    CNTVCT_EL0.get()
}

/// How many counts are a second.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// So many microseconds as counts.
pub fn from_micros(micros: u64) -> u64 {
    // The frequency is at most some GHz: no overflow below years.
    frequency().max(1_000_000) / 1_000 * micros / 1_000
}

/// So many counts as nanoseconds.
pub fn to_nanos(counts: u64) -> u64 {
    // Up to a GHz and some seconds: no overflow.
    counts * 1_000_000_000 / frequency().max(1)
}

/// Lets this core's timer interrupt it at `when`; an earlier arrangement is replaced.
///
/// No ISB: the counter is another clock than this core's anyway. An interrupt that the old
/// arrangement still raises finds [`is_due`] false, and is nobody's.
pub(crate) fn interrupt_at(when: u64) {
    CNTV_CVAL_EL0.set(when);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
}

/// No interrupt from this core's timer.
pub(crate) fn stop() {
    CNTV_CTL_EL0.set(0);
}

/// The arrangement's time has come.
pub(crate) fn is_due() -> bool {
    CNTV_CTL_EL0.matches_all(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::ISTATUS::SET)
}

/// Waits until `done`, with `yield`, at most so long. Says whether it is.
pub fn wait_until(micros: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = now() + from_micros(micros);
    while !done() {
        if now() >= end {
            return done();
        }
        registers::yield_now();
    }
    true
}
