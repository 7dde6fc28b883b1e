//! The trait itself: what its methods do by default, and that a decorator costs no memory.

mod common;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::{Event, Recorder, log, table};
use stage1_hw::{Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Desc, Edited, Level, Pa, Step, Va};

/// Only what must be implemented: all else is the trait's.
#[derive(Clone, Copy)]
struct Least;

impl Instructions for Least {
    const NEW: Self = Least;
    fn execute(self, _: Op, _: Why) {}
    unsafe fn write_ttbr0(self, _: u64) {}
}

/// A decorator as in the crate's documentation.
#[derive(Clone, Copy)]
struct Around<I>(I);

impl<I: Instructions> Instructions for Around<I> {
    const NEW: Self = Around(I::NEW);
    fn execute(self, op: Op, why: Why) {
        self.0.execute(op, why);
    }
    unsafe fn write_ttbr0(self, value: u64) {
        // SAFETY: the caller's promise is this one's.
        unsafe { self.0.write_ttbr0(value) }
    }
}

fn words<const N: usize>(from: u64) -> [AtomicU64; N] {
    std::array::from_fn(|i| AtomicU64::new(from + i as u64))
}

fn bits(words: &[AtomicU64]) -> Vec<u64> {
    words.iter().map(|word| word.load(Relaxed)).collect()
}

fn slots(words: &[AtomicU64], pa: u64, va: u64, level: Level) -> Slots<'_> {
    Slots {
        words,
        pa: Pa::new(pa).unwrap(),
        level,
        va: Va::new(va),
    }
}

#[test]
fn load_and_store_are_of_the_word() {
    let words = words::<2>(7);
    assert_eq!(Least.load(&words[1]), Desc::from_bits(8));
    let slot = slots(&words, 0x1000, 0, Level::L3).get(1).unwrap();
    Least.store(slot, Desc::table(table(1)), Why::Link);
    assert_eq!(bits(&words), [7, Desc::table(table(1)).bits()]);
}

#[test]
fn edit_stores_skips_and_stops() {
    let words = words::<5>(0);
    let slots = slots(&words, 0x1000, 0, Level::L3);
    let mut seen = Vec::new();
    let edited = Least.edit(slots, |old| {
        seen.push(old.bits());
        match old.bits() {
            1 | 2 => Step::Skip,
            4 => Step::Stop,
            n => Step::Store(Desc::from_bits(100 + n)),
        }
    });
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!((edited.passed, edited.skipped, edited.stored()), (4, 2, 2));
    assert_eq!(bits(&words), [100, 1, 2, 103, 4]);
    // To the end of the slots, and none.
    let all = Least.edit(slots, |_| Step::Store(Desc::INVALID));
    assert_eq!((all.passed, all.skipped), (5, 0));
    assert_eq!(bits(&words), [0; 5]);
    let none = Slots {
        words: &[],
        ..slots
    };
    let Edited { passed, skipped } = Least.edit(none, |_| panic!("there is none"));
    assert_eq!((passed, skipped), (0, 0));
}

#[test]
fn zero_fills_the_page() {
    let page = Page(words(1));
    Least.zero(&page, Pa::new(0x1000).unwrap(), Why::Data);
    assert_eq!(bits(&page.0), [0; 512]);
}

#[test]
fn get_names_the_place_of_each_descriptor() {
    for level in Level::ALL {
        let words = words::<3>(10);
        let base = 0xffff_8000_0000_0000;
        let slots = slots(&words, 0x1ff0, base, level);
        for (index, expected) in words.iter().enumerate() {
            let Slot {
                word,
                pa,
                level: l,
                va,
            } = slots.get(index).unwrap();
            assert!(std::ptr::eq(word, expected));
            assert_eq!(pa.raw(), 0x1ff0 + 8 * index as u64);
            assert_eq!(va.raw(), base + level.size() * index as u64);
            assert_eq!(l, level);
        }
        assert!(slots.get(3).is_none());
        assert!(slots.get(usize::MAX).is_none());
    }
}

#[test]
fn get_panics_at_no_address() {
    let words = words::<2>(0);
    // The last descriptor of the address space, and one beyond the physical addresses.
    let last = slots(&words, 0xffff_ffff_fff0, 0xffff_ff80_0000_0000, Level::L0);
    assert_eq!(last.get(1).map(|slot| slot.va), Some(Va::new(0)));
    let beyond = slots(&words, 0xffff_ffff_fff8, 0, Level::L0);
    assert!(beyond.get(0).is_some());
    assert!(beyond.get(1).is_none());
}

#[test]
fn a_page_is_a_page() {
    assert_eq!((size_of::<Page>(), align_of::<Page>()), (4096, 4096));
}

#[test]
fn a_decorator_has_no_size_and_passes_on() {
    assert_eq!(size_of::<Around<Around<Recorder>>>(), 0);
    log();
    let machine = Around::<Around<Recorder>>::NEW;
    machine.execute(Op::Isb, Why::Register);
    // SAFETY: the recorder writes no register.
    unsafe { machine.write_ttbr0(0x123) };
    let expected = [Event::Execute(Op::Isb, Why::Register), Event::Ttbr0(0x123)];
    assert_eq!(log(), expected);
}
