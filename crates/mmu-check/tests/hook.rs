//! The page about hooking up, and the listener that all cores share.
#![cfg(feature = "hook")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use mmu_check::event::{Barrier, What};
use mmu_check::hook::{Checked, Here, Kernel, Shared};
use mmu_check::{Event, MAX_CORES, Op, Violation};

/// The name of an event, so that a new one does not compile without being here; the count is below.
fn name(what: &What) -> &'static str {
    match what {
        What::Store { .. } => "Store",
        What::Stores { .. } => "Stores",
        What::Zero { .. } => "Zero",
        What::Dsb(_) => "Dsb",
        What::Dmb(_) => "Dmb",
        What::Isb => "Isb",
        What::Tlbi { .. } => "Tlbi",
        What::Ttbr0 { .. } => "Ttbr0",
        What::Switch { .. } => "Switch",
        What::ExceptionEntry => "ExceptionEntry",
        What::ExceptionReturn => "ExceptionReturn",
        What::IrqEnter => "IrqEnter",
        What::IrqExit => "IrqExit",
        What::CoreStart => "CoreStart",
        What::Free { .. } => "Free",
        What::Alloc { .. } => "Alloc",
        What::Contract(_) => "Contract",
        What::Call(_) => "Call",
        What::Policy(_) => "Policy",
        What::Hook(_) => "Hook",
        What::Owe => "Owe",
        What::Reenter { .. } => "Reenter",
        What::Window { .. } => "Window",
        What::TaskEnd => "TaskEnd",
        What::Done { .. } => "Done",
        What::Access { .. } => "Access",
    }
}

#[test]
fn the_page_has_a_row_for_every_event() {
    let page = include_str!("../HOOK-UP.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.skip(1);
    let mut named = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 4, "{row}");
        named.extend(cells[0].split('`').skip(1).step_by(2));
    }
    let lines = "store slot=0 va=0 level=3 old=0 new=0
        stores slot=0 va=0 level=3 old=0 new=0 old-step=0 new-step=0 count=1
        zero frame=0\nalloc frame=0\nfree frame=0\ndsb sy\ndmb sy\nisb\ntlbi vmalle1 0
        ttbr0 root=0 asid=0\nswitch to=0\nexception-entry\nexception-return\nirq-enter\nirq-exit
        core-start\ntask-end\ncontract every-exit\npolicy v3\ncall enable\nhook enter\nowe
        reenter begin=0\nwindow tag=0 open=0\ndone va=0 pages=0 asid=0 tables=0
        access read works va=0";
    let events = lines.lines().map(|line| {
        let event: Event = format!("0 core=0 task=0 {}", line.trim()).parse().unwrap();
        name(&event.what)
    });
    let all: BTreeSet<&str> = events.collect();
    assert_eq!(named, all);
    assert_eq!(all.len(), 26, "as many as `name` has arms");
}

thread_local! {
    static HERE: Cell<(u8, u16)> = const { Cell::new((0, 1)) };
    static MASKED: Cell<u32> = const { Cell::new(0) };
    static FOUND: RefCell<Vec<Violation>> = const { RefCell::new(Vec::new()) };
}
/// A kernel with rules of its own for each test.
struct Host<const N: usize>;

static SHARED: [Shared; 5] = [const { Shared::new() }; 5];

impl<const N: usize> Kernel for Host<N> {
    const RULES: &'static Shared = &SHARED[N];

    fn masked<R>(f: impl FnOnce(Here) -> R) -> R {
        MASKED.set(MASKED.get() + 1);
        let (core, task) = HERE.get();
        let result = f(Here::at(core, task));
        MASKED.set(MASKED.get() - 1);
        result
    }

    fn broken(violation: &Violation) {
        // The lock is free: who reports here does not wait for ever.
        Self::LISTENER.hear(What::Isb);
        FOUND.with_borrow_mut(|found| found.push(violation.clone()));
    }
}

impl<const N: usize> Host<N> {
    const LISTENER: Checked<Self> = Checked::NEW;
}

const LINK: What = What::Store {
    slot: 0x2008,
    va: 0xffff_0000_0020_0000,
    level: 2,
    old: 0,
    new: 0x4003,
};

#[test]
fn off_it_does_what_is_to_be_done_and_hears_nothing() {
    let listener = Host::<0>::LISTENER;
    let done = Cell::new(0);
    listener.hear_with(|| {
        done.set(done.get() + 1);
        assert_eq!(MASKED.get(), 0, "not even interrupts are masked");
        LINK
    });
    let masked = listener.undisturbed(|| {
        done.set(done.get() + 1);
        listener.hear(LINK);
        MASKED.get()
    });
    assert_eq!((masked, done.get()), (0, 2));
    assert_eq!(listener.coverage(), None);
    SHARED[0].start();
    listener.hear(What::Isb);
    SHARED[0].start();
    assert_eq!(
        listener.coverage().unwrap().events,
        1,
        "a second start does nothing"
    );
    assert_eq!(listener.stop().unwrap().events, 1);
    listener.hear(LINK);
    assert_eq!(listener.stop(), None);
    assert_eq!(FOUND.take().len(), 0);
}

#[test]
fn an_event_has_its_core_task_and_number() {
    let listener = Host::<1>::LISTENER;
    SHARED[1].start();
    HERE.set((3, 9));
    listener.undisturbed(|| {
        assert_eq!(MASKED.get(), 1);
        listener.hear(What::Isb);
    });
    listener.hear_with(|| {
        assert_eq!(MASKED.get(), 1);
        LINK
    });
    listener.hear(LINK);
    let found = FOUND.take();
    let [first, second] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((first.at.core, first.at.task, first.at.sequence), (3, 9, 1));
    // Between them is what `broken` reported.
    assert_eq!(second.at.sequence, 3);
    assert_eq!(listener.stop().unwrap().events, 5);
    assert_eq!(SHARED[1].unheard(), 0);
}

/// As when the heap grows under the lock, or an exception is met there.
#[test]
fn what_is_reported_under_the_lock_is_done_and_counted() {
    let listener = Host::<2>::LISTENER;
    SHARED[2].start();
    let done = Cell::new(false);
    listener.hear_with(|| {
        listener.hear_with(|| {
            done.set(true);
            What::Isb
        });
        What::Dsb(Barrier::Ish)
    });
    assert!(done.get());
    assert_eq!(SHARED[2].unheard(), 1);
    assert_eq!(listener.stop().unwrap().events, 1);
}

#[test]
fn a_core_that_is_too_large_is_counted_and_breaks_nothing() {
    let listener = Host::<3>::LISTENER;
    SHARED[3].start();
    for core in [MAX_CORES as u8, 254, 255] {
        HERE.set((core, 1));
        listener.hear(What::Isb);
    }
    assert_eq!(SHARED[3].unheard(), 3);
    HERE.set((MAX_CORES as u8 - 1, 1));
    listener.hear(What::Isb);
    assert_eq!(listener.stop().unwrap().events, 1);
}

#[test]
fn two_cores_at_once() {
    const EACH: u64 = 20_000;
    let listener = Host::<4>::LISTENER;
    SHARED[4].start();
    std::thread::scope(|threads| {
        for core in 0..2 {
            threads.spawn(move || {
                HERE.set((core, u16::from(core)));
                for _ in 0..EACH {
                    listener.hear(What::tlbi(Op::VMALLE1IS, 0_u64));
                }
            });
        }
    });
    assert_eq!(listener.stop().unwrap().events, 2 * EACH);
    assert_eq!(SHARED[4].unheard(), 0);
}
