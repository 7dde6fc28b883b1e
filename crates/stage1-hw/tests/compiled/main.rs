//! `Plain` is assembly, which no host can execute: so its source is compiled for the bare target, what
//! the compiler made of it is run by an interpreter, and what it did must be exactly the operation.
//! Then every instruction is made wrong in the source, and the same test must see it.

#[path = "../build/mod.rs"]
mod build;
mod run;

use std::sync::LazyLock;

use build::{BARE, Change, Dependencies, bare_is_there, in_parallel, rustc};
use run::{Program, UNKNOWN, value_of};

/// The compiler whose instructions the interpreter knows. With another one that uses more of them, this
/// is printed, and not tested.
const KNOWN: &str = "rustc 1.95.";

static DEPENDENCIES: LazyLock<Option<Dependencies>> =
    LazyLock::new(|| bare_is_there().then(|| Dependencies::build(Some(BARE))));

fn assembly(name: &str, changes: &[Change]) -> Option<Result<String, String>> {
    // Each call with a constant becomes the instructions of that constant alone.
    let inline = Change::of("plain.rs", "\nfn tlbi(", "\n#[inline(always)]\nfn tlbi(");
    let changes = [changes, &[inline]].concat();
    let dependencies = DEPENDENCIES.as_ref()?;
    Some(dependencies.assembly(name, &changes, "tests/compiled/probe.rs"))
}

/// That a function does this and nothing else.
fn does(
    program: &Program,
    function: &str,
    arguments: &[u64],
    expected: &[&str],
) -> Result<(), String> {
    let run = program.call(function, arguments, 4)?;
    if run.trace == expected {
        return Ok(());
    }
    Err(format!(
        "{function} does {:?}, and should do {expected:?}",
        run.trace
    ))
}

/// What each operation is, in instructions.
const OPERATIONS: [(&str, &[&str]); 16] = [
    ("dsb_ish", &["dsb ish"]),
    ("dsb_ishst", &["dsb ishst"]),
    ("dsb_ishld", &["dsb ishld"]),
    ("dsb_nsh", &["dsb nsh"]),
    ("dsb_sy", &["dsb sy"]),
    ("dmb_ish", &["dmb ish"]),
    ("dmb_ishst", &["dmb ishst"]),
    ("dmb_ishld", &["dmb ishld"]),
    ("dmb_nsh", &["dmb nsh"]),
    ("dmb_sy", &["dmb sy"]),
    ("isb", &["isb"]),
    ("tlbi_all_local", &["tlbi vmalle1"]),
    ("vmalle1is", &["tlbi vmalle1is"]),
    ("publish", &["dsb ishst", "isb"]),
    ("publish_root", &["dsb ishst"]),
    ("drop_all_local", &["tlbi vmalle1", "dsb nsh", "isb"]),
];

/// TLBIs with an operand.
const INVALIDATIONS: [&str; 9] = [
    "vae1is",
    "vale1is",
    "vaae1is",
    "vaale1is",
    "rvae1is",
    "rvale1is",
    "rvaae1is",
    "rvaale1is",
    "aside1is",
];

fn check_operations(program: &Program) -> Result<(), String> {
    for (function, expected) in OPERATIONS {
        does(program, function, &[], expected)?;
        let executed = program.call(function, &[], 4)?.instructions;
        if executed != expected.len() + 1 {
            return Err(format!("{function} executes {executed} instructions"));
        }
    }
    let operand = 0x5_0000_0000_0400;
    for name in INVALIDATIONS {
        does(program, name, &[operand, 0, 1], &[])?;
        for (count, step) in [(1, 1), (3, 512), (2, 0)] {
            let expected: Vec<String> = (0..count)
                .map(|n| format!("tlbi {name} {:#x}", operand + n * step))
                .collect();
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            does(program, name, &[operand, count, step], &expected)?;
        }
    }
    Ok(())
}

