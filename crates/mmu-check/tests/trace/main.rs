//! Traces and operands: what is written is read again, and what `stage1-paging` composes is decoded
//! as it was meant.
#![cfg(feature = "machine")]

#[path = "../any/mod.rs"]
mod any;
mod bad;
mod command;
mod random;
mod recorder;
mod snapshot;

use lazy_mmu::Policy;
use mmu_check::machine::{Bug, Chance, Setup, Site, run, scenario};
use mmu_check::trace::{self, Entry, Header, Reader, Writer};
use mmu_check::{Checker, Coverage, Event, Op, Violation};
use stage1_paging::{Asid, Features, Half, Level, Tlbi, Va};

fn setup(bug: Option<Bug>) -> Setup {
    Setup {
        policy: Policy::V3,
        features: Features::default(),
        debug: true,
        bug,
        intrusion: None,
    }
}

/// All events as a trace.
fn written(events: &[Event]) -> String {
    let mut writer = Writer::new(String::new(), Header { clock: 1000 });
    for event in events {
        writer.write(*event).unwrap();
    }
    writer.finish().unwrap()
}

/// What a new checker finds in a trace, and what there was to check.
fn checked(text: &str) -> (Vec<Violation>, Coverage) {
    let (mut checker, mut found) = (Checker::new(), Vec::new());
    let summary = trace::check(
        &mut checker,
        text.as_bytes(),
        trace::MEMORY_MAX,
        |violation| found.push(violation),
    );
    assert_eq!(summary.unwrap().violations, found.len() as u64);
    (found, *checker.coverage())
}

#[test]
fn a_trace_says_what_the_run_said() {
    for bug in [
        None,
        Some(Bug::Omitted(Site::PublishIsb)),
        Some(Bug::RemappedEarly),
    ] {
        for scenario in &scenario::ALL {
            let run = run(scenario, setup(bug), Checker::new(), Chance::seeded(7));
            let text = written(&run.trace);
            let entries: Vec<Entry> = Reader::new(text.as_bytes()).map(Result::unwrap).collect();
            let (first, events) = entries.split_first().unwrap();
            assert!(matches!(first, Entry::Run(_)), "{first:?}");
            assert!(
                events.len() < run.trace.len(),
                "runs of stores are one line"
            );
            let singles = events.iter().flat_map(|entry| match entry {
                Entry::Event(event) => event.singles(),
                other => panic!("{other:?}"),
            });
            assert_eq!(singles.collect::<Vec<_>>(), run.trace, "{}", scenario.name);
            let found = (run.violations, run.coverage);
            assert_eq!(checked(&text), found, "{}", scenario.name);
        }
    }
}

/// Version 0: events, and nothing around them.
#[test]
fn events_alone_are_a_trace() {
    let run = run(
        &scenario::ALL[0],
        setup(None),
        Checker::new(),
        Chance::seeded(7),
    );
    let lines = run.trace.iter().map(|event| format!("{event}\n"));
    let text: String = ["# a trace\n\n".to_owned()]
        .into_iter()
        .chain(lines)
        .collect();
    let mut reader = Reader::new(text.as_bytes());
    assert!(reader.by_ref().all(|entry| entry.is_ok()));
    assert_eq!(reader.header(), None);
    assert_eq!(checked(&text), (run.violations, run.coverage));
}

/// A writer that takes so many bytes.
struct Full(usize);

impl std::fmt::Write for Full {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

/// The last store is held until the end, and may fail there.
#[test]
fn a_writer_says_what_the_one_below_it_says() {
    let [isb, store] = [
        "0 core=0 task=1 isb",
        "1 core=0 task=1 store slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707",
    ]
    .map(|line| line.parse().unwrap());
    let mut writer = Writer::new(Full(0), Header { clock: 0 });
    assert!(writer.write(isb).is_err());
    let mut writer = Writer::new(Full(110), Header { clock: 0 });
    assert!(writer.write(isb).is_ok());
    assert!(writer.write(store).is_ok());
    assert!(writer.finish().is_err());
}

#[test]
fn composed_operands_are_decoded_as_meant() {
    let features = Features {
        range: true,
        ttl: true,
    };
    let upper = (Half::Upper, 0xffff_8765_4321_0000);
    let lower = (Half::Lower(Asid(0xabcd)), 0x7654_3210_f000);
    for (half, va) in [upper, lower] {
        for level in [None, Some(Level::L1), Some(Level::L2), Some(Level::L3)] {
            for leaf_only in [false, true] {
                let (name, operand) =
                    match Tlbi::page(half, Va::new(va), level, leaf_only, features) {
                        Tlbi::Vae1is(operand) => ("vae1is", operand),
                        Tlbi::Vale1is(operand) => ("vale1is", operand),
                        Tlbi::Vaae1is(operand) => ("vaae1is", operand),
                        Tlbi::Vaale1is(operand) => ("vaale1is", operand),
                        other => panic!("{other:?} is no page operation"),
                    };
                let op = Op::named(name).unwrap();
                assert_eq!(op.to_string(), name);
                let decoded = op.decode(operand);
                assert_eq!(decoded.flaw(), None, "{name} {operand:#x}");
                assert_eq!(decoded.pages(), Some((va & !0xfff, 1)));
            }
        }
    }
    assert_eq!(Op::named("vmalle1is").unwrap().decode(0).pages(), None);
    assert_eq!(Op::named("alle3"), None);
}
