//! The public interface as a kernel uses it.

mod common;

use common::{Core, Task, with};
use lazy_mmu::baseline::{Eager, Flat, Reenter};
use lazy_mmu::{
    Call, Chosen, Contract, Cpu, Hook, Linux7, Misuse, Policy, PolicyInUse, TaskMmu, Unpublished,
    V3,
};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// As a kernel names it: one type, a processor without state, no choice.
#[test]
fn a_kernel_names_one_type() {
    static PAIRS: AtomicU32 = AtomicU32::new(0);
    struct ThisCpu;
    impl Cpu for ThisCpu {
        fn publish(&self) {
            PAIRS.fetch_add(1, Relaxed);
        }
        fn misuse(&self, misuse: Misuse) {
            panic!("{misuse}");
        }
    }
    type Mmu = TaskMmu<Linux7, ThisCpu>;
    type Section<'a, 'id> = lazy_mmu::Section<'a, 'id, Mmu>;
    fn map<'id>(section: &Section<'_, 'id>, page: usize) -> Unpublished<'id, usize> {
        section.owes(page)
    }
    static TASK: Mmu = Mmu::new(Linux7, ThisCpu);
    assert_eq!(TASK.publish(|s| map(s, 1).zip(map(s, 2))), (1, 2));
    assert_eq!((PAIRS.load(Relaxed), size_of::<Mmu>()), (1, 4));
}

/// What each contract type makes of a section with an inner one: the pairs, and what it is called.
#[test]
fn every_contract_type_is_its_policy() {
    fn pairs(contract: impl Contract, policy: Policy) -> u32 {
        let cpu = Core::default();
        let task: TaskMmu<_, _> = TaskMmu::hosted(contract, &cpu);
        assert_eq!((task.policy(), task.state().policy), (policy, policy));
        task.section(|s| {
            s.owe();
            task.reenter(|| task.section(|s| s.owe()));
            s.owe();
            s.owe();
        });
        assert_eq!(task.end_of_task(), Ok(()));
        cpu.pairs.get()
    }
    let by_type = [
        pairs(Eager, Policy::Eager),
        pairs(Flat, Policy::Flat),
        pairs(Reenter, Policy::Reenter),
        pairs(V3, Policy::V3),
        pairs(Linux7, Policy::Linux7),
    ];
    assert_eq!(by_type, [4, 3, 3, 2, 2]);
    let chosen = Policy::ALL.map(|policy| pairs(Chosen::new(policy), policy));
    assert_eq!(chosen, by_type);
}

/// The seed's question and the merged one have the same answer, in interrupts too.
#[test]
fn the_mode_has_both_its_names() {
    for policy in Policy::ALL {
        let (task, _) = with(policy);
        let both = |on: bool| {
            assert_eq!(task.in_lazy_mmu_mode(), on, "{policy}");
            assert_eq!(task.is_lazy_mmu_mode_active(), on, "{policy}");
        };
        both(false);
        task.section(|_| {
            both(policy != Policy::Eager);
            task.irq_enter();
            both(!matches!(policy, Policy::Eager | Policy::Linux7));
            task.irq_exit();
        });
    }
}

#[test]
fn the_six_lines_of_the_patch() {
    let (task, cpu) = with(Policy::V3);
    let table = [
        (Call::Enable, Some(Hook::Enter), 1, true),
        (Call::Enable, None, 2, true),
        (Call::Pause, Some(Hook::Leave), 2, false),
        (Call::Resume, Some(Hook::Enter), 2, true),
        (Call::Disable, Some(Hook::Flush), 1, true),
        (Call::Disable, Some(Hook::Leave), 0, false),
    ];
    for (call, hook, count, enabled) in table {
        task.call(call);
        assert_eq!(cpu.hooks.take(), Vec::from_iter(hook), "{call}");
        let state = task.state();
        assert_eq!((state.count, state.enabled), (count, enabled), "{call}");
    }
}