fn check_memory(program: &Program) -> Result<(), String> {
    does(program, "load", &[0x1000], &["load 0x1000"])?;
    does(program, "store", &[0x1000, 7], &["store 0x1000 0x7"])?;
    let each = [
        "load 0x1000",
        "store 0x1000 0x7",
        "load 0x1008",
        "store 0x1008 0x7",
    ];
    let last = ["load 0x1010", "store 0x1010 0x7"];
    does(program, "edit", &[0x1000, 7], &[&each[..], &last].concat())?;
    let stores: Vec<&str> = [&each[..], &last]
        .concat()
        .into_iter()
        .filter(|access| access.starts_with("store"))
        .collect();
    does(program, "fill", &[0x1000, 7], &stores)?;
    let around = ["store 0x1000 0x1", "dsb ishst", "store 0x1000 0x2"];
    does(program, "stores_around", &[0x1000], &around)?;
    let around = ["store 0x1000 0x1", "tlbi vae1is 0x400", "store 0x1000 0x2"];
    does(program, "stores_around_tlbi", &[0x1000], &around)?;
    let zeroes = (0..64).map(|n| format!("dc zva {:#x}", 0x1000 + n * 64));
    let mut around = vec!["store 0x1000 0x1".to_owned()];
    around.extend(zeroes);
    around.push("store 0x1000 0x2".to_owned());
    let around: Vec<&str> = around.iter().map(String::as_str).collect();
    does(program, "stores_around_zero", &[0x1000, 0x1000], &around)
}

/// The page is zeroed, each byte once and nothing else: by the core's blocks, or by words where it has
/// none that fits. Also the last page of the address space, which has no end.
fn check_zero(program: &Program) -> Result<(), String> {
    for base in [0xFFFF_8000_1234_5000, 0xFFFF_FFFF_FFFF_F000] {
        for dczid in 0..32 {
            let block = 4 << (dczid & 0xF);
            let by_block = dczid < 16 && block <= 4096;
            let unit = if by_block { block } else { 8 };
            let expected: Vec<String> = (0..4096 / unit)
                .map(|n| match (base + n * unit, by_block) {
                    (at, true) => format!("dc zva {at:#x}"),
                    (at, false) => format!("store {at:#x} 0x0"),
                })
                .collect();
            let trace = program.call("zero", &[base], dczid)?.trace;
            if trace != expected {
                return Err(format!("DCZID_EL0 = {dczid:#x}, page {base:#x}: {trace:?}"));
            }
        }
    }
    Ok(())
}

fn check_registers(program: &Program) -> Result<(), String> {
    does(program, "write_ttbr0", &[0x123], &["msr TTBR0_EL1 0x123"])?;
    if program.call("read_ttbr0", &[], 4)?.registers[0] != value_of("TTBR0_EL1") {
        return Err("read_ttbr0 does not return TTBR0_EL1".into());
    }
    let value = |register| match register {
        // As the call has it.
        "DCZID_EL0" => 4,
        register => value_of(register),
    };
    let stored: Vec<String> = [
        "ID_AA64ISAR0_EL1",
        "ID_AA64MMFR0_EL1",
        "ID_AA64MMFR2_EL1",
        "DCZID_EL0",
        "SCTLR_EL1",
        "TCR_EL1",
        "MAIR_EL1",
    ]
    .into_iter()
    .zip((0x2000..).step_by(8))
    .map(|(register, at)| format!("store {at:#x} {:#x}", value(register)))
    .collect();
    let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
    does(program, "core_registers", &[], &stored)
}

