//! Every schedule of two tasks on two cores, preempted, migrated and interrupted at every step of the
//! crate's own code; and the policies that are known to be wrong, each with the schedule that shows it.
//!
//! That is every schedule of the programs below, and of one interrupt in each run, which may strike either
//! task: in most setups the second task is a plain section, in one both are more, and in one the handler is
//! interrupted in turn. A step of a task has no way to another task's bytes, so "nobody else's state is touched"
//! is a question to the switch alone.

mod replay;
mod world;

use crate::{Call, Policy};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::Vec;
use std::{println, thread};
use world::{Action, Coverage, Mutant, Op, Setup, World, wrong};

const ENABLE: Op = Op::Call(Call::Enable);
const DISABLE: Op = Op::Call(Call::Disable);
const PAUSE: Op = Op::Call(Call::Pause);
const RESUME: Op = Op::Call(Call::Resume);
const INVALIDATE: Op = Op::Invalidate(None);

/// A section with an inner one that uses its own mapping at once (H1), and a store after it.
const NESTED: &[Op] = &[
    ENABLE,
    Op::Store(0),
    ENABLE,
    Op::Store(1),
    DISABLE,
    Op::Use(1),
    Op::Use(0),
    Op::Store(0),
    DISABLE,
    Op::Use(0),
];

/// A section that is paused with a debt, and stores while it is.
const PAUSED: &[Op] = &[
    ENABLE,
    Op::Store(0),
    PAUSE,
    Op::Use(0),
    Op::Store(1),
    Op::Use(1),
    RESUME,
    Op::Store(0),
    DISABLE,
    Op::Use(0),
];

/// As the allocator under a paused section does: only the nesting contract allows it.
const NESTED_IN_PAUSE: &[Op] = &[
    ENABLE,
    Op::Store(0),
    PAUSE,
    ENABLE,
    Op::Store(1),
    DISABLE,
    Op::Use(1),
    RESUME,
    Op::Store(2),
    DISABLE,
    Op::Use(2),
];

/// An allocator beneath a section leaves the mode, uses its mapping at once, and goes back.
const REENTRY: &[Op] = &[
    ENABLE,
    Op::Store(0),
    Op::Leave,
    Op::Use(0),
    ENABLE,
    Op::Store(1),
    DISABLE,
    Op::Use(1),
    Op::Back,
    Op::Store(0),
    DISABLE,
    Op::Use(0),
];

/// The same beneath a paused section: it stays paused.
const REENTRY_IN_PAUSE: &[Op] = &[
    ENABLE,
    PAUSE,
    Op::Leave,
    ENABLE,
    Op::Store(1),
    DISABLE,
    Op::Use(1),
    Op::Back,
    Op::Store(0),
    Op::Use(0),
    RESUME,
    Op::Store(2),
    DISABLE,
    Op::Use(2),
];

/// Invalidations that settle what is pending: in a section, after which all is usable at once; with a page fault in the
/// middle, whose store is not; in an inner section, for the outer one too; in a pause, where nothing is pending.
const SETTLED: &[Op] = &[
    ENABLE,
    Op::Store(0),
    INVALIDATE,
    Op::Use(0),
    Op::Store(1),
    Op::Invalidate(Some(2)),
    Op::Use(1),
    DISABLE,
    Op::Use(2),
];
const SETTLED_INSIDE: &[Op] = &[
    ENABLE,
    Op::Store(0),
    ENABLE,
    Op::Store(1),
    INVALIDATE,
    Op::Use(1),
    Op::Use(0),
    DISABLE,
    PAUSE,
    Op::Store(0),
    INVALIDATE,
    RESUME,
    Op::Store(1),
    DISABLE,
    Op::Use(1),
];

/// A section and no more.
const PLAIN: &[Op] = &[ENABLE, Op::Store(0), DISABLE, Op::Use(0)];

/// A handler maps and uses, outside of any section of its own (H4).
const STORES: &[Op] = &[Op::IrqEnter, Op::Store(3), Op::Use(3), Op::IrqExit];

/// A handler that opens a section (H18).
const SECTION: &[Op] = &[
    Op::IrqEnter,
    ENABLE,
    Op::Store(3),
    DISABLE,
    Op::Use(3),
    Op::IrqExit,
];