#[test]
fn a_section_pays_once_on_every_path_out() {
    for policy in [Policy::Flat, Policy::Reenter, Policy::V3, Policy::Linux7] {
        let (task, cpu) = with(policy);
        let early = task.section(|s| {
            s.owe();
            Err::<(), &str>("no frame")?;
            s.owe();
            Ok(())
        });
        assert_eq!((early, cpu.pairs.get()), (Err("no frame"), 1), "{policy}");
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            task.section(|s| {
                s.owe();
                s.pause(|| std::panic::resume_unwind(Box::new(())))
            })
        }));
        assert!(unwound.is_err());
        assert_eq!(task.end_of_task(), Ok(()), "{policy}");
    }
}

#[test]
fn an_inner_value_is_usable_while_the_outer_section_is_lazy() {
    for policy in Policy::ALL {
        let (task, _) = with(policy);
        task.section(|outer| {
            outer.owe();
            let page = outer.publish(|inner| {
                inner.owe();
                inner.owes(42)
            });
            // Whatever the policy makes of an inner exit: nothing is pending when the value is out.
            assert_eq!((page, task.is_pending()), (42, false), "{policy}");
        });
    }
    let (task, _) = with(Policy::V3);
    task.section(|outer| {
        outer.publish(|inner| inner.owes(()));
        assert!(task.in_lazy_mmu_mode());
        outer.owe();
        assert!(task.is_pending());
    });
}

#[test]
fn a_value_can_be_settled_before_the_end() {
    for policy in [Policy::Reenter, Policy::V3, Policy::Linux7] {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            let first = s.owes('a');
            assert_eq!((s.settle(first), task.is_pending()), ('a', false));
            assert_eq!(cpu.pairs.get(), 1, "{policy}");
            // A kernel with state of its own gets the call that any inner exit makes.
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
    let (task, cpu) = with(Policy::V3);
    let both = task.publish(|s| s.owes(1).zip(s.owes("a")));
    assert_eq!(both, (1, "a"));
    let all = task.publish(|s| [0, 1, 2].map(|i| s.owes(i)).into());
    assert_eq!(all, [0, 1, 2]);
    let before = cpu.pairs.get();
    let all: Vec<u8> = task.section(|s| {
        let held: Vec<_> = (0..3).map(|i| s.owes(i)).collect();
        let all = s.collect(held);
        assert!(!task.is_pending() && task.in_lazy_mmu_mode());
        all
    });
    assert_eq!(all, [0, 1, 2]);
    assert_eq!(cpu.pairs.get() - before, 1);
    let result: Result<u8, &str> = task.publish(|s| Ok(s.owes(7)).into());
    assert_eq!(result, Ok(7));
    task.section(|s| {
        assert_eq!(format!("{:?}", s.owes(0xdead)), "Unpublished(..)");
    });
}

#[test]
fn an_interrupt_pays_at_once_and_leaves_the_debt_alone() {
    for policy in Policy::ALL.into_iter().filter(|p| *p != Policy::Eager) {
        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            task.irq_enter();
            task.owe();
            task.irq_enter();
            let page = task.publish(|s| s.owes("usable at once"));
            // One for each store, and one because the handler finds the task's debt and cannot know whose it is.
            assert_eq!((page, cpu.pairs.get()), ("usable at once", 3), "{policy}");
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
        assert_eq!(cpu.pairs.get(), 4, "{policy}");
        assert_eq!(cpu.take_misuse(), [], "{policy}");
    }
}

#[test]
#[should_panic = "irq_exit without irq_enter"]
fn an_interrupt_that_ends_on_another_task_stops() {
    let (task, _) = with(Policy::V3);
    task.section(|_| task.irq_exit());
}

#[test]
#[should_panic = "irq_enter without irq_exit"]
fn interrupts_that_never_end_stop() {
    (0..128).fold(with(Policy::V3).0, |task, _| {
        task.irq_enter();
        task
    });
}

#[test]
fn a_policy_changes_only_between_sections() {
    for policy in Policy::ALL {
        let (task, _) = with(policy);
        task.set_policy(Policy::V3).expect("idle");
        task.lazy_mmu_mode_enable();
        let refused = task.set_policy(policy);
        assert_eq!(refused, Err(PolicyInUse(task.state())));
        assert_eq!(task.policy(), Policy::V3);
        task.lazy_mmu_mode_pause();
        assert!(task.set_policy(policy).is_err(), "paused is not over");
        task.lazy_mmu_mode_resume();
        task.lazy_mmu_mode_disable();
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
        let (task, _) = with(policy);
        let inside = |task: &Task| (task.state().count, task.in_lazy_mmu_mode());
        task.section(|_| {
            task.section(|_| {
                let before = inside(&task);
                let (during, result) = task.reenter(|| (inside(&task), 7));
                let expected = if policy == Policy::Reenter {
                    (0, false)
                } else {
                    before
                };
                assert_eq!((during, result), (expected, 7), "{policy}");
                assert_eq!(inside(&task), before, "{policy}");
            });
        });
        assert_eq!(task.end_of_task(), Ok(()));
    }
}

#[test]
fn names_go_both_ways() {
    for policy in Policy::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
        assert_eq!(policy.to_string(), policy.name());
    }
    assert_eq!(
        "V3".parse::<Policy>().unwrap_err().to_string(),
        "not a policy; allowed are eager, flat, reenter, v3, linux7"
    );
    assert_eq!(Call::Enable.to_string(), "lazy_mmu_mode_enable");
    assert_eq!(Hook::Flush.to_string(), "arch_flush");
    assert_eq!(with(Policy::V3).0.state().to_string(), "count=0 enabled=0");
    let (task, _) = with(Policy::Reenter);
    assert_eq!(task.state().to_string(), "count=0 enabled=0");
    let within = task.section(|_| task.reenter(|| task.state().to_string()));
    assert_eq!(within, "count=0 reentries=1 enabled=0");
}

