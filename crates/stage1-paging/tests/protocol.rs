//! Barriers and invalidations. First each step of the protocol, left out; then the bugs that other
//! page-table crates have, by name; then what each operation costs.

mod common;

use common::*;
use stage1_paging::model::{Event, Model, Sabotage, Seen};
use stage1_paging::*;

const VA: u64 = 0x40_0000;

/// Maps a page and looks at it. In a section first, at its neighbour, which the new table must show
/// as unmapped.
fn publish(model: &Model) -> bool {
    let space = model.space(TASK);
    model.defer(true);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    let neighbour = seen(model, &space, VA + 0x1000) == only(Seen::Fault);
    model.flush();
    neighbour && seen(model, &space, VA) == only(Seen::Page(ram(1), Prot::RW))
}

/// Unmaps a page that both cores have used.
fn withdraw(model: &Model) -> bool {
    let space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    seen(model, &space, VA);
    let mut gather = space.gather(());
    space.unmap(pages(VA, 1), &mut gather).unwrap();
    let _ = gather.finish();
    seen(model, &space, VA) == only(Seen::Fault)
}

/// Unmaps it and frees its tables.
fn withdraw_tables(model: &Model) -> bool {
    let mut space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    seen(model, &space, VA);
    let mut gather = space.gather(());
    space.unmap(pages(VA, 1), &mut gather).unwrap();
    space.free_tables(pages(VA, 1), &mut gather).unwrap();
    let _ = gather.finish();
    model.tables() == 1 && seen(model, &space, VA) == only(Seen::Fault)
}

/// Leaves each step out in turn, and expects that the scenario fails without it.
fn each_step_counts(scenario: fn(&Model) -> bool, steps: &[Sabotage]) {
    for features in [PLAIN, FULL] {
        assert!(scenario(&Model::new(2, features)), "the whole protocol");
        for &step in steps {
            let model = Model::new(2, features);
            model.sabotage(Some(step));
            assert!(!scenario(&model), "{step:?} goes unnoticed");
        }
    }
}

#[test]
fn every_step_of_publishing_counts() {
    each_step_counts(
        publish,
        &[
            Sabotage::NoDmbBeforeLink,
            Sabotage::NoDsbInPair,
            Sabotage::NoIsbInPair,
        ],
    );
}

#[test]
fn every_step_of_an_invalidation_counts() {
    use Sabotage::*;
    each_step_counts(
        withdraw,
        &[
            NoDsbBeforeTlbi,
            NoTlbi,
            LocalTlbi,
            NoDsbAfterTlbi,
            NoIsbAfterTlbi,
        ],
    );
}

#[test]
fn every_step_of_freeing_a_table_counts() {
    use Sabotage::*;
    let steps = [
        NoDsbBeforeTlbi,
        NoTlbi,
        LocalTlbi,
        LeafOnlyTlbi,
        NoDsbAfterTlbi,
        NoIsbAfterTlbi,
    ];
    each_step_counts(withdraw_tables, &steps);
}

/// Frees tables some time after the pages in them were unmapped.
fn withdraw_tables_later(model: &Model) -> bool {
    let mut space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    seen(model, &space, VA);
    let mut gather = space.gather(());
    space.unmap(pages(VA, 1), &mut gather).unwrap();
    let _ = gather.pay();
    space.free_tables(pages(VA, 1), &mut gather).unwrap();
    let _ = gather.finish();
    model.tables() == 1 && seen(model, &space, VA) == only(Seen::Fault)
}

#[test]
fn every_step_of_freeing_a_table_later_counts() {
    use Sabotage::*;
    each_step_counts(
        withdraw_tables_later,
        &[NoTlbi, LocalTlbi, LeafOnlyTlbi, NoDsbAfterTlbi],
    );
}

// Bugs of other page-table crates.

