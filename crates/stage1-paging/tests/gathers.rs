//! Several gathers at once: whose they are, what they free, and that no right slips between two of them.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;

use common::*;
use stage1_paging::model::{Event, Model, Seen};
use stage1_paging::*;

const VA: u64 = 0x40_0000;
/// Where moves go.
const TO: u64 = VA + 0x8000;

/// That `space` refuses `gather` in every operation that takes one, with nothing changed.
fn refuses(model: &Model, space: &mut Space<'_, Model>, gather: &mut Gather<'_, Model>) {
    let page = pages(VA, 1);
    space.map(page, ram(1), Prot::RW, Fit::Pages).unwrap();
    let _ = model.events();
    let refused = [
        space.unmap(page, gather).map(drop),
        space.protect(page, Access::ReadOnly, gather).map(drop),
        space.replace(page.start(), &[ram(2)], Prot::RW, gather),
        space.move_pages(page, Va::new(TO), gather).map(drop),
        space.free_tables(page, gather),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert_eq!((error.what, error.done), (What::OtherGather, 0));
    }
    assert_eq!(trace(&model.events()), "");
    assert!(gather.debt().is_empty());
}

#[test]
fn a_gather_of_another_machine_is_refused() {
    // Alike in everything: half, ASID, and where the root lies.
    let (one, other) = (Model::new(2, PLAIN), Model::new(2, PLAIN));
    let (mut space, theirs) = (one.space(TASK), other.space(TASK));
    assert_eq!(space.root(), theirs.root());
    refuses(&one, &mut space, &mut theirs.gather(()));
}

#[test]
fn a_gather_of_another_asid_is_refused() {
    let model = Model::new(2, PLAIN);
    let mut space = model.space(TASK);
    let theirs = Space::new(&model, space.root(), Half::Lower(Asid(6)));
    refuses(&model, &mut space, &mut theirs.gather(()));
}

#[test]
fn a_gather_of_the_other_half_is_refused() {
    let model = Model::new(2, PLAIN);
    let mut space = model.space(TASK);
    let theirs = Space::new(&model, space.root(), Half::Upper);
    refuses(&model, &mut space, &mut theirs.gather(()));
}

#[test]
fn a_gather_of_another_root_with_the_same_asid_is_refused() {
    let model = Model::new(2, PLAIN);
    let (mut space, theirs) = (model.space(TASK), model.space(TASK));
    refuses(&model, &mut space, &mut theirs.gather(()));
}

/// The level and address of every store that chains a table to those that wait to be freed, in order.
fn parked(model: &Model, work: impl FnOnce()) -> Vec<(Level, u64)> {
    let _ = model.events();
    work();
    let stores = model.events().into_iter().filter_map(|event| match event {
        // What `free_tables` clears besides are links.
        Event::Store {
            level,
            va,
            old,
            new,
        } => (!(old.is_table(level) && new == Desc::INVALID)).then_some((level, va.raw())),
        _ => None,
    });
    stores.collect()
}

#[test]
fn destroy_reports_every_table_at_its_own_level_and_address() {
    const GIB: u64 = 1 << 30;
    for (half, start) in [(TASK, 0), (Half::Upper, !0 << 48)] {
        let model = Model::new(2, PLAIN);
        let space = model.space(half);
        // Not the first of anything: a store at the first address of the half is then the root's alone.
        let at = start + (3 * 512 + 5) * GIB + 7 * (2 << 20) + 0x9000;
        let page = pages(at, 1);
        space.map(page, ram(0), Prot::RW, Fit::Pages).unwrap();
        let floor = |level: Level| level.floor(Va::new(at)).raw();
        let stores = parked(&model, || {
            space.destroy(());
        });
        let expected = [
            (Level::L3, floor(Level::L2)),
            (Level::L2, floor(Level::L1)),
            (Level::L1, floor(Level::L0)),
            (Level::L0, start),
        ];
        assert_eq!(stores, expected);
        assert_eq!(model.tables(), 0);
    }
}

