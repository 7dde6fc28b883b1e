//! The machine that the other tests run on: that it does what they rely on.

mod common;

use common::*;
use stage1_paging::model::{Event, Model, Sabotage, Seen};
use stage1_paging::*;

const VA: u64 = 0x40_0000;

fn map(space: &Space<'_, Model>, va: u64, first: Frame) {
    space.map_page(Va::new(va), first, Prot::RW).unwrap();
}

#[test]
fn an_invalidation_is_executed_by_the_core_that_is_run_on() {
    // A core that is not there counts as the last.
    for (core, number) in [(0, 0), (1, 1), (2, 2), (3, 2), (usize::MAX, 2)] {
        let model = Model::new(3, FULL);
        let space = model.space(TASK);
        map(&space, VA, ram(1));
        for core in 0..3 {
            model.access(core, &space, Va::new(VA));
        }
        model.run_on(core);
        model.sabotage(Some(Sabotage::LocalTlbi));
        let mut gather = space.gather(());
        space.unmap(pages(VA, 1), &mut gather).unwrap();
        gather.finish();
        let stale = |core| model.access(core, &space, Va::new(VA)).len() == 2;
        assert_eq!([0, 1, 2].map(stale), [0, 1, 2].map(|core| core != number));
    }
}

#[test]
fn a_switch_to_another_core_synchronizes() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    map(&space, VA, ram(1));
    model.sabotage(Some(Sabotage::NoIsbInPair));
    map(&space, VA + 0x1000, ram(2));
    let outcomes = |core| model.access(core, &space, Va::new(VA + 0x1000)).len();
    assert_eq!((outcomes(0), outcomes(1)), (2, 1), "its own store");
    model.run_on(1);
    model.run_on(0);
    assert_eq!(outcomes(0), 1);
}

#[test]
fn a_deferred_pair_is_pending_until_it_is_flushed() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space.reserve(pages(VA, 3)).unwrap();
    let _ = model.events();
    let events = || trace(&model.events());
    assert!(!model.is_pending());
    map(&space, VA, ram(1));
    assert_eq!((model.is_pending(), events()), (false, "sdi".into()));
    model.defer(true);
    map(&space, VA + 0x1000, ram(2));
    assert_eq!((model.is_pending(), events()), (true, "s".into()));
    model.flush();
    model.flush();
    assert_eq!((model.is_pending(), events()), (false, "di".into()));
    model.defer(false);
    map(&space, VA + 0x2000, ram(3));
    assert_eq!((model.is_pending(), events()), (false, "sdi".into()));
}

#[test]
fn events_are_recorded_from_the_first_request_on() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    map(&space, VA, ram(1));
    assert_eq!(model.events(), []);
    map(&space, VA + 0x1000, ram(2));
    map(&space, VA + 0x3000, ram(3));
    let leaf = |frame| Desc::leaf(Level::L3, frame, Prot::RW, false);
    let store = |va, frame| Event::Store {
        level: Level::L3,
        va: Va::new(va),
        old: Desc::INVALID,
        new: leaf(frame),
    };
    let pair = [Event::DsbIshst, Event::Isb];
    let mut expected = vec![store(VA + 0x1000, ram(2))];
    expected.extend(pair);
    expected.push(store(VA + 0x3000, ram(3)));
    expected.extend(pair);
    assert_eq!(model.events(), expected);
    assert_eq!(model.events(), []);
}

#[test]
fn tables_are_counted_limited_and_used_again() {
    let model = Model::new(1, FULL);
    assert_eq!(model.tables(), 0);
    let mut space = model.space(TASK);
    assert_eq!(model.tables(), 1);
    model.limit_tables(3);
    let _ = model.events();
    map(&space, VA, ram(1));
    assert_eq!(model.tables(), 4);
    let full = space.map_page(Va::new(1 << 40), ram(2), Prot::RW);
    assert_eq!(full.unwrap_err().what, What::OutOfFrames);
    let frames = |events: Vec<Event>| -> Vec<Frame> {
        let frame = |event| match event {
            Event::Alloc(frame) | Event::Free(frame) => Some(frame),
            _ => None,
        };
        events.into_iter().filter_map(frame).collect()
    };
    let mut allocated = frames(model.events());
    let mut gather = space.gather(());
    space.unmap(pages(VA, 1), &mut gather).unwrap();
    space.free_tables(pages(VA, 1), &mut gather).unwrap();
    gather.finish();
    assert_eq!(model.tables(), 1);
    let mut freed = frames(model.events());
    model.limit_tables(3);
    map(&space, 1 << 40, ram(2));
    let mut again = frames(model.events());
    for frames in [&mut allocated, &mut freed, &mut again] {
        frames.sort_unstable();
    }
    assert_eq!((&freed, &again), (&allocated, &allocated));
    assert_eq!(model.tables(), 4);
    space.destroy(());
    assert_eq!(model.tables(), 0);
}

