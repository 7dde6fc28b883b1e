//! The adapter: what is reported, and on which side of the instruction. Inner machine and listener write
//! to one log.
#![cfg(feature = "seam")]

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mmu_check::event::{AccessKind, Expect, What};
use mmu_check::hook::Listener;
use mmu_check::seam::Reported;
use mmu_check::{Checker, Event, dones};
use stage1_hw::{Barrier, Hardware, Instructions, Op, Page, Services, Slot, Slots, Upkeep, Why};
use stage1_paging::{
    Asid, Batch, Debt, Desc, Edited, Fit, Frame, Half, Level, Pa, Pages, Prot, Space, Step, Tlbi,
    Va,
};

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// What another core stores when the listener's lock is being taken.
    static OTHER_CORE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

fn log(line: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(line.into()));
}

/// What `act` has logged.
fn logged(act: impl FnOnce()) -> Vec<String> {
    LOG.take();
    act();
    LOG.take()
}

/// Executes nothing but memory accesses, and says what it was called with.
#[derive(Clone, Copy)]
struct Machine;

impl Instructions for Machine {
    const NEW: Self = Machine;

    fn execute(self, op: Op, why: Why) {
        log(match op {
            Op::Tlbi(batch) => {
                format!("  execute {} of {:?} for {why:?}", batch.count, batch.first)
            }
            op => format!("  execute {op:?} for {why:?}"),
        });
    }

    fn load(self, word: &AtomicU64) -> Desc {
        Desc::from_bits(word.load(Relaxed))
    }

    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        log(format!("  store {:#x} for {why:?}", new.bits()));
        slot.word.store(new.bits(), Relaxed);
    }

    fn edit(self, slots: Slots<'_>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        assert_eq!(slots.words.len(), 1);
        let Step::Store(new) = f(self.load(&slots.words[0])) else {
            panic!("called to leave a descriptor alone")
        };
        log(format!("  edit {:?} {:#x}", slots.pa, new.bits()));
        slots.words[0].store(new.bits(), Relaxed);
        Edited {
            passed: 1,
            skipped: 0,
        }
    }

    fn zero(self, page: &Page, _: Pa, why: Why) {
        log(format!("  zero for {why:?}"));
        page.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    unsafe fn write_ttbr0(self, value: u64) {
        log(format!("  write ttbr0 {value:#x}"));
    }
}

#[derive(Clone, Copy)]
struct Ears;

impl Listener for Ears {
    const NEW: Self = Ears;

    fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R {
        log("mask");
        let result = f();
        log("restore");
        result
    }

    fn hear_with(self, act: impl FnOnce() -> What) {
        if let Some(store) = OTHER_CORE.take() {
            store();
        }
        log(" lock");
        let what = act();
        log(format!("  heard {what}"));
        log(" unlock");
    }

    fn hear(self, what: What) {
        log(format!(" heard {what}"));
    }
}

const SEAM: Reported<Machine, Ears> = Reported::over(Machine, Ears);

fn pa(raw: u64) -> Pa {
    Pa::new(raw).unwrap()
}

fn slot(word: &AtomicU64) -> Slot<'_> {
    Slot {
        word,
        pa: pa(0x3008),
        level: Level::L3,
        // An address within the page.
        va: Va::new(0xffff_0000_0000_1238),
    }
}

fn slots(words: &[AtomicU64]) -> Slots<'_> {
    Slots {
        words,
        pa: pa(0x3010),
        level: Level::L2,
        va: Va::new(0xffff_0000_0040_0000),
    }
}

#[test]
fn barriers_are_reported_after() {
    for (op, heard, executed) in [
        (Op::Dsb(Barrier::Ish), "dsb ish", "Dsb(Ish)"),
        (Op::Dsb(Barrier::Ishst), "dsb ishst", "Dsb(Ishst)"),
        (Op::Dsb(Barrier::Ishld), "dsb ishld", "Dsb(Ishld)"),
        (Op::Dsb(Barrier::Nsh), "dsb nsh", "Dsb(Nsh)"),
        (Op::Dsb(Barrier::Sy), "dsb sy", "Dsb(Sy)"),
        (Op::Dmb(Barrier::Ish), "dmb ish", "Dmb(Ish)"),
        (Op::Dmb(Barrier::Ishst), "dmb ishst", "Dmb(Ishst)"),
        (Op::Dmb(Barrier::Ishld), "dmb ishld", "Dmb(Ishld)"),
        (Op::Dmb(Barrier::Nsh), "dmb nsh", "Dmb(Nsh)"),
        (Op::Dmb(Barrier::Sy), "dmb sy", "Dmb(Sy)"),
    ] {
        let log = logged(|| SEAM.execute(op, Why::Switch));
        let executed = format!("  execute {executed} for Switch");
        assert_eq!(
            log,
            ["mask", &executed, &format!(" heard {heard}"), "restore"]
        );
    }
}