#[test]
fn bug_tlbi_for_a_fresh_map() {
    let model = Model::new(2, FULL);
    let space = model.space(Half::Upper);
    let start = Pages::whole(Half::Upper).start().raw();
    space.reserve(pages(start, 512)).unwrap();
    let _ = model.events();
    space
        .map(pages(start, 512), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    assert_eq!(
        count(&model.events()),
        Counts {
            stores: 512,
            dsb: 1,
            isb: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn bug_no_barrier_after_map() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    let _ = model.events();
    space.map_page(Va::new(VA), ram(1), Prot::RO).unwrap();
    // Three tables, each zeroed, ordered and linked; the page; one pair.
    assert_eq!(trace(&model.events()), "amsamsamssdi");
}

#[test]
fn a_link_owes_like_any_valid_descriptor() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    let _ = model.events();
    space.reserve(pages(VA, 1)).unwrap();
    assert_eq!(trace(&model.events()), "amsamsamsdi");
    space.reserve(pages(VA, 1)).unwrap();
    assert_eq!(trace(&model.events()), "", "nothing linked, nothing owed");
}

#[test]
fn bug_barrier_per_entry_inside_a_section() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    model.defer(true);
    let _ = model.events();
    for page in pages(VA, 64).chunks(1) {
        space
            .map(page, ram(page.start().raw() >> 12), Prot::RW, Fit::Pages)
            .unwrap();
    }
    assert!(model.is_pending());
    assert_eq!(count(&model.events()).dsb, 0);
    model.flush();
    assert_eq!(trace(&model.events()), "di");
}

#[test]
fn bug_local_invalidation_on_smp() {
    let model = Model::new(2, PLAIN);
    let space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    seen(&model, &space, VA);
    model.run_on(1); // the one that unmaps is not the one that used it
    let mut gather = space.gather(());
    space.unmap(pages(VA, 1), &mut gather).unwrap();
    let _ = gather.finish();
    assert_eq!(seen(&model, &space, VA), only(Seen::Fault));
}

#[test]
fn bug_no_dsb_before_tlbi() {
    let model = Model::new(2, PLAIN);
    let space = model.space(TASK);
    space
        .map(pages(VA, 3), ram(1), Prot::RW, Fit::Pages)
        .unwrap();
    let _ = model.events();
    let mut gather = space.gather(());
    space.unmap(pages(VA, 3), &mut gather).unwrap();
    let _ = gather.finish();
    assert_eq!(trace(&model.events()), "cccdtttDi");
}

#[test]
fn bug_no_break_before_make() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space
        .map(pages(VA, 4), ram(1), Prot::RW, Fit::Pages)
        .unwrap();
    seen(&model, &space, VA);
    let _ = model.events();
    let new = [ram(11), ram(12), ram(13), ram(14)];
    let mut gather = space.gather(Parked::default());
    space
        .replace(Va::new(VA), &new, Prot::RW, &mut gather)
        .unwrap();
    assert_eq!(
        seen(&model, &space, VA + 0x3000),
        only(Seen::Page(ram(14), Prot::RW))
    );
    let (parked, _) = gather.finish();
    let old = [0, 1, 2, 3].map(|n| (VA + n * 0x1000, ram(1 + n), Level::L3, Prot::RW));
    assert!(parked.0.iter().all(|m| m.desc.is_valid()));
    let each = |m: &Mapping| (m.va.raw(), m.frame(), m.level, m.prot());
    assert_eq!(parked.0.iter().map(each).collect::<Vec<_>>(), old);
    // Four pages, one invalidation; the gather has nothing left to pay.
    assert_eq!(trace(&model.events()), "ccccdtDissssdi");
    assert_eq!(model.conflicts(), []);
}

#[test]
fn bug_no_break_before_make_is_seen_by_the_model() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    seen(&model, &space, VA);
    let table = space
        .walk(Va::new(VA))
        .unwrap()
        .steps()
        .find_map(|(l, d)| d.next_table(l).filter(|_| l == Level::L2));
    let slots = Slots {
        table: table.unwrap(),
        level: Level::L3,
        at: 0..1,
        va: Va::new(VA),
    };
    model.edit(slots, |_| {
        Step::Store(Desc::leaf(Level::L3, ram(2), Prot::RW, false))
    });
    assert_eq!(model.conflicts(), [Va::new(VA)]);
}

#[test]
fn bug_break_where_none_is_needed() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    let _ = model.events();
    let mut gather = space.gather(Parked::default());
    space
        .replace(Va::new(VA), &[ram(1)], Prot::RO, &mut gather)
        .unwrap();
    let (parked, _) = gather.finish();
    assert!(parked.0.is_empty(), "the frame is still mapped");
    // The pair of a valid descriptor, and the invalidation.
    assert_eq!(trace(&model.events()), "sdidtDi");
}

#[test]
fn bug_a_frame_given_back_that_stays_mapped() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    let mut gather = space.gather(Parked::default());
    // Another memory type takes a break, and the frame is the same.
    space
        .replace(Va::new(VA), &[ram(1)], Prot::DEVICE, &mut gather)
        .unwrap();
    let (parked, _) = gather.finish();
    assert!(parked.0.is_empty(), "the frame is still mapped");
    assert_eq!(
        seen(&model, &space, VA),
        only(Seen::Page(ram(1), Prot::DEVICE))
    );
}

