//! Guards, and closures that pause, that end elsewhere than they have begun: in a pause or in an interrupt, behind one,
//! or after their task. None leaves its task in the mode, each is reported, and what it has made is paid.

mod common;

use common::{Core, Task, with};
use lazy_mmu::{Contract, Cpu, Hook, Linux7, Misuse, Policy, TaskMmu, V3};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The contracts and baselines that have a mode.
const WITH_A_MODE: [Policy; 4] = [Policy::Flat, Policy::Reenter, Policy::V3, Policy::Linux7];

/// How a task comes to a place, and back.
type Elsewhere = (fn(&Task), fn(&Task));

/// How often a guard was reported.
fn out_of_place(cpu: &Core) -> usize {
    let is = |misuse: &&Misuse| **misuse == Misuse::GuardOutOfPlace;
    cpu.take_misuse().iter().filter(is).count()
}

/// In no section: a store pays at once, nothing is pending, and the task ends well.
fn is_idle(task: &Task, cpu: &Core, place: &str) {
    let before = cpu.pairs.get();
    task.owe();
    assert_eq!(cpu.pairs.get() - before, 1, "{place}: paid at once");
    assert_eq!(task.state(), with(task.policy()).0.state(), "{place}");
    assert_eq!(task.end_of_task(), Ok(()), "{place}");
}

/// Ends the task, which is in a section.
fn ended(task: &Task) {
    let leak = task.end_of_task();
    assert!(leak.is_err(), "it was in a section");
}

/// The one of the outermost section, in a pause of an inner one: the nesting contract ignores its exit.
#[test]
fn a_guard_that_is_dropped_in_a_pause_is_reported_and_its_level_ends() {
    for policy in WITH_A_MODE {
        let (task, cpu) = with(policy);
        let guard = task.enter();
        task.section(|s| {
            s.owe();
            s.pause(|| drop(guard));
            assert_eq!(task.state().count, 1, "{policy}: the inner one is open");
        });
        let reported = match (policy, cfg!(feature = "warnings")) {
            (Policy::Linux7, _) => vec![Misuse::GuardOutOfPlace],
            // As the exclusive contract has it: the call is made, and reported.
            (Policy::V3, true) => vec![Misuse::DisableWhilePaused],
            _ => vec![],
        };
        assert_eq!(cpu.take_misuse(), reported, "{policy}");
        is_idle(&task, cpu, policy.name());
    }
}

/// By hand too, and without a section around it.
#[test]
fn a_section_whose_closure_leaves_a_pause_open_has_ended() {
    let (task, cpu) = with(Policy::Linux7);
    task.section(|s| {
        s.owe();
        task.lazy_mmu_mode_pause();
    });
    assert_eq!((out_of_place(cpu), task.state().count), (1, 0));
    assert_eq!(cpu.hooks.take(), [Hook::Enter, Hook::Leave], "the pause's");
    task.lazy_mmu_mode_resume();
    assert_eq!(cpu.hooks.take(), [], "there is no section to go back to");
    is_idle(&task, cpu, "linux7");
}

/// The mirror: its begin was ignored, so its end is not the end of the section around it.
#[test]
fn a_guard_that_was_made_in_a_pause_does_not_end_the_section_around_it() {
    for policy in WITH_A_MODE {
        let (task, cpu) = with(policy);
        task.section(|s| {
            let guard = s.pause(|| task.enter());
            s.owe();
            let owed = task.is_pending();
            drop(guard);
            assert_eq!(task.state().count, 1, "{policy}");
            let pays = policy != Policy::Reenter;
            assert_eq!(task.is_pending(), owed && !pays, "{policy}: its drop pays");
        });
        let reported = usize::from(policy == Policy::Linux7);
        assert_eq!(out_of_place(cpu), reported, "{policy}");
        is_idle(&task, cpu, policy.name());
    }
}

/// A callee's section in a pause is allowed: no report, and an end of the call for each begin.
#[test]
fn a_guard_that_begins_and_ends_in_a_pause_is_in_place() {
    let (task, cpu) = with(Policy::Linux7);
    task.section(|s| {
        s.pause(|| {
            task.section(|s| s.owe());
            drop(task.enter());
        });
        s.owe();
    });
    assert_eq!(
        (out_of_place(cpu), cpu.pairs.get()),
        (0, 2),
        "in the pause, and at the end"
    );
    is_idle(&task, cpu, "linux7");
}