#[test]
fn every_policy_is_a_baseline_or_a_contract() {
    let all = [&Policy::BASELINES[..], &Policy::CONTRACTS].concat();
    assert_eq!(all, Policy::ALL);
    for policy in Policy::ALL {
        assert_eq!(policy.is_contract(), Policy::CONTRACTS.contains(&policy));
    }
}

/// A handler has begun inside the section and is still there when the value is given out, which is usable. Of one that is
/// settled the task's debt is left alone. The section's own end there is misuse: it is reported, and pays.
#[test]
fn a_value_that_comes_out_in_a_handler_is_usable() {
    for policy in Policy::ALL.into_iter().filter(|p| *p != Policy::Eager) {
        let (task, cpu) = with(policy);
        let page = task.publish(|s| {
            s.owe();
            task.irq_enter();
            s.hold(|| "page")
        });
        assert_eq!((page, cpu.pairs.get()), ("page", 1), "{policy}");
        assert!(!task.is_pending(), "{policy}");
        assert_eq!(cpu.take_misuse(), [Misuse::GuardOutOfPlace], "{policy}");

        let (task, cpu) = with(policy);
        task.section(|s| {
            s.owe();
            task.irq_enter();
            let u = s.hold(|| "page");
            assert_eq!((s.settle(u), cpu.pairs.get()), ("page", 1), "{policy}");
            let held = [s.hold(|| 1)];
            assert_eq!(s.collect::<_, Vec<_>>(held), [1]);
            assert_eq!((cpu.pairs.get(), task.is_pending()), (2, true), "{policy}");
            task.irq_exit();
        });
        assert_eq!((cpu.pairs.get(), task.is_pending()), (3, false), "{policy}");
    }
}

