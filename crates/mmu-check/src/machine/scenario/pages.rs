//! Programs about pages: map, zap, protect, replace, move, and a page that two cores use.

use alloc::vec::Vec;

use stage1_paging::{Access, Desc, Half, Level, Mmu, Prot, Slots, Step, Va};

use super::steps::{
    Outcome, as_frames, fill, give, gone, map, on, page, range, take, text, unaware_store, unmap,
    value, write_and_read,
};
use crate::event::AccessKind;
use crate::machine::bug::Bug;
use crate::machine::kernel::{Kernel, Wrong};
use crate::tlbi::{Op, Operand};

/// Maps in a section and uses after it; unmaps; maps and uses outside of any.
pub(super) fn vmap(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 4)?;
    let space = kernel.space();
    kernel.section(|| {
        let first = range(page(0), 2)?;
        space
            .map_frames(first, as_frames(&frames[..2]), Prot::RW)
            .map_err(text)?;
        if kernel.is(Bug::UsedWhilePending) {
            write_and_read(kernel, 0)?;
        }
        map(kernel, page(2), frames[2])
    })?;
    (0..3).try_for_each(|n| write_and_read(kernel, n))?;
    kernel.section(|| unmap(kernel, range(page(0), 3)?))?;
    (0..3).try_for_each(|n| gone(kernel, page(n)))?;
    map(kernel, page(3), frames[3])?;
    write_and_read(kernel, 3)?;
    unmap(kernel, range(page(3), 1)?)?;
    give(kernel, frames);
    Ok(())
}

/// A zap in which the allocator re-enters, while another core still stores to the pages.
pub(super) fn zap(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 4)?;
    let space = kernel.space();
    space
        .map_frames(range(page(0), 4)?, as_frames(&frames), Prot::RW)
        .map_err(text)?;
    (0..4).try_for_each(|n| write_and_read(kernel, n))?;
    unaware_store(kernel, page(1));
    let mut gather = space.gather(());
    let copies = kernel.section(|| {
        let mut copies = Vec::new();
        for n in 0..4 {
            space.unmap(range(page(n), 1)?, &mut gather).map_err(text)?;
            if n % 2 == 1 {
                // The inner section's end pays; the frame is usable inside the outer one.
                let frame = take(kernel, 1)?[0];
                fill(kernel, frame, value(n))?;
                copies.push(frame);
            }
        }
        if kernel.frees_early() {
            give(kernel, frames.clone());
            unaware_store(kernel, page(1));
            unaware_store(kernel, page(3));
        }
        let _ = gather.finish();
        if !kernel.frees_early() {
            give(kernel, frames.clone());
        }
        Ok::<_, Wrong>(copies)
    })?;
    (0..4).try_for_each(|n| gone(kernel, page(n)))?;
    give(kernel, copies);
    // The next owner: the allocator looks whether anybody has written since.
    let frames = take(kernel, 6)?;
    give(kernel, frames);
    Ok(())
}

/// Takes the right to write away, gives it back, gives the right to execute.
pub(super) fn protect(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 2)?;
    let (space, both) = (kernel.space(), range(page(0), 2)?);
    space
        .map_frames(both, as_frames(&frames), Prot::RW)
        .map_err(text)?;
    (0..2).try_for_each(|n| write_and_read(kernel, n))?;
    let protect = |access| {
        let mut gather = space.gather(());
        space.protect(both, access, &mut gather).map_err(text)?;
        let _ = gather.finish();
        Ok::<_, Wrong>(())
    };
    protect(Access::ReadOnly)?;
    for core in [0, 1] {
        on(kernel, core, || {
            kernel.probe(page(1), AccessKind::Write)?;
            kernel.holds_shared(page(1), value(1))
        })?;
    }
    protect(Access::ReadWrite)?;
    (0..2).try_for_each(|n| write_and_read(kernel, n))?;
    protect(Access::ReadOnly)?;
    protect(Access::ReadExecute)?;
    kernel.fetch(page(0))?;
    unmap(kernel, both)?;
    give(kernel, frames);
    Ok(())
}

