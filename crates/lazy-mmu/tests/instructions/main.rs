//! How many instructions the mode costs on AArch64: the path of a store, and each call under each policy.
//!
//! The crate and a probe are compiled for the bare target, and the assembly is run by an interpreter that
//! knows the handful of instructions in it. The figures are limits: a change that costs an instruction more
//! has to say so here. They are limits for the compiler they were measured with, and not tested with others.

mod interpret;

use interpret::{Count, Program};
use lazy_mmu::Policy;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The compiler that the limits are for.
const MEASURED_WITH: &str = "rustc 1.95.";

/// Set to anything, it lets this test pass without the target.
const SKIP: &str = "LAZY_MMU_WITHOUT_TARGET";

/// The compiler, with what cargo would pass it for the target: on a machine whose target lies in a
/// sysroot of its own, that is where.
fn rustc() -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let flags = env::var("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS");
    rustc.args(flags.unwrap_or_default().split_whitespace());
    rustc
}

fn target_is_there() -> bool {
    let output = rustc()
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .expect("rustc runs");
    let dir = String::from_utf8(output.stdout).expect("a path");
    let has_core = fs::read_dir(dir.trim()).is_ok_and(|mut files| {
        files.any(|f| f.is_ok_and(|f| f.file_name().to_string_lossy().starts_with("libcore-")))
    });
    if !has_core {
        assert!(
            env::var_os(SKIP).is_some(),
            "{TARGET} is not installed: `rustup target add {TARGET}`, or set {SKIP}=1 to do without this test"
        );
        println!("NOT TESTED: {TARGET} is not installed and {SKIP} is set");
    }
    has_core
}

fn compile(source: &Path, crate_name: &str, emit: &str, out: &str, extra: &[&str]) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(out);
    let status = rustc()
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "rlib",
            "--target",
            TARGET,
        ])
        .args([
            "-C",
            "opt-level=3",
            "-C",
            "panic=abort",
            "-C",
            "debuginfo=0",
        ])
        .args(["--crate-name", crate_name, "--emit"])
        .arg(format!("{emit}={}", out.display()))
        .args(extra)
        .arg(source)
        .status()
        .expect("rustc runs");
    assert!(status.success(), "{} does not compile", source.display());
    out
}

/// Compiled once; nothing for another compiler, or if the target is missing and that was allowed.
static PROBE: LazyLock<Option<Program>> =
    LazyLock::new(|| (target_is_there() && measured_with_this()).then(probe));

fn measured_with_this() -> bool {
    let output = rustc().arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let same = version.starts_with(MEASURED_WITH);
    if !same {
        println!("NOT TESTED: the limits are for {MEASURED_WITH}, this is {version}");
    }
    same
}

fn probe() -> Program {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let warnings: &[&str] = match cfg!(feature = "warnings") {
        true => &["--cfg", "feature=\"warnings\""],
        false => &[],
    };
    let library = compile(
        &root.join("src/lib.rs"),
        "lazy_mmu",
        "link",
        "liblazy_mmu.rlib",
        warnings,
    );
    let library = format!("lazy_mmu={}", library.display());
    let source = root.join("tests/instructions/probe.rs");
    let assembly = compile(&source, "probe", "asm", "probe.s", &["--extern", &library]);
    Program::parse(&fs::read_to_string(assembly).expect("the assembly was written"))
}

/// The probes of a contract's type, or those of the type that chooses with the policy as its fifth byte.
#[derive(Clone, Copy)]
struct Of(Policy, bool);

impl Of {
    fn all() -> impl Iterator<Item = Of> {
        [false, true]
            .into_iter()
            .flat_map(|chosen| Policy::ALL.map(|policy| Of(policy, chosen)))
    }

    fn probe(self, call: &str) -> String {
        match self {
            Of(_, true) => format!("chosen_{call}"),
            Of(policy, false) => format!("{policy}_{call}"),
        }
    }

