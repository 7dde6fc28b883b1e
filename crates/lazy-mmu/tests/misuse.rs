//! Misuse and leaks: what is reported, and what is left of the state.

mod common;

use common::{Core, Task, on, with};
use lazy_mmu::{Call, Hook, Leak, Misuse, Policy, PolicyInUse, State};
#[cfg(feature = "warnings")]
use lazy_mmu::{Cpu, TaskMmu, V3};
#[cfg(feature = "warnings")]
use std::cell::{Cell, RefCell};

fn if_warnings(misuse: &[Misuse]) -> Vec<Misuse> {
    match cfg!(feature = "warnings") {
        true => misuse.to_vec(),
        false => Vec::new(),
    }
}

#[test]
fn a_section_in_a_callee_of_a_paused_stretch() {
    for (policy, reported) in [
        (
            Policy::V3,
            if_warnings(&[Misuse::EnableWhilePaused, Misuse::DisableWhilePaused]),
        ),
        (Policy::Linux7, Vec::new()),
    ] {
        let (task, cpu) = with(policy);
        let callee = || task.section(|s| s.owe());
        task.section(|s| {
            s.owe();
            s.pause(callee);
        });
        assert_eq!(cpu.take_misuse(), reported, "{policy}");
        assert_eq!(
            cpu.pairs.get(),
            2,
            "{policy}: one for the pause, one at once"
        );
        assert_eq!(task.end_of_task(), Ok(()), "{policy}");
    }
}

