//! The rules against the machine: random programs on both. What goes wrong on the machine must break a rule,
//! and a rule that is broken must show something that goes wrong in some schedule, but for the causes in
//! LITMUS.md.
//!
//! `MMU_CHECK_FUZZ_SECONDS` makes it longer than ten seconds, `MMU_CHECK_FUZZ_SEED` begins elsewhere. A failure is
//! made as short as it can be, and printed with its seed.
#![cfg(feature = "machine")]

mod excuse;
mod plan;

use std::env;
use std::time::{Duration, Instant};

use mmu_check::event::Barrier::{Ish, Ishst, Nsh, Nshst};
use mmu_check::{Checker, Event, Rule, What};

use excuse::is_explained;
use plan::{Plan, SUBJECTS};

fn events(plan: &Plan) -> Vec<Event> {
    plan.program().0.events()
}

fn breaks(plan: &Plan) -> Option<Rule> {
    first_broken(Checker::new(), &events(plan))
}

fn first_broken(mut checker: Checker, events: &[Event]) -> Option<Rule> {
    let mut results = events.iter().map(|event| checker.step(event));
    results
        .find_map(Result::err)
        .map(|violation| violation.rule)
}

/// What is wrong with the rules' opinion of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    /// The machine goes wrong, and no rule is broken.
    Missed,
    /// A rule is broken, and nothing goes wrong.
    Unfounded,
}

fn judge(plan: &Plan, goes_wrong: bool) -> Option<Wrong> {
    judge_heard(&events(plan), goes_wrong)
}

fn judge_heard(events: &[Event], goes_wrong: bool) -> Option<Wrong> {
    match (goes_wrong, first_broken(Checker::new(), events)) {
        (true, None) => Some(Wrong::Missed),
        (false, Some(_)) if !is_explained(events) => Some(Wrong::Unfounded),
        _ => None,
    }
}

/// As short as it can be and wrong in the same way.
fn shrink(mut plan: Plan, wrong: Wrong) -> Plan {
    let mut at = 0;
    while at < plan.steps.len() {
        let mut less = plan.clone();
        less.steps.remove(at);
        let still = less.goes_wrong().and_then(|bad| judge(&less, bad));
        if still == Some(wrong) {
            (plan, at) = (less, 0);
        } else {
            at += 1;
        }
    }
    plan
}

fn number(name: &str, otherwise: u64) -> u64 {
    let set = env::var(name).ok().filter(|text| !text.is_empty());
    set.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
    })
}

/// What came of the plans of one subject.
#[derive(Clone, Copy, Default)]
struct Counts {
    programs: u64,
    broken: u64,
    wrong: u64,
    strict: u64,
    large: u64,
}

#[test]
fn rules_and_machine_agree() {
    let end = Instant::now() + Duration::from_secs(number("MMU_CHECK_FUZZ_SECONDS", 10));
    let first = number("MMU_CHECK_FUZZ_SEED", 1);
    let mut counts = [Counts::default(); SUBJECTS.len()];
    let mut seed = first;
    while Instant::now() < end {
        let plan = Plan::of(seed);
        let counts = &mut counts[SUBJECTS.iter().position(|s| *s == plan.subject).unwrap()];
        counts.programs += 1;
        match plan.goes_wrong() {
            None => counts.large += 1,
            Some(goes_wrong) => {
                let breaks = breaks(&plan).is_some();
                counts.broken += u64::from(breaks);
                counts.wrong += u64::from(goes_wrong);
                counts.strict += u64::from(breaks && !goes_wrong);
                if let Some(found) = judge(&plan, goes_wrong) {
                    report(seed, plan, found);
                }
            }
        }
        seed += 1;
    }
    for (subject, counts) in SUBJECTS.iter().zip(counts) {
        let Counts {
            programs,
            broken,
            wrong,
            strict,
            large,
        } = counts;
        println!(
            "{subject:?}: {programs} programs, {broken} break a rule, {wrong} go wrong, {strict} are stricter than \
             they must be, {large} have too many states and were not compared"
        );
        assert!(
            broken > 0 && wrong > 0 && broken + large < programs,
            "nothing to compare"
        );
    }
    println!("{} programs, seeds {first} to {}", seed - first, seed - 1);
}

