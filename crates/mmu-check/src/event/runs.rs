//! Stores in runs: a range of descriptors is one event in a ring or a trace, and one event each for
//! the rules.

use super::{Event, What};
use crate::tlbi::span_pages;

impl Event {
    /// How many events it stands for.
    pub const fn count(&self) -> u64 {
        match self.what {
            What::Stores { count, .. } => count as u64,
            _ => 1,
        }
    }

    /// The events that it stands for: of [`What::Stores`] each [`What::Store`], of every other kind
    /// itself. Their sequence numbers follow each other, and they have the run's time.
    pub fn singles(&self) -> impl Iterator<Item = Event> + use<> {
        let event = *self;
        (0..event.count()).map(move |n| event.single(n))
    }

    fn single(mut self, n: u64) -> Event {
        if let What::Stores {
            slot,
            va,
            level,
            old,
            new,
            old_step,
            new_step,
            ..
        } = self.what
        {
            // A run is shorter than 2^16.
            self.sequence = self.sequence.wrapping_add(n as u32);
            self.what = What::Store {
                slot: slot.wrapping_add(8 * n),
                va: va.wrapping_add((span_pages(level) << 12).wrapping_mul(n)),
                level,
                old: old.wrapping_add(old_step.wrapping_mul(n)),
                new: new.wrapping_add(new_step.wrapping_mul(n)),
            };
        }
        self
    }

    /// Takes `next` along, if the two are a run: stores of one core and task to neighbours in one
    /// table, next to each other in the order of all cores, whose values go on as they began. Returns
    /// whether it did.
    pub fn extend(&mut self, next: &Event) -> bool {
        let Some(longer) = self.with(next) else {
            return false;
        };
        self.what = longer;
        true
    }

    fn with(&self, next: &Event) -> Option<What> {
        let run = self.as_run()?;
        let What::Stores {
            slot,
            va,
            level,
            old,
            new,
            mut old_step,
            mut new_step,
            count,
        } = run
        else {
            return None;
        };
        let What::Store {
            old: old_next,
            new: new_next,
            ..
        } = next.what
        else {
            return None;
        };
        if count == 1 {
            (old_step, new_step) = (old_next.wrapping_sub(old), new_next.wrapping_sub(new));
        }
        let what = What::Stores {
            slot,
            va,
            level,
            old,
            new,
            old_step,
            new_step,
            count: count.checked_add(1)?,
        };
        let longer = Event { what, ..*self };
        let expected = longer.single(count.into());
        let time = next.time;
        let same_table = (slot >> 12) == (slot.wrapping_add(8 * u64::from(count)) >> 12);
        (same_table && Event { time, ..expected } == *next).then_some(what)
    }

    /// A store as a run of one.
    fn as_run(&self) -> Option<What> {
        match self.what {
            What::Store {
                slot,
                va,
                level,
                old,
                new,
            } => Some(What::Stores {
                slot,
                va,
                level,
                old,
                new,
                old_step: 0,
                new_step: 0,
                count: 1,
            }),
            run @ What::Stores { .. } => Some(run),
            _ => None,
        }
    }
}

/// Makes runs of stores on their way into a ring or a trace.
///
/// What comes out is what went in: [`Event::singles`] brings it back, but for the times within a
/// run. Give it the events in the order in which they are to be written, all of a trace or those of
/// one core, and call [`flush`](Self::flush) before anybody reads what was written.
///
/// ```
/// use mmu_check::event::Merge;
///
/// let lines = "
/// 7 core=0 task=1 store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707
/// 8 core=0 task=1 store slot=0x3008 va=0x1000 level=3 old=0x0 new=0x40001707
/// 9 core=0 task=1 dsb ishst";
/// let mut merge = Merge::new();
/// let mut written = Vec::new();
/// for line in lines.trim().lines() {
///     written.extend(merge.push(line.parse().unwrap()).into_iter().flatten());
/// }
/// written.extend(merge.flush());
/// let written: Vec<String> = written.iter().map(|event| event.to_string()).collect();
/// assert_eq!(written, [
///     "7 core=0 task=1 stores slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707 \
///      old-step=0x0 new-step=0x1000 count=2",
///     "9 core=0 task=1 dsb ishst",
/// ]);
/// ```
#[derive(Clone, Copy, Default, Debug)]
pub struct Merge {
    run: Option<Event>,
}

impl Merge {
    /// Nothing is held.
    pub const fn new() -> Self {
        Merge { run: None }
    }

    /// Takes the next event and returns what is complete, in order: a store is held for those that
    /// may follow it.
    pub fn push(&mut self, event: Event) -> [Option<Event>; 2] {
        if let Some(run) = &mut self.run
            && run.extend(&event)
        {
            return [None, None];
        }
        let before = self.run.take();
        if event.as_run().is_some() {
            self.run = Some(event);
            return [before, None];
        }
        [before, Some(event)]
    }

    /// What is held, to be written now.
    pub fn flush(&mut self) -> Option<Event> {
        self.run.take()
    }
}
