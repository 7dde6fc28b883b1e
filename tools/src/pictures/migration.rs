//! A debt that migrates: a task is preempted inside a section while it owes a pair, and goes on on another core, where it pays.

use std::collections::BTreeMap;
use std::ops::Range;

use mmu_check::event::Call;
use mmu_check::{Event, What};

use super::story::{Form, Mark, Span, Story};
use crate::events::{Debt, Effect};

/// So many marks can be read.
const MARKS_MAX: usize = 30;

/// A task on its way.
#[derive(Default)]
struct Task {
    depth: u32,
    debt: Debt,
    /// Where its section began.
    begin: usize,
    /// The core that it left with a debt.
    left: Option<u8>,
    /// Where it arrived on another one.
    arrived: Option<usize>,
}

/// Where the events of a migration are.
struct Found {
    task: u16,
    events: Range<usize>,
    arrived: usize,
}

/// Finds the migration with a debt that has the fewest events, of those that can be drawn: its events, and the story.
#[must_use]
pub fn find(events: &[Event]) -> Option<(Range<usize>, Story)> {
    let mut tasks: BTreeMap<u16, Task> = BTreeMap::new();
    let mut shortest: Option<(Range<usize>, Story)> = None;
    for (at, event) in events.iter().enumerate() {
        if let What::Switch { to } = event.what {
            let arrives = tasks.entry(to).or_default();
            arrives.arrived = arrives
                .left
                .take()
                .filter(|core| *core != event.core)
                .map(|_| at);
        }
        let task = tasks.entry(event.task).or_default();
        match event.what {
            What::Call(Call::Enable) => {
                if task.depth == 0 {
                    (task.begin, task.arrived) = (at, None);
                }
                task.depth += 1;
            }
            What::Call(Call::Disable) => task.depth = task.depth.saturating_sub(1),
            What::Switch { .. } => {
                task.left = (task.depth > 0 && task.debt.owed() > 0).then_some(event.core);
                task.arrived = None;
            }
            _ => {}
        }
        if let Effect::Pair(1..) = task.debt.step(&event.what)
            && let Some(arrived) = task.arrived.take()
        {
            let events_of = task.begin..at + 1;
            let found = Found {
                task: event.task,
                events: events_of,
                arrived,
            };
            let is_shorter = |(other, _): &(Range<usize>, Story)| found.events.len() < other.len();
            if shortest.as_ref().is_none_or(is_shorter)
                && let Some(story) = told(events, &found)
            {
                shortest = Some((found.events, story));
            }
        }
    }
    shortest
}

/// The story, if an interrupt is in it and it is not too long.
fn told(events: &[Event], found: &Found) -> Option<Story> {
    let task = found.task;
    let mut marks: Vec<Mark> = Vec::new();
    let mut shades: Vec<Span> = Vec::new();
    let (mut debt, mut owed_since, mut leaves) = (Debt::default(), None, None);
    let (mut arrives, mut in_handler, mut before_isb) = (0, false, false);
    for at in found.events.clone() {
        let event = &events[at];
        let core = event.core;
        // What it has left reports in its name up to the end of the switch.
        let left = leaves.is_some() && marks.first().is_some_and(|first| first.core == core);
        let mut mark = |label: &str, form| {
            let label = label.to_owned();
            marks.push(Mark { core, label, form });
        };
        match event.what {
            What::Switch { .. } if at == found.arrived => {
                mark("switch", Form::Tick);
                (arrives, before_isb) = (marks.len() - 1, true);
                owed_since = Some(arrives);
            }
            // That of the switch, which the task before it still reports.
            What::Isb if before_isb && core == events[found.arrived].core => {
                mark("isb", Form::Barrier);
                before_isb = false;
            }
            _ if event.task != task || left => {}
            What::IrqEnter => {
                mark("interrupt", Form::Tick);
                in_handler = true;
            }
            What::IrqExit => in_handler = false,
            _ if in_handler => {}
            What::Call(Call::Enable) => mark("enable", Form::Tick),
            What::Call(Call::Disable) => mark("disable", Form::Tick),
            What::Store { .. } => mark("store", Form::Tick),
            What::Dsb(barrier) => mark(&format!("dsb {}", barrier.word()), Form::Barrier),
            What::Isb => mark("isb", Form::Barrier),
            What::Switch { .. } => {
                mark("switch", Form::Tick);
                let here = marks.len() - 1;
                leaves = Some(here);
                let from = owed_since.take()?;
                shades.push(Span {
                    core,
                    from,
                    to: here,
                });
            }
            _ => {}
        }
        if event.task != task {
            continue;
        }
        let here = marks.len() - 1;
        match debt.step(&event.what) {
            Effect::Owes if owed_since.is_none() => owed_since = Some(here),
            Effect::Pair(1..) | Effect::Invalidated(_) if debt.owed() == 0 => {
                let from = owed_since.take()?;
                shades.push(Span {
                    core,
                    from,
                    to: here,
                });
            }
            _ => {}
        }
    }
    let (leaves, last) = (leaves?, marks.len() - 1);
    let [from, to] = [marks[leaves].core, marks[last].core];
    let run = |core, from, to| (Span { core, from, to }, task);
    let story = Story {
        id: "migration",
        title: format!("A debt that migrates: task {task} stores on core {from} and pays on core {to}"),
        shade: "the task owes a pair: dsb ishst; isb",
        note: [
            "The dsb ish of the switch makes the stores visible before another core may run the task, and there the isb of the switch comes \
             before anything",
            "of the task. The debt is the task's: it goes along, and the pair is executed where it is paid. What other tasks did meanwhile is \
             left out.",
        ]
        .map(str::to_owned)
        .into(),
        runs: vec![run(from, 0, leaves), run(to, arrives, last)],
        shades,
        links: vec![(leaves, arrives, true)],
        marks,
    };
    let interrupted = story.marks.iter().any(|mark| mark.label == "interrupt");
    (interrupted && story.marks.len() <= MARKS_MAX).then_some(story)
}

