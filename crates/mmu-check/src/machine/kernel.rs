//! A small kernel on the machine: cores, tasks with their mode, accesses that are judged, and what
//! may come in between.
//!
//! The tables are `stage1-paging`'s and the mode is `lazy-mmu`'s, as they are. One program runs at
//! a time; other cores misbehave by themselves inside of every primitive, and at one chosen
//! primitive something else comes in: an interrupt, a move to another core, or a program of another
//! core.

use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use lazy_mmu::{Call, Chosen, Cpu, Misuse, Policy, TaskMmu};
use stage1_paging::{Features, Half, Space, Va};

use super::adversary::Machine;
use super::bug::{Bug, Site};
use super::chance::Chance;
use super::frames::{FIRST, Frames};
use super::system::Fault;
use crate::checker::Checker;
use crate::event::{AccessKind, Barrier, Event, Expect, What};
use crate::tlbi::{Op, Operand};
use crate::violation::Violation;

/// Cores of the machine. The program runs on 0 and may move to 1; 2 has a program of its own.
pub const CORES: usize = 3;
/// Tasks: the program's, a second one, an idle one per core, and core 2's.
const TASKS: usize = 6;
/// The task that stands for idleness on core 0.
pub(super) const IDLE: usize = 3;
/// The task of core 2.
pub(super) const NEIGHBOUR: usize = 5;

/// An empty root, for a core whose task has no lower half.
pub(super) const RESERVED: u64 = 0x4000_f000;

/// Something wrong that a program has seen: data, a fault, or the lack of one.
pub type Wrong = String;

/// What comes in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intrusion {
    /// An interrupt whose handler maps, uses and unmaps a page.
    Interrupt,
    /// An interrupt that ends with the task on another core.
    Migration,
    /// A program of core 2 that links and uses pages beside the program's, and uses what all share.
    Neighbour,
    /// Core 2 invalidates everything, for reasons of its own: its TLBI comes here, and its DSB five
    /// primitives later.
    Invalidation,
}

/// How a run is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The policy of all tasks.
    pub policy: Policy,
    /// What TLBI can do.
    pub features: Features,
    /// Whether freed frames are unmapped from the linear map, so that the allocator re-enters the
    /// mode.
    pub debug: bool,
    /// What is wrong.
    pub bug: Option<Bug>,
    /// What comes in, and before which primitive.
    pub intrusion: Option<(u64, Intrusion)>,
}

/// Programs that come in between.
#[derive(Clone, Copy)]
pub(super) struct Others {
    /// The interrupt handler.
    pub handler: fn(&Kernel) -> Result<(), Wrong>,
    /// Core 2's.
    pub neighbour: fn(&Kernel) -> Result<(), Wrong>,
}

pub(super) struct Task {
    pub mmu: TaskMmu<Chosen, ThisCpu>,
    /// Injected: the next payment does not happen.
    pub loses: Cell<bool>,
}

/// The kernel.
pub struct Kernel {
    pub(super) machine: Machine,
    pub(super) setup: Setup,
    pub(super) core: Cell<usize>,
    pub(super) current: [Cell<usize>; CORES],
    pub(super) tasks: [Task; TASKS],
    pub(super) frames: Frames,
    pub(super) root: Cell<u64>,
    /// The lower half of the program's task: root and ASID.
    pub(super) lower: Cell<Option<(u64, u16)>>,
    /// Interrupts are masked: inside a lock.
    pub(super) masked: Cell<u32>,
    /// Which core last released the lock around links.
    pub(super) link_lock: Cell<usize>,
    /// The page that faults behind the last DSB of the next invalidation, and the frame that its handler maps there.
    pub(super) faults: Cell<Option<(Va, u64)>>,
    /// What comes in between.
    pub(super) others: Cell<Others>,
    steps: Cell<u64>,
    booted: Cell<bool>,
    checker: RefCell<Checker>,
    trace: RefCell<Vec<Event>>,
    violations: RefCell<Vec<Violation>>,
    wrong: RefCell<Option<Wrong>>,
}

