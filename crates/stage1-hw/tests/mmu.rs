//! [`Hardware`] under the operations of a `Space`: every store, zeroing, barrier and TLBI, and
//! every call of the kernel, in order.

mod common;

use common::*;
use stage1_hw::{Barrier, Hardware, Op, Upkeep, Why};
use stage1_paging::{
    Access, Desc, Fit, Frame, Half, Level, Mmu, NoFrame, Prot, Sink, Slots, Space, Step, Tlbi, Va,
    What,
};

/// A page's address: indices 0, 0, 2 and 3 in the tables of levels 0 to 3.
const LOW: u64 = 0x40_3000;
const ASID: u64 = 5 << 48;

const fn at(frame: u64, index: u64) -> u64 {
    RAM + 4096 * frame + 8 * index
}

/// The `child`th frame is linked at `index` of the table in the `parent`th.
fn linked(parent: u64, level: Level, index: u64, va: u64, child: u64) -> Vec<Event> {
    let child = table(child);
    vec![
        Event::Alloc(child.pa().raw()),
        Event::Zero(child.pa().raw(), Why::Link),
        Event::Execute(Op::Dmb(Barrier::Ishst), Why::Link),
        Event::Lock,
        Event::Store {
            pa: at(parent, index),
            level,
            va,
            new: Desc::table(child),
            why: Why::Link,
        },
        Event::Unlock,
    ]
}

/// The tables of level 1, 2 and 3 for [`LOW`]: frames 1, 2 and 3.
fn tables() -> Vec<Event> {
    [
        linked(0, Level::L0, 0, 0, 1),
        linked(1, Level::L1, 0, 0, 2),
        linked(2, Level::L2, 2, 0x40_0000, 3),
    ]
    .concat()
}

/// A store in the last-level table of frame 3, to the `n`th page from [`LOW`] on.
fn edit(n: u64, new: Desc) -> Event {
    Event::Edit {
        pa: at(3, 3 + n),
        level: Level::L3,
        va: LOW + 4096 * n,
        new,
    }
}

fn leaf(n: u64, prot: Prot) -> Desc {
    Desc::leaf(Level::L3, data(n), prot, false)
}

/// A space with `n` pages mapped from [`LOW`] on, to the data frames from 0 on.
fn mapped(n: u64) -> (&'static Kernel, Space<'static, Machine>) {
    let (kernel, space) = space(TASK);
    space
        .map(pages(LOW, n), data(0), Prot::RW, Fit::Pages)
        .unwrap();
    log();
    (kernel, space)
}

fn done(va: u64, n: u64, with_tables: bool) -> Event {
    Event::Done(pages(va, n), with_tables)
}

#[test]
fn a_root_is_zeroed() {
    let kernel = Kernel::new();
    let machine = machine(kernel, Upkeep::default());
    let root = machine.new_root().unwrap();
    let expected = [Event::Alloc(at(0, 0)), Event::Zero(at(0, 0), Why::Root)];
    assert_eq!(log(), expected);
    assert!((0..512).all(|i| kernel.word(0, i) == Desc::INVALID));
    assert_eq!(machine.address(root).raw(), RAM);
    assert_eq!(machine.frame(root), table(0));
    assert_eq!(machine.frame(machine.child(table(7))), table(7));
}

#[test]
fn no_frame_for_a_root_is_an_error() {
    let kernel = Kernel::new();
    kernel.leave(0);
    assert_eq!(
        machine(kernel, Upkeep::default()).new_root().err(),
        Some(NoFrame)
    );
    assert_eq!(log(), [Event::NoFrame]);
}

#[test]
fn a_link_is_zeroes_then_dmb_then_the_store_under_the_lock() {
    let kernel = Kernel::new();
    let machine = machine(kernel, Upkeep::default());
    let root = machine.new_root().unwrap();
    log();
    // Any address below the descriptor: the one that is recorded is where it begins.
    let va = Va::new(0x1234_5678_9000);
    let child = machine.link(root, Level::L0, 36, va).unwrap();
    let mut expected = linked(0, Level::L0, 36, 36 << 39, 1);
    // It looks again under the lock, and only there.
    expected.insert(4, Event::Load);
    assert_eq!(everything(), expected);
    assert_eq!(machine.frame(child), table(1));
    assert_eq!(kernel.word(0, 36), Desc::table(table(1)));
    assert!((0..512).all(|i| kernel.word(1, i) == Desc::INVALID));
    // A link owes nothing by itself: its caller does.
    assert_eq!(kernel.used(), 2);
}

