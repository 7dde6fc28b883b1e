//! What the rules had to look at. A run that breaks no rule because nothing happened proves
//! nothing.

use core::fmt;

/// Counts of what was checked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Coverage {
    /// Events that the rules look at: each store of a run, and none that is for pictures alone.
    pub events: u64,
    /// Descriptors stored that made a mapping.
    pub mappings: u64,
    /// Mappings used at least once.
    pub used_mappings: u64,
    /// Uses of mapped addresses.
    pub accesses: u64,
    /// Probes of addresses that must fault.
    pub probes: u64,
    /// Tables linked.
    pub links: u64,
    /// Translations withdrawn.
    pub withdrawn: u64,
    /// TLBIs that covered something withdrawn.
    pub invalidations: u64,
    /// Invalidations called complete.
    pub dones: u64,
    /// Frames given back.
    pub frees: u64,
    /// Sections ended, at any depth.
    pub sections: u64,
    /// Sections ended inside another.
    pub nested: u64,
    /// Switches between tasks.
    pub switches: u64,
    /// Switches away from a task that owed.
    pub switches_in_debt: u64,
    /// Interrupt handlers on top of a task that owed.
    pub interrupts_in_debt: u64,
    /// Interrupt handlers ended.
    pub interrupts: u64,
    /// Tasks ended.
    pub task_ends: u64,
}

impl Coverage {
    /// Each count with its name.
    pub fn counts(&self) -> [(&'static str, u64); 17] {
        [
            ("events", self.events),
            ("mappings", self.mappings),
            ("used mappings", self.used_mappings),
            ("accesses", self.accesses),
            ("probes", self.probes),
            ("links", self.links),
            ("withdrawn", self.withdrawn),
            ("invalidations", self.invalidations),
            ("dones", self.dones),
            ("frees", self.frees),
            ("sections", self.sections),
            ("nested", self.nested),
            ("switches", self.switches),
            ("switches in debt", self.switches_in_debt),
            ("interrupts in debt", self.interrupts_in_debt),
            ("interrupts", self.interrupts),
            ("task ends", self.task_ends),
        ]
    }

    /// The names of the counts that are zero.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.counts()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Coverage) {
        let fields = |c: &mut Coverage, o: &Coverage| {
            for (mine, theirs) in c.fields_mut().into_iter().zip(o.counts()) {
                *mine += theirs.1;
            }
        };
        fields(self, other);
    }

    /// In the order of [`Coverage::counts`].
    fn fields_mut(&mut self) -> [&mut u64; 17] {
        [
            &mut self.events,
            &mut self.mappings,
            &mut self.used_mappings,
            &mut self.accesses,
            &mut self.probes,
            &mut self.links,
            &mut self.withdrawn,
            &mut self.invalidations,
            &mut self.dones,
            &mut self.frees,
            &mut self.sections,
            &mut self.nested,
            &mut self.switches,
            &mut self.switches_in_debt,
            &mut self.interrupts_in_debt,
            &mut self.interrupts,
            &mut self.task_ends,
        ]
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, count)) in self.counts().into_iter().enumerate() {
            write!(f, "{}{name} {count}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