impl Kernel {
    /// A machine whose kernel has not booted.
    pub(super) fn new(setup: Setup, checker: Checker, chance: Chance) -> Rc<Self> {
        let root = FIRST;
        let machine = Machine::new(CORES, root, chance);
        machine.set_still(true);
        let task = |kernel: &Weak<Kernel>| Task {
            mmu: TaskMmu::hosted(Chosen::new(setup.policy), ThisCpu(kernel.clone())),
            loses: Cell::new(false),
        };
        Rc::new_cyclic(|kernel| Kernel {
            machine,
            core: Cell::new(0),
            current: [Cell::new(0), Cell::new(IDLE + 1), Cell::new(NEIGHBOUR)],
            tasks: core::array::from_fn(|_| task(kernel)),
            frames: Frames::new(),
            root: Cell::new(root),
            lower: Cell::new(None),
            masked: Cell::new(0),
            link_lock: Cell::new(0),
            faults: Cell::new(None),
            others: Cell::new(Others {
                handler: |_| Ok(()),
                neighbour: |_| Ok(()),
            }),
            steps: Cell::new(0),
            booted: Cell::new(false),
            checker: RefCell::new(checker),
            trace: RefCell::new(Vec::new()),
            violations: RefCell::new(Vec::new()),
            wrong: RefCell::new(None),
            setup: setup.clone(),
        })
    }

