//! Every state, every call, an interrupt at every step inside it: the crate does what [`tables`] say.
//!
//! Crate and tables are cut into steps differently, on purpose: the one at each access to a slot and each
//! call of the `Cpu`, the other at each effect of a table. For an act, a state and a handler, the *set* of
//! outcomes over all moments of the interrupt must be the same: the crate does nothing the tables do not
//! allow, and every moment the tables know exists in the crate.

use super::{Act, Event, Log, Seen, tables};
use crate::baseline::{Eager, Flat, Reenter};
use crate::contract::rules::Rules;
use crate::{Call, Chosen, Contract, Cpu, Hook, Linux7, Misuse, Policy, Slot, TaskMmu, V3};
use core::cell::Cell;
use core::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;
use std::{println, thread};

const ACTS: [Act; 6] = [
    Act::Call(Call::Enable),
    Act::Call(Call::Disable),
    Act::Call(Call::Pause),
    Act::Call(Call::Resume),
    Act::Store,
    Act::Invalidate,
];

/// What else is done under [`Policy::Reenter`]: an allocator's section, one that leaks, and one that leaves the
/// task paused or takes an exit too many.
const REENTER_ACTS: [Act; 5] = [
    Act::Reenter(&[
        Act::Call(Call::Enable),
        Act::Store,
        Act::Call(Call::Disable),
    ]),
    Act::Reenter(&[Act::Call(Call::Enable), Act::Store]),
    Act::Reenter(&[
        Act::Call(Call::Enable),
        Act::Store,
        Act::Invalidate,
        Act::Call(Call::Disable),
    ]),
    Act::Reenter(&[Act::Call(Call::Enable), Act::Call(Call::Pause), Act::Store]),
    Act::Reenter(&[Act::Call(Call::Disable)]),
];

/// What an interrupt handler does: any one act, and the two balanced stretches.
const HANDLERS: [&[Act]; 8] = [
    &[Act::Call(Call::Enable)],
    &[Act::Call(Call::Disable)],
    &[Act::Call(Call::Pause)],
    &[Act::Call(Call::Resume)],
    &[Act::Store],
    &[Act::Store, Act::Invalidate],
    &[
        Act::Call(Call::Enable),
        Act::Store,
        Act::Call(Call::Disable),
    ],
    &[Act::Call(Call::Pause), Act::Store, Act::Call(Call::Resume)],
];

/// A contract under test, and how its tasks get it: a type of one contract by itself, the type that chooses with
/// the policy in a slot of the world.
trait Tested: Sync {
    type Of<'w>: Contract;

    fn policy(&self) -> Policy;

    fn of<'w>(&self, slot: Probe<'w>) -> Self::Of<'w>;
}

impl<K: Contract + Copy + Sync + 'static> Tested for K {
    type Of<'w> = K;

    fn policy(&self) -> Policy {
        Rules::policy(self)
    }

    fn of<'w>(&self, _: Probe<'w>) -> K {
        *self
    }
}

/// [`Chosen`] with this policy.
struct Choosing(Policy);

impl Tested for Choosing {
    type Of<'w> = Chosen<Probe<'w>>;

    fn policy(&self) -> Policy {
        self.0
    }

    fn of<'w>(&self, slot: Probe<'w>) -> Chosen<Probe<'w>> {
        Chosen::over(slot)
    }
}

/// One act of the crate under test, with the bytes of its task and an interrupt at one step.
struct World<'a, T> {
    tested: &'a T,
    /// The fifth is the policy, where it is chosen.
    bytes: [Cell<u8>; 5],
    steps: Cell<u32>,
    interrupt_at: u32,
    handler: &'a [Act],
    in_handler: Cell<bool>,
    log: Cell<Log>,
}

/// A slot of the world: each access is a step.
struct Probe<'w>(&'w dyn Steps, usize);

/// What a slot needs of its world.
trait Steps {
    fn step(&self);
    fn byte(&self, i: usize) -> &Cell<u8>;
}

impl<T: Tested> Steps for World<'_, T> {
    fn step(&self) {
        World::step(self);
    }

    fn byte(&self, i: usize) -> &Cell<u8> {
        &self.bytes[i]
    }
}

impl Slot for Probe<'_> {
    fn new(_: u8) -> Self {
        unreachable!("a probe looks at a world that exists")
    }

    fn get(&self) -> u8 {
        self.0.step();
        self.0.byte(self.1).get()
    }

    fn set(&self, v: u8) {
        self.0.step();
        self.0.byte(self.1).set(v);
    }
}