/// From writable to executable by way of read-only, all in one gather, in every way there is: no core may see both.
#[test]
fn bug_executable_while_a_tlb_holds_it_writable() {
    let to = VA + 0x8000;
    for (way, end) in [("protect", VA), ("replace", VA), ("move", to)] {
        let model = Model::new(2, FULL);
        let space = model.space(TASK);
        space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
        seen(&model, &space, VA);
        let mut gather = space.gather(());
        space
            .protect(pages(VA, 1), Access::ReadOnly, &mut gather)
            .unwrap();
        if way == "replace" {
            space
                .replace(Va::new(VA), &[ram(1)], Prot::RX, &mut gather)
                .unwrap();
        } else {
            if way == "move" {
                space
                    .move_pages(pages(VA, 1), Va::new(to), &mut gather)
                    .unwrap();
            }
            space
                .protect(pages(end, 1), Access::ReadExecute, &mut gather)
                .unwrap();
        }
        for va in [VA, to] {
            for outcomes in seen(&model, &space, va) {
                assert!(
                    !outcomes.contains(&Seen::Page(ram(1), Prot::RW)),
                    "{way}, {va:#x}: {outcomes:?}"
                );
            }
        }
        let _ = gather.finish();
        assert_eq!(
            seen(&model, &space, end),
            only(Seen::Page(ram(1), Prot::RX)),
            "{way}"
        );
    }
}

#[test]
fn bug_break_of_what_is_in_use() {
    let model = Model::new(2, FULL);
    let mut space = model.space(TASK);
    let text = Pages::new(Va::new(VA), 4).unwrap();
    space.map(text, ram(8), Prot::RX, Fit::Pages).unwrap();
    let block = Pages::new(Va::new(Level::L1.size()), Level::L2.pages()).unwrap();
    space.map(block, ram(512), Prot::RX, Fit::Largest).unwrap();
    let before = format!("{space:?}");
    let _ = model.events();
    let refused = |result: Result<(), Error>| {
        assert_eq!(result.map_err(|e| e.what), Err(What::InUse));
        assert_eq!(trace(&model.events()), "", "nothing was stored");
    };
    // One page of the range suffices, and so does one page of the block.
    model.keep(Some(text.skip(3)));
    let mut gather = space.gather(());
    refused(space.replace(
        text.start(),
        &[ram(1), ram(2), ram(3), ram(4)],
        Prot::RX,
        &mut gather,
    ));
    let one_up = text.skip(1).start();
    refused(space.move_pages(text, one_up, &mut gather).map(drop));
    // What is broken is where the pages are, not where they go.
    model.keep(Some(text.take(1)));
    refused(space.move_pages(text, one_up, &mut gather).map(drop));
    model.keep(Some(pages(VA + 0x4000, 1)));
    assert_eq!(space.move_pages(text, one_up, &mut gather), Ok(4));
    model.keep(None);
    let moved = pages(one_up.raw(), 4);
    assert_eq!(space.move_pages(moved, text.start(), &mut gather), Ok(4));
    // Where nothing is mapped, nothing is broken; permissions need no break.
    let beyond = Pages::new(Va::new(VA + 0x10_0000), 4).unwrap();
    model.keep(Some(beyond));
    let moved = space.move_pages(beyond, beyond.skip(1).start(), &mut gather);
    assert_eq!(moved, Ok(0));
    model.keep(Some(text.skip(3)));
    space
        .replace(
            text.start(),
            &[ram(8), ram(9), ram(10), ram(11)],
            Prot::RX,
            &mut gather,
        )
        .unwrap();
    let _ = gather.finish();
    model.keep(Some(block.skip(7).take(1)));
    let _ = model.events();
    refused(space.split(block.skip(1).start()));
    assert_eq!(format!("{space:?}"), before);
    // Not in use any more.
    model.keep(None);
    space.split(block.skip(1).start()).unwrap();
}

/// The model, as a kernel that lets the invalidation settle the pair of changed permissions.
struct Settling(Model);

impl Mmu for Settling {
    type Table = Frame;

    const INVALIDATION_SETTLES: bool = true;

    fn read(&self, table: Frame, index: usize) -> Desc {
        self.0.read(table, index)
    }

