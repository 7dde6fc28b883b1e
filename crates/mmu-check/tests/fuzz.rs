//! The rules against the machine: random programs on both. What goes wrong on the machine must break a rule,
//! and a rule that is broken must show something that goes wrong in some schedule, but for the causes 1 to 3 in
//! LITMUS.md.
//!
//! `MMU_CHECK_FUZZ_SECONDS` makes it longer than ten seconds, `MMU_CHECK_FUZZ_SEED` begins elsewhere. A failure is
//! made as short as it can be, and printed with its seed.
#![cfg(feature = "machine")]

use std::env;
use std::time::{Duration, Instant};

use mmu_check::event::AccessKind::{self, Execute, Read, Write};
use mmu_check::event::Barrier::{self, Ish, Ishld, Ishst, Nsh, Nshst};
use mmu_check::event::Expect::{self, Faults, Retries, Works};
use mmu_check::machine::program::{Do, Outcome, Program, Seen};
use mmu_check::{Checker, Event, Op, Rule, What};

const ROOT: u64 = 0x10_0000;
const TABLES: [u64; 3] = [0x10_1000, 0x10_2000, 0x10_3000];
const X: u64 = 0xffff_0000_0000_1000;
const SLOT: u64 = TABLES[2] + 8;
const FLAGS: u64 = 0x30_0000;
/// Two frames and what they hold.
const FRAMES: [(u64, u64); 2] = [(0x20_0000, 0x11), (0x20_1000, 0x22)];
/// A block at the level above, whose second page has this frame, and what that holds.
const BLOCK: u64 = 0x40_0000 | 0x0060_0000_0000_0705;
const IN_BLOCK: (u64, u64) = (0x40_1000, 0x33);
const LINK: u64 = TABLES[2] | 3;
const RW: u64 = 0x0060_0000_0000_0707;
const READ_ONLY: u64 = 0x80;
const RX: u64 = 0x0040_0000_0000_0787;
/// States of one program that are looked at; a program with more is passed over.
const MOST: usize = 20_000;

/// What one core does next. Cores take turns: who goes on after another waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// What the page becomes; 0 is unmapped.
    Store(u64),
    /// What the descriptor above it becomes: the link of its table, a block, or nothing.
    Above(u64),
    Dsb(Barrier),
    Dmb(Barrier),
    Isb,
    Return,
    Tlbi(&'static str),
    /// The page is used, and what the tables say is relied on; a spurious fault is retried or not.
    Use(AccessKind, bool),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Plan {
    /// What the page is in the beginning.
    start: u64,
    steps: Vec<(usize, Action)>,
}

/// What an access must see: what a load returns, where an instruction stands, or that it works at all.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Value(u64),
    Works,
    Fault,
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, of: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % of
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn leaf(&mut self) -> u64 {
        let (frame, _) = self.pick(&FRAMES);
        match self.below(8) {
            0..4 => frame | RW,
            4..6 => frame | RW | READ_ONLY,
            _ => frame | RX,
        }
    }

    fn plan(seed: u64) -> Plan {
        let mut n = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            n.below(2);
        }
        let start = if n.below(3) == 0 { 0 } else { n.leaf() };
        let mut steps = Vec::new();
        let mut core = 0;
        let levels = n.below(3) == 0;
        for _ in 0..3 + n.below(7) {
            if n.below(5) == 0 {
                core = 1 - core;
            }
            let action = match n.below(if levels { 20 } else { 16 }) {
                0..2 => Action::Store(0),
                2..4 => Action::Store(n.leaf()),
                4..8 => Action::Dsb(n.pick(&[Ish, Ish, Ish, Ishst, Ishst, Ishld, Nsh, Nsh, Nshst])),
                8 => Action::Dmb(n.pick(&[Ish, Ishst, Ishld, Nshst])),
                9..11 => Action::Isb,
                11 => Action::Return,
                12..15 => {
                    Action::Tlbi(n.pick(&["vaae1is", "vaae1is", "vaale1is", "vmalle1is", "vaae1"]))
                }
                15 => Action::Use(Read, n.below(3) == 0),
                _ => Action::Above(n.pick(&[0, 0, LINK, LINK, BLOCK])),
            };
            steps.push((core, action));
        }
        if n.below(3) == 0 {
            core = 1 - core;
        }
        let kind = n.pick(&[Read, Read, Read, Write, Execute]);
        steps.push((core, Action::Use(kind, n.below(4) == 0)));
        Plan { start, steps }
    }
}

fn settle() -> [Do; 2] {
    [Do::Dsb(Ish), Do::Synchronise(What::Isb)]
}