impl<T: Tested> Cpu for World<'_, T> {
    fn publish(&self) {
        self.event(Event::Publish);
    }

    fn misuse(&self, misuse: Misuse) {
        self.event(Event::Misuse(misuse));
    }

    fn hook(&self, hook: Hook) {
        self.event(Event::Hook(hook));
    }
}

impl<T: Tested> World<'_, T> {
    fn task(&self) -> ManuallyDrop<TaskMmu<T::Of<'_>, &Self, Probe<'_>>> {
        let contract = self.tested.of(Probe(self, 4));
        TaskMmu::over(contract, self, core::array::from_fn(|i| Probe(self, i)))
    }

    fn act(&self, act: Act) {
        self.step();
        match act {
            Act::Call(call) => self.task().call(call),
            Act::Store => self.task().owe(),
            Act::Invalidate => self.task().settled_by(|| self.event(Event::Invalidate)),
            Act::Reenter(acts) => self
                .task()
                .reenter(|| acts.iter().for_each(|&act| self.act(act))),
        }
        self.step();
    }

    fn step(&self) {
        if self.in_handler.get() {
            return;
        }
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() == self.interrupt_at {
            self.in_handler.set(true);
            self.task().irq_enter();
            self.handler.iter().for_each(|&act| self.act(act));
            self.task().irq_exit();
            self.in_handler.set(false);
        }
    }

    fn event(&self, event: Event) {
        self.step();
        self.push(event);
    }

    fn push(&self, event: Event) {
        let mut log = self.log.get();
        log.push(self.in_handler.get(), event, self.seen());
        self.log.set(log);
    }

    /// Through the public questions, without steps of their own.
    fn seen(&self) -> Seen {
        let was = self.in_handler.replace(true);
        let state = self.task().state();
        self.in_handler.set(was);
        Seen {
            in_lazy_mmu_mode: state.enabled,
            count: state.count,
            pause_count: state.pause_count,
            pending: state.pending,
            irqs: self.bytes[0].get() / 2,
        }
    }
}

/// How a state of the tables is kept in the bytes. Linux 7's flag follows from its counts: that it always
/// does is one of the things checked.
fn bytes(task: &tables::Task) -> [Cell<u8>; 5] {
    let flag = match task.policy {
        Policy::Linux7 => task.count > 0 && task.pause_count == 0,
        _ => task.enabled,
    };
    [
        Cell::new(task.irqs * 2 + u8::from(flag)),
        Cell::new(task.count),
        Cell::new(task.pause_count),
        Cell::new(u8::from(task.pending)),
        Cell::new(task.policy.to_byte()),
    ]
}

type Outcome = (Log, Seen);

fn crate_run(
    tested: &impl Tested,
    task: &tables::Task,
    act: Act,
    at: u32,
    handler: &[Act],
) -> (Outcome, u32) {
    let world = World {
        tested,
        bytes: bytes(task),
        steps: Cell::new(0),
        interrupt_at: at,
        handler,
        in_handler: Cell::new(false),
        log: Cell::new(Log::EMPTY),
    };
    world.act(act);
    let flag = world.bytes[0].get() & 1 != 0;
    if task.policy == Policy::Linux7 {
        let follows = world.bytes[1].get() > 0 && world.bytes[2].get() == 0;
        assert_eq!(flag, follows, "{task:?} {act:?}: flag and counts part");
    }
    ((world.log.get(), world.seen()), world.steps.get())
}

fn table_run(task: &tables::Task, act: Act, at: u32, handler: &[Act]) -> (Outcome, u32) {
    let mut run = tables::Run::new(*task, at, handler);
    run.act(act);
    ((run.log, run.task.seen()), run.points)
}

/// All outcomes over all moments; `steps` comes from a run without an interrupt.
fn outcomes(steps: u32, run: impl Fn(u32) -> Outcome) -> Vec<Outcome> {
    let mut all = Vec::with_capacity(8);
    for at in 1..=steps {
        let outcome = run(at);
        // Neighbours are equal more often than not.
        if all.last() != Some(&outcome) && !all.contains(&outcome) {
            all.push(outcome);
        }
    }
    all
}

#[derive(Default)]
struct Visited {
    states: AtomicU64,
    /// Acts run to their end: alone, and with an interrupt at one step.
    transitions: AtomicU64,
    interrupted: AtomicU64,
}