/// A store is on its way to the walkers, or to its own core alone.
#[test]
fn a_freed_table_takes_its_late_stores_along_and_no_others() {
    for missing in [None, Some(Sabotage::NoIsbInPair)] {
        let model = Model::new(1, FULL);
        let (space, root) = (model.space(TASK), model.space(TASK).root());
        let slot = Slots {
            table: root,
            level: Level::L0,
            at: 0..1,
            va: Va::new(0),
        };
        space.reserve(pages(VA, 1)).unwrap();
        model.sabotage(missing);
        model.defer(missing.is_none());
        let link = model.read(space.root(), 0);
        model.edit(slot.clone(), |_| Step::Store(link));
        model.edit(slot, |_| Step::Store(Desc::INVALID));
        map(&space, VA, ram(1));
        let (_, done) = space.gather(()).finish();
        model.free_table(root, &done);
        let page = Seen::Page(ram(1), Prot::RW);
        let seen = model.access(0, &space, Va::new(VA));
        assert_eq!(seen, [Seen::Fault, page], "late as before");
        // In the same frame.
        let next = model.space(Half::Lower(Asid(6)));
        assert_eq!(next.root(), root);
        assert_eq!(model.access(0, &next, Va::new(VA)), [Seen::Fault]);
    }
}

#[test]
fn pages_that_are_kept_are_not_broken() {
    let model = Model::new(1, FULL);
    let may_break = |n| Mmu::may_break(&model, pages(VA, n));
    assert!(may_break(4));
    model.keep(Some(pages(VA + 0x2000, 1)));
    assert_eq!([1, 2, 3, 4].map(may_break), [true, true, false, false]);
    model.keep(None);
    assert!(may_break(4));
}

/// Slots of the last-level table of `va`, for stores past the operations.
fn slots(space: &Space<'_, Model>, va: u64, n: usize) -> Slots<Frame> {
    let walk = space.walk(Va::new(va)).unwrap();
    let table = walk
        .steps()
        .filter_map(|(level, desc)| desc.next_table(level))
        .last();
    let first = Level::L3.index(Va::new(va));
    Slots {
        table: table.unwrap(),
        level: Level::L3,
        at: first..first + n,
        va: Va::new(va),
    }
}

#[test]
fn an_edit_goes_in_order_and_counts_what_it_passed() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    space
        .map(pages(VA, 6), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    let mut n = 0;
    let _ = model.events();
    let edited = model.edit(slots(&space, VA + 0x1000, 5), |old| {
        n += 1;
        assert_eq!(old.frame(Level::L3), ram(n));
        match n {
            2 | 3 => Step::Skip,
            5 => Step::Stop,
            _ => Step::Store(Desc::INVALID),
        }
    });
    assert_eq!((edited.passed, edited.skipped, edited.stored()), (4, 2, 2));
    let va = |event: &Event| match event {
        Event::Store { va, .. } => va.raw(),
        other => panic!("{other:?}"),
    };
    let stored: Vec<u64> = model.events().iter().map(va).collect();
    assert_eq!(stored, [VA + 0x1000, VA + 0x4000]);
}

