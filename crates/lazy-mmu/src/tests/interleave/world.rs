//! Two tasks, two cores, a scheduler that may do anything at any step, and page-table walkers that see a
//! store when they must and not before.

use super::replay::{self, Bytes, Effect, Frame, Replay, Tested};
use crate::baseline::reenter::{self, Left, Reenter};
use crate::baseline::{Eager, Flat};
use crate::{Call, Chosen, Contract, Hook, Linux7, Policy, Slot, V3};
use core::fmt;
use std::format;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

/// A line of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Call(Call),
    /// Write an entry, then owe.
    Store(u8),
    /// Access through the mapping.
    Use(u8),
    /// The two halves of a re-entry: the mode is left before an allocator's own sections, and entered after.
    Leave,
    Back,
    /// An invalidation, which settles what is pending. Behind its last DSB a page-fault handler writes that entry, and owes:
    /// it is the task's own code, and no interrupt.
    Invalidate(Option<u8>),
    IrqEnter,
    IrqExit,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Call(call) => write!(f, "{call}"),
            Op::Store(entry) => write!(f, "store {entry}, owe"),
            Op::Use(entry) => write!(f, "use {entry}"),
            Op::Leave => f.write_str("reenter begins"),
            Op::Back => f.write_str("reenter ends"),
            Op::Invalidate(None) => f.write_str("invalidate"),
            Op::Invalidate(Some(entry)) => {
                write!(f, "invalidate, in it a fault: store {entry}, owe")
            }
            Op::IrqEnter => f.write_str("irq_enter"),
            Op::IrqExit => f.write_str("irq_exit"),
        }
    }
}

/// Policies that are known to be wrong, and one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutant {
    None,
    /// H3: an inner disable counts and does nothing else.
    InnerExitNoOp,
    /// H19: the mode is one flag for whoever runs on the core. Who enters while it is on is ignored, and so
    /// is the exit that belongs to it.
    SecondEnterIgnored,
    /// H7: the crate's state, but one for each core.
    StatePerCore,
    /// H7, the machine's half: the context switch leaves out its `dsb ish`.
    SwitchWithoutDsb,
    /// H6: the hook of a switch that ends the preempted task's interrupt works on "current", which is the
    /// other task by then.
    SwitchHookOnCurrent,
    /// An invalidation takes the pending flag behind its barriers and not before.
    SettledLate,
    /// A handler's invalidation takes the flag of the task beneath it.
    SettledInHandler,
    /// An invalidation takes the flag of the other task, too.
    SettledForOthers,
}

/// What has gone wrong, as bits.
pub(super) mod wrong {
    pub(crate) const USED_BEFORE_BARRIER: u16 = 1 << 0;
    pub(crate) const DEBT_LOST: u16 = 1 << 1;
    pub(crate) const PAID_TWICE: u16 = 1 << 2;
    pub(crate) const OTHERS_STATE: u16 = 1 << 3;
    pub(crate) const HOOKS_UNBALANCED: u16 = 1 << 4;
    pub(crate) const EXIT_WITHOUT_PAYING: u16 = 1 << 5;
    pub(crate) const MODE_LOST: u16 = 1 << 6;
    pub(crate) const MISUSE: u16 = 1 << 7;
    /// An interrupt's end on a task that was not interrupted.
    pub(crate) const STOPPED: u16 = 1 << 8;
}

/// An entry of a page table and who can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) enum Seen {
    #[default]
    Never,
    /// In the store buffer of that core.
    StoredOn(u8),
    /// A DSB has put it where walkers look, but no core has yet discarded what it had speculated.
    ByWalkers,
    /// These cores (as bits) can use it.
    OnCores(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Entry {
    pub seen: Seen,
    /// Stored, and its owner has not executed a whole pair since. Stricter than `seen`: a debt that somebody
    /// else happened to pay is still one.
    pub owed: bool,
    /// The first half of one: its owner's DSB has come behind it.
    pub waited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub bytes: Bytes,
    /// The core it runs on.
    pub on: Option<u8>,
    pub last_on: u8,
    pub main: Frame,
    pub irq: Option<Frame>,
    /// What the program has called so far, for the question whether the mode is as lazy as it should be.
    depth: u8,
    pauses: u8,
    /// What a re-entry under way has left, in the crate and in the program.
    left: Option<(Left, u8, u8)>,
    hooks_on: bool,
    pairs_in_op: u8,
    ignored: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub tasks: [Task; 2],
    /// Entries 0–2 of each task's program; 3 of its interrupt handlers.
    pub entries: [[Entry; 4]; 2],
    /// Only where a mutant keeps state there.
    pub cores: [Bytes; 2],
    pub interrupts_left: u8,
    pub wrong: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Step {
        core: u8,
    },
    Interrupt {
        core: u8,
    },
    /// The core changes to that task, or to idling. A task that loses it is preempted.
    Switch {
        core: u8,
        to: Option<u8>,
    },
}

/// How often something happened *inside* a call, by call, then the halves of a re-entry, and an invalidation.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    pub interrupts: [AtomicU64; 6],
    pub preemptions: [AtomicU64; 6],
    pub migrations: [AtomicU64; 6],
    /// A mapping, duly paid, was used on a core that had not discarded its speculation: a spurious fault
    /// that is retried (H14).
    pub spurious: AtomicU64,
}

