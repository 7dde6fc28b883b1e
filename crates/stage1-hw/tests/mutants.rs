//! The recorder's tests see every mutant of the sequences: each instruction removed, exchanged with
//! the next, weakened or of another kind, or for another purpose; each step of a link; each call to the
//! kernel. The crate is compiled anew with one of them, and the tests must fail.

mod build;

use build::{Change, Dependencies, in_parallel, source};

/// Every way to get one line that executes something wrong.
fn wrong(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let barriers = ["Barrier::Ishst)", "Barrier::Ish)", "Barrier::Nsh)"];
    if let Some(old) = barriers.into_iter().find(|b| line.contains(b)) {
        let others = barriers.into_iter().filter(|b| *b != old);
        all.extend(others.map(|new| line.replace(old, new)));
    }
    for (old, new) in [
        ("Op::Dsb", "Op::Dmb"),
        ("Op::Dmb", "Op::Dsb"),
        ("Op::Isb", "Op::Dsb(Barrier::Ish)"),
        ("Op::TlbiAllLocal", "Op::Isb"),
        ("Op::Tlbi(batch)", "Op::TlbiAllLocal"),
    ] {
        if line.contains(old) {
            all.push(line.replace(old, new));
        }
    }
    let (before, why) = line.split_once("Why::").expect("what it is for");
    let end = why.find(|c: char| !c.is_alphanumeric()).expect("`)`");
    all.push(format!("{before}Why::Kick{}", &why[end..]));
    all
}

/// Each line of `file` that executes something, wrong in every way, and exchanged with the next.
fn of_instructions(file: &'static str) -> Vec<Change> {
    let text = source(file);
    let (mut changes, mut at): (Vec<Change>, _) = (Vec::new(), 0);
    let mut before: Option<(usize, &str)> = None;
    for line in text.split_inclusive('\n') {
        let executes = line.trim_start().starts_with("machine.execute(");
        if executes {
            let change = |new| Change {
                file,
                at,
                old: line.into(),
                new,
            };
            changes.extend(wrong(line).into_iter().map(change));
            if let Some((at, before)) = before.filter(|(_, before)| *before != line) {
                let (old, new) = (format!("{before}{line}"), format!("{line}{before}"));
                changes.push(Change { file, at, old, new });
            }
        }
        before = executes.then_some((at, line));
        at += line.len();
    }
    changes
}

// The lines of `invalidate`, as they are.
const BEFORE: &str = "    machine.execute(Op::Dsb(Barrier::Ishst), Why::BeforeTlbi);\n";
const TLBIS: &str = "    tlbis(machine, debt, upkeep.tlb);\n";

/// Two neighbouring pieces of a file in the other order.
fn exchanged(file: &'static str, first: &str, second: &str) -> Change {
    Change::of(
        file,
        &format!("{first}{second}"),
        &format!("{second}{first}"),
    )
}

/// The rest of what an operation does, besides the instructions.
fn of_steps() -> Vec<Change> {
    let mmu = |old, new| Change::of("mmu.rs", old, new);
    vec![
        // A root and a link.
        mmu("S::Instructions::NEW.zero(table.0, frame.pa(), why);", ""),
        mmu(
            "Ok(self.empty(frame, Why::Root))",
            "Ok(self.empty(frame, Why::Link))",
        ),
        mmu("Ok(self.empty(frame, Why::Root))", "Ok(self.child(frame))"),
        mmu(
            "self.empty(frame, Why::Link);",
            "self.empty(frame, Why::Data);",
        ),
        mmu("self.empty(frame, Why::Link);", "self.child(frame);"),
        mmu("machine.store(slot, Desc::table(frame), Why::Link);", ""),
        mmu(
            "Desc::table(frame), Why::Link",
            "Desc::table(frame), Why::Root",
        ),
        mmu("if there.is_none() {", "{"),
        mmu("va: level.floor(va),", "va,"),
        mmu("unsafe { self.services.free(frame) };", ""),
        mmu("Ok(self.child(theirs))", "Ok(new)"),
        mmu("self.services.alone(|| {", "({"),
        // The calls of the kernel.
        mmu("self.services.owe();", ""),
        mmu("self.services.may_break(pages)", "true"),
        mmu("self.services.done(debt);", ""),
        mmu(
            "sequences::invalidate(S::Instructions::NEW, debt, self.upkeep);",
            "();",
        ),
        mmu("self.services.settled_by(barriers);", ""),
        mmu("self.services.settled_by(barriers);", "barriers();"),
        mmu(
            "self.services.settled_by(barriers);",
            "barriers(); self.services.settled_by(|| ());",
        ),
        mmu("debt, self.upkeep", "debt, Upkeep::default()"),
        mmu("unsafe { self.services.free(self.frame(table)) }", ""),
        exchanged(
            "mmu.rs",
            "        let new = self.empty(frame, Why::Link);\n",
            "        machine.execute(Op::Dmb(Barrier::Ishst), Why::Link);\n",
        ),
        exchanged(
            "mmu.rs",
            "        self.services.settled_by(barriers);\n",
            "        self.services.done(debt);\n",
        ),
        // An invalidation.
        exchanged("sequences.rs", BEFORE, TLBIS),
        Change::of(
            "sequences.rs",
            "if upkeep.repeat_tlbi {",
            "if !upkeep.repeat_tlbi {",
        ),
    ]
}

#[test]
fn every_mutant_fails_the_recorders_tests() {
    let dependencies = Dependencies::build(None);
    for test in ["sequences", "mmu"] {
        assert!(dependencies.passes("unchanged", &[], test), "{test} fails");
    }
    let sequences = of_instructions("sequences.rs");
    let mut others = of_instructions("mmu.rs");
    // As many as there are instructions in the sequences and the link.
    assert!(sequences.len() >= 50 && others.len() >= 4, "{sequences:?}");
    others.extend(of_steps());
    let all: Vec<Change> = sequences.into_iter().chain(others).collect();
    let survivors = in_parallel(&all, |n, change| {
        let test = if change.file == "mmu.rs" {
            "mmu"
        } else {
            "sequences"
        };
        let passes =
            dependencies.passes(&format!("mutant-{n}"), std::slice::from_ref(change), test);
        passes.then(|| format!("{change:?}"))
    });
    assert!(survivors.is_empty(), "not seen: {survivors:#?}");
    println!("{} mutants, all seen", all.len());
}