impl Plan {
    fn beginning(&self) -> Vec<Do> {
        let base = X & !0xfff;
        let mut steps: Vec<Do> = TABLES.map(Do::Zero).to_vec();
        steps.push(Do::Dsb(Ishst));
        steps.extend([
            Do::Store(ROOT, base & !0xfff_ffff, 0, TABLES[0] | 3),
            Do::Store(TABLES[0], base & !0xfff_ffff, 1, TABLES[1] | 3),
            Do::Store(TABLES[1], base & !0xf_ffff, 2, TABLES[2] | 3),
        ]);
        let frames = FRAMES.into_iter().chain([IN_BLOCK]);
        steps.extend(frames.map(|(frame, value)| Do::Data(frame, value)));
        steps.extend(settle());
        if self.start != 0 {
            steps.push(Do::Store(SLOT, X, 3, self.start));
            steps.extend(settle());
        }
        steps
    }

    /// The program, and what its accesses must see: by core and instruction.
    fn program(&self) -> (Program, Vec<(usize, usize, Wanted)>) {
        let mut cores = vec![Vec::new(), Vec::new()];
        let mut wanted = Vec::new();
        let (mut now, mut above) = (self.start, LINK);
        let (mut before, mut flag) = (None, FLAGS);
        for &(core, action) in &self.steps {
            if let Some(other) = before.filter(|other| *other != core) {
                // As a lock is handed over.
                let other: &mut Vec<Do> = &mut cores[other];
                other.extend([Do::Dmb(Ish), Do::Data(flag, 1)]);
                cores[core].extend([Do::Await(flag, 1), Do::Dmb(Ishld)]);
                flag += 64;
            }
            before = Some(core);
            let step = match action {
                Action::Store(new) => {
                    now = new;
                    Do::Store(SLOT, X, 3, new)
                }
                Action::Above(new) => {
                    above = new;
                    Do::Store(TABLES[1], X & !0xfff, 2, new)
                }
                Action::Dsb(kind) => Do::Dsb(kind),
                Action::Dmb(kind) => Do::Dmb(kind),
                Action::Isb => Do::Synchronise(What::Isb),
                Action::Return => Do::Synchronise(What::ExceptionReturn),
                Action::Tlbi(name) => {
                    let operand = if name == "vmalle1is" {
                        0
                    } else {
                        X >> 12 & ((1 << 44) - 1)
                    };
                    Do::Tlbi(Op::named(name).unwrap(), operand)
                }
                Action::Use(kind, retries) => {
                    let (expect, want) = expected(
                        match above {
                            LINK => now,
                            block => block,
                        },
                        kind,
                        retries,
                    );
                    wanted.push((core, cores[core].len(), want));
                    Do::Access(X, kind, Some(expect))
                }
            };
            cores[core].push(step);
        }
        // Somebody who relies on nothing is at work all the time.
        for core in cores.iter_mut().filter(|core| !core.is_empty()) {
            core.push(Do::Access(X, Read, None));
        }
        let start = self.beginning();
        (Program { start, cores }, wanted)
    }

    /// Whether something goes wrong on the machine; nothing if there are too many states.
    fn goes_wrong(&self) -> Option<bool> {
        let (program, wanted) = self.program();
        let bad = |outcome: &Outcome| {
            outcome.conflict
                || wanted.iter().any(
                    |&(core, at, wanted)| match (outcome.seen[core][at], wanted) {
                        (Seen::Value(seen), Wanted::Value(value)) => seen != value,
                        (Seen::Value(_), Wanted::Works) | (Seen::Fault(_), Wanted::Fault) => false,
                        _ => true,
                    },
                )
        };
        program.reaches(ROOT, MOST, bad).ok()
    }

    fn events(&self) -> Vec<Event> {
        self.program().0.events()
    }

    fn breaks(&self) -> Option<Rule> {
        first_broken(Checker::new(), &self.events())
    }

    fn breaks_without(&self, rule: Rule) -> Option<Rule> {
        first_broken(Checker::without(rule), &self.events())
    }
}

/// Whether one of the causes why the rules may be stricter explains what they say of these events, or some together.
fn is_explained(events: &[Event]) -> bool {
    let accepted = |events: Vec<Event>| first_broken(Checker::new(), &events).is_none();
    (1..8).any(|which| accepted(excused(events, |cause| which >> (cause - 1) & 1 != 0)))
}