/// An invalidation begins with `dsb ishst`, ends with `dsb ish; isb`, and stores to its own stack alone:
/// nothing that a walker reads.
fn check_invalidate(program: &Program) -> Result<(), String> {
    let words = |line: &&str| line.replace('\t', " ");
    let lines: Vec<String> = program.text("invalidate")?.iter().map(words).collect();
    let first = |name: &str| lines.iter().position(|line| line == name);
    let branch =
        |line: &String| line.starts_with('b') || line.starts_with("cb") || line.starts_with("tb");
    let before = first("dsb ishst").ok_or("invalidate has no dsb ishst")?;
    let is_barrier = |line: &String| {
        ["dsb", "isb", "dmb", "tlbi"]
            .iter()
            .any(|b| line.starts_with(b))
    };
    if lines[..before]
        .iter()
        .any(|line| branch(line) || is_barrier(line))
    {
        return Err("something comes before the first dsb ishst".into());
    }
    let end = lines.iter().rposition(is_barrier).ok_or("no barrier")?;
    if lines[end - 1..=end] != ["dsb ish", "isb"] || lines[end..].iter().any(branch) {
        return Err(format!(
            "it does not end with dsb ish; isb: {:?}",
            &lines[end - 1..]
        ));
    }
    // Registers that point into the stack.
    let of_stack = |line: &String| {
        let rest = line.strip_prefix("add ").or(line.strip_prefix("mov "))?;
        let (register, of) = rest.split_once(", ")?;
        of.starts_with("sp").then(|| register.to_owned())
    };
    let stack: Vec<String> = lines
        .iter()
        .filter_map(of_stack)
        .chain(["sp".into()])
        .collect();
    for line in lines.iter().filter(|line| line.starts_with("st")) {
        let base = line.split_once('[').map_or("", |(_, address)| address);
        let base = base.split([',', ']']).next().unwrap_or("");
        if !stack.iter().any(|register| register == base) {
            return Err(format!("`{line}` stores outside the stack"));
        }
    }
    Ok(())
}

fn check(assembly: &str) -> Result<(), String> {
    let program = Program::parse(assembly);
    check_operations(&program)?;
    check_memory(&program)?;
    check_zero(&program)?;
    check_registers(&program)?;
    check_invalidate(&program)
}

/// Checks the crate as it is. False where it cannot be: without the target, if that is allowed, or with
/// another compiler that uses other instructions.
fn unchanged_is_right(name: &str) -> bool {
    let Some(assembly) = assembly(name, &[]) else {
        return false;
    };
    let version = build::run(rustc(None).arg("--version")).expect("rustc runs");
    match check(&assembly.expect("the crate compiles")) {
        Err(unknown) if unknown.contains(UNKNOWN) && !version.starts_with(KNOWN) => {
            println!("NOT TESTED: {unknown} (it knows {KNOWN}, this is {version})");
            false
        }
        result => {
            result.unwrap();
            true
        }
    }
}

#[test]
fn plain_executes_exactly_what_it_is_asked_to() {
    unchanged_is_right("compiled");
}

