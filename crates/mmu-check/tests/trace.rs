//! Traces and operands: what is written is read again, and what `stage1-paging` composes is decoded
//! as it was meant.
#![cfg(feature = "machine")]

use lazy_mmu::Policy;
use mmu_check::machine::{Bug, Chance, Setup, Site, run, scenario};
use mmu_check::{Checker, Op, trace};
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

#[test]
fn a_trace_says_what_the_run_said() {
    for bug in [None, Some(Bug::Omitted(Site::PublishIsb))] {
        for scenario in &scenario::ALL {
            let run = run(scenario, setup(bug), Checker::new(), Chance::seeded(7));
            let mut file = b"# a trace\n\n".to_vec();
            trace::write(&mut file, &run.trace).unwrap();
            let read: Result<Vec<_>, _> = trace::read(&file[..]).collect();
            assert_eq!(read.unwrap(), run.trace, "{}", scenario.name);
            let mut checker = Checker::new();
            let violations = trace::check(&mut checker, &file[..]).unwrap();
            assert_eq!(violations, run.violations, "{}", scenario.name);
            assert_eq!(*checker.coverage(), run.coverage, "{}", scenario.name);
        }
    }
}

/// With runs of stores as one line each, the same is found, in fewer lines.
#[test]
fn a_merged_trace_says_the_same() {
    for bug in [
        None,
        Some(Bug::Omitted(Site::PublishIsb)),
        Some(Bug::RemappedEarly),
    ] {
        for scenario in &scenario::ALL {
            let run = run(scenario, setup(bug), Checker::new(), Chance::seeded(7));
            let mut writer = trace::Writer::new(String::new());
            for event in &run.trace {
                writer.write(*event).unwrap();
            }
            let file = writer.finish().unwrap();
            assert!(file.lines().count() < run.trace.len());
            let mut checker = Checker::new();
            let violations = trace::check(&mut checker, file.as_bytes()).unwrap();
            assert_eq!(violations, run.violations, "{}", scenario.name);
            assert_eq!(*checker.coverage(), run.coverage, "{}", scenario.name);
        }
    }
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
    let mut writer = trace::Writer::new(Full(0));
    assert!(writer.write(isb).is_err());
    let mut writer = trace::Writer::new(Full(40));
    assert!(writer.write(isb).is_ok());
    assert!(writer.write(store).is_ok());
    assert!(writer.finish().is_err());
}

#[test]
fn a_bad_line_is_named() {
    let error = trace::read(&b"0 core=0 task=0 isb\nnonsense\n"[..]).nth(1);
    let text = error.unwrap().unwrap_err().to_string();
    assert_eq!(
        text,
        "line 2: no event: a sequence number expected at word 1"
    );
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