    /// The bytes of a task: mode and interrupts, count, pause count, pending, policy.
    fn task(self) -> [u8; 5] {
        let policy = match self.0 {
            Policy::V3 => 0,
            Policy::Linux7 => 1,
            Policy::Eager => 2,
            Policy::Flat => 3,
            Policy::Reenter => 4,
        };
        [0, 0, 0, 0, policy]
    }
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Of(policy, chosen) = self;
        f.pad(&format!(
            "{policy}{}",
            if *chosen { ", chosen" } else { "" }
        ))
    }
}

#[test]
fn a_store_is_a_load_and_a_test() {
    let Some(program) = PROBE.as_ref() else {
        return;
    };
    for of in Of::all() {
        // In a section: load, compare, branch, store; and the return.
        let mut bytes = of.task();
        bytes[0] = 1;
        let (deferred, _) = program.call(&of.probe("owe"), &mut bytes);
        let expected = Count {
            instructions: 5,
            loads: 1,
            stores: 1,
            ..Count::default()
        };
        assert_eq!((deferred, bytes[3]), (expected, 1), "{of}, deferred");
        // Elsewhere, and in an interrupt inside a section: load, compare, branch; the pair and the return.
        for live in [0, 2, 3] {
            let mut bytes = of.task();
            bytes[0] = live;
            let (paid, _) = program.call(&of.probe("owe"), &mut bytes);
            let expected = Count {
                instructions: 6,
                loads: 1,
                pairs: 1,
                ..Count::default()
            };
            assert_eq!((paid, bytes[3]), (expected, 0), "{of}, at once");
        }
    }
    println!(
        "a store that owes: 4 instructions deferred, 5 with the pair paid at once, and a return"
    );
}

/// Instructions, returns included: an outermost pair of calls that finds nothing to pay; then, with a debt pending at
/// each exit, an outermost pair, a nested pair, and a pause and its resume.
const LIMITS: [(Of, [u32; 4]); 10] = [
    (Of(Policy::Eager, false), [21, 21, 21, 2]),
    (Of(Policy::Flat, false), [29, 35, 35, 22]),
    (Of(Policy::Reenter, false), [27, 33, 19, 24]),
    (Of(Policy::V3, false), [24, 30, 28, 26]),
    (Of(Policy::Linux7, false), [28, 31, 28, 35]),
    (Of(Policy::Eager, true), [44, 44, 44, 28]),
    (Of(Policy::Flat, true), [60, 67, 67, 58]),
    (Of(Policy::Reenter, true), [53, 59, 45, 54]),
    (Of(Policy::V3, true), [33, 39, 33, 36]),
    (Of(Policy::Linux7, true), [37, 40, 37, 46]),
];

#[test]
fn a_section_costs_what_it_did() {
    let Some(program) = PROBE.as_ref() else {
        return;
    };
    println!("instructions, returns included; a debt is pending at each exit but the idle ones");
    println!("contract         idle pair  outermost pair  nested pair  pause and resume");
    let mut above = Vec::new();
    for (of, limit) in LIMITS {
        let mut bytes = of.task();
        let run = |call: &str, owes: bool, bytes: &mut [u8; 5]| {
            bytes[3] = u8::from(owes && of.0 != Policy::Eager);
            let (count, _) = program.call(&of.probe(call), bytes);
            assert_eq!(count.calls, 0, "{of} {call}: a call on a correct path");
            count.instructions
        };
        let idle = run("enable", false, &mut bytes) + run("disable", false, &mut bytes);
        let enable = run("enable", false, &mut bytes);
        let inner = run("enable", false, &mut bytes) + run("disable", true, &mut bytes);
        let pause = run("pause", true, &mut bytes) + run("resume", false, &mut bytes);
        let disable = run("disable", true, &mut bytes);
        let costs = [idle, enable + disable, inner, pause];
        println!(
            "{of:16} {:>9}  {:>14}  {:>11}  {:>16}",
            costs[0], costs[1], costs[2], costs[3]
        );
        // Without `warnings` the compiler orders the blocks otherwise, at the price of one branch.
        let branch = u32::from(!cfg!(feature = "warnings"));
        if costs
            .iter()
            .zip(limit)
            .any(|(cost, limit)| *cost > limit + branch)
        {
            above.push(format!("{of}: {costs:?}, the limits are {limit:?}"));
        }
        assert_eq!(
            bytes[..4],
            [0; 4],
            "{of}: the calls did not run as they should"
        );
    }
    assert!(above.is_empty(), "{above:#?}");
}

