//! The public interface as a kernel uses it.

use lazy_mmu::{Call, Cpu, Hook, Leak, Misuse, Policy, PolicyInUse, State, TaskMmu};
use std::cell::{Cell, RefCell};

/// Records what the mode does. A bug "stops the kernel" by a panic.
#[derive(Default)]
struct Core {
    pairs: Cell<u32>,
    hooks: RefCell<Vec<Hook>>,
    misuse: RefCell<Vec<Misuse>>,
    bugs_return: bool,
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
    fn take_misuse(&self) -> Vec<Misuse> {
        self.misuse.take()
    }
}

fn with(policy: Policy) -> (TaskMmu, Core) {
    (TaskMmu::new(policy), Core::default())
}

fn if_warnings(misuse: &[Misuse]) -> Vec<Misuse> {
    match cfg!(feature = "warnings") {
        true => misuse.to_vec(),
        false => Vec::new(),
    }
}

#[test]
fn a_task_can_be_static() {
    static TASK: TaskMmu = TaskMmu::new(Policy::Seed);
    let cpu = Core::default();
    TASK.section(&cpu, |s| s.owe());
    assert_eq!(cpu.pairs.get(), 1);
}

#[test]
fn the_six_lines_of_the_seed() {
    let (task, cpu) = with(Policy::Seed);
    let table = [
        (Call::Enable, Some(Hook::Enter), 1, true),
        (Call::Enable, None, 2, true),
        (Call::Pause, Some(Hook::Leave), 2, false),
        (Call::Resume, Some(Hook::Enter), 2, true),
        (Call::Disable, Some(Hook::Flush), 1, true),
        (Call::Disable, Some(Hook::Leave), 0, false),
    ];
    for (call, hook, count, enabled) in table {
        task.call(call, &cpu);
        assert_eq!(cpu.hooks.take(), Vec::from_iter(hook), "{call}");
        let state = task.state();
        assert_eq!((state.count, state.enabled), (count, enabled), "{call}");
    }
}

#[test]
fn a_section_pays_once_on_every_path_out() {
    for policy in [Policy::Flat, Policy::Reenter, Policy::Seed, Policy::Linux7] {
        let (task, cpu) = with(policy);
        let early = task.section(&cpu, |s| {
            s.owe();
            Err::<(), &str>("no frame")?;
            s.owe();
            Ok(())
        });
        assert_eq!((early, cpu.pairs.get()), (Err("no frame"), 1), "{policy}");
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            task.section(&cpu, |s| {
                s.owe();
                s.pause(|| std::panic::resume_unwind(Box::new(())))
            })
        }));
        assert!(unwound.is_err());
        assert_eq!(task.end_of_task(&cpu), Ok(()), "{policy}");
    }
}

#[test]
fn an_inner_value_is_usable_while_the_outer_section_is_lazy() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        task.section(&cpu, |outer| {
            outer.owe();
            let page = outer.publish(|inner| {
                inner.owe();
                inner.unpublished(42)
            });
            // Whatever the policy makes of an inner exit: nothing is pending when the value is out.
            assert_eq!((page, task.is_pending()), (42, false), "{policy}");
        });
    }
    let (task, cpu) = with(Policy::Seed);
    task.section(&cpu, |outer| {
        outer.publish(|inner| inner.unpublished(()));
        assert!(task.in_lazy_mmu_mode());
        outer.owe();
        assert!(task.is_pending());
    });
}

#[test]
fn a_value_can_be_settled_before_the_end() {
    for policy in [Policy::Reenter, Policy::Seed, Policy::Linux7] {
        let (task, cpu) = with(policy);
        task.section(&cpu, |s| {
            s.owe();
            let first = s.unpublished('a');
            assert_eq!((s.settle(first), task.is_pending()), ('a', false));
            assert_eq!(cpu.pairs.get(), 1, "{policy}");
            // A kernel with state of its own is told as by any inner exit.
            let flushed = cpu.hooks.take().contains(&Hook::Flush);
            assert_eq!(flushed, policy != Policy::Reenter, "{policy}");
            s.owe();
            assert!(task.is_pending(), "{policy}: still lazy");
        });
        assert_eq!(cpu.pairs.get(), 2, "{policy}");
    }
}