#[test]
fn a_lost_race_gives_the_frame_back_and_returns_theirs() {
    let kernel = Kernel::new();
    let machine = machine(kernel, Upkeep::default());
    let root = machine.new_root().unwrap();
    log();
    // Another core links frame 9 between the zeroing and the lock.
    let other = move || kernel.poke(0, 1, Desc::table(table(9)));
    *kernel.before_lock.borrow_mut() = Some(Box::new(other));
    let child = machine.link(root, Level::L0, 1, Va::new(1 << 39)).unwrap();
    assert_eq!(machine.frame(child), table(9));
    assert_eq!(kernel.word(0, 1), Desc::table(table(9)));
    let expected = [
        Event::Alloc(at(1, 0)),
        Event::Zero(at(1, 0), Why::Link),
        Event::Execute(Op::Dmb(Barrier::Ishst), Why::Link),
        Event::Lock,
        Event::Unlock,
        Event::Free(at(1, 0)),
    ];
    assert_eq!(log(), expected);
    assert_eq!(kernel.used(), 1);
}

#[test]
fn no_frame_leaves_the_table_as_it_was() {
    let (kernel, space) = space(TASK);
    kernel.leave(2);
    let refused = space
        .map(pages(LOW, 1), data(0), Prot::RW, Fit::Pages)
        .unwrap_err();
    assert_eq!((refused.what, refused.done), (What::OutOfFrames, 0));
    // Two tables were linked, and are owed for; the third was not, and nothing is stored for it.
    let tables = tables();
    let expected = [&tables[..12], &[Event::NoFrame, Event::Owe]].concat();
    assert_eq!(log(), expected);
    assert!((0..512).all(|i| kernel.word(2, i) == Desc::INVALID));
}

#[test]
fn map_links_stores_and_owes_once() {
    let (kernel, space) = space(TASK);
    space
        .map(pages(LOW, 3), data(0), Prot::RW, Fit::Pages)
        .unwrap();
    let stores = [0, 1, 2].map(|n| edit(n, leaf(n, Prot::RW)));
    assert_eq!(log(), [&tables()[..], &stores, &[Event::Owe]].concat());
    assert_eq!(kernel.word(3, 5), leaf(2, Prot::RW));
    assert_eq!(kernel.word(3, 6), Desc::INVALID);
    // Where tables are, only the stores.
    space
        .map(pages(LOW + 0x3000, 1), data(3), Prot::RO, Fit::Pages)
        .unwrap();
    assert_eq!(log(), [edit(3, leaf(3, Prot::RO)), Event::Owe]);
    assert_eq!(kernel.used(), 4);
}

#[test]
fn unmap_stores_and_the_gather_pays_before_it_says_so() {
    let (kernel, space) = mapped(2);
    let mut gather = space.gather(());
    assert_eq!(space.unmap(pages(LOW, 2), &mut gather), Ok(2));
    assert_eq!(log(), [0, 1].map(|n| edit(n, Desc::INVALID)));
    let ((), _) = gather.finish();
    let mut expected = invalidation(&[tlbi(Tlbi::Vale1is(ASID | 0x403), 2, 1)]);
    expected.push(done(LOW, 2, false));
    assert_eq!(log(), expected);
    assert_eq!(kernel.used(), 4, "tables stay");
}

/// All of an invalidation's barriers, and nothing else: the mode takes what is pending before the first of them.
#[test]
fn the_mode_settles_by_the_barriers_of_an_invalidation() {
    let (kernel, space) = mapped(1);
    kernel.settles.set(true);
    let mut gather = space.gather(());
    space.unmap(pages(LOW, 1), &mut gather).unwrap();
    log();
    gather.finish();
    let barriers = invalidation(&[tlbi(Tlbi::Vale1is(ASID | 0x403), 1, 1)]);
    let rest = [Event::Settled, done(LOW, 1, false)];
    assert_eq!(log(), [&[Event::Settle], &barriers[..], &rest].concat());
}

#[test]
fn hardware_invalidates_by_its_upkeep() {
    let kernel = Kernel::new();
    let upkeep = Upkeep {
        tlb: FULL,
        repeat_tlbi: true,
    };
    let machine = machine(kernel, upkeep);
    let space = Space::new(&machine, machine.new_root().unwrap(), TASK);
    space
        .map(pages(LOW, 2), data(0), Prot::RW, Fit::Pages)
        .unwrap();
    let mut gather = space.gather(());
    space.unmap(pages(LOW, 2), &mut gather).unwrap();
    log();
    gather.finish();
    let range = tlbi(Tlbi::Rvale1is(ASID | 0b01 << 46 | 0b11 << 37 | 0x403), 1, 0);
    let mut expected = invalidation(&[range, AFTER_TLBI[0], range]);
    expected.push(done(LOW, 2, false));
    assert_eq!(log(), expected);
}

