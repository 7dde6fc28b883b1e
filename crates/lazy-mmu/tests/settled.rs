//! Invalidations that pay for what is pending: [`TaskMmu::settled_by`], and by its name each thing that could go wrong.

mod common;

use common::{Task, with};
use lazy_mmu::{Misuse, Policy, TaskMmu, V3};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The baselines and contracts under which a section defers.
const DEFER: [Policy; 4] = [Policy::Flat, Policy::Reenter, Policy::V3, Policy::Linux7];

/// The barriers of an invalidation; whether something was pending as they began.
fn invalidate(task: &Task) -> bool {
    task.settled_by(|| task.is_pending())
}

#[test]
fn what_is_pending_is_settled_and_not_paid_at_the_end() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            assert_eq!(task.is_pending(), policy != Policy::Eager, "{policy}");
            assert!(!invalidate(&task), "{policy}: taken before the barriers");
            assert!(!task.is_pending(), "{policy}");
        });
        let pairs = u32::from(policy == Policy::Eager);
        assert_eq!(cpu.pairs.get(), pairs, "{policy}");
        assert_eq!(task.end_of_task(), Ok(()), "{policy}");
    }
}

/// It pays no pair of its own, runs no hook, and is no call.
#[test]
fn nothing_else_happens() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        assert_eq!(task.settled_by(|| 7), 7, "{policy}: outside of a section");
        task.section(|s| {
            let before = (task.state(), cpu.hooks.borrow().len());
            assert_eq!(task.settled_by(|| 8), 8, "{policy}: with nothing pending");
            s.owe();
            invalidate(&task);
            assert_eq!((task.state(), cpu.hooks.borrow().len()), before);
        });
    }
}

#[test]
fn a_store_after_it_is_paid_at_the_end() {
    for policy in DEFER {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            invalidate(&task);
            s.owe();
        });
        assert_eq!(cpu.pairs.get(), 1, "{policy}");
    }
}

/// As by a page-fault handler behind the last DSB: the flag is taken before it, so it is set anew.
#[test]
fn a_store_in_the_middle_is_paid_at_the_end() {
    for policy in DEFER {
        for pending in [false, true] {
            let (task, cpu) = with(policy);
            task.section(|s| {
                if pending {
                    s.owe();
                }
                task.settled_by(|| task.owe());
                assert!(task.is_pending(), "{policy}");
            });
            assert_eq!(cpu.pairs.get(), 1, "{policy}");
        }
    }
}

/// A callee of the barriers that runs a section pays for its own store, and not for what the barriers are about to pay.
#[test]
fn a_section_in_the_middle_pays_for_its_own_stores() {
    for policy in DEFER {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            task.settled_by(|| {
                task.reenter(|| task.section(|_| ()));
                assert_eq!(cpu.pairs.get(), 0, "{policy}: with none");
                task.reenter(|| task.section(|inner| inner.owe()));
                assert_eq!(cpu.pairs.get(), 1, "{policy}");
            });
        });
        assert_eq!(cpu.pairs.get(), 1, "{policy}");
    }
}

/// Of the flag there is one for all sections that are open.
#[test]
fn an_inner_section_settles_for_the_outer_one() {
    for policy in [Policy::V3, Policy::Linux7] {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            s.section(|inner| {
                inner.owe();
                invalidate(&task);
            });
        });
        assert_eq!(cpu.pairs.get(), 0, "{policy}");
    }
}

/// The pause has paid, stores inside it pay at once, and what comes after the resume is pending again.
#[test]
fn in_a_pause_nothing_is_left_to_settle() {
    for policy in DEFER {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            s.pause(|| {
                task.owe();
                assert!(!task.is_pending(), "{policy}");
                invalidate(&task);
            });
            assert_eq!(cpu.pairs.get(), 2, "{policy}");
            s.owe();
            assert!(task.is_pending(), "{policy}");
        });
        assert_eq!(cpu.pairs.get(), 3, "{policy}");
    }
}

/// Whether the task's debt has been paid must not depend on who came in between.
#[test]
fn a_handler_leaves_the_tasks_debt_alone() {
    for policy in DEFER {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            task.irq_enter();
            task.owe();
            assert!(invalidate(&task), "{policy}: not taken");
            assert_eq!(cpu.pairs.get(), 1, "{policy}: the handler's own");
            task.irq_exit();
            assert!(task.is_pending(), "{policy}");
        });
        assert_eq!(cpu.pairs.get(), 2, "{policy}");
    }
}

/// A handler on top of the task's barriers: its store pays at once, its section pays nothing of the task's, and the debt
/// stays taken.
#[test]
fn a_handler_in_the_middle_changes_nothing() {
    for policy in DEFER {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            task.settled_by(|| {
                task.irq_enter();
                task.section(|handlers| handlers.owe());
                invalidate(&task);
                task.irq_exit();
            });
            assert_eq!((cpu.pairs.get(), task.is_pending()), (1, false), "{policy}");
        });
        assert_eq!(cpu.pairs.get(), 1, "{policy}");
    }
}

#[test]
fn another_tasks_debt_is_not_settled() {
    for policy in DEFER {
        let [(a, cpu_a), (b, cpu_b)] = [with(policy), with(policy)];
        a.section(|s| {
            s.owe();
            b.section(|s| {
                s.owe();
                invalidate(&b);
            });
            assert!(a.is_pending(), "{policy}");
        });
        assert_eq!((cpu_a.pairs.get(), cpu_b.pairs.get()), (1, 0), "{policy}");
    }
}

/// What is taken along is noted nowhere until it is paid; if it is not, it is noted again.
#[test]
fn a_debt_is_noted_again_if_the_barriers_unwind() {
    for policy in DEFER {
        for pending in [false, true] {
            let (task, cpu) = with(policy);
            task.section(|s| {
                if pending {
                    s.owe();
                }
                let unwinds = || task.settled_by(|| resume_unwind(Box::new("no TLBI")));
                assert!(catch_unwind(AssertUnwindSafe(unwinds)).is_err());
                assert_eq!(task.is_pending(), pending, "{policy}");
            });
            assert_eq!(cpu.pairs.get(), u32::from(pending), "{policy}");
        }
    }
}

/// A processor whose payment invalidates in turn: neither forgets what the other has to do.
#[test]
fn a_payment_that_invalidates_pays_once() {
    thread_local!(static TASK: Cell<Option<&'static TaskMmu<V3, Nested>>> = const { Cell::new(None) });
    struct Nested;
    thread_local!(static PAIRS: Cell<u32> = const { Cell::new(0) });
    impl lazy_mmu::Cpu for Nested {
        fn publish(&self) {
            PAIRS.set(PAIRS.get() + 1);
            let task = TASK.get().expect("set");
            task.settled_by(|| assert!(!task.is_pending()));
        }

        fn misuse(&self, misuse: Misuse) {
            panic!("{misuse}");
        }
    }
    static NESTED: TaskMmu<V3, Nested> = TaskMmu::new(V3, Nested);
    TASK.set(Some(&NESTED));
    NESTED.section(|s| {
        s.owe();
        s.section(|_| ());
        assert_eq!((PAIRS.get(), NESTED.is_pending()), (1, false));
    });
    assert_eq!(PAIRS.get(), 1);
}