/// What a handler can find done, and in which order: the compiler has exchanged, merged and left out nothing.
/// Bytes: 0 mode and interrupts, 1 count, 2 pause count, 3 pending, 4 policy, which is read first and only by the
/// type that chooses.
#[test]
fn accesses_are_in_the_order_of_the_program() {
    let Some(program) = PROBE.as_ref() else {
        return;
    };
    let calls = ["enable", "enable", "disable", "pause", "resume", "disable"];
    for of in Of::all() {
        let (_, expected) = ORDER
            .iter()
            .find(|(policy, _)| *policy == of.0)
            .expect("it has one");
        let mut bytes = of.task();
        for (call, expected) in calls.into_iter().zip(expected) {
            // A debt is pending at each exit of a section.
            bytes[3] = u8::from(of.0 != Policy::Eager && ["disable", "pause"].contains(&call));
            let (_, trace) = program.call(&of.probe(call), &mut bytes);
            // The fifth byte is marked while a hook runs that the others do not show yet.
            let (of_policy, rest): (Vec<_>, Vec<_>) =
                trace.into_iter().partition(|access| access.ends_with('4'));
            let marked = matches!(
                (of.0, call),
                (Policy::V3, "resume") | (Policy::Flat, "enable" | "resume")
            ) || (of.0 == Policy::V3 && call == "enable" && bytes[1] == 1);
            let of_chosen = match (of.1, marked) {
                (true, true) => "r4 r4 w4 w4",
                (true, false) => "r4",
                (false, _) => "",
            };
            assert_eq!(of_policy.join(" "), of_chosen, "{of} {call}");
            let trace = rest.join(" ");
            assert_eq!(trace, *expected, "{of} {call}");
        }
        // A note of a debt comes after the store that owes it, and before the next store.
        for (live, expected) in [(1, "w5 w6 r0 w3 r5 w7 r0 w3"), (0, "w5 w6 r0 p r5 w7 r0 p")] {
            let mut bytes = [live, 0, 0, 0, 0, 0, 0, 0];
            let (_, trace) = program.call(&of.probe("store"), &mut bytes);
            assert_eq!(trace.join(" "), expected, "{of}");
            assert_eq!(bytes[5..], [1, 2, 1]);
        }
    }
}

/// By call: enable, nested enable, nested disable, pause, resume, disable.
const ORDER: [(Policy, [&str; 6]); 5] = [
    (
        Policy::Eager,
        ["r0 r1 w1", "r0 r1 w1", "r0 r1 w1", "", "", "r0 r1 w1"],
    ),
    (
        Policy::Flat,
        [
            "r0 r1 w1 r0 w0",
            "r0 r1 w1 r0 w0",
            "r0 r1 w1 r3 r0 w3 p r0 w0",
            "r0 r3 r0 w3 p r0 w0",
            "r0 r0 w0",
            "r0 r1 w1 r3 r0 w3 p r0 w0",
        ],
    ),
    (
        Policy::Reenter,
        [
            "r0 r1 w1 r0 w0",
            "r0 r1 w1",
            "r0 r1 w1",
            "r0 r3 r0 w3 p r0 w0",
            "r0 r1 r0 w0",
            "r0 r1 w1 r3 r0 w3 p r0 w0",
        ],
    ),
    (
        Policy::V3,
        [
            "r1 r0 w0 r1 w1",
            "r1 r0 r1 w1",
            "r1 r0 r1 w1 r1 r3 r0 w3 p",
            "r1 r0 r0 w0 r3 r0 w3 p",
            "r1 r0 r0 w0",
            "r1 r0 r1 w1 r1 r0 w0 r3 r0 w3 p",
        ],
    ),
    (
        Policy::Linux7,
        [
            "r0 r2 r1 w1 w0",
            "r0 r2 r1 w1",
            "r0 r2 r1 w1 r3 w3 p",
            "r0 r2 w2 r1 w0 r3 w3 p",
            "r0 r2 w2 r1 w0",
            "r0 r2 r1 w1 w0 r3 w3 p",
        ],
    ),
];
