//! The instructions that `forced` visits: all between two pairs of symbols of the linker script.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A part of the image.
pub(super) struct Part {
    pub name: &'static str,
    /// The addresses of its instructions.
    pub points: Vec<u64>,
    /// Whether the scenario is to yield. It must where the switch is visited. It must not where the calls are: the visitor would go on
    /// on another core, and its breakpoint would stop another task.
    pub yields: bool,
}

unsafe extern "C" {
    static __forced_calls_start: u8;
    static __forced_calls_end: u8;
    static __forced_switch_start: u8;
    static __forced_switch_end: u8;
}

/// The two parts.
pub(super) fn parts() -> [Part; 2] {
    let points = |start: *const u8, end: *const u8| (start as u64..end as u64).step_by(4).collect();
    [
        Part {
            name: "the four calls and the flush",
            points: points(
                &raw const __forced_calls_start,
                &raw const __forced_calls_end,
            ),
            yields: false,
        },
        Part {
            name: "the switch",
            points: points(
                &raw const __forced_switch_start,
                &raw const __forced_switch_end,
            ),
            yields: true,
        },
    ]
}

/// A bit for each instruction that was reached so far, under whatever policy.
static REACHED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// The word of [`REACHED`] that has the bit of `point`, and the bit. The two parts lie one behind the other.
fn bit(point: u64) -> (&'static AtomicU64, u64) {
    let first = &raw const __forced_calls_start as u64;
    let number = (point - first) / 4;
    let word = &REACHED[(number / 64) as usize % REACHED.len()];
    (word, 1 << (number % 64))
}

/// Notes that `point` was reached.
pub(super) fn note(point: u64) {
    let (word, bit) = bit(point);
    word.fetch_or(bit, Relaxed);
}

/// How many instructions of a part have been noted.
pub(super) fn noted(part: &Part) -> usize {
    let is_noted = |&&point: &&u64| {
        let (word, bit) = bit(point);
        word.load(Relaxed) & bit != 0
    };
    part.points.iter().filter(is_noted).count()
}