/// One state: every act alone, then with every handler at every step.
fn check(tested: &impl Tested, task: &tables::Task, visited: &Visited) {
    let (mut transitions, mut interrupted) = (0, 0);
    let more: &[Act] = match task.policy {
        Policy::Reenter => &REENTER_ACTS,
        _ => &[],
    };
    for &act in ACTS.iter().chain(more) {
        let (ours, steps) = crate_run(tested, task, act, 0, &[]);
        let (theirs, points) = table_run(task, act, 0, &[]);
        assert_eq!(ours, theirs, "{task:?} {act:?}");
        transitions += 1;
        // The byte of a task counts 127 interrupts; one more is a panic, as documented.
        if task.irqs == 127 {
            continue;
        }
        for handler in HANDLERS {
            let ours = outcomes(steps, |at| crate_run(tested, task, act, at, handler).0);
            let theirs = outcomes(points, |at| table_run(task, act, at, handler).0);
            interrupted += u64::from(steps);
            for outcome in &ours {
                assert!(
                    theirs.contains(outcome),
                    "{task:?} {act:?} under {handler:?}: the tables do not allow {outcome:?}"
                );
            }
            for outcome in &theirs {
                assert!(
                    ours.contains(outcome),
                    "{task:?} {act:?} under {handler:?}: the crate never does {outcome:?}"
                );
            }
        }
    }
    visited.states.fetch_add(1, Ordering::Relaxed);
    visited
        .transitions
        .fetch_add(transitions + interrupted, Ordering::Relaxed);
    visited
        .interrupted
        .fetch_add(interrupted, Ordering::Relaxed);
}

/// Calls `check` for every state of the product, the counts split over the processors there are.
fn check_all(tested: &impl Tested, counts: u16, pauses: u16, flags: &[bool], irqs: u8) -> Visited {
    let policy = tested.policy();
    let visited = Visited::default();
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let count = next.fetch_add(1, Ordering::Relaxed);
            if count >= u64::from(counts) {
                return;
            }
            for pause in 0..pauses {
                for (&enabled, pending, irqs) in flags.iter().flat_map(|enabled| {
                    [false, true].into_iter().flat_map(move |pending| {
                        (0..irqs).map(move |irqs| (enabled, pending, irqs))
                    })
                }) {
                    let task = tables::Task {
                        policy,
                        count: u8::try_from(count).unwrap(),
                        pause_count: u8::try_from(pause).unwrap(),
                        enabled,
                        pending,
                        irqs,
                    };
                    check(tested, &task, &visited);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!(
        "exhaustive {policy:8}{:>8} states {:>11} transitions, of which {:>11} with an interrupt inside",
        visited.states.load(Ordering::Relaxed),
        visited.transitions.load(Ordering::Relaxed),
        visited.interrupted.load(Ordering::Relaxed),
    );
    visited
}

/// 256 counts × 2 flags × 128 depths of interrupt = 2^16, each with and without a debt.
#[test]
fn v3_does_what_its_table_says() {
    let visited = check_all(&V3, 256, 1, &[false, true], 128);
    assert_eq!(visited.states.load(Ordering::Relaxed), 1 << 17);
}

/// 256 counts × 256 pause counts = 2^16, each with and without a debt, in and outside of an interrupt.
#[test]
fn linux7_does_what_its_table_says() {
    let visited = check_all(&Linux7, 256, 256, &[false], 2);
    assert_eq!(visited.states.load(Ordering::Relaxed), 1 << 18);
}

#[test]
fn baselines_do_what_their_table_says() {
    check_all(&Eager, 256, 1, &[false], 3);
    check_all(&Flat, 256, 1, &[false, true], 3);
    check_all(&Reenter, 256, 3, &[false, true], 3);
}

/// The same code, behind a choice that is one more step: all counts, few depths of interrupt and of pauses.
#[test]
fn a_chosen_policy_does_what_its_table_says() {
    check_all(&Choosing(Policy::Eager), 256, 1, &[false], 3);
    check_all(&Choosing(Policy::Flat), 256, 1, &[false, true], 3);
    check_all(&Choosing(Policy::Reenter), 256, 2, &[false, true], 2);
    check_all(&Choosing(Policy::V3), 256, 1, &[false, true], 3);
    check_all(&Choosing(Policy::Linux7), 256, 3, &[false], 2);
}