#[test]
fn protect_owes_and_pays() {
    let (_, space) = mapped(2);
    let mut gather = space.gather(());
    space
        .protect(pages(LOW, 2), Access::ReadOnly, &mut gather)
        .unwrap();
    gather.finish();
    // Read-only, and not without its past: a TLB may hold it writable.
    let read_only = |n| leaf(n, Prot::RW).with_access(Access::ReadOnly);
    let mut expected = [0, 1].map(|n| edit(n, read_only(n))).to_vec();
    expected.push(Event::Owe);
    expected.extend(invalidation(&[tlbi(Tlbi::Vale1is(ASID | 0x403), 2, 1)]));
    expected.push(done(LOW, 2, false));
    assert_eq!(log(), expected);
}

#[test]
fn move_makes_then_clears_and_owes_both() {
    let (_, space) = mapped(1);
    let mut gather = space.gather(());
    let to = Va::new(LOW + 0x8000);
    space.move_pages(pages(LOW, 1), to, &mut gather).unwrap();
    gather.finish();
    let mut expected = vec![
        edit(8, leaf(0, Prot::RW)),
        edit(0, Desc::INVALID),
        Event::Owe,
    ];
    expected.extend(invalidation(&[tlbi(Tlbi::Vale1is(ASID | 0x403), 1, 1)]));
    expected.push(done(LOW, 1, false));
    assert_eq!(log(), expected);
}

#[test]
fn replace_asks_breaks_pays_and_makes() {
    let (_, space) = mapped(2);
    let mut gather = space.gather(());
    let new = [data(8), data(9)];
    space
        .replace(Va::new(LOW), &new, Prot::RW, &mut gather)
        .unwrap();
    let mut expected = vec![Event::MayBreak(pages(LOW, 2))];
    expected.extend([0, 1].map(|n| edit(n, leaf(n, Prot::RW).broken())));
    expected.extend(invalidation(&[tlbi(Tlbi::Vale1is(ASID | 0x403), 2, 1)]));
    expected.push(done(LOW, 2, false));
    expected.extend([0, 1].map(|n| edit(n, leaf(8 + n, Prot::RW))));
    expected.push(Event::Owe);
    assert_eq!(log(), expected);
    drop(gather);
    assert_eq!(log(), [], "nothing is left to pay");
}

#[test]
fn what_may_not_be_broken_is_left_alone() {
    let (kernel, space) = mapped(1);
    kernel.may_break.set(false);
    let mut gather = space.gather(());
    let refused = space.replace(Va::new(LOW), &[data(8)], Prot::RW, &mut gather);
    assert_eq!(refused.unwrap_err().what, What::InUse);
    drop(gather);
    assert_eq!(log(), [Event::MayBreak(pages(LOW, 1))]);
    assert_eq!(kernel.word(3, 3), leaf(0, Prot::RW));
}

#[test]
fn split_breaks_pays_links_and_fills() {
    let (kernel, mut space) = space(Half::Upper);
    let base = 0xffff_8000_0000_0000;
    space
        .map(pages(base, 512), data(0), Prot::RW, Fit::Largest)
        .unwrap();
    log();
    space.split(Va::new(base + 0x5000)).unwrap();
    let log = log();
    // The block stands at index 0 of the table in frame 2; the new table is frame 3.
    let cleared = Event::Edit {
        pa: at(2, 0),
        level: Level::L2,
        va: base,
        new: Desc::INVALID,
    };
    let mut expected = vec![Event::MayBreak(pages(base, 512)), cleared];
    let page = base >> 12 & ((1 << 44) - 1);
    expected.extend(invalidation(&[tlbi(Tlbi::Vaale1is(page), 1, 512)]));
    expected.push(done(base, 512, false));
    expected.extend(linked(2, Level::L2, 0, base, 3));
    expected.extend((0..512).map(|n| Event::Edit {
        pa: at(3, n),
        level: Level::L3,
        va: base + 4096 * n,
        new: Desc::leaf(Level::L3, data(n), Prot::RW, true),
    }));
    expected.push(Event::Owe);
    assert_eq!(log, expected);
    assert_eq!(kernel.used(), 4);
}

#[test]
fn tables_are_freed_after_it_is_said_that_the_invalidation_is_done() {
    let (kernel, mut space) = mapped(1);
    let mut gather = space.gather(());
    space.unmap(pages(LOW, 1), &mut gather).unwrap();
    space.free_tables(pages(LOW, 1), &mut gather).unwrap();
    assert_eq!(kernel.used(), 4, "nothing is free before it is paid");
    log();
    gather.finish();
    let log = log();
    let walk_caches = [(0, 1 << 27), (0, 1 << 18), (0x400, 1 << 9), (0x403, 1)]
        .map(|(page, step)| tlbi(Tlbi::Vae1is(ASID | page), 1, step));
    let mut expected = invalidation(&walk_caches);
    // What the first of the four is about.
    expected.push(done(0, 1 << 27, true));
    expected.extend([1, 2, 3].map(|n| Event::Free(at(n, 0))));
    assert_eq!(log, expected);
    assert_eq!(kernel.used(), 1);
}