#[test]
fn unpublished_values_combine() {
    let (task, cpu) = with(Policy::Seed);
    let both = task.publish(&cpu, |s| s.unpublished(1).zip(s.unpublished("a")));
    assert_eq!(both, (1, "a"));
    let all: Vec<u8> = task.publish(&cpu, |s| (0..3).map(|i| s.unpublished(i)).collect());
    assert_eq!(all, [0, 1, 2]);
    let result: Result<u8, &str> = task.publish(&cpu, |s| Ok(s.unpublished(7)).into());
    assert_eq!(result, Ok(7));
    task.section(&cpu, |s| {
        assert_eq!(format!("{:?}", s.unpublished(0xdead)), "Unpublished(..)");
    });
}

#[test]
fn a_section_in_a_callee_of_a_paused_stretch() {
    for (policy, reported) in [
        (
            Policy::Seed,
            if_warnings(&[Misuse::EnableWhilePaused, Misuse::DisableWhilePaused]),
        ),
        (Policy::Linux7, Vec::new()),
    ] {
        let (task, cpu) = with(policy);
        let callee = || task.section(&cpu, |s| s.owe());
        task.section(&cpu, |s| {
            s.owe();
            s.pause(callee);
        });
        assert_eq!(cpu.take_misuse(), reported, "{policy}");
        assert_eq!(
            cpu.pairs.get(),
            2,
            "{policy}: one for the pause, one at once"
        );
        assert_eq!(task.end_of_task(&cpu), Ok(()), "{policy}");
    }
}

#[test]
fn the_same_calls_unbalance_the_nesting_contract() {
    let (task, cpu) = with(Policy::Linux7);
    for call in [Call::Pause, Call::Enable, Call::Resume, Call::Disable] {
        task.call(call, &cpu);
    }
    assert_eq!(cpu.take_misuse(), if_warnings(&[Misuse::DisableWraps]));
    assert_eq!(task.state().count, 255);
}