#[test]
fn a_conflict_is_a_store_that_contradicts_what_a_walker_or_a_tlb_has() {
    let page = |n, prot| Desc::leaf(Level::L3, ram(n), prot, false);
    // What is mapped, whether it is used, what is stored over it at once, and whether that is a conflict.
    for (old, used, new, conflict) in [
        (Prot::RW, true, page(2, Prot::RW), true), // another frame
        (Prot::RW, true, page(1, Prot::RX), true), // writable and executable
        (Prot::RX, true, page(1, Prot::RW), true),
        (Prot::RW, false, page(1, Prot::RX), true), // a walker may load it
        (Prot::RW, false, page(2, Prot::RW), true),
        (Prot::RX, false, page(1, Prot::RW), true),
        (Prot::RW, true, page(1, Prot::RO), false),
        (Prot::RO, true, page(1, Prot::RX), false),
        (Prot::RO, true, page(1, Prot::RW), false),
        (Prot::RX, true, page(1, Prot::RX), false),
        (Prot::RW, false, page(1, Prot::RW), false),
        (Prot::RW, true, Desc::INVALID, false),
    ] {
        let model = Model::new(2, FULL);
        let space = model.space(TASK);
        space.map_page(Va::new(VA), ram(1), old).unwrap();
        if used {
            model.access(1, &space, Va::new(VA));
        }
        model.edit(slots(&space, VA, 1), |_| Step::Store(new));
        let expected: &[Va] = if conflict { &[Va::new(VA)] } else { &[] };
        assert_eq!(model.conflicts(), expected, "{old:?} {used} {new:?}");
    }
}

/// The break was seen by the walkers, and not invalidated.
#[test]
fn what_a_tlb_holds_of_a_broken_page_is_in_conflict_with_what_comes_in_its_place() {
    let page = |n, prot| Desc::leaf(Level::L3, ram(n), prot, false);
    for (used, new, conflict) in [
        (true, page(2, Prot::RX), true),
        (true, page(1, Prot::RW), true),
        (true, page(1, Prot::RX), false),
        (false, page(2, Prot::RX), false),
    ] {
        let model = Model::new(1, FULL);
        let space = model.space(TASK);
        space.map_page(Va::new(VA), ram(1), Prot::RX).unwrap();
        if used {
            model.access(0, &space, Va::new(VA));
        }
        model.edit(slots(&space, VA, 1), |_| Step::Store(Desc::INVALID));
        model.owe();
        model.edit(slots(&space, VA, 1), |_| Step::Store(new));
        assert_eq!(!model.conflicts().is_empty(), conflict, "{used} {new:?}");
    }
}

#[test]
fn a_block_in_the_place_of_a_table_that_a_walk_cache_holds_is_a_conflict() {
    for used in [false, true] {
        let model = Model::new(1, FULL);
        let space = model.space(TASK);
        space.reserve(pages(VA, 1)).unwrap();
        if used {
            model.access(0, &space, Va::new(VA));
        }
        let steps = space.walk(Va::new(VA)).unwrap();
        let (_, link) = steps.steps().nth(1).unwrap();
        let slot = Slots {
            table: link.next_table(Level::L1).unwrap(),
            level: Level::L2,
            at: 2..3,
            va: Va::new(VA),
        };
        model.edit(slot.clone(), |_| Step::Store(Desc::INVALID));
        model.owe();
        let block = Desc::leaf(Level::L2, frame(512), Prot::RW, false);
        model.edit(slot, |_| Step::Store(block));
        assert_eq!(model.conflicts().len(), usize::from(used));
    }
}

#[test]
fn an_access_of_the_other_half_faults() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    for va in [!0 << 48, 1 << 48] {
        assert_eq!(model.access(0, &space, Va::new(va)), [Seen::Fault]);
    }
}

#[test]
fn a_tagged_entry_is_used_under_its_asid_alone_and_a_global_one_under_all() {
    let model = Model::new(1, FULL);
    let (one, other) = (
        model.space(Half::Lower(Asid(1))),
        model.space(Half::Lower(Asid(2))),
    );
    map(&one, VA, ram(1));
    model.access(0, &one, Va::new(VA));
    assert_eq!(model.access(0, &other, Va::new(VA)), [Seen::Fault]);
    // By hand, with nG clear.
    let global = Desc::leaf(Level::L3, ram(9), Prot::RW, true);
    let at = slots(&one, VA + 0x1000, 1);
    model.edit(at, |_| Step::Store(global));
    model.access(0, &one, Va::new(VA + 0x1000));
    let page = Seen::Page(ram(9), Prot::RW);
    let seen = model.access(0, &other, Va::new(VA + 0x1000));
    assert_eq!(seen, [Seen::Fault, page]);
}