/// Puts other frames in the place of live pages.
pub(super) fn replace(kernel: &Kernel) -> Outcome {
    let (old, new) = (take(kernel, 2)?, take(kernel, 2)?);
    let (space, both) = (kernel.space(), range(page(0), 2)?);
    space
        .map_frames(both, as_frames(&old), Prot::RW)
        .map_err(text)?;
    for n in 0..2 {
        write_and_read(kernel, n)?;
        fill(kernel, new[n as usize], value(n + 10))?;
    }
    let mut gather = space.gather(());
    if kernel.is(Bug::ReplacedInPlace) {
        replace_in_place(kernel, &new)?;
    } else if kernel.is(Bug::RemappedEarly) {
        space.unmap(both, &mut gather).map_err(text)?;
        space
            .map_frames(both, as_frames(&new), Prot::RW)
            .map_err(text)?;
    } else {
        space
            .replace(page(0), &as_frames(&new), Prot::RW, &mut gather)
            .map_err(text)?;
    }
    let _ = gather.finish();
    (0..2).try_for_each(|n| kernel.holds(page(n), value(n + 10)))?;
    give(kernel, old);
    on(kernel, 1, || kernel.holds_shared(page(1), value(11)))?;
    unmap(kernel, both)?;
    give(kernel, new);
    Ok(())
}

/// page_table_multiarch: the new descriptor over the old one, then an invalidation.
fn replace_in_place(kernel: &Kernel, new: &[u64]) -> Outcome {
    let slots = last_level(kernel, page(0), 2)?;
    let mut frames = as_frames(new).into_iter();
    kernel.edit(slots, |_| match frames.next() {
        Some(frame) => Step::Store(Desc::leaf(Level::L3, frame, Prot::RW, true)),
        None => Step::Stop,
    });
    kernel.before_tlbi();
    for n in 0..2 {
        kernel.tlbi(Op::VAAE1IS, Operand::page(page(n).raw(), 0, None).into());
    }
    kernel.after_tlbi();
    Ok(())
}

/// The descriptors of `count` pages, found by a walk.
pub(super) fn last_level(
    kernel: &Kernel,
    va: Va,
    count: usize,
) -> Result<Slots<<Kernel as Mmu>::Table>, Wrong> {
    let mut table = kernel.space().root();
    for level in [Level::L0, Level::L1, Level::L2] {
        let desc = kernel.read(table, level.index(va));
        table = kernel.child(desc.next_table(level).ok_or("no table there")?);
    }
    let index = Level::L3.index(va);
    Ok(Slots {
        table,
        level: Level::L3,
        at: index..index + count,
        va,
    })
}

/// Moves pages to a free place, and by less than their number.
pub(super) fn moves(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 3)?;
    let space = kernel.space();
    space
        .map_frames(range(page(0), 3)?, as_frames(&frames), Prot::RW)
        .map_err(text)?;
    (0..3).try_for_each(|n| write_and_read(kernel, n))?;
    let mut gather = space.gather(());
    space
        .move_pages(range(page(0), 3)?, page(6), &mut gather)
        .map_err(text)?;
    let _ = gather.finish();
    for n in 0..3 {
        kernel.holds(page(n + 6), value(n))?;
        gone(kernel, page(n))?;
    }
    let mut gather = space.gather(());
    space
        .move_pages(range(page(6), 3)?, page(7), &mut gather)
        .map_err(text)?;
    let _ = gather.finish();
    for n in 0..3 {
        kernel.holds(page(n + 7), value(n))?;
    }
    gone(kernel, page(6))?;
    unmap(kernel, range(page(7), 3)?)?;
    give(kernel, frames);
    Ok(())
}

/// One core maps and publishes, others use.
pub(super) fn shared(kernel: &Kernel) -> Outcome {
    debug_assert_eq!(kernel.space().half(), Half::Upper);
    let frames = take(kernel, 2)?;
    for n in 0..2 {
        kernel.section(|| map(kernel, page(n), frames[n as usize]))?;
        kernel.put(page(n), value(n))?;
        for core in [1, 2] {
            on(kernel, core, || kernel.holds_shared(page(n), value(n)))?;
        }
    }
    unmap(kernel, range(page(0), 2)?)?;
    (0..2).try_for_each(|n| gone(kernel, page(n)))?;
    give(kernel, frames);
    Ok(())
}