/// What is checked.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub policy: Policy,
    /// The type that chooses, in the place of the policy's own.
    pub chosen: bool,
    pub programs: [&'static [Op]; 2],
    pub handler: &'static [Op],
    pub cores: u8,
    pub interrupts: u8,
    pub mutant: Mutant,
    pub coverage: Arc<Coverage>,
}

const ENABLED: u8 = 1;
const HANDLERS_ENTRY: usize = 3;

impl Setup {
    pub(super) fn start(&self) -> World {
        let task = Task {
            bytes: [0; 4],
            on: None,
            last_on: 0,
            main: Frame::default(),
            irq: None,
            depth: 0,
            pauses: 0,
            left: None,
            hooks_on: false,
            pairs_in_op: 0,
            ignored: 0,
        };
        World {
            tasks: [task; 2],
            entries: Default::default(),
            cores: [[0; 4]; 2],
            interrupts_left: self.interrupts,
            wrong: 0,
        }
    }

    fn shared(&self) -> bool {
        matches!(
            self.mutant,
            Mutant::StatePerCore | Mutant::SecondEnterIgnored
        )
    }

    fn program(&self, world: &World, task: usize) -> (&'static [Op], Frame) {
        match world.tasks[task].irq {
            Some(frame) => (self.handler, frame),
            None => (self.programs[task], world.tasks[task].main),
        }
    }

    fn op(&self, world: &World, task: usize) -> Option<Op> {
        let (program, frame) = self.program(world, task);
        program.get(usize::from(frame.op)).copied()
    }

    pub(super) fn finished(&self, world: &World) -> bool {
        (0..2).all(|task| self.op(world, task).is_none())
    }