#[test]
fn an_isb_is_reported_before() {
    let log = logged(|| SEAM.execute(Op::Isb, Why::Publish));
    assert_eq!(
        log,
        ["mask", " heard isb", "  execute Isb for Publish", "restore"]
    );
}

/// Not masked: it is there for an interrupt to be taken.
#[test]
fn the_isb_of_the_idle_loop_is_executed_with_interrupts_as_they_are() {
    let log = logged(|| SEAM.execute(Op::Isb, Why::Idle));
    assert_eq!(log, [" heard isb", "  execute Isb for Idle"]);
}

#[test]
fn a_local_tlbi_is_reported_before() {
    let log = logged(|| SEAM.execute(Op::TlbiAllLocal, Why::Invalidate));
    assert_eq!(
        log,
        [
            "mask",
            " heard tlbi vmalle1 0x0",
            "  execute TlbiAllLocal for Invalidate",
            "restore",
        ]
    );
}

/// No event was of the tables that it drops, and the rules would take it for one that came before its
/// store: whatever is withdrawn and never invalidated later would break another rule.
#[test]
fn the_local_tlbi_that_leaves_the_early_tables_is_not_reported() {
    let log = logged(|| SEAM.execute(Op::TlbiAllLocal, Why::LeaveEarly));
    let executed = ["mask", "  execute TlbiAllLocal for LeaveEarly", "restore"];
    assert_eq!(log, executed);
}

#[test]
fn each_tlbi_of_a_batch_is_reported_before_the_first_executes() {
    let batch = Batch {
        first: Tlbi::Vaale1is(0x10),
        count: 3,
        step: 2,
    };
    let log = logged(|| SEAM.execute(Op::Tlbi(batch), Why::Invalidate));
    assert_eq!(
        log,
        [
            "mask",
            " heard tlbi vaale1is 0x10",
            " heard tlbi vaale1is 0x12",
            " heard tlbi vaale1is 0x14",
            "  execute 3 of Vaale1is(16) for Invalidate",
            "restore",
        ]
    );
}

#[test]
fn every_tlbi_has_its_name() {
    for (tlbi, text) in [
        (Tlbi::Vae1is(1), "tlbi vae1is 0x1"),
        (Tlbi::Vale1is(2), "tlbi vale1is 0x2"),
        (Tlbi::Vaae1is(3), "tlbi vaae1is 0x3"),
        (Tlbi::Vaale1is(4), "tlbi vaale1is 0x4"),
        (Tlbi::Rvae1is(5), "tlbi rvae1is 0x5"),
        (Tlbi::Rvale1is(6), "tlbi rvale1is 0x6"),
        (Tlbi::Rvaae1is(7), "tlbi rvaae1is 0x7"),
        (Tlbi::Rvaale1is(8), "tlbi rvaale1is 0x8"),
        (Tlbi::Aside1is(9), "tlbi aside1is 0x9"),
        (Tlbi::Vmalle1is, "tlbi vmalle1is 0x0"),
    ] {
        assert_eq!(What::from(tlbi).to_string(), text);
    }
}

#[test]
fn a_store_is_one_with_its_report() {
    let word = AtomicU64::new(0x707);
    let log = logged(|| SEAM.store(slot(&word), Desc::from_bits(0x1707), Why::Link));
    assert_eq!(
        log,
        [
            " lock",
            "  store 0x1707 for Link",
            "  heard store slot=0x3008 va=0xffff000000001000 level=3 old=0x707 new=0x1707",
            " unlock",
        ]
    );
    assert_eq!(word.load(Relaxed), 0x1707);
}

/// Another core stores before this one has the lock. A store that was decided on by nothing reports what that
/// left; an edit what it was decided by, so that the rules see the two who change one descriptor.
#[test]
fn what_was_there_is_what_the_store_was_decided_by() {
    let word: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
    let other = || -> Box<dyn FnOnce()> { Box::new(|| word.store(0xbeef, Relaxed)) };
    OTHER_CORE.set(Some(other()));
    let log = logged(|| SEAM.store(slot(word), Desc::from_bits(1), Why::Link));
    assert!(log[2].ends_with("old=0xbeef new=0x1"), "{log:?}");
    OTHER_CORE.set(Some(other()));
    let words = std::slice::from_ref(word);
    let store = |_| Step::Store(Desc::from_bits(3));
    let log = logged(|| assert_eq!(SEAM.edit(slots(words), store).stored(), 1));
    assert!(log[2].ends_with("old=0x1 new=0x3"), "{log:?}");
}