/// What a collection's own code sees, nobody owes any more.
#[test]
fn a_collection_is_built_after_the_payment() {
    thread_local!(static PENDING_SEEN: Cell<Option<bool>> = const { Cell::new(None) });
    thread_local!(static TASK: Task = with(Policy::V3).0);
    struct Thief;
    impl FromIterator<usize> for Thief {
        fn from_iter<I: IntoIterator<Item = usize>>(pages: I) -> Self {
            assert_eq!(pages.into_iter().sum::<usize>(), 3);
            PENDING_SEEN.set(Some(TASK.with(Task::is_pending)));
            Thief
        }
    }
    TASK.with(|task| {
        task.section(|s| {
            let held = [s.owes(1), s.owes(2)];
            let _: Thief = s.collect(held);
        });
    });
    assert_eq!(PENDING_SEEN.get(), Some(false));
}

#[test]
fn a_task_over_cells_is_one_like_any_other() {
    for policy in Policy::ALL {
        let (twin, cpu) = with(policy);
        let contract = Chosen::<Cell<u8>>::with_slot(policy);
        let task: TaskMmu<_, _, Cell<u8>> = TaskMmu::hosted(contract, cpu);
        assert_eq!(task.state(), twin.state());
        for call in [Call::Enable, Call::Enable, Call::Pause, Call::Resume] {
            task.call(call);
            twin.call(call);
            task.owe();
            twin.owe();
            assert_eq!(task.state(), twin.state(), "{policy} {call}");
        }
        assert_eq!(task.end_of_task(), twin.end_of_task());
        let other = Policy::ALL[(policy as usize + 1) % 5];
        task.set_policy(other).expect("idle");
        assert_eq!(task.policy(), other);
    }
}

/// A core that logs payments and ends of calls in one order.
#[derive(Default)]
struct Logged(std::cell::RefCell<Vec<String>>, bool);

impl lazy_mmu::Cpu for Logged {
    fn publish(&self) {
        self.0.borrow_mut().push("pair".into());
    }

    fn misuse(&self, misuse: lazy_mmu::Misuse) {
        assert!(self.1 || !misuse.is_bug(), "stopped: {misuse}");
        self.0.borrow_mut().push("misuse".into());
    }

    fn called(&self, call: Call) {
        let name = call.to_string();
        let short = name.trim_start_matches("lazy_mmu_mode_");
        self.0.borrow_mut().push(short.into());
    }
}

type LoggedTask<'a> = TaskMmu<Chosen, &'a Logged>;

#[test]
fn the_end_of_every_call_is_told_after_what_it_paid() {
    let log = |policy, work: &dyn Fn(&LoggedTask<'_>)| {
        let cpu = Logged::default();
        let task = TaskMmu::hosted(Chosen::new(policy), &cpu);
        work(&task);
        cpu.0.take().join(" ")
    };
    let by_hand = |task: &LoggedTask<'_>| {
        for call in [
            Call::Enable,
            Call::Pause,
            Call::Resume,
            Call::Enable,
            Call::Disable,
        ] {
            task.call(call);
            task.owe();
        }
        task.lazy_mmu_mode_disable();
    };
    for policy in [Policy::V3, Policy::Linux7] {
        assert_eq!(
            log(policy, &by_hand),
            "enable pair pause pair resume enable pair disable pair disable",
            "{policy}"
        );
    }
    assert_eq!(
        log(Policy::Eager, &by_hand),
        "enable pair pause pair resume pair enable pair disable pair disable"
    );
    // The crate's own ways to a call end in it as well.
    let by_guards = |task: &LoggedTask<'_>| {
        task.section(|s| {
            s.owe();
            s.publish(|s| {
                s.owe();
                s.owes(())
            });
            s.pause(|| ());
        });
        drop(task.enter());
    };
    assert_eq!(
        log(Policy::V3, &by_guards),
        "enable enable pair disable pause resume disable enable disable"
    );
}

#[test]
fn the_end_of_a_call_is_told_where_it_is_ignored_and_after_a_bug() {
    let cpu = Logged::default();
    let task: LoggedTask<'_> = TaskMmu::hosted(Chosen::new(Policy::Linux7), &cpu);
    task.irq_enter();
    task.lazy_mmu_mode_enable();
    task.irq_exit();
    assert_eq!(cpu.0.take(), ["enable"]);

    let cpu = Logged(Default::default(), true);
    let task: LoggedTask<'_> = TaskMmu::hosted(Chosen::new(Policy::V3), &cpu);
    task.lazy_mmu_mode_disable();
    assert_eq!(cpu.0.take(), ["misuse", "disable"]);
}

