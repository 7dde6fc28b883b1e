//! A core that remembers what the mode did to it.

use lazy_mmu::{Cpu, Hook, Misuse, Policy, TaskMmu};
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
    pub fn take_misuse(&self) -> Vec<Misuse> {
        self.misuse.take()
    }
}

pub fn with(policy: Policy) -> (TaskMmu, Core) {
    (TaskMmu::new(policy), Core::default())
}
