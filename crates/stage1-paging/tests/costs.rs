//! What operations cost: stores, barriers, invalidations, and how often they have a gather pay.

mod common;

use common::*;
use stage1_paging::model::{Event, Model, Seen};
use stage1_paging::*;
use std::cell::Cell;

const GIB: u64 = 1 << 30;
const VA: u64 = 0x40_0000;

// 512 pages, tables linked, barriers as executed outside a section.

fn cost(features: Features, half: Half, op: fn(&Space<'_, Model>, Pages)) -> Counts {
    let model = Model::new(2, features);
    let space = model.space(half);
    let start = Pages::whole(half).start().raw();
    space.reserve(pages(start, 1024)).unwrap();
    space
        .map(pages(start, 512), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    let _ = model.events();
    op(&space, pages(start, 512));
    count(&model.events())
}

#[test]
fn costs_of_512_pages() {
    let unmap = |space: &Space<'_, Model>, pages| {
        assert_eq!(space.unmap(pages, &mut space.gather(())), Ok(512));
    };
    let protect = |space: &Space<'_, Model>, pages| {
        assert_eq!(
            space.protect(pages, Access::ReadOnly, &mut space.gather(())),
            Ok(512)
        );
    };
    let shift = |space: &Space<'_, Model>, pages: Pages| {
        let to = Va::new(pages.start().raw() + (512 << 12));
        assert_eq!(space.move_pages(pages, to, &mut space.gather(())), Ok(512));
    };
    let by_one = |space: &Space<'_, Model>, pages: Pages| {
        let mut gather = space.gather(());
        for page in pages.chunks(1) {
            space.unmap(page, &mut gather).unwrap();
        }
    };
    for half in [TASK, Half::Upper] {
        for (features, tlbi) in [(FULL, 1), (PLAIN, 512)] {
            let counts = |stores, dsb, isb| Counts {
                stores,
                dsb,
                isb,
                tlbi,
                dmb: 0,
            };
            assert_eq!(cost(features, half, unmap), counts(512, 2, 1));
            // The invalidation, and the pair that one call owes.
            assert_eq!(cost(features, half, protect), counts(512, 3, 2));
            assert_eq!(cost(features, half, shift), counts(1024, 3, 2));
            assert_eq!(cost(features, half, by_one), counts(512, 2, 1));
        }
    }
}

#[test]
fn beyond_512_operations_everything_goes() {
    assert_eq!(MAX_OPS, 512);
    for (half, all) in [(TASK, Tlbi::all(TASK)), (Half::Upper, Tlbi::Vmalle1is)] {
        let model = Model::new(2, PLAIN);
        let space = model.space(half);
        let start = Pages::whole(half).start().raw();
        space
            .map(pages(start, 513), ram(0), Prot::RW, Fit::Pages)
            .unwrap();
        // As many by more pages than that: one of them is for a block.
        let block = pages(start + GIB, 512);
        space.map(block, ram(0), Prot::RW, Fit::Largest).unwrap();
        let mut gather = space.gather(());
        space.unmap(pages(start, 511), &mut gather).unwrap();
        space.unmap(block, &mut gather).unwrap();
        assert_eq!(gather.debt().ops(PLAIN).count(), 512);
        gather.finish();
        space
            .map(pages(start, 511), ram(0), Prot::RW, Fit::Pages)
            .unwrap();
        let mut gather = space.gather(());
        space.unmap(pages(start, 512), &mut gather).unwrap();
        assert_eq!(gather.debt().reach(PLAIN), Some(512));
        space.unmap(pages(start, 513), &mut gather).unwrap();
        assert_eq!(gather.debt().reach(PLAIN), None);
        assert_eq!(gather.debt().ops(PLAIN).collect::<Vec<_>>(), [all]);
        // The pages are the same whichever way they are invalidated.
        assert_eq!(
            gather.debt().pages().collect::<Vec<_>>(),
            [pages(start, 513)]
        );
        assert_eq!(gather.debt().reach(FULL), Some(513));
    }
}

// Where there is little or nothing to do.