/// A handler that is interrupted by another.
const NESTED_HANDLER: &[Op] = &[
    Op::IrqEnter,
    Op::Store(3),
    Op::IrqEnter,
    Op::Store(3),
    Op::Use(3),
    Op::IrqExit,
    Op::Store(3),
    Op::Use(3),
    Op::IrqExit,
];

/// A handler that maps, uses, and invalidates.
const INVALIDATES: &[Op] = &[
    Op::IrqEnter,
    Op::Store(3),
    INVALIDATE,
    Op::Use(3),
    Op::IrqExit,
];

/// The shortest that nests, and the shortest that pauses.
const SHORT_NESTED: &[Op] = &[ENABLE, ENABLE, Op::Store(1), DISABLE, Op::Use(1), DISABLE];
const SHORT_PAUSED: &[Op] = &[ENABLE, Op::Store(0), PAUSE, Op::Use(0), RESUME, DISABLE];

fn never(wrong: u16) -> fn(&Setup, &World) -> bool {
    match wrong {
        wrong::USED_BEFORE_BARRIER => |_, w| w.wrong & wrong::USED_BEFORE_BARRIER == 0,
        wrong::DEBT_LOST => |_, w| w.wrong & wrong::DEBT_LOST == 0,
        wrong::PAID_TWICE => |_, w| w.wrong & wrong::PAID_TWICE == 0,
        wrong::OTHERS_STATE => |_, w| w.wrong & wrong::OTHERS_STATE == 0,
        wrong::HOOKS_UNBALANCED => |_, w| w.wrong & wrong::HOOKS_UNBALANCED == 0,
        wrong::EXIT_WITHOUT_PAYING => |_, w| w.wrong & wrong::EXIT_WITHOUT_PAYING == 0,
        wrong::MODE_LOST => |_, w| w.wrong & wrong::MODE_LOST == 0,
        wrong::STOPPED => |_, w| w.wrong & wrong::STOPPED == 0,
        _ => |_, w| w.wrong & wrong::MISUSE == 0,
    }
}

