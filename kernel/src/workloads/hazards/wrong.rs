//! Modes that are wrong: a contract of `lazy-mmu` over a processor that does not do what it must.
//!
//! They live beside the task's own mode, which is in a section meanwhile: so nothing is paid behind their backs, and what they have
//! left owed the task pays at its end.

use core::cell::Cell;

use lazy_mmu::{Call, Cpu, Hook, Misuse, TaskMmu, V3};
use mmu_check::What;

use crate::{observe, println};

/// A processor that pays by `pay`, which is given whether an inner section's end pays.
pub(super) struct Wrong<F> {
    pay: F,
    inner: Cell<bool>,
}

/// A task's mode under the exclusive contract, on such a processor.
pub(super) type WrongMmu<F> = TaskMmu<V3, Wrong<F>>;

/// A mode on a processor that pays by `pay`.
pub(super) fn mode<F: Fn(bool)>(pay: F) -> WrongMmu<F> {
    TaskMmu::hosted(
        V3,
        Wrong {
            pay,
            inner: Cell::new(false),
        },
    )
}

impl<F: Fn(bool)> Cpu for Wrong<F> {
    fn publish(&self) {
        (self.pay)(self.inner.replace(false));
    }

    fn misuse(&self, misuse: Misuse) {
        println!("    the wrong mode: {misuse}");
    }

    fn hook(&self, hook: Hook) {
        self.inner.set(hook == Hook::Flush);
        observe::report(|| What::Hook(hook.into()));
    }

    fn called(&self, call: Call) {
        observe::report(|| What::Call(call.into()));
    }
}