/// Makes the calls one after the other: each runs this hook, and the mode is on afterwards or not.
fn calls(policy: Policy, expected: &[(Call, Option<Hook>, bool)]) {
    let (task, cpu) = with(policy);
    for &(call, hook, on) in expected {
        task.call(call);
        assert_eq!(cpu.hooks.take(), Vec::from_iter(hook), "{call}");
        assert_eq!(task.in_lazy_mmu_mode(), on, "{call}");
    }
}

#[test]
fn pauses_of_the_nesting_contract_leave_and_enter_once_and_only_in_a_section() {
    use Call::{Disable, Enable, Pause, Resume};
    calls(
        Policy::Linux7,
        &[
            // Outside of a section.
            (Pause, None, false),
            (Pause, None, false),
            (Resume, None, false),
            (Resume, None, false),
            (Enable, Some(Hook::Enter), true),
            (Pause, Some(Hook::Leave), false),
            (Pause, None, false),
            (Enable, None, false),
            (Disable, None, false),
            (Resume, None, false),
            (Resume, Some(Hook::Enter), true),
            (Disable, Some(Hook::Leave), false),
        ],
    );
}

#[test]
fn pauses_of_reenter_leave_always_and_enter_only_in_a_section() {
    use Call::{Disable, Enable, Pause, Resume};
    calls(
        Policy::Reenter,
        &[
            (Pause, Some(Hook::Leave), false),
            (Resume, None, false),
            (Enable, Some(Hook::Enter), true),
            (Pause, Some(Hook::Leave), false),
            (Enable, None, false),
            (Disable, None, false),
            (Resume, Some(Hook::Enter), true),
            (Disable, Some(Hook::Leave), false),
        ],
    );
}

/// What a hook sees of the mode under flat: at the outermost as under the other baselines, and in an inner section what
/// the one flag is by then.
#[test]
fn hooks_of_flat_see_its_one_flag() {
    #[derive(Default)]
    struct Sees(
        Cell<Option<&'static FlatTask>>,
        std::cell::RefCell<Vec<(Hook, bool)>>,
    );
    type FlatTask = TaskMmu<Flat, &'static Sees>;
    impl Cpu for Sees {
        fn publish(&self) {}
        fn misuse(&self, misuse: Misuse) {
            panic!("{misuse}");
        }
        fn hook(&self, hook: Hook) {
            let on = self.0.get().expect("set").in_lazy_mmu_mode();
            self.1.borrow_mut().push((hook, on));
        }
    }
    let cpu: &'static Sees = Box::leak(Box::default());
    let task: &'static FlatTask = Box::leak(Box::new(TaskMmu::hosted(Flat, cpu)));
    cpu.0.set(Some(task));
    task.section(|s| s.section(|_| ()));
    let expected = [
        (Hook::Enter, false),
        (Hook::Enter, true),
        (Hook::Leave, true),
        (Hook::Leave, false),
    ];
    assert_eq!(cpu.1.take(), expected);
}

#[test]
fn reenter_ignores_what_a_handler_calls() {
    let (task, cpu) = with(Policy::Reenter);
    task.lazy_mmu_mode_enable();
    let hooks = cpu.hooks.take();
    assert_eq!(hooks, [Hook::Enter]);
    task.irq_enter();
    let before = task.state();
    for call in Call::ALL {
        task.call(call);
        assert_eq!((task.state(), cpu.hooks.take()), (before, vec![]), "{call}");
    }
    // Neither does an allocator that the handler calls leave the task's mode.
    task.reenter(|| assert_eq!(task.state(), before));
    assert_eq!((task.state(), cpu.hooks.take()), (before, vec![]));
    task.irq_exit();
    task.lazy_mmu_mode_disable();
    assert_eq!(cpu.hooks.take(), [Hook::Leave]);
}
