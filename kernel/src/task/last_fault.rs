//! The last fault of a task that was retried: how often one access was made again.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::arch::{TrapFrame, time};

/// Two faults with less than this between them, in microseconds, and nothing changed in the registers, are in a row. Changed
/// registers mean progress: a page may be replaced again and again, and the same load of a loop may meet it each time.
const IN_A_ROW: u64 = 1_000;

/// How often in a row one access may be made again. AT and the access may disagree for good: LDTR and STTR have EL0's
/// permissions, and AT S1E1R answers for EL1's. These end here.
const MOST_IN_A_ROW: u64 = 1_000;

/// How often in all, with nothing changed in the registers: the bound for an access that goes nowhere and takes its time, on a
/// core that is often away, say. One that does get somewhere meets another core's change each time, and no other fault of its
/// task in between; that is not expected to happen so often.
const MOST: u64 = 10_000;

/// FNV's, for the digest.
const PRIME: u64 = 0x100_0000_01b3;

/// The last fault of a task that was retried.
#[derive(Default)]
pub struct LastFault {
    /// A digest of address and registers.
    state: AtomicU64,
    when: AtomicU64,
    in_a_row: AtomicU64,
    in_all: AtomicU64,
}

impl LastFault {
    /// None.
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            when: AtomicU64::new(0),
            in_a_row: AtomicU64::new(0),
            in_all: AtomicU64::new(0),
        }
    }

    /// Notes a fault at the time `now`, in counts of the timer, and says whether the access may be made again. The task's own,
    /// so no load and store of it are anybody else's.
    pub fn note(&self, frame: &TrapFrame, now: u64) -> bool {
        let before = self.when.swap(now, Relaxed);
        let digest = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(23);
        let state = [frame.elr, frame.far, frame.sp]
            .iter()
            .chain(&frame.x)
            .fold(0, digest);
        let same = self.state.swap(state, Relaxed) == state;
        let (in_a_row, in_all) = if same {
            // Too long for an access that goes nowhere, unless this core was away: not counted as one of the row.
            let quick = now.wrapping_sub(before) < time::from_micros(IN_A_ROW);
            let in_a_row = self.in_a_row.load(Relaxed) + u64::from(quick);
            (in_a_row, self.in_all.load(Relaxed) + 1)
        } else {
            (1, 1)
        };
        self.in_a_row.store(in_a_row, Relaxed);
        self.in_all.store(in_all, Relaxed);
        in_a_row <= MOST_IN_A_ROW && in_all <= MOST
    }
}