/// The exclusive contract reads its count again behind the warning of `enable`: if the report has ended the section,
/// this is an outermost one, and enters.
#[test]
#[cfg(feature = "warnings")]
fn a_report_that_ends_the_paused_section_makes_the_next_an_outermost_one() {
    #[derive(Default)]
    struct Ends(Cell<Option<&'static EndedTask>>, RefCell<Vec<Hook>>);
    type EndedTask = TaskMmu<V3, &'static Ends>;
    impl Cpu for Ends {
        fn publish(&self) {}
        fn misuse(&self, misuse: Misuse) {
            if misuse == Misuse::EnableWhilePaused {
                self.0.get().expect("set").lazy_mmu_mode_disable();
            }
        }
        fn hook(&self, hook: Hook) {
            self.1.borrow_mut().push(hook);
        }
    }
    let cpu: &'static Ends = Box::leak(Box::default());
    let task: &'static EndedTask = Box::leak(Box::new(TaskMmu::hosted(V3, cpu)));
    cpu.0.set(Some(task));
    for call in [Call::Enable, Call::Pause, Call::Enable] {
        task.call(call);
    }
    let hooks = [Hook::Enter, Hook::Leave, Hook::Leave, Hook::Enter];
    assert_eq!(cpu.1.take(), hooks, "the pause's and the disable's leave");
    assert_eq!(task.state().to_string(), "count=1 enabled=1");
    task.lazy_mmu_mode_disable();
    assert_eq!(task.end_of_task(), Ok(()));
}

#[test]
fn the_same_calls_unbalance_the_nesting_contract() {
    let (task, cpu) = with(Policy::Linux7);
    for call in [Call::Pause, Call::Enable, Call::Resume, Call::Disable] {
        task.call(call);
    }
    assert_eq!(cpu.take_misuse(), if_warnings(&[Misuse::DisableWraps]));
    assert_eq!(task.state().count, 255);
}

#[test]
fn a_bug_that_returns_changes_nothing() {
    for policy in [Policy::V3, Policy::Reenter] {
        let (task, cpu) = on(policy, Core::whose_bugs_return());
        task.lazy_mmu_mode_disable();
        (0..255).for_each(|_| task.lazy_mmu_mode_enable());
        let full = task.state();
        task.lazy_mmu_mode_enable();
        assert_eq!(
            cpu.take_misuse(),
            [Misuse::NotOpen, Misuse::TooDeep],
            "{policy}"
        );
        assert_eq!((full.count, task.state()), (255, full), "{policy}");
    }
}

#[test]
#[should_panic = "stopped: lazy_mmu_mode_disable: no section is open"]
fn a_bug_stops_with_or_without_warnings() {
    let (task, _) = with(Policy::V3);
    task.lazy_mmu_mode_disable();
}

#[test]
fn a_forgotten_section_is_reported_and_paid() {
    for policy in [Policy::Flat, Policy::Reenter, Policy::V3, Policy::Linux7] {
        let (task, cpu) = with(policy);
        std::mem::forget(task.enter());
        task.owe();
        let ended_in = task.state();
        assert!(ended_in.pending && ended_in.enabled);
        let leak = task.end_of_task().unwrap_err();
        assert_eq!(leak, Leak(ended_in), "{policy}");
        assert!(
            leak.to_string().contains("inside a lazy MMU section")
                && leak.to_string().contains(" pending"),
            "{leak}"
        );
        assert_eq!((cpu.pairs.get(), task.is_pending()), (1, false), "{policy}");
        assert_eq!(task.end_of_task(), Ok(()), "{policy}: as new");
    }
}

#[test]
fn a_pause_that_is_never_resumed_is_reported() {
    for policy in [Policy::V3, Policy::Linux7] {
        let (task, _) = with(policy);
        std::mem::forget(task.enter());
        task.lazy_mmu_mode_pause();
        let leak = task.end_of_task().unwrap_err();
        assert_eq!((leak.0.count, leak.0.enabled), (1, false), "{policy}");
        // The section is what is looked for first, paused or not.
        let text = leak.to_string();
        assert!(text.contains("inside a lazy MMU section"), "{text}");
    }
    let (task, _) = with(Policy::Linux7);
    task.lazy_mmu_mode_pause();
    assert_eq!(task.end_of_task().unwrap_err().0.pause_count, 1);
}

/// No section is open, yet something is pending: both ways to get there are misuse.
#[test]
fn a_debt_without_a_section_is_reported_and_paid() {
    // 256 sections: the nesting contract's count has wrapped.
    let (wrapped, cpu) = with(Policy::Linux7);
    wrapped.lazy_mmu_mode_enable();
    wrapped.owe();
    (1..256).for_each(|_| wrapped.lazy_mmu_mode_enable());
    assert_eq!(cpu.take_misuse(), if_warnings(&[Misuse::EnableWraps]));
    // A handler that ends the section of the task beneath it, whose debt it must not touch.
    let (ended, its_cpu) = with(Policy::V3);
    ended.lazy_mmu_mode_enable();
    ended.owe();
    ended.irq_enter();
    ended.lazy_mmu_mode_disable();
    ended.irq_exit();
    for task in [wrapped, ended] {
        let state = task.state();
        assert_eq!(
            (state.count, state.enabled, state.pending),
            (0, false, true)
        );
        assert_eq!(task.set_policy(Policy::Eager), Err(PolicyInUse(state)));
        assert_eq!(task.end_of_task(), Err(Leak(state)));
        assert!(!task.is_pending());
    }
    assert_eq!((cpu.pairs.get(), its_cpu.pairs.get()), (1, 1));
}

/// The same, and paused besides: two bytes of the state that are alike.
#[test]
fn a_debt_in_a_pause_without_a_section_is_reported_and_paid() {
    let (task, cpu) = with(Policy::Linux7);
    task.lazy_mmu_mode_enable();
    task.owe();
    (1..256).for_each(|_| task.lazy_mmu_mode_enable());
    task.lazy_mmu_mode_pause();
    let state = task.state();
    assert_eq!(
        (state.count, state.pause_count, state.pending),
        (0, 1, true)
    );
    assert_eq!(task.set_policy(Policy::Eager), Err(PolicyInUse(state)));
    assert_eq!(task.end_of_task(), Err(Leak(state)));
    assert_eq!((cpu.pairs.get(), task.set_policy(Policy::V3)), (1, Ok(())));
}

#[test]
fn a_section_that_could_not_be_counted_takes_nothing_away() {
    for policy in [Policy::V3, Policy::Reenter] {
        let (task, cpu) = on(policy, Core::whose_bugs_return());
        (0..254).for_each(|_| task.lazy_mmu_mode_enable());
        task.section(|s| {
            let full = task.state();
            assert_eq!(full.count, 255);
            s.owe();
            let first = s.owes(1);
            assert_eq!((s.settle(first), task.state()), (1, full), "{policy}");
            assert_eq!(s.publish(|s| s.hold(|| 2)), 2);
            assert_eq!((task.state(), cpu.pairs.get()), (full, 1), "{policy}");
        });
        assert_eq!(task.state().count, 254, "{policy}");
        assert_eq!(cpu.take_misuse(), [Misuse::TooDeep; 2], "{policy}");
    }
}

/// A kernel whose batching lives behind the hook hears of the end, with the mode off.
#[test]
fn a_leak_runs_the_leave_hook_once() {
    for policy in [Policy::Flat, Policy::Reenter, Policy::V3, Policy::Linux7] {
        for in_interrupt in [false, true] {
            let (task, cpu) = with(policy);
            task.lazy_mmu_mode_enable();
            task.owe();
            if in_interrupt {
                task.irq_enter();
            }
            let leak = task.end_of_task().unwrap_err();
            assert_eq!(leak.0.in_interrupt, in_interrupt);
            assert_eq!(cpu.hooks.take(), [Hook::Enter, Hook::Leave], "{policy}");
            assert_eq!(cpu.pairs.get(), 1, "{policy} {in_interrupt}");
            assert_eq!(task.state(), with(policy).0.state(), "as new");
            assert_eq!(task.end_of_task(), Ok(()), "{policy}: as new");
        }
        // Paused: left already.
        let (task, cpu) = with(policy);
        task.lazy_mmu_mode_enable();
        task.lazy_mmu_mode_pause();
        cpu.hooks.take();
        assert!(task.end_of_task().is_err(), "{policy}");
        assert_eq!(cpu.hooks.take(), [], "{policy}");
        assert_eq!(task.state(), with(policy).0.state(), "as new");
    }
}

#[test]
fn a_leak_beneath_a_reentry_is_a_leak() {
    for policy in [Policy::Reenter, Policy::V3, Policy::Linux7] {
        let (task, _) = with(policy);
        task.section(|_| {
            task.reenter(|| std::mem::forget(task.enter()));
            assert_eq!((task.state().count, task.in_lazy_mmu_mode()), (2, true));
        });
        let Leak(State { count, .. }) = task.end_of_task().unwrap_err();
        assert_eq!(count, 1, "{policy}");
    }
    // Beneath a paused section the mode is off again, and what the leak had noted is paid.
    let (task, cpu) = with(Policy::Reenter);
    task.section(|s| {
        s.pause(|| {
            task.reenter(|| {
                std::mem::forget(task.enter());
                task.owe();
            });
            assert!(!task.in_lazy_mmu_mode() && !task.is_pending());
            task.reenter(|| ());
            assert!(!task.in_lazy_mmu_mode(), "paused is paused");
        });
    });
    assert_eq!((task.state().count, cpu.pairs.get()), (1, 1));
}

#[test]
fn what_a_pause_in_a_paused_stretch_does_to_the_exclusive_contract() {
    let (task, cpu) = with(Policy::V3);
    task.section(|s| {
        s.pause(|| {
            task.section(|inner| inner.pause(|| ()));
            assert!(task.in_lazy_mmu_mode(), "as the documentation says");
            task.owe();
            assert!(task.is_pending(), "noted, not lost");
        });
    });
    assert_eq!((task.is_pending(), cpu.pairs.get()), (false, 1));
    let expected = [
        Misuse::EnableWhilePaused,
        Misuse::PauseOutside,
        Misuse::ResumeUnpaused,
    ];
    assert_eq!(cpu.take_misuse(), if_warnings(&expected));
}

#[test]
fn a_misuse_names_its_call_and_says_what_to_do() {
    let all = [
        (Misuse::TooDeep, Call::Enable, true),
        (Misuse::NotOpen, Call::Disable, true),
        (Misuse::EnableWhilePaused, Call::Enable, false),
        (Misuse::DisableWhilePaused, Call::Disable, false),
        (Misuse::PauseOutside, Call::Pause, false),
        (Misuse::ResumeUnpaused, Call::Resume, false),
        (Misuse::EnableWraps, Call::Enable, false),
        (Misuse::DisableWraps, Call::Disable, false),
        (Misuse::PauseWraps, Call::Pause, false),
        (Misuse::ResumeWraps, Call::Resume, false),
    ];
    for (misuse, call, is_bug) in all {
        assert_eq!((misuse.call(), misuse.is_bug()), (Some(call), is_bug));
        let text = misuse.to_string();
        assert!(text.starts_with(&format!("{call}: ")), "{text}");
    }
    for (misuse, text) in [
        (
            Misuse::ReentryTooDeep,
            "TaskMmu::reenter: 255 re-entries are under way; look for an allocator that calls itself",
        ),
        (
            Misuse::ReentryLeft,
            "TaskMmu::reenter: the sections left open in it and those around it are more than 255; look for sections \
             that are not closed",
        ),
    ] {
        assert_eq!((misuse.call(), misuse.is_bug()), (None, true));
        assert_eq!(misuse.to_string(), text);
    }
}

#[test]
fn a_state_is_shown_as_it_is() {
    let (task, _) = with(Policy::Linux7);
    task.lazy_mmu_mode_enable();
    task.lazy_mmu_mode_pause();
    task.lazy_mmu_mode_pause();
    task.lazy_mmu_mode_pause();
    assert_eq!(task.state().to_string(), "count=1 pause_count=3 enabled=0");
    let leak = |policy, made: &dyn Fn(&Task)| {
        let (task, _) = with(policy);
        made(&task);
        let refused = task.set_policy(policy).unwrap_err().to_string();
        let leak = task.end_of_task().unwrap_err().to_string();
        let state = leak.split_once(", ").unwrap().1.split_once(')').unwrap().0;
        assert!(refused.ends_with(state), "{refused} / {leak}");
        let places = "in a section, a pause, a re-entry, an interrupt, a call or in debt";
        assert!(refused.contains(places), "{refused}");
        leak
    };
    assert_eq!(
        leak(Policy::V3, &|task| task.irq_enter()),
        "the task ended in an interrupt handler (v3, count=0 enabled=0 in_interrupt): look for a handler \
         without its irq_exit"
    );
    assert_eq!(
        leak(Policy::Linux7, &|task| task.lazy_mmu_mode_pause()),
        "the task ended inside a pause (linux7, count=0 pause_count=1 enabled=0): look for a pause without its \
         resume"
    );
    assert_eq!(
        leak(Policy::V3, &|task| {
            task.lazy_mmu_mode_enable();
            task.owe();
        }),
        "the task ended inside a lazy MMU section (v3, count=1 enabled=1 pending): look for a guard that was \
         forgotten, or an exit taken inside the section"
    );
    let unbalanced = leak(Policy::V3, &|task| {
        task.lazy_mmu_mode_enable();
        task.owe();
        task.irq_enter();
        task.lazy_mmu_mode_disable();
        task.irq_exit();
    });
    assert!(unbalanced.contains("outside of a section with a barrier pending (v3, count=0"));
}

/// With the feature `warnings` and without it: the one reports, the other does the same and says nothing.
#[test]
fn warnings_are_what_the_feature_says() {
    let (task, cpu) = with(Policy::V3);
    task.lazy_mmu_mode_pause();
    task.lazy_mmu_mode_resume();
    let reported = cpu.take_misuse().len();
    assert_eq!(reported, if cfg!(feature = "warnings") { 2 } else { 0 });
}
