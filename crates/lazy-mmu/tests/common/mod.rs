//! A core that remembers what the mode did to it.
#![allow(dead_code)] // Not every test file uses all of it.

use lazy_mmu::{Chosen, Cpu, Hook, Misuse, Policy, TaskMmu};
use std::cell::{Cell, RefCell};

/// Records what the mode does. A bug "stops the kernel" by a panic.
#[derive(Default)]
pub struct Core {
    pub pairs: Cell<u32>,
    pub hooks: RefCell<Vec<Hook>>,
    pub misuse: RefCell<Vec<Misuse>>,
    pub bugs_return: bool,
}

impl Cpu for Core {
    fn publish(&self) {
        self.pairs.set(self.pairs.get() + 1);
    }

    fn misuse(&self, misuse: Misuse) {
        assert!(self.bugs_return || !misuse.is_bug(), "stopped: {misuse}");
        self.misuse.borrow_mut().push(misuse);
    }

    fn hook(&self, hook: Hook) {
        self.hooks.borrow_mut().push(hook);
    }
}

impl Core {
    pub fn whose_bugs_return() -> Self {
        Core {
            bugs_return: true,
            ..Core::default()
        }
    }

    pub fn take_misuse(&self) -> Vec<Misuse> {
        self.misuse.take()
    }
}

/// A task whose core can be looked at.
pub type Task = TaskMmu<Chosen, &'static Core>;

pub fn with(policy: Policy) -> (Task, &'static Core) {
    on(policy, Core::default())
}

/// The core is leaked: few, and small.
pub fn on(policy: Policy, core: Core) -> (Task, &'static Core) {
    let core: &'static Core = Box::leak(Box::new(core));
    (TaskMmu::hosted(Chosen::new(policy), core), core)
}
