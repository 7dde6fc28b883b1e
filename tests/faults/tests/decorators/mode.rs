//! The faults of the mode's processor.

use std::cell::RefCell;

use lazy_mmu::{Call, Hook, Misuse, TaskMmu, V3};
use lazy_mmu_faults::{Cpu, Fault};

use crate::machine::injected;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Did {
    Publish,
    Hook(Hook),
    Misuse(Misuse),
    Called(Call),
}

#[derive(Default)]
struct Processor(RefCell<Vec<Did>>);

impl lazy_mmu::Cpu for Processor {
    fn publish(&self) {
        self.0.borrow_mut().push(Did::Publish);
    }

    fn misuse(&self, misuse: Misuse) {
        self.0.borrow_mut().push(Did::Misuse(misuse));
    }

    fn hook(&self, hook: Hook) {
        self.0.borrow_mut().push(Did::Hook(hook));
    }

    fn called(&self, call: Call) {
        self.0.borrow_mut().push(Did::Called(call));
    }
}

/// A section in a section, each with a store that owes, one outside, and a warning.
fn nested(fault: Fault) -> Vec<Did> {
    let _injected = injected(fault);
    let cpu = Cpu(Processor::default());
    let task: TaskMmu<V3, _> = TaskMmu::hosted(V3, &cpu);
    task.section(|outer| {
        outer.owe();
        outer.section(|inner| inner.owe());
        outer.owe();
    });
    task.owe();
    task.lazy_mmu_mode_pause();
    cpu.0.0.take()
}

const RIGHT: [Did; 13] = [
    Did::Hook(Hook::Enter),
    Did::Called(Call::Enable),
    Did::Called(Call::Enable),
    Did::Hook(Hook::Flush),
    Did::Publish,
    Did::Called(Call::Disable),
    Did::Hook(Hook::Leave),
    Did::Publish,
    Did::Called(Call::Disable),
    Did::Publish,
    Did::Misuse(Misuse::PauseOutside),
    Did::Hook(Hook::Leave),
    Did::Called(Call::Pause),
];

#[test]
fn without_a_fault_all_goes_through() {
    assert_eq!(nested(Fault::None), RIGHT);
}

#[test]
fn inner_exit_pays_nothing() {
    let mut wrong = RIGHT.to_vec();
    assert_eq!(wrong.remove(4), Did::Publish);
    assert_eq!(nested(Fault::InnerExitPaysNothing), wrong);
}

#[test]
fn hook_wrong() {
    let wrong = RIGHT.map(|did| match did {
        Did::Hook(Hook::Enter) => Did::Hook(Hook::Leave),
        Did::Hook(Hook::Leave | Hook::Flush) => Did::Hook(Hook::Enter),
        other => other,
    });
    assert_eq!(nested(Fault::HookWrong), wrong);
}