#[cfg(test)]
mod tests {
    use super::super::numbered as events;
    use super::*;

    const STORE: &str = "core=0 task=1 store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707";
    const BEFORE: [&str; 6] = [
        "core=0 task=1 call enable",
        STORE,
        "core=0 task=1 owe",
        "core=0 task=1 irq-enter",
        "core=0 task=1 irq-exit",
        "core=0 task=1 dsb ish",
    ];
    const LEAVES: [&str; 2] = ["core=0 task=1 switch to=2", "core=0 task=1 isb"];
    const ARRIVES: [&str; 2] = ["core=1 task=3 switch to=1", "core=1 task=3 isb"];
    const PAYS: [&str; 2] = ["core=1 task=1 dsb ishst", "core=1 task=1 isb"];

    #[test]
    fn a_debt_that_is_paid_on_another_core_is_found() {
        let lines = [&BEFORE[..], &LEAVES, &ARRIVES, &PAYS].concat();
        let (range, story) = find(&events(&lines)).unwrap();
        assert_eq!(range, 0..lines.len());
        let labels: Vec<_> = story.marks.iter().map(|mark| mark.label.as_str()).collect();
        let wanted = [
            "enable",
            "store",
            "interrupt",
            "dsb ish",
            "switch",
            "switch",
            "isb",
            "dsb ishst",
            "isb",
        ];
        assert_eq!(labels, wanted);
        // From the store to where it leaves, and from where it arrives to the end of the pair.
        let shades = story
            .shades
            .iter()
            .map(|span| (span.core, span.from, span.to));
        assert_eq!(shades.collect::<Vec<_>>(), [(0, 1, 4), (1, 5, 8)]);
        assert_eq!(story.links, [(4, 5, true)]);
        assert!(
            story
                .title
                .contains("task 1 stores on core 0 and pays on core 1")
        );
    }

    #[test]
    fn what_carries_no_debt_to_another_core_is_not_found() {
        let paid = ["core=0 task=1 dsb ishst", "core=0 task=1 isb"];
        let stays = ["core=0 task=3 switch to=1", "core=0 task=3 isb"];
        let no_interrupt = [&BEFORE[..3], &BEFORE[5..]].concat();
        for lines in [
            // Paid before it leaves; back on the core it left; never paid; left by itself, where nobody interrupted it.
            [&BEFORE[..3], &paid, &BEFORE[3..], &LEAVES, &ARRIVES, &PAYS].concat(),
            [&BEFORE[..], &LEAVES, &stays, &paid].concat(),
            [&BEFORE[..], &LEAVES, &ARRIVES].concat(),
            [&no_interrupt[..], &LEAVES, &ARRIVES, &PAYS].concat(),
        ] {
            assert!(find(&events(&lines)).is_none(), "{lines:?}");
        }
    }
}