#[test]
fn cost_a_protect_to_what_is_there_already_executes_nothing() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    for (va, prot) in [(VA, Prot::RW), (VA + 0x20_0000, Prot::RX)] {
        space.map(pages(va, 3), ram(0), prot, Fit::Pages).unwrap();
        let _ = model.events();
        let mut gather = space.gather(());
        let same = space.protect(pages(va, 8), prot.access, &mut gather);
        let nothing = space.protect(pages(va + 0x8000, 8), prot.access, &mut gather);
        assert_eq!((same, nothing), (Ok(3), Ok(0)));
        gather.finish();
        assert_eq!(trace(&model.events()), "");
    }
}

/// The pages, from the first on, that are owed for after `work`.
fn owed(work: impl FnOnce(&Space<'_, Model>, &mut Gather<'_, Model>)) -> Vec<(u64, u64)> {
    let model = Model::new(1, PLAIN);
    let space = model.space(TASK);
    let area = pages(VA, 1024);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    space.protect(area, Access::ReadOnly, &mut gather).unwrap();
    gather.pay();
    work(&space, &mut gather);
    let owed = gather.debt().pages();
    owed.map(|run| ((run.start().raw() - VA) >> 12, run.count()))
        .collect()
}

#[test]
fn cost_what_is_left_as_it_is_owes_nothing() {
    const RO: Access = Access::ReadOnly;
    const RW: Access = Access::ReadWrite;
    let area = pages(VA, 1024);
    let some = |space: &Space<'_, Model>, gather: &mut Gather<'_, Model>| {
        for at in [0, 77, 600, 1023] {
            space.protect(area.skip(at).take(1), RW, gather).unwrap();
        }
    };
    let each = [(0, 1), (77, 1), (600, 1), (1023, 1)];
    // One page of 512, and of two tables, is changed.
    assert_eq!(owed(|space, gather| some(space, gather)), each);
    let back = |space: &Space<'_, Model>, gather: &mut Gather<'_, Model>| {
        some(space, gather);
        gather.pay();
        assert_eq!(space.protect(area, RO, gather), Ok(1024));
    };
    assert_eq!(owed(back), each);
    // By `replace`: two frames are new, and two pages have another permission.
    let by_replace = |space: &Space<'_, Model>, gather: &mut Gather<'_, Model>| {
        space.protect(area.skip(77).take(1), RW, gather).unwrap();
        gather.pay();
        let mut frames: Vec<Frame> = (0..1024).map(ram).collect();
        frames[600] = ram(5000);
        space
            .replace(area.start(), &frames, Prot::RO, gather)
            .unwrap();
    };
    assert_eq!(owed(by_replace), [(77, 1)], "the new frame's is paid");
}

#[test]
fn cost_a_refused_replace_owes_only_for_what_it_broke() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space
        .map(pages(VA, 2), ram(1), Prot::RW, Fit::Pages)
        .unwrap();
    let mut gather = space.gather(());
    let _ = model.events();
    // The third is a hole. Other frames are broken until it is met, and restored; permissions are not.
    for (frames, prot, stores) in [
        ([ram(1), ram(2), ram(3)], Prot::RO, ""),
        ([ram(1), ram(9), ram(3)], Prot::RW, "csdi"),
        ([ram(8), ram(9), ram(3)], Prot::RW, "ccssdi"),
    ] {
        let refused = space.replace(Va::new(VA), &frames, prot, &mut gather);
        assert_eq!(refused.map_err(|e| e.what), Err(What::NotMapped));
        assert_eq!(trace(&model.events()), stores);
    }
}

#[test]
fn cost_a_replace_by_what_is_there_already_executes_nothing() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space
        .map(pages(VA, 4), ram(1), Prot::RW, Fit::Pages)
        .unwrap();
    let _ = model.events();
    let same = [ram(1), ram(2), ram(3), ram(4)];
    let mut gather = space.gather(Parked::default());
    space
        .replace(Va::new(VA), &same, Prot::RW, &mut gather)
        .unwrap();
    assert_eq!(gather.finish().0.0, []);
    assert_eq!(trace(&model.events()), "");
}