    pub(super) fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for core in 0..self.cores {
            let running = (0..2).find(|&t| world.tasks[t].on == Some(core));
            if let Some(task) = running {
                if self.op(world, task).is_some() {
                    actions.push(Action::Step { core });
                }
                if world.tasks[task].irq.is_some() {
                    continue;
                }
                if world.interrupts_left > 0 && self.op(world, task).is_some() {
                    actions.push(Action::Interrupt { core });
                }
                actions.push(Action::Switch { core, to: None });
            }
            for to in 0..2u8 {
                let ready = &world.tasks[usize::from(to)];
                if ready.on.is_none() && self.op(world, usize::from(to)).is_some() {
                    actions.push(Action::Switch { core, to: Some(to) });
                }
            }
        }
    }

    pub(super) fn next(&self, last: &World, action: Action) -> World {
        let mut world = *last;
        match action {
            Action::Step { core } => self.step(&mut world, core),
            Action::Interrupt { core } => {
                let task = world.running(core).expect("only a running task");
                self.cover(&self.coverage.interrupts, &world, task);
                world.interrupts_left -= 1;
                world.tasks[task].irq = Some(Frame::default());
            }
            Action::Switch { core, to } => self.switch(&mut world, core, to),
        }
        world
    }

    /// Counts, if the task is inside one of the four calls: some step made, some to come.
    fn cover(&self, counters: &[AtomicU64; 6], world: &World, task: usize) {
        let frame = world.tasks[task].main;
        let i = match self.programs[task].get(usize::from(frame.op)) {
            Some(Op::Call(call)) => Call::ALL.iter().position(|c| c == call),
            Some(Op::Leave | Op::Back) => Some(4),
            Some(Op::Invalidate(_)) => Some(5),
            _ => None,
        };
        if let Some(i) = i.filter(|_| frame.step > 0) {
            counters[i].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A timer interrupt that ends in a switch: it begins on the task that loses the core, and its end
    /// belongs to that task, whoever is current by then.
    fn switch(&self, world: &mut World, core: u8, to: Option<u8>) {
        // The same under every contract.
        let irq = |bytes: &mut Bytes, run: fn(&Tested<'_, V3>)| {
            let mut frame = Frame::default();
            while !replay::step(&mut frame, bytes, V3, |task, _| run(task)).1 {}
        };
        let given = world.running(core);
        if let Some(given) = given {
            self.cover(&self.coverage.preemptions, world, given);
            irq(&mut world.tasks[given].bytes, |task| task.irq_enter());
            world.tasks[given].on = None;
            if self.mutant != Mutant::SwitchWithoutDsb {
                world.dsb(core);
            }
        }
        if let Some(to) = to.map(usize::from) {
            if world.tasks[to].last_on != core {
                self.cover(&self.coverage.migrations, world, to);
            }
            world.tasks[to].on = Some(core);
            world.tasks[to].last_on = core;
        }
        let current = world.running(core);
        let hooked = match self.mutant {
            Mutant::SwitchHookOnCurrent => given.and(current),
            _ => given,
        };
        let before = world.tasks;
        // On a task that no handler is on top of the crate stops the kernel, "irq_exit without irq_enter", and
        // has touched nothing.
        if let Some(task) = hooked
            && world.tasks[task].bytes[0] > ENABLED
        {
            irq(&mut world.tasks[task].bytes, |task| task.irq_exit());
        } else if hooked.is_some() {
            world.wrong |= wrong::STOPPED;
        }
        if (0..2).any(|t| Some(t) != given && world.tasks[t].bytes != before[t].bytes) {
            world.wrong |= wrong::OTHERS_STATE;
        }
    }

    /// A line of a schedule. The steps of one operation, made without a break, are the same line.
    pub(super) fn describe(&self, world: &World, action: Action) -> String {
        let name = |task: usize| ["A", "B"][task];
        let place = |task: usize| {
            let (_, frame) = self.program(world, task);
            match self.op(world, task) {
                Some(op) if frame.step > 0 => format!(" in {op}, {} steps in", frame.step),
                _ => String::new(),
            }
        };
        match action {
            Action::Step { core } => {
                let task = world.running(core).expect("a task runs");
                let who = match world.tasks[task].irq {
                    Some(_) => "an interrupt on ",
                    None => "",
                };
                let op = self.op(world, task).expect("an operation");
                format!("  core {core}: {who}{}: {op}\n", name(task))
            }
            Action::Interrupt { core } => {
                let task = world.running(core).expect("a task runs");
                format!(
                    "  core {core}: {} is interrupted{}\n",
                    name(task),
                    place(task)
                )
            }
            Action::Switch { core, to } => {
                let out = world.running(core).map_or_else(String::new, |task| {
                    format!(" preempts {}{}", name(task), place(task))
                });
                let to = to.map(usize::from).map_or_else(
                    || String::from("idles"),
                    |task| format!("runs {}{}", name(task), place(task)),
                );
                format!(
                    "  core {core}:{out}{}{to}\n",
                    if out.is_empty() { " " } else { ", " }
                )
            }
        }
    }

    fn step(&self, world: &mut World, core: u8) {
        let task = world.running(core).expect("only a running task");
        let op = self.op(world, task).expect("only an unfinished program");
        let (_, mut frame) = self.program(world, task);
        let in_handler = world.tasks[task].irq.is_some();
        let before = *world;
        let bytes = match self.shared() {
            true => &mut world.cores[usize::from(core)],
            false => &mut world.tasks[task].bytes,
        };
        let ignored = before.tasks[task].ignored > 0;
        let mut left = before.tasks[task].left.map(|left| left.0);
        let at = (&mut frame, bytes, &mut left);
        let (effect, over) = match (self.chosen, self.policy) {
            (true, policy) => self.step_of(Chosen::new(policy), op, ignored, at),
            (false, Policy::Eager) => self.step_of(Eager, op, ignored, at),
            (false, Policy::Flat) => self.step_of(Flat, op, ignored, at),
            (false, Policy::Reenter) => self.step_of(Reenter, op, ignored, at),
            (false, Policy::V3) => self.step_of(V3, op, ignored, at),
            (false, Policy::Linux7) => self.step_of(Linux7, op, ignored, at),
        };
        if over && op == Op::Leave {
            let own = &mut world.tasks[task];
            own.left = left.map(|left| (left, own.depth, own.pauses));
            if own.left.is_some() {
                (own.depth, own.pauses) = (0, 0);
            }
        }
        match in_handler {
            true => world.tasks[task].irq = Some(frame),
            false => world.tasks[task].main = frame,
        }
        if let Some(effect) = effect {
            self.effect(world, task, core, op, effect);
        }
        if over {
            if self.mutant == Mutant::SettledForOthers && matches!(op, Op::Invalidate(_)) {
                world.tasks[1 - task].bytes[3] = 0;
            }
            self.op_over(world, task, core, op);
        }
    }

    fn step_of(
        &self,
        contract: impl Contract,
        op: Op,
        ignored: bool,
        (frame, bytes, left): (&mut Frame, &mut Bytes, &mut Option<Left>),
    ) -> (Option<Effect>, bool) {
        replay::step(frame, bytes, contract, |mmu, cpu| match op {
            // Whatever it answers before its last step, that one is given all that was read.
            Op::Leave => *left = reenter::leave(mmu.mode()),
            Op::Back => left
                .iter()
                .for_each(|left| reenter::back(mmu.mode(), *left)),
            _ => self.run(op, ignored, mmu, cpu),
        })
    }

    /// An operation: the crate's code, except where a mutant has its own.
    fn run(&self, op: Op, ignored: bool, mmu: &Tested<'_, impl Contract>, cpu: &Replay) {
        match (op, self.mutant) {
            (Op::Call(Call::Disable), Mutant::InnerExitNoOp) => {
                let count = mmu.mode().count();
                match count {
                    0 | 1 => mmu.lazy_mmu_mode_disable(),
                    _ => mmu.mode().set_count(count - 1),
                }
            }
            (Op::Call(Call::Enable), Mutant::SecondEnterIgnored) => match mmu.mode().enabled() {
                true => cpu.effect(Effect::Ignore),
                false => mmu.lazy_mmu_mode_enable(),
            },
            (Op::Call(Call::Disable), Mutant::SecondEnterIgnored) => match ignored {
                true => cpu.effect(Effect::Unignore),
                false => mmu.lazy_mmu_mode_disable(),
            },
            (Op::Call(call), _) => mmu.call(call),
            (Op::Store(entry), _) => {
                cpu.effect(Effect::Store(entry));
                mmu.owe();
            }
            (Op::Use(entry), _) => cpu.effect(Effect::Use(entry)),
            (Op::Leave | Op::Back, _) => unreachable!("not an operation of a handler or mutant"),
            (Op::Invalidate(faults), mutant) => {
                let barriers = || {
                    cpu.effect(Effect::Dsb);
                    cpu.effect(Effect::Dsb);
                    if let Some(entry) = faults {
                        cpu.effect(Effect::Store(entry));
                        mmu.owe();
                    }
                    cpu.effect(Effect::Isb);
                };
                match mutant {
                    Mutant::SettledLate => {
                        barriers();
                        mmu.settled_by(|| ());
                    }
                    Mutant::SettledInHandler if mmu.in_interrupt() => {
                        mmu.mode().pending.set(0);
                        barriers();
                    }
                    _ => mmu.settled_by(barriers),
                }
            }
            (Op::IrqEnter, _) => mmu.irq_enter(),
            (Op::IrqExit, _) => mmu.irq_exit(),
        }
    }

    fn effect(&self, world: &mut World, task: usize, core: u8, op: Op, effect: Effect) {
        let mine = match world.tasks[task].irq {
            Some(_) => HANDLERS_ENTRY..HANDLERS_ENTRY + 1,
            None => 0..HANDLERS_ENTRY,
        };
        match effect {
            Effect::Store(entry) => {
                world.entries[task][usize::from(entry)] = Entry {
                    seen: Seen::StoredOn(core),
                    owed: true,
                    waited: false,
                };
            }
            Effect::Use(entry) => self.used(world, world.entries[task][usize::from(entry)], core),
            Effect::Dsb => {
                world.dsb(core);
                for entry in &mut world.entries[task][mine] {
                    entry.waited = entry.owed;
                }
            }
            Effect::Isb => {
                world.isb(core);
                let pays = world.entries[task][mine.clone()].iter().any(|e| e.waited);
                let own = &mut world.tasks[task];
                own.pairs_in_op += 1;
                // A pair that pays nothing is the second of two that should have been one.
                let idle =
                    matches!(op, Op::Call(_) | Op::Leave | Op::Back) && !pays && !self.shared();
                // Outside of the mode, what stores in the middle of an invalidation pays for itself.
                let twice = own.pairs_in_op > 1 && !matches!(op, Op::Invalidate(_));
                if twice || idle {
                    world.wrong |= wrong::PAID_TWICE;
                }
                for entry in &mut world.entries[task][mine] {
                    entry.owed &= !core::mem::take(&mut entry.waited);
                }
            }
            Effect::Hook(hook) => {
                let own = &mut world.tasks[task];
                let balanced = own.hooks_on == (hook != Hook::Enter);
                own.hooks_on = hook != Hook::Leave;
                // The flat baseline calls its hooks at any depth.
                if !balanced && self.policy != Policy::Flat {
                    world.wrong |= wrong::HOOKS_UNBALANCED;
                }
            }
            Effect::Misuse(_) => world.wrong |= wrong::MISUSE,
            Effect::Ignore => world.tasks[task].ignored += 1,
            Effect::Unignore => world.tasks[task].ignored -= 1,
        }
    }

    fn used(&self, world: &mut World, entry: Entry, core: u8) {
        match entry.seen {
            Seen::OnCores(cores) if cores & 1 << core != 0 => {}
            Seen::OnCores(_) => {
                self.coverage.spurious.fetch_add(1, Ordering::Relaxed);
            }
            Seen::StoredOn(_) | Seen::ByWalkers => world.wrong |= wrong::USED_BEFORE_BARRIER,
            Seen::Never => unreachable!("a program uses what it has stored"),
        }
        // Whoever made it usable, its owner relied on it.
        if entry.owed {
            world.wrong |= wrong::DEBT_LOST;
        }
    }

    /// Between two operations the task's books must be in order.
    fn op_over(&self, world: &mut World, task: usize, core: u8, op: Op) {
        let in_handler = world.tasks[task].irq.is_some();
        let own = &mut world.tasks[task];
        own.pairs_in_op = 0;
        if in_handler {
            if frame_is_over(self.handler, own.irq) {
                own.irq = None;
            }
            return;
        }
        match op {
            Op::Call(Call::Enable) => own.depth += 1,
            Op::Call(Call::Disable) => own.depth -= 1,
            Op::Call(Call::Pause) => own.pauses += 1,
            Op::Call(Call::Resume) => own.pauses -= 1,
            Op::Back => {
                if let Some((_, depth, pauses)) = own.left.take() {
                    (own.depth, own.pauses) = (own.depth + depth, pauses);
                }
            }
            _ => {}
        }
        let [live, count, pause_count, pending] = match self.shared() {
            true => world.cores[usize::from(core)],
            false => own.bytes,
        };
        let own = world.tasks[task];
        let owed = world.entries[task][..HANDLERS_ENTRY].iter().any(|e| e.owed);
        if owed && pending == 0 {
            world.wrong |= wrong::DEBT_LOST;
        }
        let exit = matches!(op, Op::Call(Call::Disable | Call::Pause) | Op::Leave);
        let inner_pays_nothing =
            self.policy == Policy::Reenter && own.depth > 0 && op == Op::Call(Call::Disable);
        if exit && owed && !inner_pays_nothing {
            world.wrong |= wrong::EXIT_WITHOUT_PAYING;
        }
        let nests = !matches!(self.policy, Policy::Eager | Policy::Flat);
        let lazy = own.depth > 0 && own.pauses == 0;
        if nests && lazy != (live == ENABLED) {
            world.wrong |= wrong::MODE_LOST;
        }
        let last = self.op(world, task).is_none();
        if last && (live | count | pause_count | pending != 0 || own.hooks_on) {
            world.wrong |= wrong::HOOKS_UNBALANCED;
        }
    }
}

fn frame_is_over(program: &[Op], frame: Option<Frame>) -> bool {
    frame.is_none_or(|frame| usize::from(frame.op) >= program.len())
}

impl World {
    fn running(&self, core: u8) -> Option<usize> {
        (0..2).find(|&task| self.tasks[task].on == Some(core))
    }

    /// What this core has stored is where walkers look.
    fn dsb(&mut self, core: u8) {
        for entry in self.entries.as_flattened_mut() {
            if entry.seen == Seen::StoredOn(core) {
                entry.seen = Seen::ByWalkers;
            }
        }
    }

    /// This core has discarded what it had speculated.
    fn isb(&mut self, core: u8) {
        for entry in self.entries.as_flattened_mut() {
            match entry.seen {
                Seen::ByWalkers => entry.seen = Seen::OnCores(1 << core),
                Seen::OnCores(cores) => entry.seen = Seen::OnCores(cores | 1 << core),
                Seen::Never | Seen::StoredOn(_) => {}
            }
        }
    }
}
