//! Programs about sections: nested, switched away from, moved, paused, interrupted.

use lazy_mmu::{Call, Policy};

use stage1_paging::Access;

use super::steps::{Outcome, give, map, on, page, range, take, text, unmap, value, write_and_read};
use crate::event::{AccessKind, What};
use crate::machine::bug::Bug;
use crate::machine::kernel::{Kernel, Wrong};

/// An inner user uses what it mapped; the outer section goes on.
pub(super) fn nest(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 4)?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        kernel.section(|| map(kernel, page(1), frames[1]))?;
        // Under `reenter` only the allocator's own sections are paid inside another.
        if kernel.setup.policy != Policy::Reenter {
            write_and_read(kernel, 1)?;
            write_and_read(kernel, 0)?;
        }
        kernel.reenter(|| {
            kernel.section(|| map(kernel, page(2), frames[2]))?;
            write_and_read(kernel, 2)
        })?;
        map(kernel, page(3), frames[3])
    })?;
    (0..4).try_for_each(|n| write_and_read(kernel, n))?;
    unmap(kernel, range(page(0), 4)?)?;
    give(kernel, frames);
    // The program's task ends. Whoever forgets a section leaves a debt with it.
    if kernel.is(Bug::SectionLeaked) {
        let frame = take(kernel, 1)?[0];
        kernel.call(Call::Enable);
        map(kernel, page(5), frame)?;
    }
    kernel.end_task();
    Ok(())
}

/// Two tasks in sections on one core, neither paying for the other.
pub(super) fn tasks(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 3)?;
    super::steps::reserve(kernel, page(0))?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        kernel.switch_to(1);
        // It looks around and finds nothing to do.
        kernel.switch_to(0);
        Ok::<_, Wrong>(())
    })?;
    write_and_read(kernel, 0)?;
    kernel.call(Call::Enable);
    map(kernel, page(1), frames[1])?;
    kernel.switch_to(1);
    kernel.section(|| map(kernel, page(2), frames[2]))?;
    write_and_read(kernel, 2)?;
    kernel.switch_to(0);
    kernel.call(Call::Disable);
    write_and_read(kernel, 1)?;
    unmap(kernel, range(page(0), 3)?)?;
    give(kernel, frames);
    Ok(())
}

/// Moves in the middle of a section.
pub(super) fn migrate(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 4)?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        kernel.move_to(1);
        Ok::<_, Wrong>(())
    })?;
    write_and_read(kernel, 0)?;
    kernel.section(|| {
        map(kernel, page(1), frames[1])?;
        kernel.move_to(0);
        map(kernel, page(2), frames[2])
    })?;
    (0..3).try_for_each(|n| write_and_read(kernel, n))?;
    // Paid here, used there.
    kernel.section(|| map(kernel, page(3), frames[3]))?;
    kernel.move_to(1);
    write_and_read(kernel, 3)?;
    unmap(kernel, range(page(0), 4)?)?;
    for n in 0..4 {
        super::steps::gone(kernel, page(n))?;
    }
    give(kernel, frames);
    Ok(())
}

/// A pause pays, inside it every store pays at once, and the section goes on after it.
pub(super) fn pause(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 3)?;
    super::steps::reserve(kernel, page(0))?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        kernel.call(Call::Pause);
        write_and_read(kernel, 0)?;
        map(kernel, page(1), frames[1])?;
        write_and_read(kernel, 1)?;
        kernel.call(Call::Resume);
        map(kernel, page(2), frames[2])
    })?;
    write_and_read(kernel, 2)?;
    unmap(kernel, range(page(0), 3)?)?;
    give(kernel, frames);
    Ok(())
}

/// An interrupt inside a section, with the task in debt.
pub(super) fn irq(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 3)?;
    super::steps::reserve(kernel, page(0))?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        kernel.interrupt()?;
        map(kernel, page(1), frames[1])
    })?;
    (0..2).try_for_each(|n| write_and_read(kernel, n))?;
    // And outside of any: a section that the handler has left open would defer this.
    map(kernel, page(2), frames[2])?;
    write_and_read(kernel, 2)?;
    unmap(kernel, range(page(0), 3)?)?;
    give(kernel, frames);
    Ok(())
}

/// A page fault in a section: the handler maps the page, and the access is made again. It runs in the task and not in
/// interrupt context, so what it stores is deferred like the task's stores. A section of its own pays before the return.
pub(super) fn page_fault(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 2)?;
    super::steps::reserve(kernel, page(0))?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        kernel.exception(What::ExceptionEntry);
        if kernel.is(Bug::FaultHandlerDefers) {
            map(kernel, page(1), frames[1])?;
        } else {
            kernel.reenter(|| kernel.section(|| map(kernel, page(1), frames[1])))?;
        }
        kernel.exception(What::ExceptionReturn);
        write_and_read(kernel, 1)
    })?;
    write_and_read(kernel, 0)?;
    unmap(kernel, range(page(0), 2)?)?;
    give(kernel, frames);
    Ok(())
}

/// A store that somebody waits for inside somebody's section goes past the mode.
pub(super) fn immediate(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 2)?;
    kernel.section(|| {
        map(kernel, page(0), frames[0])?;
        map(kernel, page(1), frames[1])?;
        if !kernel.is(Bug::ImmediateDeferred) {
            kernel.publish();
        }
        write_and_read(kernel, 1)?;
        on(kernel, 1, || kernel.holds_shared(page(1), value(1)))
    })?;
    write_and_read(kernel, 0)?;
    unmap(kernel, range(page(0), 2)?)?;
    give(kernel, frames);
    Ok(())
}

/// An invalidation in a section settles what is pending, and what it settles is usable at once. A page that a fault handler maps
/// behind its last DSB is not: the section's end pays for that.
pub(super) fn settle(kernel: &Kernel) -> Outcome {
    let frames = take(kernel, 4)?;
    let (space, both) = (kernel.space(), range(page(0), 2)?);
    (0..2).try_for_each(|n| map(kernel, page(n), frames[n as usize]))?;
    (0..2).try_for_each(|n| write_and_read(kernel, n))?;
    kernel.section(|| {
        let mut gather = space.gather(());
        map(kernel, page(2), frames[2])?;
        let protected = space.protect(both, Access::ReadOnly, &mut gather);
        protected.map_err(text)?;
        kernel.faults.set(Some((page(3), frames[3])));
        let _ = gather.finish();
        write_and_read(kernel, 2)?;
        kernel.probe(page(1), AccessKind::Write)
    })?;
    write_and_read(kernel, 3)?;
    kernel.section(|| {
        let mut gather = space.gather(());
        let protected = space.protect(both, Access::ReadWrite, &mut gather);
        protected.map_err(text)?;
        let _ = gather.finish();
        // One that owes nothing invalidates nothing, and settles nothing.
        unmap(kernel, range(page(3), 1)?)?;
        map(kernel, page(3), frames[3])?;
        let _ = space.gather(()).finish();
        if kernel.is(Bug::SettledByNothing) {
            kernel.task().mmu.settled_by(|| ());
        }
        Ok::<_, Wrong>(())
    })?;
    (0..4).try_for_each(|n| write_and_read(kernel, n))?;
    unmap(kernel, range(page(0), 4)?)?;
    give(kernel, frames);
    Ok(())
}