#[test]
fn an_edit_asks_outside_of_the_lock_and_stores_inside() {
    let words = [0, 1, 2, 3, 4].map(AtomicU64::new);
    let mut edited = None;
    let log = logged(|| {
        edited = Some(SEAM.edit(slots(&words), |old| {
            log(format!("called {:#x}", old.bits()));
            match old.bits() {
                1 => Step::Skip,
                3 => Step::Stop,
                bits => Step::Store(Desc::from_bits(bits | 0x700)),
            }
        }));
    });
    let edited = edited.unwrap();
    assert_eq!((edited.passed, edited.skipped, edited.stored()), (3, 1, 2));
    assert_eq!(
        log,
        [
            "called 0x0",
            " lock",
            &format!("  edit {:?} 0x700", pa(0x3010)),
            "  heard store slot=0x3010 va=0xffff000000400000 level=2 old=0x0 new=0x700",
            " unlock",
            "called 0x1",
            "called 0x2",
            " lock",
            &format!("  edit {:?} 0x702", pa(0x3020)),
            "  heard store slot=0x3020 va=0xffff000000800000 level=2 old=0x2 new=0x702",
            " unlock",
            "called 0x3",
        ]
    );
    assert_eq!(words.map(AtomicU64::into_inner), [0x700, 1, 0x702, 3, 4]);
    assert_eq!(
        SEAM.edit(slots(&[]), |_| panic!("nothing is there")).passed,
        0
    );
}

#[test]
fn a_tables_zeroes_are_written_through_a_mapping_and_one_with_their_report() {
    for why in [Why::Link, Why::Root] {
        let page = Box::new(Page([const { AtomicU64::new(7) }; 512]));
        let log = logged(|| SEAM.zero(&page, pa(0x5000), why));
        let va = page.0.as_ptr() as u64;
        assert_eq!(
            log,
            [
                "mask",
                &format!(" heard access write works va={va:#x}"),
                " lock",
                &format!("  zero for {why:?}"),
                "  heard zero frame=0x5000",
                " unlock",
                "restore",
            ]
        );
        assert!(page.0.iter().all(|word| word.load(Relaxed) == 0));
    }
}

#[test]
fn zeroes_of_data_are_not_reported() {
    let page = Box::new(Page([const { AtomicU64::new(7) }; 512]));
    let log = logged(|| SEAM.zero(&page, pa(0x5000), Why::Data));
    assert_eq!(log, ["  zero for Data"]);
    assert_eq!(page.0[511].load(Relaxed), 0);
}

#[test]
fn a_write_of_ttbr0_is_reported_before_root_and_asid_apart() {
    // With CnP, bit 0.
    // SAFETY: the machine writes no register.
    let log = logged(|| unsafe { SEAM.write_ttbr0(0xabcd_0000_4010_0001) });
    assert_eq!(
        log,
        [
            "mask",
            " heard ttbr0 root=0x40100000 asid=43981",
            "  write ttbr0 0xabcd000040100001",
            "restore",
        ]
    );
}

#[test]
fn a_load_is_not_reported() {
    let word = AtomicU64::new(0x707);
    let log = logged(|| assert_eq!(SEAM.load(&word).bits(), 0x707));
    assert_eq!(log, [""; 0]);
}

/// Memory of the host as frames, and a machine whose tables the rules hear of.
#[derive(Clone, Copy)]
struct Frames;

impl Services for Frames {
    type Instructions = Reported<Machine, Ears>;

    fn alloc(&self) -> Option<Frame> {
        let page = Box::leak(Box::new(Page([const { AtomicU64::new(7) }; 512])));
        Some(self.frame(NonNull::from(page)))
    }

    unsafe fn free(&self, _: Frame) {}

    fn page(&self, frame: Frame) -> NonNull<Page> {
        NonNull::new(frame.pa().raw() as *mut Page).unwrap()
    }

    fn frame(&self, page: NonNull<Page>) -> Frame {
        Frame::containing(pa(page.as_ptr() as u64))
    }

    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    fn owe(&self) {
        log("heard owe");
        stage1_hw::publish(SEAM);
    }

    fn may_break(&self, _: Pages) -> bool {
        true
    }

    fn done(&self, debt: &Debt) {
        dones(debt).for_each(|what| Ears.hear(what));
    }
}

/// The events that were heard, on core 0.
fn events(log: &[String]) -> Vec<Event> {
    let heard = log
        .iter()
        .filter_map(|line| line.trim().strip_prefix("heard "));
    let line = |(n, what)| format!("{n} core=0 task=1 {what}").parse().unwrap();
    heard.enumerate().map(line).collect()
}