#[test]
fn an_invalidation_leaves_every_entry_that_it_does_not_name() {
    let model = Model::new(2, FULL);
    let (space, other) = (model.space(TASK), model.space(Half::Lower(Asid(6))));
    // The same page under another ASID, the next page, and a block.
    let block = pages(VA + (2 << 20), 512);
    for space in [&space, &other] {
        map(space, VA, ram(1));
        map(space, VA + 0x1000, ram(2));
    }
    let first = frame(1024);
    space.map(block, first, Prot::RW, Fit::Largest).unwrap();
    let left = [
        (&other, VA),
        (&space, VA + 0x1000),
        (&space, block.start().raw()),
    ];
    seen(&model, &space, VA);
    for (space, va) in left {
        seen(&model, space, va);
    }
    // Withdrawn, and not paid for.
    let (mut theirs, mut ours) = (other.gather(()), space.gather(()));
    other.unmap(pages(VA, 1), &mut theirs).unwrap();
    space.unmap(pages(VA + 0x1000, 1), &mut ours).unwrap();
    space.unmap(block, &mut ours).unwrap();
    // The page, and one in the place of the block: by address alone that would be the block too, but the operation has the
    // level for a hint.
    let mut gather = space.gather(());
    map(&space, block.start().raw(), ram(3));
    for page in [pages(VA, 1), block.take(1)] {
        space.unmap(page, &mut gather).unwrap();
    }
    gather.pay();
    assert_eq!(seen(&model, &space, VA), only(Seen::Fault));
    for (space, va) in left {
        let stale = |outcomes: &Vec<Seen>| outcomes.len() > 1;
        assert!(seen(&model, space, va).iter().all(stale), "{va:#x}");
    }
    drop((theirs, ours));
    for (space, va) in left {
        assert_eq!(seen(&model, space, va), only(Seen::Fault), "{va:#x}");
    }
}

#[test]
fn a_tlb_holds_every_form_of_a_descriptor_that_it_has_loaded() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    let page = pages(VA, 1);
    map(&space, VA, ram(1));
    seen(&model, &space, VA);
    let mut gather = space.gather(());
    space.protect(page, Access::ReadOnly, &mut gather).unwrap();
    seen(&model, &space, VA);
    space.unmap(page, &mut gather).unwrap();
    // The walkers see both stores, the TLBs neither.
    map(&space, VA + 0x1000, ram(2));
    let forms = [
        Seen::Fault,
        Seen::Page(ram(1), Prot::RO),
        Seen::Page(ram(1), Prot::RW),
    ];
    assert_eq!(seen(&model, &space, VA), [forms, forms]);
}

#[test]
fn a_block_is_seen_at_each_of_its_pages() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    let block = pages(VA, 512);
    space
        .map(block, frame(1024), Prot::RO, Fit::Largest)
        .unwrap();
    for n in [0, 1, 300, 511] {
        let va = Va::new(VA + n * 0x1000 + 0xfff);
        let page = Seen::Page(frame(1024 + n), Prot::RO);
        assert_eq!(model.access(0, &space, va), [page]);
    }
}

#[test]
#[should_panic(expected = "a freed table is read")]
fn a_read_of_a_freed_table_panics() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    let root = space.root();
    space.destroy(());
    model.read(root, 0);
}

#[test]
#[should_panic(expected = "slots and address disagree")]
fn slots_at_another_address_panic() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    map(&space, VA, ram(1));
    let mut slots = slots(&space, VA, 1);
    slots.va = Va::new(VA + 0x1000);
    model.edit(slots, |_| Step::Skip);
}

#[test]
#[should_panic(expected = "a store is said to be elsewhere than it is")]
fn a_store_at_another_address_panics() {
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    map(&space, VA, ram(1));
    let mut slots = slots(&space, VA, 1);
    slots.va = Va::new(VA + (2 << 20));
    model.edit(slots, |_| Step::Store(Desc::INVALID));
}