// How often a gather pays.

/// How many invalidations `work` completes: each ends in one `dsb ish`.
fn payments<T>(model: &Model, work: impl FnOnce() -> T) -> usize {
    let _ = model.events();
    work();
    let events = model.events();
    events.iter().filter(|e| **e == Event::DsbIsh).count()
}

#[test]
fn cost_a_move_pays_first_only_where_its_destination_is_owed_for() {
    // Pages 8 to 11 are owed for; two pages move to each of these.
    for (to, payments_due) in [
        (4, 0),
        (6, 0),
        (7, 1),
        (8, 1),
        (10, 1),
        (11, 1),
        (12, 0),
        (14, 0),
    ] {
        let model = Model::new(2, FULL);
        let space = model.space(TASK);
        let page = |n: u64, count| pages(VA + n * 0x1000, count);
        for area in [page(8, 4), page(32, 2)] {
            space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
        }
        let mut gather = space.gather(());
        space.unmap(page(8, 4), &mut gather).unwrap();
        assert_eq!(gather.touches(page(to, 2)), payments_due == 1, "page {to}");
        let to = page(to, 2).start();
        let paid = payments(&model, || space.move_pages(page(32, 2), to, &mut gather));
        assert_eq!(paid, payments_due, "{to}");
    }
}

#[test]
fn cost_an_overlapping_move_pays_once_and_one_of_holes_never() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    // Over the end of a table.
    let area = pages(VA + 0x1f_d000, 6);
    let up = area.skip(1).start();
    let mut gather = space.gather(());
    let shift = |gather: &mut Gather<'_, Model>| space.move_pages(area, up, gather).unwrap();
    assert_eq!(payments(&model, || shift(&mut gather)), 0);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    assert_eq!(payments(&model, || shift(&mut gather)), 1);
    assert!(gather.debt().is_empty());
}

#[test]
fn an_overlapping_move_owes_for_the_tables_that_it_links_though_nothing_moves() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    // The second GiB's end, moved into the third: the first of two tables that are missing there can be linked.
    let area = pages(2 * GIB - 0x3000, 3);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    model.limit_tables(1);
    let mut gather = space.gather(());
    let mut shift = || {
        let _ = model.events();
        let moved = space.move_pages(area, area.skip(1).start(), &mut gather);
        (failure(moved).0, trace(&model.events()))
    };
    assert_eq!(shift(), (What::OutOfFrames, "amsdi".into()));
    assert_eq!(shift(), (What::OutOfFrames, "".into()));
}

#[test]
fn cost_a_replace_pays_once_where_it_breaks_and_not_at_all_elsewhere() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    // Over the end of a table.
    let area = pages(VA + 0x1f_d000, 6);
    let frames = |first: u64| std::array::from_fn::<_, 6, _>(|n| ram(first + n as u64));
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let elsewhere = pages(VA, 3);
    space.map(elsewhere, ram(9), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    space.unmap(elsewhere, &mut gather).unwrap();
    let replace = |first, prot, gather: &mut Gather<'_, Model>| {
        let frames = frames(first);
        payments(&model, || {
            space.replace(area.start(), &frames, prot, gather).unwrap()
        })
    };
    // Permissions alone: owed, together with what the gather owes already.
    assert_eq!(replace(0, Prot::RO, &mut gather), 0);
    assert_eq!(gather.debt().pages().count(), 2);
    // Nothing changes.
    let before = gather.debt().reach(PLAIN);
    assert_eq!(replace(0, Prot::RO, &mut gather), 0);
    assert_eq!((before, gather.debt().reach(PLAIN)), (Some(9), Some(9)));
    // Other frames, and a right that a TLB may contradict, in one.
    assert_eq!(replace(20, Prot::RX, &mut gather), 1);
    assert!(gather.debt().is_empty());
}