/// Of the task beneath the handler, of its outermost section or an inner one, by a guard or a closure.
#[test]
fn a_guard_that_is_dropped_in_an_interrupt_is_reported_and_its_level_ends() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        let guard = task.enter();
        task.owe();
        task.irq_enter();
        drop(guard);
        let state = task.state();
        assert!(state.in_interrupt, "{policy}");
        assert_eq!(
            (state.count, state.enabled, state.pending),
            (0, false, false),
            "{policy}"
        );
        task.irq_exit();
        let hooks: &[Hook] = match policy {
            Policy::Eager => &[],
            _ => &[Hook::Enter, Hook::Leave],
        };
        assert_eq!(cpu.hooks.take(), hooks, "{policy}");
        assert_eq!(out_of_place(cpu), 1, "{policy}");
        is_idle(&task, cpu, policy.name());

        let (task, cpu) = with(policy);
        task.section(|s| {
            s.section(|_| {
                task.owe();
                task.irq_enter();
            });
            assert_eq!(task.state().count, 1, "{policy}: the outer one is open");
            task.irq_exit();
            s.owe();
        });
        assert_eq!(out_of_place(cpu), 1, "{policy}: a closure");
        is_idle(&task, cpu, policy.name());
    }
}

#[test]
fn a_guard_that_was_made_in_an_interrupt_does_not_end_the_section_around_it() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        task.section(|s| {
            task.irq_enter();
            let guard = task.enter();
            task.irq_exit();
            s.owe();
            drop(guard);
            assert!(!task.is_pending(), "{policy}: its drop pays");
            assert_eq!(task.state().count, 1, "{policy}");
            assert_eq!(out_of_place(cpu), 1, "{policy}");
            s.owe();
        });
        is_idle(&task, cpu, policy.name());
        // Made and dropped in a handler: in place, also in one on top of it.
        task.irq_enter();
        let guard = task.enter();
        task.irq_enter();
        drop(guard);
        task.irq_exit();
        task.irq_exit();
        assert_eq!(out_of_place(cpu), 0, "{policy}");
        is_idle(&task, cpu, policy.name());
    }
}

/// Both at once: a pause, and in it an interrupt.
#[test]
fn a_guard_that_is_dropped_in_an_interrupt_of_a_pause_ends_its_level() {
    let (task, cpu) = with(Policy::Linux7);
    let guard = task.enter();
    task.section(|s| {
        s.pause(|| {
            task.irq_enter();
            drop(guard);
            task.irq_exit();
        });
        assert_eq!((task.state().count, task.in_lazy_mmu_mode()), (1, true));
    });
    assert_eq!(out_of_place(cpu), 1);
    is_idle(&task, cpu, "linux7");
}

/// What a section's end finds after `end_of_task` is none of its own.
#[test]
fn a_section_whose_task_has_ended_takes_nothing_away() {
    for policy in [Policy::V3, Policy::Linux7] {
        let places: [fn(&Task); 4] = [
            |task| {
                task.section(|_| ended(task));
            },
            |task| {
                task.publish(|s| {
                    let page = s.owes(1);
                    ended(task);
                    page
                });
            },
            |task| task.section(|s| s.pause(|| ended(task))),
            |task| {
                task.section(|_| {
                    task.irq_enter();
                    ended(task);
                });
            },
        ];
        for (i, place) in places.into_iter().enumerate() {
            let (task, cpu) = common::on(policy, Core::whose_bugs_return());
            place(&task);
            let name = format!("{policy}, place {i}");
            let reported = cpu.take_misuse();
            let expected = match policy {
                Policy::V3 => Misuse::NotOpen,
                _ => Misuse::GuardOutOfPlace,
            };
            assert!(reported.contains(&expected), "{name}: {reported:?}");
            is_idle(&task, cpu, &name);
        }
    }
}

/// What has come over the task since does not bring the level back: an interrupt, a pause, a mode that is on.
#[test]
fn a_guard_whose_task_has_ended_takes_nothing_away_elsewhere() {
    let elsewhere: [Elsewhere; 3] = [
        (Task::irq_enter, Task::irq_exit),
        (Task::lazy_mmu_mode_pause, Task::lazy_mmu_mode_resume),
        (Task::lazy_mmu_mode_resume, Task::lazy_mmu_mode_pause),
    ];
    for policy in [Policy::V3, Policy::Linux7] {
        for (i, (there, back)) in elsewhere.into_iter().enumerate() {
            let (task, cpu) = common::on(policy, Core::whose_bugs_return());
            let guard = task.enter();
            ended(&task);
            there(&task);
            cpu.take_misuse();
            drop(guard);
            let name = format!("{policy}, {i}");
            assert_eq!(task.state().count, 0, "{name}");
            let reported = cpu.take_misuse();
            match policy {
                Policy::V3 => assert!(reported.contains(&Misuse::NotOpen), "{name}: {reported:?}"),
                _ => assert_eq!(reported, [Misuse::GuardOutOfPlace], "{name}"),
            }
            back(&task);
            if policy == Policy::V3 {
                // Its `resume` enters the mode, where there is no section too.
                task.lazy_mmu_mode_pause();
            }
            is_idle(&task, cpu, &name);
        }
    }
}