fn report(seed: u64, plan: Plan, found: Wrong) -> ! {
    let shortest = shrink(plan, found);
    let lines: Vec<String> = events(&shortest).iter().map(Event::to_string).collect();
    panic!(
        "seed {seed}: {found:?}, rule {:?}\n{shortest:?}\n{}",
        breaks(&shortest),
        lines.join("\n")
    );
}

/// Each rule that such programs can break is needed: without it something that goes wrong is missed.
#[test]
fn without_a_rule_something_is_missed() {
    for rule in [
        Rule::Publish,
        Rule::BreakBeforeMake,
        Rule::Done,
        Rule::FrameReuse,
        Rule::TableReuse,
        Rule::Broadcast,
        Rule::Early,
        Rule::Zeroes,
    ] {
        // R5 alone sees a link behind an invalidation of leaves, which few plans have. The machine runs those that it is about.
        let found = (1..200_000).map(Plan::of).find(|plan| {
            breaks(plan) == Some(rule)
                && first_broken(Checker::without(rule), &events(plan)).is_none()
                && plan.goes_wrong() == Some(true)
        });
        assert!(found.is_some(), "{rule:?}");
    }
}

/// Rules that credit too little accuse what goes right, and that is found: here they do not hear of an event that
/// they have to credit.
#[test]
fn rules_that_are_too_strict_are_found() {
    type Unheard = fn(&[Event], usize) -> bool;
    let kinds: [(&str, Unheard); 7] = [
        // It still completes TLBIs.
        ("a DSB for all accesses publishes", |events, at| {
            let own = events[..at].iter().filter(|e| e.core == events[at].core);
            let mut issued = own.rev().take_while(|e| !matches!(e.what, What::Dsb(Ish)));
            events[at].what == What::Dsb(Ish)
                && !issued.any(|e| matches!(e.what, What::Tlbi { .. }))
        }),
        ("a DSB for stores publishes", |events, at| {
            events[at].what == What::Dsb(Ishst)
        }),
        ("a DSB for the core itself", |events, at| {
            matches!(events[at].what, What::Dsb(Nsh | Nshst))
        }),
        ("an ISB synchronises", |events, at| {
            events[at].what == What::Isb
        }),
        ("an exception return synchronises", |events, at| {
            events[at].what == What::ExceptionReturn
        }),
        (
            "a TLBI for all invalidates",
            |events, at| matches!(events[at].what, What::Tlbi { op, .. } if op.is_broadcast()),
        ),
        (
            "a TLBI for the core itself invalidates",
            |events, at| matches!(events[at].what, What::Tlbi { op, .. } if !op.is_broadcast()),
        ),
    ];
    for (kind, unheard) in kinds {
        let is_found = |plan: &Plan| {
            let events = events(plan);
            // The beginning is heard.
            let last = events.iter().rposition(|e| e.what == What::CoreStart);
            let begun = |last: usize| events[last..].iter().position(|e| e.what == What::Isb);
            let start = last.map_or(0, |last| last + begun(last).unwrap_or(0) + 1);
            let heard = |at: &usize| *at < start || !unheard(&events, *at);
            let heard: Vec<Event> = (0..events.len())
                .filter(heard)
                .map(|at| events[at])
                .collect();
            judge_heard(&heard, false) == Some(Wrong::Unfounded)
                && breaks(plan).is_none()
                && plan.goes_wrong() == Some(false)
        };
        let found = (1..20_000).map(Plan::of).find(is_found);
        assert!(found.is_some(), "not heard: {kind}");
    }
}
