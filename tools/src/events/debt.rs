//! What a task owes, from its events alone.

use mmu_check::What;
use mmu_check::event::Barrier;

/// The stores for which a task owes a pair, and the barriers that pay for them.
///
/// Two things pay: a pair, `dsb ishst; isb`; and the barriers of an invalidation, `dsb; tlbi; dsb; isb`. The `dsb ish; isb` of a switch
/// is the core's: it lets the task move, and the debt moves with it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Debt {
    owed: u64,
    /// How many of them a DSB has waited for.
    waited: u64,
    /// The last barrier of the task's was the first half of a pair.
    half: bool,
    /// The next ISB is that of a switch.
    switching: bool,
    /// `waited` and `half` before the last event, if that was a DSB: it may turn out to be a switch's.
    before_dsb: Option<(u64, bool)>,
    handlers: u32,
}

/// What an event has done about the debt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// A store, or a range of them, owes now.
    Owes,
    /// A pair is complete; it paid for this many.
    Pair(u64),
    /// The barriers of an invalidation are complete; they paid for this many.
    Invalidated(u64),
}

impl Debt {
    /// How many are owed.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// The task's next event.
    pub fn step(&mut self, what: &What) -> Effect {
        let before_dsb = self.before_dsb.take();
        match *what {
            What::IrqEnter => self.handlers += 1,
            What::IrqExit => self.handlers = self.handlers.saturating_sub(1),
            _ if self.handlers > 0 => {}
            What::Owe => {
                self.owed += 1;
                self.half = false;
                return Effect::Owes;
            }
            What::Dsb(barrier) => {
                self.before_dsb = Some((self.waited, self.half));
                if barrier.orders_stores() {
                    self.waited = self.owed;
                }
                self.half = barrier == Barrier::Ishst;
            }
            What::Switch { .. } => {
                (self.waited, self.half) = before_dsb.unwrap_or((self.waited, self.half));
                self.switching = true;
            }
            What::Isb if self.switching => self.switching = false,
            What::Isb => return self.synchronised(),
            What::Tlbi { .. } => self.half = false,
            _ => {}
        }
        Effect::None
    }

    fn synchronised(&mut self) -> Effect {
        let paid = std::mem::take(&mut self.waited);
        self.owed -= paid;
        match std::mem::take(&mut self.half) {
            true => Effect::Pair(paid),
            false if paid > 0 => Effect::Invalidated(paid),
            false => Effect::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The effects of events, each without its number, core and task.
    fn effects(events: &[&str]) -> (Vec<Effect>, u64) {
        let mut debt = Debt::default();
        let effects = events.iter().map(|text| {
            let event: mmu_check::Event = format!("0 core=0 task=1 {text}").parse().unwrap();
            debt.step(&event.what)
        });
        let effects = effects.filter(|effect| *effect != Effect::None).collect();
        (effects, debt.owed())
    }

    #[test]
    fn a_pair_pays_for_all_before_it() {
        use Effect::{Owes, Pair};
        let two = effects(&["owe", "owe", "dsb ishst", "isb", "dsb ishst", "isb"]);
        assert_eq!(two, (vec![Owes, Owes, Pair(2), Pair(0)], 0));
        // Half of it pays nothing, and what comes between the two is not covered.
        assert_eq!(effects(&["owe", "dsb ishst"]), (vec![Owes], 1));
        assert_eq!(effects(&["owe", "isb"]), (vec![Owes], 1));
        assert_eq!(effects(&["owe", "dsb ishld", "isb"]), (vec![Owes], 1));
        let late = effects(&["owe", "dsb ishst", "owe", "isb"]);
        assert_eq!(late, (vec![Owes, Owes, Effect::Invalidated(1)], 1));
    }

    #[test]
    fn an_invalidation_takes_the_debt_along() {
        let events = ["owe", "dsb ishst", "tlbi vaae1is 0x1", "dsb ish", "isb"];
        let paid = vec![Effect::Owes, Effect::Invalidated(1)];
        assert_eq!(effects(&events), (paid, 0));
    }

    #[test]
    fn handlers_and_switches_pay_nothing() {
        let handler = ["owe", "irq-enter", "dsb ish", "isb", "irq-exit"];
        assert_eq!(effects(&handler), (vec![Effect::Owes], 1));
        // Preempted between the halves of a pair: the second half is its own ISB, not the switch's.
        let events = [
            "owe",
            "dsb ishst",
            "irq-enter",
            "isb",
            "irq-exit",
            "dsb ish",
            "switch to=2",
            "isb",
            "isb",
        ];
        let paid = vec![Effect::Owes, Effect::Pair(1)];
        assert_eq!(effects(&events), (paid.clone(), 0));
        assert_eq!(effects(&events[..8]), (vec![Effect::Owes], 1));
    }
}
