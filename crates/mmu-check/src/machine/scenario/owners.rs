//! Programs that own a whole space: tables come and go, blocks are split, spaces end and their
//! ASIDs are used again.

use stage1_paging::{Asid, Desc, Fit, Half, Level, Mmu, Pages, Prot, Slots, Space, Step, Va};

use super::steps::{OWN, Outcome, PAGE, give, gone, map, range, take, text, unmap};
use crate::event::{AccessKind, Barrier};
use crate::machine::arch::Table;
use crate::machine::bug::{Bug, Site};
use crate::machine::frames::frame_at;
use crate::machine::kernel::{Kernel, RESERVED, Wrong};
use crate::tlbi::{Op, Operand};

/// Unmaps, unlinks the empty tables, frees them, and maps there again.
pub(super) fn tables(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 2)?;
    let (first, second) = (Va::new(OWN), Va::new(OWN + PAGE));
    map(kernel, first, frames[0])?;
    map(kernel, second, frames[1])?;
    kernel.put(first, 1)?;
    kernel.put(second, 2)?;
    let mut space = kernel.space();
    let both = range(first, 2)?;
    if kernel.is(Bug::PeerSubtableFirst) {
        let table = unlink(kernel, first)?;
        invalidate_first(kernel, first);
        kernel.free(table.0);
    } else {
        unmap(kernel, both)?;
        if kernel.is(Bug::PeerSubtableNone) {
            let table = unlink(kernel, first)?;
            kernel.dsb(Site::PublishDsb, Barrier::Ishst);
            kernel.isb(Site::PublishIsb);
            kernel.free(table.0);
        } else if kernel.is(Bug::TablesFreedEarly) {
            let table = unlink(kernel, first)?;
            kernel.free(table.0);
            invalidate_first(kernel, first);
        } else {
            let mut gather = space.gather(());
            space.free_tables(both, &mut gather).map_err(text)?;
            let _ = gather.finish();
        }
    }
    gone(kernel, first)?;
    gone(kernel, second)?;
    give(kernel, frames);
    let frames = take(kernel, 1)?;
    map(kernel, second, frames[0])?;
    kernel.put(second, 3)?;
    kernel.holds(second, 3)?;
    kernel.probe(first, AccessKind::Read)?;
    unmap(kernel, range(second, 1)?)?;
    give(kernel, frames);
    Ok(())
}

/// Clears the descriptor that links the last-level table of `va`, and returns the table.
fn unlink(kernel: &Kernel, va: Va) -> Result<Table, Wrong> {
    let table = super::pages::last_level(kernel, va, 1)?.table;
    let mut above = kernel.space().root();
    for level in [Level::L0, Level::L1] {
        let desc = kernel.read(above, level.index(va));
        above = kernel.child(desc.next_table(level).ok_or("no table there")?);
    }
    let index = Level::L2.index(va);
    let slots = Slots {
        table: above,
        level: Level::L2,
        at: index..index + 1,
        va,
    };
    kernel.edit(slots, |_| Step::Store(Desc::INVALID));
    Ok(table)
}

fn invalidate_first(kernel: &Kernel, va: Va) {
    kernel.before_tlbi();
    kernel.tlbi(Op::VAAE1IS, Operand::page(va.raw(), 0, None).into());
    kernel.after_tlbi();
}

/// Physical memory that is no frame of the allocator, 2 MiB aligned.
const BLOCK: u64 = 0x8000_0000;

/// Splits a live block; what it maps stays as it was.
pub(super) fn split(kernel: &Kernel) -> Outcome {
    let mut space = kernel.space();
    let pages = range(Va::new(OWN), Level::L2.pages())?;
    space
        .map(pages, frame_at(BLOCK), Prot::RW, Fit::Largest)
        .map_err(text)?;
    let at = |n: u64| Va::new(OWN + n * PAGE);
    for n in [0, 3, 4] {
        kernel.put(at(n), 0x100 + n)?;
    }
    space.split(at(3)).map_err(text)?;
    for n in [0, 3, 4] {
        kernel.holds(at(n), 0x100 + n)?;
    }
    unmap(kernel, range(at(3), 1)?)?;
    gone(kernel, at(3))?;
    kernel.holds(at(0), 0x100)?;
    kernel.holds(at(4), 0x104)?;
    unmap(kernel, pages)?;
    gone(kernel, at(0))
}

/// A lower half.
struct Task<'k> {
    space: Space<'k, Kernel>,
    root: u64,
    asid: u16,
}

/// Two spaces with the same addresses; one ends, and its ASID goes to a third.
pub(super) fn spaces(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 3)?;
    let va = Va::new(0x40_0000);
    kernel.machine.watch(va.raw());
    kernel.machine.watch(va.raw() + PAGE);
    let one = new_space(kernel, 1)?;
    activate(kernel, &one);
    // Nothing is there yet, whatever the root's frame has held.
    kernel.probe(va, AccessKind::Read)?;
    populate(kernel, &one, va, frames[0], 0x11)?;
    let two = new_space(kernel, 2)?;
    activate(kernel, &two);
    populate(kernel, &two, va, frames[1], 0x22)?;
    activate(kernel, &one);
    kernel.holds(va, 0x11)?;
    activate(kernel, &two);
    kernel.holds(va, 0x22)?;
    let mut gather = two.space.gather(());
    two.space.unmap(range(va, 1)?, &mut gather).map_err(text)?;
    let _ = gather.finish();
    kernel.probe(va, AccessKind::Read)?;
    let (asid, _) = (one.asid, one.space.destroy(()));
    let three = new_space(kernel, asid)?;
    activate(kernel, &three);
    kernel.probe(va, AccessKind::Read)?;
    populate(kernel, &three, va, frames[2], 0x33)?;
    activate(kernel, &two);
    let _ = three.space.destroy(());
    kernel.lower.set(None);
    kernel.set_ttbr0(RESERVED, 0);
    give(kernel, frames);
    Ok(())
}

fn new_space(kernel: &Kernel, asid: u16) -> Result<Task<'_>, Wrong> {
    let root = take(kernel, 1)?[0];
    kernel.zero_table(root);
    // A register is no store: what it points to must be complete, not only ordered.
    kernel.dsb(Site::RootDsb, Barrier::Ishst);
    let space = Space::new(kernel, kernel.table(root), Half::Lower(Asid(asid)));
    Ok(Task { space, root, asid })
}

fn activate(kernel: &Kernel, task: &Task<'_>) {
    kernel.lower.set(Some((task.root, task.asid)));
    kernel.set_ttbr0(task.root, task.asid);
}

fn populate(kernel: &Kernel, task: &Task<'_>, va: Va, frame: u64, value: u64) -> Outcome {
    let pages = Pages::one(va).map_err(text)?;
    kernel.section(|| {
        let mapped = task.space.map(pages, frame_at(frame), Prot::RW, Fit::Pages);
        mapped.map_err(text)
    })?;
    kernel.put(va, value)?;
    kernel.holds(va, value)
}