/// Every instruction of `plain.rs` removed, weakened or another, and every step of its loops.
fn mutants() -> Vec<Change> {
    let plain = |old: &str, new: &str| Change::of("plain.rs", old, new);
    let instruction = |old: &str, new: &str| plain(&format!("\"{old}\""), &format!("\"{new}\""));
    let mut all = Vec::new();
    for (name, weaker, other) in [
        ("dsb ish", "dsb nsh", "dsb ishst"),
        ("dsb ishst", "dsb nshst", "dmb ishst"),
        ("dsb ishld", "dsb nshld", "dmb ishld"),
        ("dsb nsh", "dsb nshst", "isb"),
        ("dsb sy", "dsb ish", "dmb sy"),
        ("dmb ish", "dmb nsh", "dsb ish"),
        ("dmb ishst", "dmb ishld", "dsb ishst"),
        ("dmb ishld", "dmb nshld", "dmb ishst"),
        ("dmb nsh", "dmb nshst", "dmb ish"),
        ("dmb sy", "dmb ish", "dsb sy"),
        ("isb", "nop", "dsb ish"),
        ("tlbi vmalle1", "tlbi vmalle1is", "isb"),
        ("tlbi vmalle1is", "tlbi vmalle1", "tlbi aside1is, xzr"),
    ] {
        all.extend(["", weaker, other].map(|wrong| instruction(name, wrong)));
    }
    for (n, name) in INVALIDATIONS.into_iter().enumerate() {
        // The local form; last level instead of all, or the reverse; a range, or none.
        let others = [n + 1, n + 4].map(|n| INVALIDATIONS[n % INVALIDATIONS.len()]);
        let local = name.trim_end_matches("is");
        all.extend([local, others[0], others[1]].map(|wrong| instruction(name, wrong)));
    }
    all.extend([
        plain(
            "asm!($text, options(nostack",
            "asm!($text, options(nomem, nostack",
        ),
        plain(
            "in(reg) operand,\n                    options(nostack",
            "in(reg) operand,\n                    options(nomem, nostack",
        ),
        plain(
            "in(reg) start + offset, options(nostack",
            "in(reg) start + offset, options(nomem, nostack",
        ),
        plain("operand = operand.wrapping_add($batch.step);", ""),
        plain("for _ in 0..$batch.count {", "for _ in 1..$batch.count {"),
        plain("for _ in 0..$batch.count {", "{"),
        plain(
            "if block == 0 || block > PAGE_SIZE {",
            "if block > PAGE_SIZE {",
        ),
        plain("if block == 0 || block > PAGE_SIZE {", "if block == 0 {"),
        plain("block > PAGE_SIZE", "block >= PAGE_SIZE"),
        plain("word.store(0, Relaxed)", "word.store(1, Relaxed)"),
        plain("\"dc zva, {}\"", "\"dc cvac, {}\""),
        plain(
            "while offset < PAGE_SIZE {",
            "while offset < PAGE_SIZE - block {",
        ),
        plain("while offset < PAGE_SIZE {", "while offset <= PAGE_SIZE {"),
        plain(
            "while offset < PAGE_SIZE {",
            "while start.wrapping_add(offset) < start.wrapping_add(PAGE_SIZE) {",
        ),
        plain("offset += block;", "offset += 2 * block;"),
        plain("dczid & 0x10 == 0", "dczid & 0x10 != 0"),
        plain("4 << (dczid & 0xF)", "8 << (dczid & 0xF)"),
        plain("4 << (dczid & 0xF)", "4 << (dczid & 0x7)"),
        plain("TTBR0_EL1.set(value);", ""),
        Change::of("registers.rs", "tcr: TCR_EL1", "tcr: MAIR_EL1"),
        Change::of("registers.rs", "mair: MAIR_EL1", "mair: TCR_EL1"),
        Change::of("registers.rs", "sctlr: SCTLR_EL1", "sctlr: TCR_EL1"),
        Change::of(
            "sequences.rs",
            "    machine.execute(Op::Dsb(Barrier::Ish), Why::AfterTlbi);\n    machine",
            "    machine",
        ),
        Change::of(
            "registers.rs",
            "mmfr0: ID_AA64MMFR0_EL1",
            "mmfr0: ID_AA64ISAR0_EL1",
        ),
    ]);
    all
}

#[test]
fn every_mutant_of_plain_is_seen() {
    if !unchanged_is_right("unchanged") {
        return;
    }
    let mutants = mutants();
    assert!(mutants.len() > 70);
    let survivors = in_parallel(&mutants, |n, change| {
        let result = assembly(&format!("plain-{n}"), std::slice::from_ref(change))?;
        let assembly = result.unwrap_or_else(|e| panic!("{change:?} does not compile: {e}"));
        match check(&assembly) {
            Ok(()) => Some(format!("{change:?}")),
            // That is no way of seeing it.
            Err(unknown) if unknown.contains(UNKNOWN) => Some(format!("{change:?}: {unknown}")),
            Err(_) => None,
        }
    });
    assert!(survivors.is_empty(), "not seen: {survivors:#?}");
    println!("{} mutants, all seen", mutants.len());
}