    /// The upper half.
    pub fn space(&self) -> Space<'_, Kernel> {
        Space::new(self, self.table(self.root.get()), Half::Upper)
    }

    /// From here on the machine misbehaves, and intrusions are counted.
    pub(super) fn booted(&self) {
        self.machine.set_still(false);
        self.booted.set(true);
        self.steps.set(0);
    }

    pub(super) fn is(&self, bug: Bug) -> bool {
        self.setup.bug == Some(bug) && self.booted.get()
    }

    pub(super) fn task(&self) -> &Task {
        &self.tasks[self.current[self.core.get()].get()]
    }

    /// How many primitives the program has executed.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// What happened, all of it.
    pub fn trace(&self) -> Vec<Event> {
        self.trace.borrow().clone()
    }

    /// The rules broken.
    pub fn violations(&self) -> Vec<Violation> {
        self.violations.borrow().clone()
    }

    /// What there was to check.
    pub fn coverage(&self) -> crate::coverage::Coverage {
        *self.checker.borrow().coverage()
    }

    /// The first thing that anybody saw go wrong.
    pub fn first_wrong(&self) -> Option<Wrong> {
        if let Some((core, va)) = self.machine.conflict() {
            return Some(format!(
                "core {core} holds two translations of {va:#x}: TLB conflict abort"
            ));
        }
        self.wrong.borrow().clone()
    }

    /// Notes what went wrong where no error can be returned.
    pub(super) fn note(&self, wrong: Wrong) {
        self.wrong.borrow_mut().get_or_insert(wrong);
    }

    /// Reports to the rules.
    pub(super) fn record(&self, what: What) {
        let mut trace = self.trace.borrow_mut();
        let event = Event {
            sequence: trace.len() as u32,
            time: 0,
            core: self.core.get() as u8,
            task: self.current[self.core.get()].get() as u16,
            what,
        };
        trace.push(event);
        if let Err(violation) = self.checker.borrow_mut().step(&event) {
            self.violations.borrow_mut().push(*violation);
        }
    }

    /// Every primitive begins with it: here something may come in.
    pub(super) fn tick(&self) {
        if !self.booted.get() || self.masked.get() > 0 {
            return;
        }
        let step = self.steps.get();
        self.steps.set(step + 1);
        match self.setup.intrusion {
            Some((at, Intrusion::Invalidation)) if at == step => self.on_core_2(|k| {
                k.barrier(Barrier::Ishst);
                k.tlbi_everything();
            }),
            Some((at, Intrusion::Invalidation)) if at + 5 == step => self.on_core_2(|k| {
                k.barrier(Barrier::Ish);
                k.exception(What::Isb);
            }),
            Some((at, intrusion)) if at == step => self.intrude(intrusion),
            _ => {}
        }
    }

    /// A primitive at a site, with what is wrong there. A DSB and a DMB are reported after they were
    /// executed, everything else before.
    pub(super) fn at(&self, site: Site, what: What, execute: impl FnOnce()) {
        self.tick();
        if self.is(Bug::Omitted(site)) {
            return;
        }
        let report = || {
            if !self.is(Bug::ExecutedOnly(site)) {
                self.record(what);
            }
        };
        let after = matches!(what, What::Dsb(_) | What::Dmb(_));
        if !after {
            report();
        }
        if !self.is(Bug::RecordedOnly(site)) {
            execute();
        }
        if after {
            report();
        }
    }

    pub(super) fn dsb(&self, site: Site, kind: Barrier) {
        self.at(site, What::Dsb(kind), || {
            self.machine.dsb(self.core.get(), kind);
        });
    }

    pub(super) fn isb(&self, site: Site) {
        self.at(site, What::Isb, || {
            self.machine.synchronise(self.core.get());
        });
    }

    /// One of the mode's calls.
    pub fn call(&self, call: Call) {
        let bug = match call {
            Call::Disable if self.task().mmu.state().count > 1 => Some(Bug::InnerExitPaysNothing),
            Call::Pause => Some(Bug::PausePaysNothing),
            _ => None,
        };
        let exit = call == Call::Disable && self.is(Bug::ExitPaysNothing);
        let loses = self.task().mmu.is_pending() && (exit || bug.is_some_and(|b| self.is(b)));
        if loses {
            self.task().loses.set(true);
        }
        self.task().mmu.call(call);
        if loses && bug == Some(Bug::InnerExitPaysNothing) {
            self.task().mmu.owe();
        }
        self.task().loses.set(false);
        self.record(What::Call(call.into()));
    }

    /// Runs `work` in a section.
    pub fn section<R>(&self, work: impl FnOnce() -> R) -> R {
        self.call(Call::Enable);
        let result = work();
        self.call(Call::Disable);
        result
    }

    /// As the allocator enters the mode.
    pub(super) fn reenter<R>(&self, work: impl FnOnce() -> R) -> R {
        self.task().mmu.reenter(work)
    }

    /// The contract of this run's policy, reported to the rules.
    pub(super) fn record_contract(&self) {
        self.record(What::Contract(self.setup.policy.into()));
    }

    /// A load that must return `value`.
    pub fn holds(&self, va: Va, value: u64) -> Result<(), Wrong> {
        self.use_it(va, AccessKind::Read, Expect::Works, Some(value))
    }

    /// A store that must work.
    pub fn put(&self, va: Va, value: u64) -> Result<(), Wrong> {
        self.use_it(va, AccessKind::Write, Expect::Works, Some(value))
    }

    /// A fetch that must work.
    pub fn fetch(&self, va: Va) -> Result<(), Wrong> {
        self.use_it(va, AccessKind::Execute, Expect::Works, None)
    }

    /// A load of what another core has published.
    pub fn holds_shared(&self, va: Va, value: u64) -> Result<(), Wrong> {
        let expect = if self.is(Bug::NoRetry) {
            Expect::Works
        } else {
            Expect::Retries
        };
        self.use_it(va, AccessKind::Read, expect, Some(value))
    }

    /// An access that must fault.
    pub fn probe(&self, va: Va, kind: AccessKind) -> Result<(), Wrong> {
        self.use_it(va, kind, Expect::Faults, Some(0xdead))
    }

    fn use_it(
        &self,
        va: Va,
        kind: AccessKind,
        expect: Expect,
        value: Option<u64>,
    ) -> Result<(), Wrong> {
        self.tick();
        let (core, at) = (self.core.get(), va.raw());
        self.record(What::Access {
            va: at,
            kind,
            expect,
        });
        let mut outcome = self.touch(at, kind, value);
        if outcome.is_err() {
            self.exception(What::ExceptionEntry);
            if expect == Expect::Retries {
                // What AT S1E1R says after the exception; the return synchronises once more.
                outcome = self.touch(at, kind, value);
            }
            self.exception(What::ExceptionReturn);
        }
        match (outcome, expect) {
            (Err(_), Expect::Faults) => Ok(()),
            (Ok(_), Expect::Faults) => Err(format!(
                "core {core}: {} of {at:#x} worked and must not",
                kind.word()
            )),
            (Err(fault), _) => Err(format!(
                "core {core}: {} of {at:#x} took a {fault:?} fault",
                kind.word()
            )),
            (Ok(found), _) if kind == AccessKind::Read && value.is_some_and(|v| v != found) => Err(
                format!("core {core}: {at:#x} holds {found:#x} instead of {value:#x?}"),
            ),
            (Ok(_), _) => Ok(()),
        }
    }

    fn touch(&self, va: u64, kind: AccessKind, value: Option<u64>) -> Result<u64, Fault> {
        let core = self.core.get();
        match kind {
            AccessKind::Read => self.machine.read(core, va),
            AccessKind::Write => self.machine.write(core, va, value.unwrap_or(0)).map(|()| 0),
            AccessKind::Execute => self.machine.fetch(core, va).map(|()| 0),
        }
    }

    /// A context synchronisation that no bug is injected into. An exception entry can only be reported
    /// when it has happened, an ISB and an exception return are before.
    pub(super) fn exception(&self, what: What) {
        let synchronise = || self.machine.synchronise(self.core.get());
        if what == What::ExceptionEntry {
            synchronise();
            self.record(what);
        } else {
            self.record(what);
            synchronise();
        }
    }

    pub(super) fn on_core_2(&self, work: impl FnOnce(&Kernel)) {
        let core = self.core.replace(2);
        work(self);
        self.core.set(core);
    }

    /// A DSB that no bug is injected into.
    fn barrier(&self, kind: Barrier) {
        self.machine.dsb(self.core.get(), kind);
        self.record(What::Dsb(kind));
    }

    fn tlbi_everything(&self) {
        self.record(What::tlbi(Op::VMALLE1IS, Operand::NONE));
        self.machine
            .tlbi(self.core.get(), Op::VMALLE1IS, Operand::NONE.into());
    }

    fn intrude(&self, intrusion: Intrusion) {
        // Once.
        self.masked.set(self.masked.get() + 1);
        match intrusion {
            Intrusion::Interrupt => {
                if let Err(wrong) = self.interrupt() {
                    self.note(wrong);
                }
            }
            Intrusion::Migration => {
                self.exception(What::ExceptionEntry);
                let here = self.core.get();
                self.move_to(1 - here);
                self.exception(What::ExceptionReturn);
                // The core that is left goes on with another task, by an exception return too. It
                // needs that: the switch's DSB may have completed a TLBI of this core, and what
                // this core had begun before has not been discarded yet.
                let there = self.core.replace(here);
                self.exception(What::ExceptionReturn);
                self.core.set(there);
            }
            Intrusion::Neighbour => self.on_core_2(|kernel| {
                if let Err(wrong) = (kernel.others.get().neighbour)(kernel) {
                    kernel.note(wrong);
                }
            }),
            // In `tick`: it has two parts.
            Intrusion::Invalidation => {}
        }
        self.masked.set(self.masked.get() - 1);
    }

    /// An interrupt on top of the current task.
    pub fn interrupt(&self) -> Result<(), Wrong> {
        if self.is(Bug::IrqUnbalances) {
            self.task().mmu.call(Call::Enable);
        }
        self.exception(What::ExceptionEntry);
        self.task().mmu.irq_enter();
        self.record(What::IrqEnter);
        self.masked.set(self.masked.get() + 1);
        let result = (self.others.get().handler)(self);
        self.masked.set(self.masked.get() - 1);
        self.record(What::IrqExit);
        self.task().mmu.irq_exit();
        if self.is(Bug::IrqTakesDebt) && self.task().mmu.is_pending() {
            self.task().loses.set(true);
        }
        self.exception(What::ExceptionReturn);
        result
    }

    /// The current task goes on, on another core.
    pub fn move_to(&self, core: usize) {
        let here = self.core.get();
        let task = self.current[here].get();
        if self.is(Bug::DebtStaysOnCore) && self.task().mmu.is_pending() {
            self.task().loses.set(true);
        }
        if self.lower.get().is_some() {
            self.set_ttbr0(RESERVED, 0);
        }
        self.leave(IDLE + here);
        // The other core takes the task from a queue, behind a lock that this one has released.
        self.machine.released(here);
        self.core.set(core);
        self.current[core].set(task);
        if let Some((root, asid)) = self.lower.get() {
            self.set_ttbr0(root, asid);
        }
        // What the task has published, this core may have translated ahead from before.
        self.isb(Site::ArriveIsb);
    }

    /// Makes a table this core's lower half.
    pub(super) fn set_ttbr0(&self, root: u64, asid: u16) {
        self.tick();
        self.record(What::Ttbr0 { root, asid });
        self.machine.set_ttbr0(self.core.get(), root, asid);
        self.isb(Site::Ttbr0Isb);
    }

    /// Another task goes on, on this core.
    pub fn switch_to(&self, task: usize) {
        if self.is(Bug::SwitchClearsNextTask) && self.tasks[task].mmu.is_pending() {
            self.tasks[task].loses.set(true);
        }
        self.leave(task);
    }

    fn leave(&self, next: usize) {
        self.dsb(Site::SwitchDsb, Barrier::Ish);
        self.record(What::Switch { to: next as u16 });
        self.current[self.core.get()].set(next);
    }

    /// The current task ends.
    pub fn end_task(&self) {
        self.record(What::TaskEnd);
        let _ = self.task().mmu.end_of_task();
    }
}

/// This processor, as the mode sees it: whichever the kernel is on. When its tasks are dropped the kernel is gone,
/// and what they have left open says nothing any more.
pub(super) struct ThisCpu(Weak<Kernel>);

impl Cpu for ThisCpu {
    fn publish(&self) {
        if let Some(kernel) = self.0.upgrade()
            && !kernel.task().loses.replace(false)
        {
            kernel.publish();
        }
    }

    fn misuse(&self, misuse: Misuse) {
        // A handler that opens a section inside a paused stretch breaks the exclusive contract, not
        // the implementation.
        if let Some(kernel) = self.0.upgrade()
            && kernel.setup.bug.is_none()
            && !kernel.task().mmu.in_interrupt()
        {
            kernel.note(format!("{misuse}"));
        }
    }
}