/// Remembers what it was given.
#[derive(Default)]
struct Frames(Vec<Frame>);

impl Sink for Frames {
    fn park(&mut self, mapping: stage1_paging::Mapping) {
        self.0.push(mapping.frame());
    }
}

#[test]
fn destroy_invalidates_everything_once_and_frees_all() {
    let (kernel, space) = mapped(2);
    let (frames, _) = space.destroy(Frames::default());
    assert_eq!(frames.0, [data(0), data(1)]);
    let log = log();
    let is_edit = |event: &Event| matches!(event, Event::Edit { .. });
    let edits = log.iter().filter(|e| is_edit(e)).count();
    assert_eq!(edits, 4, "each table is parked by one store");
    // The first descriptor of each, from the last level up, at its own level and address; all in the first GiB.
    let last = (Level::L3, Level::L2.floor(Va::new(LOW)).raw());
    let parked = [last, (Level::L2, 0), (Level::L1, 0), (Level::L0, 0)];
    for (n, (event, (level, va))) in (0..).zip(log.iter().zip(parked)) {
        let Event::Edit {
            pa,
            level: l,
            va: v,
            new,
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!((*pa, *l, *v), (at(3 - n, 0), level, va));
        assert!(!new.is_valid());
    }
    let mut expected = invalidation(&[tlbi(Tlbi::Aside1is(ASID), 1, 0)]);
    expected.push(done(0, 1 << 36, true));
    expected.extend([0, 1, 2, 3].map(|n| Event::Free(at(n, 0))));
    assert_eq!(log[edits..], expected);
    assert_eq!(kernel.used(), 0);
}

#[test]
fn frames_are_balanced_over_many_operations() {
    let (kernel, mut space) = space(TASK);
    for round in 0..20 {
        let pages = pages(LOW + (round << 30), 600);
        space.map(pages, data(0), Prot::RW, Fit::Pages).unwrap();
        let mut gather = space.gather(());
        assert_eq!(space.unmap(pages, &mut gather), Ok(600));
        space.free_tables(pages, &mut gather).unwrap();
        gather.finish();
        assert_eq!(kernel.used(), 1, "after round {round}");
    }
    let ((), _) = space.destroy(());
    assert_eq!(kernel.used(), 0);
    let log = log();
    let count = |f: fn(&Event) -> bool| log.iter().filter(|e| f(e)).count();
    let allocated = count(|e| matches!(e, Event::Alloc(_)));
    assert_eq!(allocated + 1, count(|e| matches!(e, Event::Free(_))));
    assert_eq!(count(|e| *e == Event::Owe), 20, "once per map");
}

#[test]
fn edit_stores_in_the_slots_that_it_was_given() {
    let kernel = Kernel::new();
    let machine = machine(kernel, Upkeep::default());
    let root = machine.new_root().unwrap();
    log();
    // The last descriptors of the upper half's root, at the end of the address space.
    let slots = Slots {
        table: root,
        level: Level::L0,
        at: 510..512,
        va: Va::new(0xffff_ff00_0000_0000),
    };
    let mut seen = Vec::new();
    let edited = machine.edit(slots, |old| {
        seen.push(old);
        Step::Store(Desc::table(table(4)))
    });
    assert_eq!((edited.passed, edited.skipped), (2, 0));
    assert_eq!(seen, [Desc::INVALID; 2]);
    let stored = |index: u64, va| Event::Edit {
        pa: at(0, index),
        level: Level::L0,
        va,
        new: Desc::table(table(4)),
    };
    let expected = [
        stored(510, 0xffff_ff00_0000_0000),
        stored(511, 0xffff_ff80_0000_0000),
    ];
    assert_eq!(log(), expected);
    assert_eq!(machine.read(root, 511), Desc::table(table(4)));
    assert_eq!(everything(), [Event::Load]);
}

#[test]
fn hardware_has_no_size_but_its_upkeep() {
    #[derive(Clone, Copy)]
    struct Nothing;
    assert_eq!(size_of::<Hardware<Nothing>>(), size_of::<Upkeep>());
    assert_eq!(size_of::<Upkeep>(), 3);
    assert_eq!(size_of::<stage1_hw::Table>(), size_of::<usize>());
}