    fn child(&self, frame: Frame) -> Frame {
        self.0.child(frame)
    }

    fn frame(&self, table: Frame) -> Frame {
        self.0.frame(table)
    }

    fn edit(&self, slots: Slots<Frame>, f: impl FnMut(Desc) -> Step) -> Edited {
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

    fn invalidate(&self, debt: &mut Debt) -> Done {
        self.0.invalidate(debt)
    }

    fn free_table(&self, table: Frame, done: &Done) {
        self.0.free_table(table, done);
    }
}

#[test]
fn an_invalidation_may_settle_changed_permissions() {
    let machine = Settling(Model::new(2, FULL));
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
    let _ = gather.finish();
    assert_eq!(trace(&machine.0.events()), "sdtDi", "no pair of its own");
    let read_only = Seen::Page(ram(1), Prot::RO);
    assert_eq!(seen(&machine.0, &on_model, VA), only(read_only));
    // The same by `replace`.
    let mut gather = space.gather(());
    space
        .replace(Va::new(VA), &[ram(1)], Prot::RW, &mut gather)
        .unwrap();
    let _ = gather.finish();
    assert_eq!(trace(&machine.0.events()), "sdtDi", "no pair of its own");
    // A break owes its pair all the same.
    let mut gather = space.gather(());
    space
        .replace(Va::new(VA), &[ram(2)], Prot::RW, &mut gather)
        .unwrap();
    assert_eq!(trace(&machine.0.events()), "cdtDisdi");
}

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
        let _ = gather.finish();
        assert_eq!(trace(&model.events()), "");
    }
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

#[test]
fn bug_tables_freed_too_early() {
    let model = Model::new(2, FULL);
    let mut space = model.space(TASK);
    // Each the first page of a last-level table.
    let used = [VA, VA + 0x20_0000];
    for va in used {
        space.map_page(Va::new(va), ram(1), Prot::RW).unwrap();
        seen(&model, &space, va);
    }
    let _ = model.events();
    let mut gather = space.gather(());
    space.unmap(pages(VA, 1024), &mut gather).unwrap();
    space.free_tables(pages(VA, 1024), &mut gather).unwrap();
    assert!(gather.debt().frees_tables());
    assert_eq!(model.tables(), 5, "parked, not freed");
    // Parked tables are chained through themselves; a walker that a walk cache leads there must
    // still find nothing.
    let stale = [Seen::Fault, Seen::Page(ram(1), Prot::RW)];
    for outcomes in used.iter().flat_map(|&va| seen(&model, &space, va)) {
        assert!(outcomes.iter().all(|o| stale.contains(o)), "{outcomes:?}");
    }
    let _ = gather.finish();
    let trace = trace(&model.events());
    assert!(trace.find('D') < trace.find('f'), "{trace}");
    for va in used {
        assert_eq!(seen(&model, &space, va), only(Seen::Fault));
    }
    assert_eq!(model.tables(), 1);
}

#[test]
fn bug_walk_caches_dropped_without_need() {
    for features in [PLAIN, FULL] {
        let model = Model::new(2, features);
        let space = model.space(TASK);
        space
            .map(pages(VA, 3), ram(1), Prot::RW, Fit::Pages)
            .unwrap();
        let _ = model.events();
        let mut gather = space.gather(());
        space.unmap(pages(VA, 3), &mut gather).unwrap();
        let _ = gather.finish();
        for event in model.events() {
            let Event::Tlbi(op) = event else { continue };
            assert!(matches!(op, Tlbi::Vale1is(_) | Tlbi::Rvale1is(_)), "{op:?}");
        }
    }
}

#[test]
fn bug_frames_freed_too_early() {
    // The sink is not to be had before the payment: only `pay` and `finish` give it out. And what
    // they do comes first.
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space
        .map(pages(VA, 8), ram(1), Prot::RW, Fit::Pages)
        .unwrap();
    let mut gather = space.gather(Parked::default());
    space.unmap(pages(VA, 8), &mut gather).unwrap();
    let _ = model.events();
    let (sink, _) = gather.pay();
    assert_eq!(sink.0.len(), 8);
    assert_eq!(trace(&model.events()), "dtDi");
    let (_, _) = gather.finish();
    assert_eq!(trace(&model.events()), "", "paid once");
}