/// A page is mapped and unmapped by `stage1-paging` on `stage1-hw`, and the rules have nothing against
/// it: with any one of its barriers left out they have.
#[test]
fn the_rules_follow_what_passes_the_seam() {
    // SAFETY: 1. A frame is a leaked page. 2. No hardware walks these tables. 3. and 4. One root, and
    // what it maps nobody uses. 5. There are no other cores.
    let mmu = unsafe { Hardware::new(Frames, Upkeep::default()) };
    let page = Pages::one(Va::new(0x4000_0000)).unwrap();
    let frame = Frame::containing(pa(0x1234_5000));
    let log = logged(|| {
        let root = mmu.new_root().unwrap();
        stage1_hw::publish_root(SEAM);
        let value = stage1_hw::ttbr(mmu.address(root), Asid(5));
        // SAFETY: the machine writes no register.
        unsafe { SEAM.write_ttbr0(value) };
        SEAM.execute(Op::Isb, Why::Ttbr0);
        let space = Space::new(&mmu, root, Half::Lower(Asid(5)));
        space.map(page, frame, Prot::RW, Fit::Pages).unwrap();
        Ears.hear(What::Access {
            va: 0x4000_0000,
            kind: AccessKind::Read,
            expect: Expect::Works,
        });
        let mut gather = space.gather(());
        space.unmap(page, &mut gather).unwrap();
        let _ = gather.finish();
        Ears.hear(What::Free {
            frame: frame.pa().raw(),
        });
    });
    let events = events(&log);
    let broken = |events: &[Event]| {
        let mut checker = Checker::new();
        let results: Vec<_> = events.iter().map(|event| checker.step(event)).collect();
        (
            results.into_iter().find_map(Result::err),
            *checker.coverage(),
        )
    };
    let (violation, coverage) = broken(&events);
    assert!(violation.is_none(), "{}", violation.unwrap());
    let seen = (
        coverage.links,
        coverage.used_mappings,
        coverage.invalidations,
        coverage.dones,
    );
    assert_eq!(seen, (3, 1, 1, 1));
    let needed = |what: &What| {
        matches!(
            what,
            What::Dsb(_) | What::Dmb(_) | What::Isb | What::Tlbi { .. }
        )
    };
    let mut found = Vec::new();
    for (n, event) in events.iter().enumerate().filter(|(_, e)| needed(&e.what)) {
        let mut without = events.clone();
        without.remove(n);
        let rule = broken(&without).0.map(|violation| violation.rule.name());
        found.push((event.what.to_string(), rule.unwrap_or("-")));
    }
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(what, rule)| (&what[..], *rule))
        .collect();
    assert_eq!(
        found,
        [
            ("dsb ishst", "R10"),
            ("isb", "R1"),
            ("dmb ishst", "R10"),
            ("dmb ishst", "R10"),
            ("dmb ishst", "R10"),
            ("dsb ishst", "R1"),
            ("isb", "R1"),
            ("dsb ishst", "R9"),
            ("tlbi vale1is 0x5000000040000", "R3"),
            ("dsb ish", "R3"),
            ("isb", "R3"),
        ]
    );
}

/// A listener that has only what it must have hears what is reported.
/// One "done" for each run of pages that an invalidation covers, and whether tables go with it.
#[test]
fn each_run_of_a_debt_is_done() {
    // SAFETY: as in `the_rules_follow_what_passes_the_seam`.
    let mmu = unsafe { Hardware::new(Frames, Upkeep::default()) };
    let mut space = Space::new(&mmu, mmu.new_root().unwrap(), Half::Lower(Asid(5)));
    let runs = [(0x4000_0000, 1), (0x4010_0000, 3)];
    let mut gather = space.gather(());
    for (va, count) in runs {
        let pages = Pages::new(Va::new(va), count).unwrap();
        let frame = Frame::containing(pa(0x1234_5000));
        space.map(pages, frame, Prot::RW, Fit::Pages).unwrap();
        space.unmap(pages, &mut gather).unwrap();
    }
    let expected = |tables| {
        runs.map(|(va, pages)| What::Done {
            va,
            pages,
            asid: 5,
            tables,
        })
    };
    assert_eq!(dones(gather.debt()).collect::<Vec<_>>(), expected(false));
    let all = Pages::new(Va::new(0x4000_0000), 512).unwrap();
    space.free_tables(all, &mut gather).unwrap();
    let dones: Vec<_> = dones(gather.debt()).collect();
    assert!(!dones.is_empty());
    assert!(
        dones
            .iter()
            .all(|what| matches!(what, What::Done { tables: true, .. }))
    );
}

#[test]
fn hearing_is_hearing_with_nothing_to_do() {
    #[derive(Clone, Copy)]
    struct Few;
    impl Listener for Few {
        const NEW: Self = Few;
        fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R {
            f()
        }
        fn hear_with(self, act: impl FnOnce() -> What) {
            log(act().to_string());
        }
    }
    let log = logged(|| Reported::over(Machine, Few).execute(Op::Isb, Why::Publish));
    assert_eq!(log, ["isb", "  execute Isb for Publish"]);
}