/// The end of a pause is a guard's as well.
#[test]
fn a_pause_that_ends_elsewhere_is_reported_and_over() {
    for policy in Policy::ALL {
        // Made beneath a handler, ends in it.
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.pause(|| task.irq_enter());
            assert_eq!((out_of_place(cpu), task.state().pause_count), (1, 0));
            task.irq_exit();
            let on = policy != Policy::Eager;
            assert_eq!(task.in_lazy_mmu_mode(), on, "{policy}: it goes on");
            s.owe();
        });
        is_idle(&task, cpu, policy.name());
        // Made in a handler, ends behind it.
        let (task, cpu) = with(policy);
        task.section(|outer| {
            task.irq_enter();
            outer.pause(|| task.irq_exit());
            assert_eq!((out_of_place(cpu), task.state().pause_count), (1, 0));
            assert_eq!(task.in_lazy_mmu_mode(), policy != Policy::Eager, "{policy}");
        });
        is_idle(&task, cpu, policy.name());
        // The same of a task that is in no section, but under the seed, where a handler's is its task's.
        let (task, cpu) = with(policy);
        task.irq_enter();
        task.section(|s| {
            s.pause(|| task.irq_exit());
            assert_eq!((out_of_place(cpu), task.state().pause_count), (1, 0));
            assert_eq!(task.in_lazy_mmu_mode(), policy == Policy::V3, "{policy}");
        });
        is_idle(&task, cpu, policy.name());
        // In place.
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.pause(|| {
                task.irq_enter();
                task.section(|s| s.owe());
                task.irq_exit();
            });
            task.irq_enter();
            s.pause(|| task.owe());
            task.irq_exit();
        });
        assert_eq!(out_of_place(cpu), 0, "{policy}");
        is_idle(&task, cpu, policy.name());
    }
}

/// A count that has wrapped is back where it was when the section ends, as with the calls.
#[test]
fn a_section_past_the_last_count_ends_as_its_call_does() {
    let elsewhere: [Option<Elsewhere>; 3] = [
        None,
        Some((Task::lazy_mmu_mode_pause, Task::lazy_mmu_mode_resume)),
        Some((Task::irq_enter, Task::irq_exit)),
    ];
    for (i, place) in elsewhere.into_iter().enumerate() {
        let (task, cpu) = with(Policy::Linux7);
        (0..255).for_each(|_| task.lazy_mmu_mode_enable());
        let full = task.state();
        task.section(|_| {
            assert_eq!(task.state().count, 0);
            place.inspect(|(there, _)| there(&task));
        });
        place.inspect(|(_, back)| back(&task));
        assert_eq!(task.state(), full, "place {i}");
        assert_eq!(out_of_place(cpu), usize::from(place.is_some()));
        (0..255).for_each(|_| task.lazy_mmu_mode_disable());
        is_idle(&task, cpu, "linux7");
    }
}

/// A core on which a report unwinds.
struct Unwinds;

impl Cpu for Unwinds {
    fn publish(&self) {}

    fn misuse(&self, misuse: Misuse) {
        std::panic::resume_unwind(Box::new(misuse));
    }
}

#[test]
fn a_report_of_a_guard_that_unwinds_leaves_no_level_open() {
    fn ends(contract: impl Contract) {
        let task: TaskMmu<_, _> = TaskMmu::hosted(contract, Unwinds);
        let work = || {
            task.section(|s| {
                s.owe();
                task.irq_enter();
            });
        };
        let caught = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
        assert_eq!(caught.downcast_ref(), Some(&Misuse::GuardOutOfPlace));
        task.irq_exit();
        assert_eq!(task.end_of_task(), Ok(()));
    }
    ends(V3);
    ends(Linux7);
}

#[test]
fn a_guard_out_of_place_says_what_to_do() {
    let misuse = Misuse::GuardOutOfPlace;
    assert_eq!((misuse.call(), misuse.is_bug()), (None, false));
    assert_eq!(
        misuse.to_string(),
        "end of a guard: it was made on the other side of a pause, an interrupt or the task's end; drop it where it \
         was made"
    );
}