#[test]
fn bug_debt_lost_on_an_early_return() {
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    seen(&model, &space, VA);
    let fails = || -> Result<(), Error> {
        let mut gather = space.gather(());
        space.unmap(pages(VA, 1), &mut gather)?;
        space.map_page(Va::new(VA + 1), ram(1), Prot::RW)
    };
    assert_eq!(fails().unwrap_err().what, What::Misaligned);
    assert_eq!(seen(&model, &space, VA), only(Seen::Fault));
}

#[test]
fn bug_invalidating_another_asid() {
    let model = Model::new(2, PLAIN);
    let (a, b) = (
        model.space(Half::Lower(Asid(1))),
        model.space(Half::Lower(Asid(0xffff))),
    );
    for space in [&a, &b] {
        space.map_page(Va::new(VA), ram(1), Prot::RW).unwrap();
    }
    let mut gather = a.gather(());
    let refused = b.unmap(pages(VA, 1), &mut gather).unwrap_err();
    assert_eq!((refused.what, refused.done), (What::OtherGather, 0));
    let _ = gather.finish();
    seen(&model, &b, VA);
    let mut gather = b.gather(());
    b.unmap(pages(VA, 1), &mut gather).unwrap();
    let _ = gather.finish();
    assert_eq!(seen(&model, &b, VA), only(Seen::Fault));
    assert_eq!(seen(&model, &a, VA), only(Seen::Page(ram(1), Prot::RW)));
}

#[test]
fn bug_mapping_where_a_stale_translation_is() {
    // Moving neighbours with one gather: the second move goes to where the first came from.
    let model = Model::new(2, FULL);
    let space = model.space(TASK);
    space
        .map(pages(VA, 2), ram(1), Prot::RW, Fit::Pages)
        .unwrap();
    for va in [VA, VA + 0x1000] {
        seen(&model, &space, va);
    }
    let mut gather = space.gather(());
    space
        .move_pages(pages(VA, 1), Va::new(VA + 0x5000), &mut gather)
        .unwrap();
    space
        .move_pages(pages(VA + 0x1000, 1), Va::new(VA), &mut gather)
        .unwrap();
    assert_eq!(model.conflicts(), []);
    assert_eq!(seen(&model, &space, VA), only(Seen::Page(ram(2), Prot::RW)));
}

#[test]
fn bug_asid_reused_with_old_translations() {
    let model = Model::new(2, PLAIN);
    let space = model.space(TASK);
    let used = [VA, VA + 0x1000];
    for va in used {
        space.map_page(Va::new(va), ram(1), Prot::RW).unwrap();
        seen(&model, &space, va);
    }
    let (parked, _) = space.destroy(Parked::default());
    assert_eq!(parked.0.len(), 2);
    assert_eq!(model.tables(), 0);
    let next = model.space(TASK);
    for va in used {
        assert_eq!(seen(&model, &next, va), only(Seen::Fault));
    }
}

// What each operation costs. 512 pages, tables linked, barriers as executed outside a section.

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

/// Unmaps a block and five pages around it with one gather, in this order (0 is the block), looks at
/// all of them before and after.
fn merged_spans(features: Features, order: [usize; 6]) {
    const SLOT: u64 = 2 << 20;
    let model = Model::new(2, features);
    let space = model.space(TASK);
    // The block in slot 1; the pages each at another place in theirs, so that no stride of 2 MiB
    // meets two of them.
    let single = |slot: u64| pages(slot * SLOT + (slot + 3) * 0x1000, 1);
    let ranges = [
        pages(SLOT, 512),
        single(0),
        single(4),
        single(8),
        single(12),
        single(2),
    ];
    for (n, range) in ranges.into_iter().enumerate() {
        space
            .map(range, ram(n as u64 * 512), Prot::RW, Fit::Largest)
            .unwrap();
        seen(&model, &space, range.start().raw());
    }
    let mut gather = space.gather(());
    for n in order {
        space.unmap(ranges[n], &mut gather).unwrap();
    }
    let _ = gather.finish();
    for range in ranges {
        let va = range.start().raw();
        assert_eq!(
            seen(&model, &space, va),
            only(Seen::Fault),
            "{va:#x} {features:?} {order:?}"
        );
    }
}

#[test]
fn merged_spans_of_several_levels_leave_nothing() {
    for features in [PLAIN, FULL] {
        merged_spans(features, [1, 2, 3, 4, 5, 0]);
        merged_spans(features, [0, 2, 3, 4, 5, 1]);
        merged_spans(features, [5, 0, 2, 3, 4, 1]);
        merged_spans(features, [4, 3, 2, 1, 0, 5]);
    }
}
