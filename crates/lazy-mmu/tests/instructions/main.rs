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

/// The bytes of a task: mode and interrupts, count, pause count, pending, policy.
fn task(policy: Policy) -> [u8; 5] {
    let place = Policy::ALL.iter().position(|p| *p == policy);
    [
        0,
        0,
        0,
        0,
        u8::try_from(place.expect("it is there")).expect("there are five"),
    ]
}

#[test]
fn a_store_is_a_load_and_a_test() {
    let Some(program) = PROBE.as_ref() else {
        return;
    };
    for policy in Policy::ALL {
        // In a section: load, compare, branch, store; and the return.
        let mut bytes = task(policy);
        bytes[0] = 1;
        let (deferred, _) = program.call("probe_owe", &mut bytes);
        let expected = Count {
            instructions: 5,
            loads: 1,
            stores: 1,
            ..Count::default()
        };
        assert_eq!((deferred, bytes[3]), (expected, 1), "{policy}, deferred");
        // Elsewhere, and in an interrupt inside a section: load, compare, branch; the pair and the return.
        for live in [0, 2, 3] {
            let mut bytes = task(policy);
            bytes[0] = live;
            let (paid, _) = program.call("probe_owe", &mut bytes);
            let expected = Count {
                instructions: 6,
                loads: 1,
                pairs: 1,
                ..Count::default()
            };
            assert_eq!((paid, bytes[3]), (expected, 0), "{policy}, at once");
        }
    }
    println!(
        "a store that owes: 4 instructions deferred, 5 with the pair paid at once, and a return"
    );
}

#[test]
fn a_section_costs_what_it_did() {
    let Some(program) = PROBE.as_ref() else {
        return;
    };
    println!("instructions, returns included; a debt is pending at each exit of a section");
    println!("policy    outermost pair  nested pair  pause and resume");
    // Without `warnings` each of these can only be less.
    let limits = [
        (Policy::Eager, [10, 10, 10]),
        (Policy::Flat, [34, 34, 34]),
        (Policy::Reenter, [43, 29, 34]),
        (Policy::V3, [43, 40, 36]),
        (Policy::Linux7, [51, 51, 51]),
    ];
    for (policy, limit) in limits {
        let mut bytes = task(policy);
        let run = |function: &str, owes: bool, bytes: &mut [u8; 5]| {
            bytes[3] = u8::from(owes && policy != Policy::Eager);
            let (count, _) = program.call(function, bytes);
            assert_eq!(
                count.calls, 0,
                "{policy} {function}: a call on a correct path"
            );
            count.instructions
        };
        let enable = run("probe_enable", false, &mut bytes);
        let inner_enable = run("probe_enable", false, &mut bytes);
        let inner_disable = run("probe_disable", true, &mut bytes);
        let pause = run("probe_pause", true, &mut bytes);
        let resume = run("probe_resume", false, &mut bytes);
        let disable = run("probe_disable", true, &mut bytes);
        let costs = [
            enable + disable,
            inner_enable + inner_disable,
            pause + resume,
        ];
        println!(
            "{policy:8}  {:>14}  {:>11}  {:>16}",
            costs[0], costs[1], costs[2]
        );
        for (cost, limit) in costs.into_iter().zip(limit) {
            assert!(
                cost <= limit,
                "{policy}: {costs:?}, the limits are {limit:?}"
            );
        }
        assert_eq!(
            bytes[..4],
            [0; 4],
            "{policy}: the calls did not run as they should"
        );
    }
}

/// What a handler can find done, and in which order: the compiler has exchanged, merged and left out nothing.
/// Bytes: 0 mode and interrupts, 1 count, 2 pause count, 3 pending, 4 policy.
#[test]
fn accesses_are_in_the_order_of_the_program() {
    let Some(program) = PROBE.as_ref() else {
        return;
    };
    let calls = ["enable", "enable", "disable", "pause", "resume", "disable"];
    for (policy, expected) in ORDER {
        let mut bytes = task(policy);
        for (call, expected) in calls.into_iter().zip(expected) {
            // A debt is pending at each exit of a section.
            bytes[3] = u8::from(policy != Policy::Eager && ["disable", "pause"].contains(&call));
            let (_, trace) = program.call(&format!("probe_{call}"), &mut bytes);
            assert_eq!(trace.join(" "), expected, "{policy} {call}");
        }
    }
    // A note of a debt comes after the store that owes it, and before the next store.
    for (live, expected) in [(1, "w5 w6 r0 w3 r5 w7 r0 w3"), (0, "w5 w6 r0 p r5 w7 r0 p")] {
        let mut bytes = [live, 0, 0, 0, 0, 0, 0, 0];
        let (_, trace) = program.call("probe_store", &mut bytes);
        assert_eq!(trace.join(" "), expected);
        assert_eq!(bytes[5..], [1, 2, 1]);
    }
}

/// By call: enable, nested enable, nested disable, pause, resume, disable.
const ORDER: [(Policy, [&str; 6]); 5] = [
    (Policy::Eager, ["r4"; 6]),
    (
        Policy::Flat,
        [FLAT_ON, FLAT_ON, FLAT_OFF, FLAT_OFF, FLAT_ON, FLAT_OFF],
    ),
    (
        Policy::Reenter,
        [
            "r4 r0 r1 w1 r0 w0",
            "r4 r0 r1 w1",
            "r4 r0 r1 w1",
            FLAT_OFF,
            "r4 r0 r1 r0 w0",
            "r4 r0 r1 w1 r3 r0 w3 p r0 w0",
        ],
    ),
    (
        Policy::V3,
        [
            "r4 r1 r0 w0 r1 w1",
            "r4 r1 r0 r1 w1",
            "r4 r1 r0 r1 w1 r1 r3 r0 w3 p",
            "r4 r1 r0 r0 w0 r3 r0 w3 p",
            "r4 r1 r0 r0 w0",
            "r4 r1 r0 r1 w1 r1 r0 w0 r3 r0 w3 p",
        ],
    ),
    (
        Policy::Linux7,
        [
            "r4 r0 r2 r1 w1 r0 w0",
            "r4 r0 r2 r1 w1 r0 w0",
            "r4 r0 r2 r1 w1 r0 w0 r3 r0 w3 p",
            "r4 r0 r2 r1 w2 r0 w0 r3 r0 w3 p",
            "r4 r0 r2 r1 w2 r0 w0",
            "r4 r0 r2 r1 w1 r0 w0 r3 r0 w3 p",
        ],
    ),
];
const FLAT_ON: &str = "r4 r0 r0 w0";
const FLAT_OFF: &str = "r4 r0 r3 r0 w3 p r0 w0";
