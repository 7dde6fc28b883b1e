//! What a person reads when a rule is broken.

use core::fmt;

use crate::event::Event;
use crate::rules::Rule;

/// How many events before a violation are shown.
pub(crate) const SHOWN: usize = 12;

/// A rule was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What happened, in words.
    pub why: &'static str,
    /// The virtual address it is about (for R4, R5 and R10 a frame's physical address).
    pub address: u64,
    /// The event at which it was noticed; it has the core and the task.
    pub at: Event,
    /// The store that owes.
    pub owes: Option<Event>,
    /// The last events of the same core or task, oldest first.
    pub(crate) last: [Option<Event>; SHOWN],
}

impl Violation {
    /// The last events of the same core or task before it, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &Event> {
        self.last.iter().flatten()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { core, task, .. } = self.at;
        writeln!(f, "{}: {}", self.rule.name(), self.rule.title())?;
        writeln!(
            f,
            "  {} (address {:#x}, task {task} on core {core})",
            self.why, self.address
        )?;
        if let Some(store) = &self.owes {
            writeln!(f, "  owed by  {store}")?;
        }
        writeln!(f, "  found at {}", self.at)?;
        writeln!(f, "  before it, by the same core or task:")?;
        for event in self.last() {
            writeln!(f, "    {event}")?;
        }
        write!(f, "  see: {}", self.rule.basis())
    }
}

impl core::error::Error for Violation {}
