//! What a machine has executed, by who executed it, and what happened that cores owe barriers for.

use core::ops::Sub;

use crate::task::{self, Core, Count, Figures, Tally};

/// All of it since the machine was started, or in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    /// What the task executed that boots, and here controls the run.
    pub boot: Tally,
    /// What interrupt handlers and switches executed: the cores' own records.
    pub cores: Tally,
    /// What the tasks executed in which cores idle.
    pub idle: Tally,
    /// What the machine executed: the sum over all tasks and cores.
    pub machine: Tally,
    /// What happened meanwhile.
    pub happened: Happened,
}

/// What a core owes barriers for besides its handlers' page-table work. Each is counted where it happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happened {
    /// Switches of all tasks, the idle ones too.
    pub switches: u64,
    /// Interrupts acknowledged, among them those that had gone away by then.
    pub acknowledged: u64,
    /// Interrupts for which the interrupt controller gave a number.
    pub served: u64,
    /// Times that a core has sent others an interrupt.
    pub sent: u64,
    /// Times that an idle core has woken.
    pub woken: u64,
}

impl Account {
    /// Since the machine was started. To be called by the task that boots; exact only while no other core executes
    /// anything.
    pub(super) fn so_far() -> Self {
        let records = task::cores().iter();
        let idle = records.clone().map(|core| core.idle_task().counts.tally());
        let records = records.map(|core| core.interrupt_counts.tally());
        let sum = |sum, tally| sum + tally;
        Self {
            boot: task::current().counts.tally(),
            cores: records.fold(Tally::default(), sum),
            idle: idle.fold(Tally::default(), sum),
            machine: task::machine_tally(),
            happened: Happened::so_far(),
        }
    }

    /// What others than the run's tasks executed: with theirs it makes the machine's.
    pub(super) fn others(&self) -> [(&'static str, Tally); 3] {
        [
            ("boot", self.boot),
            ("cores", self.cores),
            ("idle", self.idle),
        ]
    }
}

impl Happened {
    fn so_far() -> Self {
        let tasks = task::all().map(|task| task.stats.figures());
        let tasks = tasks.fold(Figures::default(), |sum, figures| sum + figures);
        let cores = |count: fn(&Core) -> &Count| {
            let cores = task::cores().iter();
            cores.map(|core| count(core).get()).sum()
        };
        Self {
            switches: tasks.switches,
            acknowledged: tasks.interrupts,
            served: cores(|core| &core.served),
            sent: cores(|core| &core.sent),
            woken: cores(|core| &core.woken),
        }
    }
}

impl Sub for Account {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            boot: self.boot - before.boot,
            cores: self.cores - before.cores,
            idle: self.idle - before.idle,
            machine: self.machine - before.machine,
            happened: self.happened - before.happened,
        }
    }
}

impl Sub for Happened {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            switches: self.switches - before.switches,
            acknowledged: self.acknowledged - before.acknowledged,
            served: self.served - before.served,
            sent: self.sent - before.sent,
            woken: self.woken - before.woken,
        }
    }
}