/// One call changes the first page by a break and the second without: the second's old form is owed for.
#[test]
fn a_replace_owes_for_a_page_that_it_did_not_break_beside_one_that_it_did() {
    let model = model();
    let space = model.space(TASK);
    let area = pages(VA, 2);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    for page in area {
        seen(&model, &space, page.raw());
    }
    let mut gather = space.gather(());
    let frames = [ram(7), ram(1)];
    space
        .replace(area.start(), &frames, Prot::RO, &mut gather)
        .unwrap();
    let owed: Vec<_> = gather.debt().pages().collect();
    assert_eq!(owed, [area.skip(1)]);
    gather.finish();
    for (page, frame) in area.into_iter().zip(frames) {
        let mapped = only(Seen::Page(frame, Prot::RO));
        assert_eq!(seen(&model, &space, page.raw()), mapped);
    }
}

#[test]
fn cost_a_right_that_may_be_held_in_several_tables_is_paid_for_once() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    let area = pages(VA + 0x1f_d000, 515);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    let protect = |access, gather: &mut Gather<'_, Model>| {
        payments(&model, || space.protect(area, access, gather).unwrap())
    };
    assert_eq!(protect(Access::ReadOnly, &mut gather), 0);
    assert_eq!(protect(Access::ReadExecute, &mut gather), 1);
    assert_eq!(gather.debt().pages().collect::<Vec<_>>(), [area]);
}

#[test]
fn cost_unmapping_and_freeing_tables_pay_when_the_gather_is_finished() {
    let model = Model::new(2, FULL);
    let mut space = model.space(TASK);
    let area = pages(VA + 0x1f_d000, 6);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    let paid = payments(&model, || {
        space.unmap(area, &mut gather).unwrap();
        space.free_tables(area, &mut gather).unwrap();
    });
    assert_eq!(paid, 0);
    assert_eq!(payments(&model, || gather.finish()), 1);
    // Nothing was withdrawn: no instruction, and there is nothing to wait for.
    let mut gather = space.gather(());
    space.unmap(area, &mut gather).unwrap();
    let _ = model.events();
    gather.pay();
    gather.finish();
    assert_eq!(trace(&model.events()), "");
}

/// The model, as a kernel that lets the invalidation settle the pair of changed permissions; and how often it was looked into a table.
struct Settling(Model, Cell<usize>);

impl Settling {
    fn new(model: Model) -> Self {
        Self(model, Cell::new(0))
    }

    /// How often `work` reads a descriptor by itself, or begins to go over some.
    fn looks(&self, work: impl FnOnce()) -> usize {
        self.1.set(0);
        work();
        self.1.get()
    }
}

impl Mmu for Settling {
    type Table = Frame;

    fn read(&self, table: Frame, index: usize) -> Desc {
        self.1.set(self.1.get() + 1);
        self.0.read(table, index)
    }

    fn child(&self, frame: Frame) -> Frame {
        self.0.child(frame)
    }

    fn frame(&self, table: Frame) -> Frame {
        self.0.frame(table)
    }

    fn edit(&self, slots: Slots<Frame>, f: impl FnMut(Desc) -> Step) -> Edited {
        self.1.set(self.1.get() + 1);
        self.0.edit(slots, f)
    }

    fn may_break(&self, pages: Pages) -> bool {
        self.0.may_break(pages)
    }

    fn link(&self, table: Frame, level: Level, index: usize, va: Va) -> Result<Frame, NoFrame> {
        self.0.link(table, level, index, va)
    }

    fn owe(&self) {
        self.0.owe();
    }

    fn invalidation_settles(&self) -> bool {
        true
    }

    fn invalidate(&self, debt: &mut Debt) -> Done {
        self.0.invalidate(debt)
    }

    fn free_table(&self, table: Frame, done: &Done) {
        self.0.free_table(table, done);
    }
}