/// The events as they would be without what the rules are stricter about, by the causes that are `used`.
fn excused(events: &[Event], used: impl Fn(u32) -> bool) -> Vec<Event> {
    let mut excused = Vec::new();
    // Whether something was mapped, and which cores have a TLBI for all behind that which no DSB has completed.
    let (mut mapped, mut issued) = (false, [false; 2]);
    for (at, event) in events.iter().enumerate() {
        let also = |core, what| Event {
            core,
            what,
            ..*event
        };
        let core = usize::from(event.core);
        let next = events.get(at + 1);
        excused.push(*event);
        match event.what {
            // 1. Another core goes on behind this DMB: it has seen what is stored before that, without a DSB.
            What::Dmb(Ish) if used(1) && next.is_some_and(|next| next.core != event.core) => {
                excused.push(also(event.core, What::Dsb(Ishst)));
            }
            What::Store { new, level, .. } => {
                mapped |= new & 1 != 0;
                // 2. It is in order before its table is linked.
                if used(2) && level == 3 {
                    excused.push(also(event.core, What::Dmb(Ishst)));
                }
            }
            What::Tlbi { op, .. } => issued[core] |= mapped && op.is_broadcast(),
            // 3. Where a TLBI for all is complete, the other core has ended what had found no mapping.
            What::Dsb(Ish) if used(3) && issued[core] => {
                issued[core] = false;
                excused.push(also(1 - event.core, What::Isb));
            }
            _ => {}
        }
    }
    excused
}

fn first_broken(mut checker: Checker, events: &[Event]) -> Option<Rule> {
    let mut results = events.iter().map(|event| checker.step(event));
    results
        .find_map(Result::err)
        .map(|violation| violation.rule)
}

fn expected(now: u64, kind: AccessKind, retries: bool) -> (Expect, Wanted) {
    let permitted = match kind {
        Read => true,
        Write => now & READ_ONLY == 0,
        Execute => now & 1 << 53 == 0,
    };
    if now == 0 || !permitted {
        return (Faults, Wanted::Fault);
    }
    let expect = if retries { Retries } else { Works };
    let is_block = now & 0b10 == 0;
    let frames = FRAMES.iter().find(|(frame, _)| now & 0xffff_f000 == *frame);
    let (frame, value) = frames.copied().filter(|_| !is_block).unwrap_or(IN_BLOCK);
    let wanted = match kind {
        Read => Wanted::Value(value),
        Execute => Wanted::Value(frame),
        Write => Wanted::Works,
    };
    (expect, wanted)
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
    judge_heard(&plan.events(), goes_wrong)
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

#[test]
fn rules_and_machine_agree() {
    let end = Instant::now() + Duration::from_secs(number("MMU_CHECK_FUZZ_SECONDS", 10));
    let first = number("MMU_CHECK_FUZZ_SEED", 1);
    let (mut programs, mut broken, mut wrong, mut strict, mut large) = (0, 0, 0, 0, 0);
    for seed in first.. {
        if Instant::now() > end {
            break;
        }
        let plan = Numbers::plan(seed);
        programs += 1;
        let breaks = plan.breaks().is_some();
        let Some(goes_wrong) = plan.goes_wrong() else {
            large += 1;
            continue;
        };
        broken += u64::from(breaks);
        wrong += u64::from(goes_wrong);
        strict += u64::from(breaks && !goes_wrong);
        if let Some(found) = judge(&plan, goes_wrong) {
            let shortest = shrink(plan, found);
            let (program, _) = shortest.program();
            let events: Vec<String> = program.events().iter().map(Event::to_string).collect();
            panic!(
                "seed {seed}: {found:?}, rule {:?}\nfrom {:#x}\n{:#x?}\n{}",
                shortest.breaks(),
                shortest.start,
                shortest.steps,
                events.join("\n")
            );
        }
    }
    println!(
        "{programs} programs from seed {first}: {broken} break a rule, {wrong} go wrong, {strict} are stricter than \
         they must be, {large} have too many states"
    );
    assert!(
        broken > 0 && wrong > 0 && broken < programs,
        "nothing to compare"
    );
}

/// Each rule that such programs can break is needed: without it something that goes wrong is missed.
#[test]
fn without_a_rule_something_is_missed() {
    for rule in [
        Rule::Publish,
        Rule::BreakBeforeMake,
        Rule::Done,
        Rule::Broadcast,
        Rule::Early,
    ] {
        let found = (1..2_000).map(Numbers::plan).find(|plan| {
            plan.breaks() == Some(rule)
                && plan.breaks_without(rule).is_none()
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
            let events = plan.events();
            // The beginning is heard.
            let start = events.iter().position(|e| e.what == What::CoreStart);
            let start = start.map_or(0, |start| start + 2);
            let heard = |at: &usize| *at < start || !unheard(&events, *at);
            let heard: Vec<Event> = (0..events.len())
                .filter(heard)
                .map(|at| events[at])
                .collect();
            judge_heard(&heard, false) == Some(Wrong::Unfounded)
                && plan.breaks().is_none()
                && plan.goes_wrong() == Some(false)
        };
        let found = (1..20_000).map(Numbers::plan).find(is_found);
        assert!(found.is_some(), "not heard: {kind}");
    }
}
