//! Break-before-make on two cores: an access of another core meets the break, takes a fault, and waits for the make.

use std::ops::Range;

use mmu_check::{Event, What};
use stage1_paging::Desc;

use super::story::{Form, Mark, Span, Story};

/// So many marks can be read.
const MARKS_MAX: usize = 26;

/// Whether the event breaks live entries: it takes their valid bit and leaves the rest.
fn breaks(what: &What) -> bool {
    let (What::Store { old, new, .. } | What::Stores { old, new, .. }) = *what else {
        return false;
    };
    let old = Desc::from_bits(old);
    old.is_valid() && new == old.broken().bits()
}

/// The address and how many entries a store is of.
fn of_store(what: &What) -> Option<(u64, u64)> {
    match *what {
        What::Store { va, .. } => Some((va, 1)),
        What::Stores { va, count, .. } => Some((va, count.into())),
        _ => None,
    }
}

/// Finds the break in which another core's access waits that has the fewest events, of those that can be drawn: its events, and the
/// story.
#[must_use]
pub fn find(events: &[Event]) -> Option<(Range<usize>, Story)> {
    let broken = events
        .iter()
        .enumerate()
        .filter(|(_, event)| breaks(&event.what));
    broken
        .filter_map(|(at, _)| of(events, at))
        .min_by_key(|(range, _)| range.len())
}

fn of(events: &[Event], broken: usize) -> Option<(Range<usize>, Story)> {
    let breaker = &events[broken];
    let (va, _) = of_store(&breaker.what)?;
    let rest = || events.iter().enumerate().skip(broken + 1);
    // The first of them is made first.
    let (made, _) = rest().find(|(_, event)| {
        event.task == breaker.task && of_store(&event.what).is_some_and(|(made, _)| made == va)
    })?;
    // An exception of another core's task that is no interrupt, from the break to behind the make.
    let of_other = |event: &Event| event.core != breaker.core;
    let waits = rest().take_while(|(at, _)| *at < made).find(|(at, event)| {
        let next = events[at + 1..].iter().find(|next| next.core == event.core);
        let interrupt = next.is_none_or(|next| next.what == What::IrqEnter);
        event.what == What::ExceptionEntry && of_other(event) && !interrupt
    });
    let (faults, waiter) = waits?;
    let (goes_on, _) = rest()
        .skip_while(|(at, _)| *at < faults)
        .find(|(_, event)| event.core == waiter.core && event.what == What::ExceptionReturn)?;
    let range = broken..goes_on + 1;
    let story = told(events, &range, [made, faults])?;
    (goes_on > made).then_some((range, story))
}

/// The story, unless it is too long.
fn told(events: &[Event], range: &Range<usize>, [made, faults]: [usize; 2]) -> Option<Story> {
    let (breaker, waiter) = (&events[range.start], &events[faults]);
    let mut marks: Vec<Mark> = Vec::new();
    let (mut make, mut fault) = (0, 0);
    for (at, event) in events.iter().enumerate().take(range.end).skip(range.start) {
        let core = event.core;
        let mut mark = |label: String, form| marks.push(Mark { core, label, form });
        match event.what {
            _ if event.task != breaker.task && (event.task != waiter.task || at < faults) => {}
            What::Store { .. } | What::Stores { .. } if at == range.start => {
                mark("store: break".into(), Form::Tick)
            }
            What::Store { .. } | What::Stores { .. } if at == made => {
                mark("store: make".into(), Form::Tick);
                make = marks.len() - 1;
            }
            What::Dsb(barrier) => mark(format!("dsb {}", barrier.word()), Form::Barrier),
            What::Tlbi { op, .. } => mark(format!("tlbi {op}"), Form::Invalidates),
            What::Isb if core == breaker.core => mark("isb".into(), Form::Barrier),
            What::ExceptionEntry => {
                mark("fault: it waits".into(), Form::Tick);
                fault = marks.len() - 1;
            }
            What::ExceptionReturn => mark("it goes on".into(), Form::Tick),
            _ => {}
        }
    }
    let last = marks.len() - 1;
    let span = |core: u8, from, to| Span { core, from, to };
    let [from, to] = [breaker.core, waiter.core];
    let pages = of_store(&breaker.what)?.1;
    Some(Story {
        id: "break-before-make",
        title: format!("Break-before-make: core {from} replaces pages, and an access on core {to} meets the break"),
        shade: "the entry is broken: the access would fault",
        note: vec![
            "Nothing may use the old translation once the new one is stored: the entry is broken, invalidated on all cores, and then made."
                .to_owned(),
            format!("The access that comes between takes a fault and waits for the make. ({pages} pages are replaced at once here.)"),
        ],
        runs: vec![(span(from, 0, make), breaker.task), (span(to, fault, last), waiter.task)],
        shades: vec![span(from, 0, make), span(to, fault, last)],
        links: vec![(make, last, false)],
        marks,
    })
    .filter(|story| story.marks.len() <= MARKS_MAX && fault > 0 && make > 0)
}

#[cfg(test)]
mod tests {
    use super::super::numbered as events;
    use super::*;

    const BREAK: &str =
        "core=0 task=0 store slot=0x3000 va=0x0 level=3 old=0x40000707 new=0x40000706";
    const MAKE: &str =
        "core=0 task=0 store slot=0x3000 va=0x0 level=3 old=0x40000706 new=0x50000707";
    const FAULT: &str = "core=1 task=1 exception-entry";
    const GOES_ON: &str = "core=1 task=1 exception-return";
    const IN_IT: &str = "core=1 task=1 isb";

    #[test]
    fn an_access_that_waits_is_found() {
        let met = [
            BREAK,
            "core=0 task=0 dsb ishst",
            FAULT,
            IN_IT,
            MAKE,
            GOES_ON,
        ];
        let (range, story) = find(&events(&[&met[..], &met].concat())).unwrap();
        assert_eq!(range, 0..6);
        let labels: Vec<_> = story.marks.iter().map(|mark| mark.label.as_str()).collect();
        let wanted = [
            "store: break",
            "dsb ishst",
            "fault: it waits",
            "store: make",
            "it goes on",
        ];
        assert_eq!(labels, wanted);
        // Broken on core 0 up to the make; core 1 waits up to its return.
        assert_eq!((story.shades[0].from, story.shades[0].to), (0, 3));
        assert_eq!(
            (
                story.shades[1].core,
                story.shades[1].from,
                story.shades[1].to
            ),
            (1, 2, 4)
        );
        assert!(
            story
                .draw()
                .contains("core 1: fault: it waits; core 0: store: make")
        );
    }

    #[test]
    fn what_does_not_wait_is_not_found() {
        // An interrupt; one's own fault; a fault behind the make, before the break; one that is over before the make; no break.
        let interrupt = "core=1 task=1 irq-enter";
        let own = ["core=0 task=0 exception-entry", "core=0 task=0 isb"];
        let invalidates = MAKE.replace("0x50000707", "0x0");
        for lines in [
            &[BREAK, FAULT, interrupt, MAKE, GOES_ON][..],
            &[
                BREAK,
                own[0],
                own[1],
                MAKE,
                "core=0 task=0 exception-return",
            ],
            &[BREAK, MAKE, FAULT, IN_IT, GOES_ON],
            &[FAULT, IN_IT, BREAK, MAKE, GOES_ON],
            &[BREAK, FAULT, IN_IT, GOES_ON, MAKE],
            &[&invalidates, FAULT, IN_IT, MAKE, GOES_ON],
            &[],
        ] {
            assert!(find(&events(lines)).is_none(), "{lines:?}");
        }
    }
}