#[test]
fn an_invalidation_may_settle_changed_permissions() {
    let machine = Settling::new(Model::new(2, FULL));
    let root = machine.0.space(TASK).root();
    let space = Space::new(&machine, root, TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    let on_model = Space::new(&machine.0, root, TASK);
    seen(&machine.0, &on_model, VA);
    let _ = machine.0.events();
    let mut gather = space.gather(());
    assert_eq!(
        space.protect(pages(VA, 1), Access::ReadOnly, &mut gather),
        Ok(1)
    );
    gather.finish();
    assert_eq!(trace(&machine.0.events()), "sdtDi", "no pair of its own");
    let read_only = Seen::Page(ram(1), Prot::RO);
    assert_eq!(seen(&machine.0, &on_model, VA), only(read_only));
    // The same by `replace`.
    let mut gather = space.gather(());
    space
        .replace(Va::new(VA), &[ram(1)], Prot::RW, &mut gather)
        .unwrap();
    gather.finish();
    assert_eq!(trace(&machine.0.events()), "sdtDi", "no pair of its own");
    // A break owes its pair all the same.
    let mut gather = space.gather(());
    space
        .replace(Va::new(VA), &[ram(2)], Prot::RW, &mut gather)
        .unwrap();
    assert_eq!(trace(&machine.0.events()), "cdtDisdi");
}

#[test]
fn an_invalidation_may_settle_a_move_but_not_a_table_linked_for_nothing() {
    let machine = Settling::new(Model::new(2, FULL));
    let root = machine.0.space(TASK).root();
    let (space, on_model) = (
        Space::new(&machine, root, TASK),
        Space::new(&machine.0, root, TASK),
    );
    let (from, to) = (pages(VA, 2), VA + (4 << 20));
    space.map(from, ram(1), Prot::RW, Fit::Pages).unwrap();
    seen(&machine.0, &on_model, VA);
    let _ = machine.0.events();
    // A table is linked, two pages are copied and cleared.
    let mut gather = space.gather(());
    assert_eq!(space.move_pages(from, Va::new(to), &mut gather), Ok(2));
    gather.finish();
    assert_eq!(
        trace(&machine.0.events()),
        "amsssccdtDi",
        "no pair of its own"
    );
    for page in [0, 1] {
        let moved = only(Seen::Page(ram(1 + page), Prot::RW));
        assert_eq!(seen(&machine.0, &on_model, to + (page << 12)), moved);
        assert_eq!(
            seen(&machine.0, &on_model, VA + (page << 12)),
            only(Seen::Fault)
        );
    }
    // Out of frames below a table that was linked: it has no invalidation, and owes its pair.
    machine.0.limit_tables(1);
    let mut gather = space.gather(());
    let far = Va::new(1 << 39);
    let refused = space.move_pages(pages(to, 2), far, &mut gather);
    assert_eq!(failure(refused).0, What::OutOfFrames);
    gather.finish();
    assert_eq!(trace(&machine.0.events()), "amsdi");
}

/// A run goes over a table at once, and a cursor remembers where it is.
#[test]
fn cost_pages_of_one_table_are_found_once() {
    let machine = Settling::new(Model::new(2, FULL));
    let root = machine.0.space(TASK).root();
    let space = Space::new(&machine, root, TASK);
    let area = pages(VA, 512);
    let frames: [_; 512] = std::array::from_fn(|n| ram(n as u64));
    space.reserve(area).unwrap();
    // Down to the last level, the slot, and the store.
    let once = 5;
    let mapped = machine.looks(|| {
        let mut cursor = space.cursor(area);
        for (page, frame) in area.into_iter().zip(frames) {
            cursor.map(page, frame, Prot::RW).unwrap();
        }
    });
    assert!(mapped <= 2 * 512 + once, "{mapped}");
    let mut gather = space.gather(());
    let mut replace = |prot, limit| {
        let looks = machine.looks(|| {
            space
                .replace(area.start(), &frames, prot, &mut gather)
                .unwrap();
        });
        assert!(looks <= limit, "{looks}");
    };
    // What is there; other permissions; both look before they change.
    replace(Prot::RW, 2 * once);
    replace(Prot::RO, 2 * once);
    gather.finish();
    // A sink without bounds takes a table's.
    let mut gather = space.gather(Parked::default());
    let looks = machine.looks(|| {
        space.unmap(area, &mut gather).unwrap();
    });
    assert!(looks <= once, "{looks}");
    assert_eq!(gather.finish().0.0.len(), 512);
}
