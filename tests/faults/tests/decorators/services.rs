//! The faults of the kernel's services, and the calls of the image.

use std::panic::Location;
use std::sync::Mutex;

use lazy_mmu_faults::{Fault, Moment, fail_at, refuses_frame};
use stage1_hw::{Barrier, Op, Why};
use stage1_paging::What;

use crate::machine::{self, Memory, data, injected, lines, with, work};

#[test]
fn done_is_not_reported_of_an_invalidation_that_is_held_back() {
    let memory = Memory::new();
    let _injected = injected(Fault::FreeBeforeInvalidation);
    work(&memory, false).unwrap();
    assert_eq!(memory.done.get(), 0);
}

/// Where in the work the mode takes what is pending: before the barriers, behind them, or not at all.
#[test]
fn settled_late_and_settled_not() {
    let settled = |fault| {
        let memory = Memory::new();
        let injected = injected(fault);
        work(&memory, false).unwrap();
        lines();
        drop(injected);
        memory.settled.take()
    };
    let right = settled(Fault::FrameOverwritten);
    assert!(
        right.iter().all(|[before, behind]| before + 4 <= *behind),
        "{right:?}"
    );
    let late = settled(Fault::SettledLate);
    let behind = right.iter().map(|[_, behind]| [*behind; 2]);
    assert!(late.iter().copied().eq(behind), "{late:?}");
    assert!(settled(Fault::SettledNot).is_empty() && !right.is_empty());
}

/// The work takes a root and, for its two ranges, a first-level table each, and two below each.
#[test]
fn no_frame() {
    let failed = |nth| {
        let memory = Memory::new();
        let _injected = injected(Fault::NoFrame);
        fail_at(nth);
        work(&memory, false)
    };
    for nth in 2..=7 {
        let error = failed(nth).expect_err("the allocation failed");
        assert_eq!(error.what, What::OutOfFrames, "the {nth}th");
    }
    failed(8).expect("there is no eighth");
    failed(0).expect("none was to fail");
}

/// By the image alone, and only under its fault.
#[test]
fn alloc_fails() {
    let site = Location::caller();
    let injected_now = injected(Fault::AllocFails);
    assert!(!refuses_frame(site), "there is no image");
    lazy_mmu_faults::at(|moment| !matches!(moment, Moment::Alloc(_)));
    assert!(refuses_frame(site));
    lazy_mmu_faults::inject(Fault::NoFrame);
    assert!(!refuses_frame(site), "another fault");
    lazy_mmu_faults::at(|_| true);
    drop(injected_now);
}

static MOMENTS: Mutex<Vec<Moment>> = Mutex::new(Vec::new());

/// Every instruction and every debt; and what it says no to does not happen.
#[test]
fn the_image_is_asked() {
    fn at(moment: Moment) -> bool {
        MOMENTS.lock().unwrap().push(moment);
        !matches!(moment, Moment::Execute(Op::Dsb(_), Why::Switch))
    }
    let (memory, fault) = (Memory::new(), Fault::FrameOverwritten);
    let right = with(fault, false);
    let injected = injected(fault);
    lazy_mmu_faults::at(at);
    work(&memory, false).unwrap();
    lazy_mmu_faults::at(|_| true);
    let lines = lines();
    drop(injected);

    let instructions = lines.iter().filter_map(|line| match line.what {
        machine::What::Op(op, why) => Some(Moment::Execute(op, why)),
        _ => None,
    });
    let moments = MOMENTS.lock().unwrap();
    let of = |kind: fn(&Moment) -> bool| moments.iter().copied().filter(kind);
    let executed = of(|moment| matches!(moment, Moment::Execute(..)));
    let dsb = Moment::Execute(Op::Dsb(Barrier::Ish), Why::Switch);
    assert!(executed.filter(|moment| *moment != dsb).eq(instructions));
    assert_eq!(lines.len(), right.len() - 1);
    assert_eq!(of(|m| *m == Moment::Owe).count() as u32, memory.owed.get());
    assert_eq!(of(|m| *m == Moment::Owed).count() as u32, memory.owed.get());
    let mapped = of(|moment| matches!(moment, Moment::MapLinear(_)));
    assert!(mapped.eq([Moment::MapLinear(data(9))]));
}
