//! Programs for the kernel on the machine. Each states what it relies on by using it: a wrong
//! answer ends it.

mod owners;
mod pages;
mod sections;
mod steps;

use lazy_mmu::Policy;
use stage1_paging::Va;

use super::kernel::{Kernel, Others};
use crate::event::AccessKind;
use steps::{
    BESIDE, HANDLER, OWN, Outcome, PAGE, SHARED, SHARED_VALUE, VMAP, give, map, range, reserve,
    take, unmap,
};

/// A program.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    run: fn(&Kernel) -> Outcome,
}

/// All programs.
pub const ALL: [Scenario; 17] = [
    scenario("vmap", pages::vmap),
    scenario("zap", pages::zap),
    scenario("protect", pages::protect),
    scenario("replace", pages::replace),
    scenario("move", pages::moves),
    scenario("shared", pages::shared),
    scenario("tables", owners::tables),
    scenario("split", owners::split),
    scenario("spaces", owners::spaces),
    scenario("nest", sections::nest),
    scenario("tasks", sections::tasks),
    scenario("migrate", sections::migrate),
    scenario("pause", sections::pause),
    scenario("irq", sections::irq),
    scenario("page fault", sections::page_fault),
    scenario("immediate", sections::immediate),
    scenario("settle", sections::settle),
];

const fn scenario(name: &'static str, run: fn(&Kernel) -> Outcome) -> Scenario {
    Scenario { name, run }
}

impl Scenario {
    /// Boots a kernel and runs the program on it.
    pub(super) fn run(&self, kernel: &Kernel) {
        kernel.others.set(Others { handler, neighbour });
        kernel.boot();
        let prepared = prepare(kernel);
        for page in 0..12 {
            kernel.machine.watch(VMAP + page * PAGE);
        }
        kernel.booted();
        if let Err(wrong) = prepared.and_then(|()| (self.run)(kernel)) {
            kernel.note(wrong);
        }
    }
}

/// What is there before a program begins: the shared page, and the handler's table.
fn prepare(kernel: &Kernel) -> Outcome {
    let frame = take(kernel, 1)?[0];
    map(kernel, Va::new(SHARED), frame)?;
    kernel.put(Va::new(SHARED), SHARED_VALUE)?;
    reserve(kernel, Va::new(HANDLER))?;
    for va in [BESIDE, HANDLER, SHARED, OWN, OWN + PAGE] {
        kernel.machine.watch(va);
    }
    Ok(())
}

/// The program of core 2.
fn neighbour(kernel: &Kernel) -> Outcome {
    kernel.holds_shared(Va::new(SHARED), SHARED_VALUE)?;
    map_use_unmap(kernel, Va::new(BESIDE))
}

/// An interrupt handler: it may call the allocator, and what it maps it uses at once.
fn handler(kernel: &Kernel) -> Outcome {
    if kernel.setup.policy == Policy::Linux7 {
        return kernel.section(|| map_use_unmap(kernel, Va::new(HANDLER)));
    }
    map_use_unmap(kernel, Va::new(HANDLER))
}

fn map_use_unmap(kernel: &Kernel, va: Va) -> Outcome {
    let frames = take(kernel, 1)?;
    map(kernel, va, frames[0])?;
    // An interrupt handler's sections defer nothing; a task's outside of any do not either.
    kernel.put(va, 0x77)?;
    kernel.holds(va, 0x77)?;
    unmap(kernel, range(va, 1)?)?;
    kernel.probe(va, AccessKind::Write)?;
    give(kernel, frames);
    Ok(())
}