#[test]
fn a_bug_that_returns_changes_nothing() {
    for policy in [Policy::Seed, Policy::Reenter] {
        let task = TaskMmu::new(policy);
        let cpu = Core {
            bugs_return: true,
            ..Core::default()
        };
        task.lazy_mmu_mode_disable(&cpu);
        (0..255).for_each(|_| task.lazy_mmu_mode_enable(&cpu));
        let full = task.state();
        task.lazy_mmu_mode_enable(&cpu);
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
    let (task, cpu) = with(Policy::Seed);
    task.lazy_mmu_mode_disable(&cpu);
}

#[test]
fn a_forgotten_section_is_reported_and_paid() {
    for policy in [Policy::Flat, Policy::Reenter, Policy::Seed, Policy::Linux7] {
        let (task, cpu) = with(policy);
        std::mem::forget(task.enter(&cpu));
        task.owe(&cpu);
        let ended_in = task.state();
        assert!(ended_in.pending && ended_in.enabled);
        let leak = task.end_of_task(&cpu).unwrap_err();
        assert_eq!(leak, Leak(ended_in), "{policy}");
        assert!(
            leak.to_string().contains("with a barrier pending"),
            "{leak}"
        );
        assert_eq!((cpu.pairs.get(), task.is_pending()), (1, false), "{policy}");
        assert_eq!(task.end_of_task(&cpu), Ok(()), "{policy}: as new");
    }
}

#[test]
fn a_pause_that_is_never_resumed_is_reported() {
    for policy in [Policy::Seed, Policy::Linux7] {
        let (task, cpu) = with(policy);
        std::mem::forget(task.enter(&cpu));
        task.lazy_mmu_mode_pause(&cpu);
        let Leak(State { count, enabled, .. }) = task.end_of_task(&cpu).unwrap_err();
        assert_eq!((count, enabled), (1, false), "{policy}");
    }
    let (task, cpu) = with(Policy::Linux7);
    task.lazy_mmu_mode_pause(&cpu);
    assert_eq!(task.end_of_task(&cpu).unwrap_err().0.pause_count, 1);
}

/// No section is open, yet something is pending: both ways to get there are misuse.
#[test]
fn a_debt_without_a_section_is_reported_and_paid() {
    // 256 sections: the nesting contract's count has wrapped.
    let (wrapped, cpu) = with(Policy::Linux7);
    wrapped.lazy_mmu_mode_enable(&cpu);
    wrapped.owe(&cpu);
    (1..256).for_each(|_| wrapped.lazy_mmu_mode_enable(&cpu));
    assert_eq!(cpu.take_misuse(), if_warnings(&[Misuse::EnableWraps]));
    // A handler that ends the section of the task beneath it, whose debt it must not touch.
    let (ended, _) = with(Policy::Seed);
    ended.lazy_mmu_mode_enable(&cpu);
    ended.owe(&cpu);
    ended.irq_enter();
    ended.lazy_mmu_mode_disable(&cpu);
    ended.irq_exit();
    for task in [wrapped, ended] {
        let state = task.state();
        assert_eq!(
            (state.count, state.enabled, state.pending),
            (0, false, true)
        );
        assert_eq!(task.set_policy(Policy::Eager), Err(PolicyInUse(state)));
        assert_eq!(task.end_of_task(&cpu), Err(Leak(state)));
        assert!(!task.is_pending());
    }
    assert_eq!(cpu.pairs.get(), 2);
}

#[test]
fn an_interrupt_pays_at_once_and_leaves_the_debt_alone() {
    for policy in Policy::ALL.into_iter().filter(|p| *p != Policy::Eager) {
        let (task, cpu) = with(policy);
        task.section(&cpu, |s| {
            s.owe();
            task.irq_enter();
            task.owe(&cpu);
            task.irq_enter();
            let page = task.publish(&cpu, |s| {
                s.owe();
                s.unpublished("usable at once")
            });
            assert_eq!((page, cpu.pairs.get()), ("usable at once", 2), "{policy}");
            task.irq_exit();
            assert!(task.state().in_interrupt);
            assert_eq!(
                task.in_lazy_mmu_mode(),
                policy != Policy::Linux7,
                "{policy}"
            );
            task.irq_exit();
            assert!(task.is_pending() && task.in_lazy_mmu_mode(), "{policy}");
        });
        assert_eq!(cpu.pairs.get(), 3, "{policy}");
        assert_eq!(cpu.take_misuse(), [], "{policy}");
    }
}

#[test]
#[should_panic = "irq_exit without irq_enter"]
fn an_interrupt_that_ends_on_another_task_stops() {
    let (task, cpu) = with(Policy::Seed);
    task.section(&cpu, |_| task.irq_exit());
}

#[test]
#[should_panic = "irq_enter without irq_exit"]
fn interrupts_that_never_end_stop() {
    (0..128).fold(TaskMmu::new(Policy::Seed), |task, _| {
        task.irq_enter();
        task
    });
}

#[test]
fn a_policy_changes_only_between_sections() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        task.set_policy(Policy::Seed).expect("idle");
        task.lazy_mmu_mode_enable(&cpu);
        let refused = task.set_policy(policy);
        assert_eq!(refused, Err(PolicyInUse(task.state())));
        assert_eq!(task.policy(), Policy::Seed);
        task.lazy_mmu_mode_pause(&cpu);
        assert!(task.set_policy(policy).is_err(), "paused is not over");
        task.lazy_mmu_mode_resume(&cpu);
        task.lazy_mmu_mode_disable(&cpu);
        task.irq_enter();
        assert!(task.set_policy(policy).is_err(), "not from a handler");
        task.irq_exit();
        task.set_policy(policy).expect("idle again");
        assert_eq!(task.policy(), policy);
    }
}

#[test]
fn reenter_leaves_the_mode_under_its_own_policy_only() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        let inside = |task: &TaskMmu| (task.state().count, task.in_lazy_mmu_mode());
        task.section(&cpu, |_| {
            task.section(&cpu, |_| {
                let before = inside(&task);
                let (during, result) = task.reenter(&cpu, || (inside(&task), 7));
                let expected = if policy == Policy::Reenter {
                    (0, false)
                } else {
                    before
                };
                assert_eq!((during, result), (expected, 7), "{policy}");
                assert_eq!(inside(&task), before, "{policy}");
            });
        });
        assert_eq!(task.end_of_task(&cpu), Ok(()));
    }
}

#[test]
fn names_go_both_ways() {
    for policy in Policy::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
        assert_eq!(policy.to_string(), policy.name());
    }
    assert_eq!(
        "Seed".parse::<Policy>().unwrap_err().to_string(),
        "not a policy; allowed are eager, flat, reenter, seed, linux7"
    );
    assert_eq!(Call::Enable.to_string(), "lazy_mmu_mode_enable");
    assert_eq!(Hook::Flush.to_string(), "arch_flush");
    assert_eq!(
        TaskMmu::new(Policy::Seed).state().to_string(),
        "count=0 enabled=0"
    );
}