const USED: &str = "no mapping is used before its barrier";
const DEBT: &str = "no debt is lost";
const TWICE: &str = "no debt is paid twice in one flush";
const OTHERS: &str = "nobody else's state is touched";
const HOOKS: &str = "hooks are balanced";
const EXIT: &str = "an exit always pays";
const LAZY: &str = "the mode is on exactly where the program has it on";
const STOPS: &str = "no interrupt ends on a task that was not interrupted";
const SILENT: &str = "nothing is reported";
const ENDS: &str = "both tasks can finish";

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        Vec::from([self.start()])
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        Setup::actions(self, state, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        Some(self.next(last, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Vec::from([
            Property::always(USED, never(wrong::USED_BEFORE_BARRIER)),
            Property::always(DEBT, never(wrong::DEBT_LOST)),
            Property::always(TWICE, never(wrong::PAID_TWICE)),
            Property::always(OTHERS, never(wrong::OTHERS_STATE)),
            Property::always(HOOKS, never(wrong::HOOKS_UNBALANCED)),
            Property::always(EXIT, never(wrong::EXIT_WITHOUT_PAYING)),
            Property::always(LAZY, never(wrong::MODE_LOST)),
            Property::always(STOPS, never(wrong::STOPPED)),
            Property::always(SILENT, never(wrong::MISUSE)),
            Property::sometimes(ENDS, |setup: &Setup, w| setup.finished(w)),
        ])
    }
}

fn setup(policy: Policy, programs: [&'static [Op]; 2], handler: &'static [Op]) -> Setup {
    Setup {
        policy,
        chosen: false,
        programs,
        handler,
        cores: 2,
        interrupts: 1,
        mutant: Mutant::None,
        coverage: Arc::new(Coverage::default()),
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Visits every state. Returns the properties that do not hold, each with its shortest schedule.
fn explore(setup: &Setup, name: &str) -> Vec<(&'static str, String)> {
    let checker = setup
        .clone()
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    assert!(checker.is_done());
    println!(
        "interleave {name:32} {:>9} states {:>10} transitions, depth {:>3}, {} spurious faults retried",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        setup.coverage.spurious.load(Ordering::Relaxed),
    );
    let mut failed = Vec::new();
    for (property, path) in checker.discoveries() {
        if property != ENDS {
            failed.push((property, schedule(setup, path.into_actions())));
        }
    }
    assert!(
        checker.discovery(ENDS).is_some() || !failed.is_empty(),
        "{name}: no schedule gets to the end"
    );
    failed
}

/// A schedule, one line for each stretch in which one core runs one operation.
fn schedule(setup: &Setup, actions: Vec<Action>) -> String {
    let mut world = setup.start();
    let mut text = String::new();
    for action in actions {
        let line = setup.describe(&world, action);
        if !text.ends_with(&line) {
            text.push_str(&line);
        }
        world = setup.next(&world, action);
    }
    text
}

/// No property fails, and the scheduler was where it should have been.
fn holds(setup: &Setup, name: &str) {
    let failed = explore(setup, name);
    for (property, schedule) in &failed {
        println!("NOT TRUE: {property}\n{schedule}");
    }
    assert!(
        failed.is_empty(),
        "{name}: {} properties fail",
        failed.len()
    );
    let inside = |counters: &[core::sync::atomic::AtomicU64; 6]| {
        core::array::from_fn::<u64, 6, _>(|i| counters[i].load(Ordering::Relaxed))
    };
    let coverage = &setup.coverage;
    let places = Call::ALL.into_iter().map(Op::Call);
    for (i, call) in places.chain([Op::Leave, INVALIDATE]).enumerate() {
        let made = setup.programs.iter().any(|p| p.contains(&call));
        if !made || setup.policy == Policy::Eager {
            continue;
        }
        let counts = [
            inside(&coverage.interrupts)[i],
            inside(&coverage.preemptions)[i],
            inside(&coverage.migrations)[i],
        ];
        println!(
            "  inside {:21} {:>8} interrupts {:>8} preemptions {:>8} migrations",
            call.to_string(),
            counts[0],
            counts[1],
            counts[2]
        );
        assert!(!counts.contains(&0), "{name}: {call} was not disturbed");
    }
}

/// The property fails, and its shortest schedule is shown: stateright reports some schedule, so it is run
/// for ever longer ones.
fn refuted(setup: Setup, property: &'static str, name: &str) {
    const DEEPEST: usize = 60;
    let shortest = (1..DEEPEST).find_map(|depth| {
        setup
            .clone()
            .checker()
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .target_max_depth(depth)
            .threads(threads())
            .spawn_bfs()
            .join()
            .discovery(property)
    });
    let path = shortest.unwrap_or_else(|| panic!("{name} was not refuted"));
    println!(
        "refuted {name}: not true that {property}\n{}",
        schedule(&setup, path.into_actions())
    );
}

/// `holds` for every program that a policy allows, against a plain section on the other task.
fn policy_holds(policy: Policy, programs: &[&'static [Op]], handler: &'static [Op]) {
    for (i, &program) in programs.iter().enumerate() {
        holds(
            &setup(policy, [program, PLAIN], handler),
            &format!("{policy} program {i}"),
        );
    }
}

#[test]
fn v3_holds() {
    policy_holds(Policy::V3, &[NESTED, PAUSED], STORES);
}

#[test]
fn linux7_holds_with_sections_in_handlers() {
    policy_holds(Policy::Linux7, &[NESTED, PAUSED, NESTED_IN_PAUSE], SECTION);
}

#[test]
fn handlers_interrupted_in_turn_hold() {
    for policy in [Policy::V3, Policy::Linux7] {
        let setup = setup(policy, [SHORT_PAUSED, PLAIN], NESTED_HANDLER);
        holds(&setup, &format!("{policy}, nested interrupts"));
    }
}

#[test]
fn two_tasks_that_nest_and_pause_hold() {
    for policy in [Policy::V3, Policy::Linux7] {
        let setup = setup(policy, [SHORT_NESTED, SHORT_PAUSED], STORES);
        holds(&setup, &format!("{policy}, nesting and pausing"));
    }
}

#[test]
fn baselines_hold() {
    policy_holds(Policy::Eager, &[NESTED, PAUSED], SECTION);
    policy_holds(Policy::Flat, &[NESTED, PAUSED], SECTION);
    let reenter = [PAUSED, REENTRY, REENTRY_IN_PAUSE];
    policy_holds(Policy::Reenter, &reenter, SECTION);
}

/// Under every policy: a migration between the flag's clear and the DSB, between DSB and ISB, and behind both.
#[test]
fn what_an_invalidation_settles_is_neither_lost_nor_paid_twice() {
    for policy in Policy::ALL {
        policy_holds(policy, &[SETTLED, SETTLED_INSIDE], INVALIDATES);
    }
    let chosen = Setup {
        chosen: true,
        ..setup(Policy::V3, [SETTLED, PLAIN], INVALIDATES)
    };
    holds(&chosen, "v3, chosen, settled");
}

#[test]
fn a_flag_that_is_taken_behind_the_barriers_is_refuted() {
    let rest = setup(Policy::V3, [SETTLED, PLAIN], STORES);
    mutant_is_refuted("settled late", Mutant::SettledLate, rest, &[DEBT]);
}

#[test]
fn a_flag_that_is_taken_in_a_handler_is_refuted() {
    let rest = setup(Policy::V3, [PLAIN, PLAIN], INVALIDATES);
    let name = "settled in a handler";
    mutant_is_refuted(name, Mutant::SettledInHandler, rest, &[DEBT]);
}

#[test]
fn a_flag_that_is_another_tasks_is_refuted() {
    let rest = setup(Policy::V3, [SETTLED, PLAIN], STORES);
    let name = "settled for others";
    mutant_is_refuted(name, Mutant::SettledForOthers, rest, &[DEBT]);
}

/// The type that chooses, under each contract and where a policy is more than its four calls.
#[test]
fn chosen_policies_hold() {
    let chosen = [
        (Policy::V3, SHORT_PAUSED, STORES),
        (Policy::Linux7, NESTED_IN_PAUSE, SECTION),
        (Policy::Reenter, REENTRY, SECTION),
        (Policy::Flat, SHORT_NESTED, SECTION),
        (Policy::Eager, SHORT_NESTED, SECTION),
    ];
    for (policy, program, handler) in chosen {
        let setup = Setup {
            chosen: true,
            ..setup(policy, [program, PLAIN], handler)
        };
        holds(&setup, &format!("{policy}, chosen"));
    }
}

/// What the exclusive contract itself lets happen: a handler's section between `enabled = true` and the
/// increment switches the task's mode off. No debt is lost by it.
#[test]
fn v3_with_sections_in_handlers_loses_the_mode_but_no_debt() {
    let setup = setup(Policy::V3, [NESTED, PLAIN], SECTION);
    let failed = explore(&setup, "v3, sections in handlers");
    let mut properties: Vec<_> = failed.iter().map(|f| f.0).collect();
    properties.sort_unstable();
    let mut expected = Vec::from([HOOKS, LAZY]);
    if cfg!(feature = "warnings") {
        expected.push(SILENT);
    }
    expected.sort_unstable();
    assert_eq!(properties, expected);
    refuted(setup, LAZY, "a finding about the exclusive contract");
}

/// The mutant under each contract, refuted by each of the properties.
fn mutant_is_refuted(name: &str, mutant: Mutant, mut rest: Setup, properties: &[&'static str]) {
    for policy in [Policy::V3, Policy::Linux7] {
        (rest.policy, rest.mutant) = (policy, mutant);
        for property in properties {
            refuted(rest.clone(), property, &format!("{name} under {policy}"));
        }
    }
}

#[test]
fn an_inner_exit_that_does_nothing_is_refuted() {
    let rest = setup(Policy::V3, [NESTED, PLAIN], STORES);
    mutant_is_refuted("H3", Mutant::InnerExitNoOp, rest, &[USED, EXIT]);
}

/// On one core and without a nested section anywhere: preemption is all it takes.
#[test]
fn a_second_enter_that_is_ignored_is_refuted() {
    let rest = Setup {
        cores: 1,
        ..setup(Policy::V3, [PLAIN, PLAIN], STORES)
    };
    mutant_is_refuted("H19", Mutant::SecondEnterIgnored, rest, &[USED]);
}

#[test]
fn state_per_core_is_refuted() {
    let rest = setup(Policy::V3, [PLAIN, PLAIN], STORES);
    mutant_is_refuted("H7", Mutant::StatePerCore, rest, &[USED]);
}

#[test]
fn a_switch_without_its_dsb_is_refuted() {
    let rest = setup(Policy::V3, [PLAIN, PLAIN], STORES);
    let name = "H7 (no dsb ish at the switch)";
    mutant_is_refuted(name, Mutant::SwitchWithoutDsb, rest, &[USED]);
}

#[test]
fn a_switch_hook_that_works_on_current_is_refuted() {
    let rest = setup(Policy::V3, [PLAIN, PLAIN], STORES);
    mutant_is_refuted(
        "H6",
        Mutant::SwitchHookOnCurrent,
        rest,
        &[OTHERS, STOPS, LAZY],
    );
}
