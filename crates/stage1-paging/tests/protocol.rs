//! Barriers and invalidations. First each step of the protocol, left out; then the bugs that other
//! page-table crates have, by name.

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
    gather.finish();
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
    gather.finish();
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
    gather.pay();
    space.free_tables(pages(VA, 1), &mut gather).unwrap();
    gather.finish();
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
    gather.finish();
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
    gather.finish();
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
        gather.finish();
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
    gather.finish();
    model.keep(Some(block.skip(7).take(1)));
    let _ = model.events();
    refused(space.split(block.skip(1).start()));
    assert_eq!(format!("{space:?}"), before);
    // Not in use any more.
    model.keep(None);
    space.split(block.skip(1).start()).unwrap();
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
    gather.finish();
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
        gather.finish();
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
    gather.finish();
    seen(&model, &b, VA);
    let mut gather = b.gather(());
    b.unmap(pages(VA, 1), &mut gather).unwrap();
    gather.finish();
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