#[test]
fn free_tables_reports_every_table_at_its_own_level_and_address() {
    let model = Model::new(2, PLAIN);
    let mut space = model.space(TASK);
    let at = (3 << 39) + (5 << 30) + (7 << 21) + 0x9000;
    let page = pages(at, 1);
    space.map(page, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(());
    space.unmap(page, &mut gather).unwrap();
    let stores = parked(&model, || space.free_tables(page, &mut gather).unwrap());
    let floor = |level: Level| level.floor(Va::new(at)).raw();
    let tables = [
        (Level::L3, floor(Level::L2)),
        (Level::L2, floor(Level::L1)),
        (Level::L1, floor(Level::L0)),
    ];
    assert_eq!(stores, tables);
    gather.finish();
    assert_eq!(model.tables(), 1);
}

#[test]
fn a_gather_that_outlives_its_space_still_pays_and_frees() {
    let model = Model::new(2, FULL);
    let mut space = model.space(TASK);
    let page = pages(VA, 1);
    space.map(page, ram(1), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(Parked::default());
    space.unmap(page, &mut gather).unwrap();
    space.free_tables(page, &mut gather).unwrap();
    space.destroy(());
    assert_eq!(model.tables(), 3, "the root alone is freed");
    let (parked, _) = gather.finish();
    assert_eq!((parked.0.len(), model.tables()), (1, 0));
}

// W^X between gathers.

/// That nothing any core may see at these addresses makes a frame writable here and executable there.
fn no_frame_is_both(model: &Model, space: &Space<'_, Model>, addresses: &[u64], way: &str) {
    let mut rights: BTreeMap<Frame, (bool, bool)> = BTreeMap::new();
    for &va in addresses {
        for outcome in seen(model, space, va).into_iter().flatten() {
            if let Seen::Page(frame, prot) = outcome {
                let (w, x) = rights.entry(frame).or_default();
                *w |= prot.access.is_writable();
                *x |= prot.access.is_executable();
            }
        }
    }
    assert!(
        rights.values().all(|&both| both != (true, true)),
        "{way}: {rights:?}"
    );
    assert_eq!(model.conflicts(), [], "{way}");
}

/// How a page comes by the right that excludes the one it had.
const WAYS: [&str; 6] = ["protect", "replace", "replaced", "move", "moved", "block"];

/// From one right to the other by way of read-only, what is first done under gather `a`, the rest under `b`.
fn go_over(way: &str, from: Prot, to: Access, pay_between: bool) {
    let model = Model::new(2, FULL);
    let mut space = model.space(TASK);
    let n = if way == "block" { 512 } else { 2 };
    let (fit, area) = (
        if way == "block" {
            Fit::Largest
        } else {
            Fit::Pages
        },
        pages(VA, n),
    );
    space.map(area, ram(0), from, fit).unwrap();
    let last = VA + (n - 1) * 4096;
    let all = [VA, last, TO, TO + 4096];
    no_frame_is_both(&model, &space, &all, way);
    let (mut a, mut b) = (space.gather(()), space.gather(()));
    let frames = [ram(0), ram(1)];
    let read_only = Prot {
        access: Access::ReadOnly,
        ..from
    };
    let moves =
        |gather: &mut Gather<'_, Model>| space.move_pages(area, Va::new(TO), gather).unwrap();
    let mut end = area;
    match way {
        "replaced" => space
            .replace(area.start(), &frames, read_only, &mut a)
            .unwrap(),
        // The old place is owed for by `a`, the new one paid for by `b`.
        "moved" => {
            moves(&mut a);
            end = pages(TO, n);
            space.protect(end, Access::ReadOnly, &mut b).unwrap();
            b.pay();
        }
        _ => drop(space.protect(area, Access::ReadOnly, &mut a).unwrap()),
    }
    if way == "move" {
        moves(&mut b);
        end = pages(TO, n);
    }
    if pay_between {
        a.pay();
    }
    if way == "block" {
        // In pieces it has the same past.
        space.split(Va::new(VA + 0x1000)).unwrap();
    }
    if way == "replace" {
        let prot = Prot { access: to, ..from };
        space.replace(end.start(), &frames, prot, &mut b).unwrap();
    } else {
        assert_eq!(space.protect(end, to, &mut b), Ok(n), "{way}");
    }
    no_frame_is_both(&model, &space, &all, way);
    let _ = (b.finish(), a.finish());
    let want = Prot { access: to, ..from };
    assert_eq!(
        seen(&model, &space, end.start().raw()),
        only(Seen::Page(ram(0), want)),
        "{way}"
    );
}

#[test]
fn what_one_gather_made_read_only_another_makes_executable_safely() {
    for way in WAYS {
        go_over(way, Prot::RW, Access::ReadExecute, false);
    }
}

#[test]
fn what_one_gather_made_read_only_another_makes_writable_safely() {
    for way in WAYS {
        go_over(way, Prot::RX, Access::ReadWrite, false);
    }
}

#[test]
fn a_gather_paid_in_between_changes_nothing_of_that() {
    for way in WAYS {
        go_over(way, Prot::RW, Access::ReadExecute, true);
        go_over(way, Prot::RX, Access::ReadWrite, true);
    }
}

/// The stale right may be older than the last change, and whose gather holds it may never pay.
#[test]
fn a_forgotten_gather_makes_no_page_writable_and_executable() {
    let model = Model::new(2, PLAIN);
    let space = model.space(Half::Upper);
    let va = 0xffff_8000_0040_0000;
    let page = pages(va, 1);
    space.map(page, ram(1), Prot::RW, Fit::Pages).unwrap();
    no_frame_is_both(&model, &space, &[va], "mapped");
    let mut lost = space.gather(());
    space.protect(page, Access::ReadOnly, &mut lost).unwrap();
    std::mem::forget(lost);
    let mut gather = space.gather(());
    space.protect(page, Access::ReadOnly, &mut gather).unwrap();
    assert!(gather.debt().is_empty(), "it is so already");
    space
        .protect(page, Access::ReadExecute, &mut gather)
        .unwrap();
    no_frame_is_both(&model, &space, &[va], "executable");
    gather.finish();
}

/// One invalidation for the call, before the first store; and a page that never had the other right takes none.
#[test]
fn a_right_that_may_be_held_costs_one_invalidation_and_no_other_right_any() {
    let model = Model::new(2, PLAIN);
    let space = model.space(TASK);
    let area = pages(VA, 512);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let change = |access| {
        let _ = model.events();
        // Not paid before the next one is opened.
        let mut gather = space.gather(());
        assert_eq!(space.protect(area, access, &mut gather), Ok(512));
        let events = count(&model.events());
        (gather, (events.tlbi, events.dsb))
    };
    let none = (0, 1);
    let (a, cost) = change(Access::ReadOnly);
    assert_eq!(cost, none);
    let (b, cost) = change(Access::ReadWrite);
    assert_eq!(cost, none, "it was never executable");
    let (c, cost) = change(Access::ReadOnly);
    assert_eq!(cost, none);
    let (d, cost) = change(Access::ReadExecute);
    assert_eq!(cost, (1, 3), "`tlbi aside1is`, and the pair");
    let (e, cost) = change(Access::ReadOnly);
    assert_eq!(cost, none);
    let (f, cost) = change(Access::ReadExecute);
    assert_eq!(cost, none, "since the invalidation it was never writable");
    for mut gather in [a, b, c, d, e, f] {
        gather.pay();
        assert!(gather.debt().is_empty() && !gather.debt().frees_tables());
    }
    assert_eq!(model.conflicts(), []);
}

/// The model, with a note of what each payment is for.
struct Noting {
    model: Model,
    paid: RefCell<Vec<Vec<Pages>>>,
}

impl Mmu for Noting {
    type Table = Frame;

    fn read(&self, table: Frame, index: usize) -> Desc {
        self.model.read(table, index)
    }

    fn child(&self, frame: Frame) -> Frame {
        self.model.child(frame)
    }

    fn frame(&self, table: Frame) -> Frame {
        self.model.frame(table)
    }

    fn edit(&self, slots: Slots<Frame>, f: impl FnMut(Desc) -> Step) -> Edited {
        self.model.edit(slots, f)
    }

    fn may_break(&self, pages: Pages) -> bool {
        self.model.may_break(pages)
    }

    fn link(&self, table: Frame, level: Level, index: usize, va: Va) -> Result<Frame, NoFrame> {
        self.model.link(table, level, index, va)
    }

    fn owe(&self) {
        self.model.owe();
    }

    fn invalidate(&self, debt: &mut Debt) -> Done {
        self.paid.borrow_mut().push(debt.pages().collect());
        self.model.invalidate(debt)
    }

    fn free_table(&self, table: Frame, done: &Done) {
        self.model.free_table(table, done);
    }
}

#[test]
fn every_payment_names_the_pages_that_it_is_for() {
    for half in [TASK, Half::Upper] {
        let machine = Noting {
            model: Model::new(2, FULL),
            paid: RefCell::default(),
        };
        let root = machine.model.space(half).root();
        let mut space = Space::new(&machine, root, half);
        let whole = Pages::whole(half);
        let area = pages(whole.start().raw() + VA, 4);
        let (one, rest) = (area.take(1), area.skip(1));
        space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
        let paid = || machine.paid.take().concat();
        let mut gather = space.gather(());
        space.unmap(one, &mut gather).unwrap();
        gather.pay();
        assert_eq!(paid(), [one]);
        space.protect(rest, Access::ReadOnly, &mut gather).unwrap();
        assert_eq!(paid(), []);
        // The whole half where another gather may owe for the right that is lost, and where the space ends.
        space
            .protect(rest, Access::ReadExecute, &mut gather)
            .unwrap();
        assert_eq!(paid(), [whole]);
        gather.finish();
        assert_eq!(paid(), [rest]);
        // A block that is split.
        let block = pages(area.start().raw() + (2 << 20), 512);
        space.map(block, frame(0), Prot::RW, Fit::Largest).unwrap();
        space.split(block.skip(3).start()).unwrap();
        assert_eq!(paid(), [block]);
        space.destroy(());
        assert_eq!(paid(), [whole]);
    }
}

#[test]
fn a_change_of_some_pages_leaves_none_of_them_stale() {
    // Between pages that have the right already, which are not touched.
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    let area = pages(VA, 8);
    let mut gather = space.gather(());
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    for n in [0, 1, 4, 6] {
        let page = area.skip(n).take(1);
        space.protect(page, Access::ReadOnly, &mut gather).unwrap();
    }
    gather.pay();
    for page in area.chunks(1) {
        seen(&model, &space, page.start().raw());
    }
    space.protect(area, Access::ReadOnly, &mut gather).unwrap();
    gather.finish();
    for (n, page) in (0..).zip(area.chunks(1)) {
        let read_only = only(Seen::Page(ram(n), Prot::RO));
        assert_eq!(seen(&model, &space, page.start().raw()), read_only, "{n}");
    }
}

#[test]
fn a_page_that_replace_breaks_for_its_memory_type_keeps_its_past() {
    // Where it was before, a TLB may still hold it executable.
    let model = Model::new(1, FULL);
    let space = model.space(TASK);
    // One that it could execute, and one that it could write: two runs.
    let (from, to) = (pages(VA, 2), pages(VA + 0x8000, 2));
    for (page, prot) in from.chunks(1).zip([Prot::RX, Prot::RW]) {
        let n = (page.start().raw() - VA) >> 12;
        space.map(page, ram(n), prot, Fit::Pages).unwrap();
    }
    let (mut a, mut b) = (space.gather(()), space.gather(()));
    space.protect(from, Access::ReadOnly, &mut a).unwrap();
    space.move_pages(from, to.start(), &mut a).unwrap();
    let prot = Prot {
        access: Access::ReadOnly,
        ..Prot::DEVICE
    };
    space
        .replace(to.start(), &[ram(0), ram(1)], prot, &mut b)
        .unwrap();
    let _ = model.events();
    space
        .protect(to.take(1), Access::ReadWrite, &mut b)
        .unwrap();
    let all = Event::Tlbi(Tlbi::all(TASK));
    assert!(model.events().contains(&all));
}
