//! Small programs on the machine in every schedule: what is right is right in all of them, and
//! without any one barrier some schedule goes wrong. So the machine is no weaker, and no stronger,
//! than it says.
#![cfg(feature = "machine")]

use mmu_check::Op;
use mmu_check::event::Barrier;
use mmu_check::machine::{Chance, EVIL, EVIL_FRAME, Machine};

const VA: u64 = 0xffff_8000_0000_1000;
const ROOT: u64 = 0x10_0000;
/// Levels 1 to 3.
const TABLES: [u64; 3] = [0x10_1000, 0x10_2000, 0x10_3000];
const SLOT: u64 = TABLES[2] + 8;
const PAGE: u64 = 0x20_0000;
const OTHER: u64 = 0x20_1000;
const VALUE: u64 = 0x600d;
/// A page of the upper half: read-write, never executed.
const LEAF: u64 = 1 << 54 | 1 << 53 | 1 << 10 | 0b11 << 8 | 1 << 2 | 0b11;

/// One instruction of core 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Do {
    Store(u64, u64),
    Zero(u64),
    Dmb,
    Dsb(Barrier),
    Isb,
    Tlbi(&'static str),
}
use Do::{Dmb, Dsb, Isb, Store, Tlbi, Zero};

/// How often a program's last access, by a core, came out as wanted, and how often not.
#[derive(Default, Debug)]
struct Outcomes {
    right: u64,
    wrong: u64,
}

/// Runs `program` in every schedule from a machine that `start` has prepared.
fn every_schedule(
    start: impl Fn(&Machine),
    program: &[Do],
    core: usize,
    wanted: Result<u64, ()>,
) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut chance = Some(Chance::exhaustive());
    while let Some(this) = chance {
        let machine = Machine::new(core + 1, ROOT, this);
        machine.set_still(true);
        let mut table = ROOT;
        for (level, next) in TABLES.into_iter().enumerate() {
            let index = VA >> (39 - 9 * level) & 0x1ff;
            machine.store(0, table + index * 8, next | 0b11);
            table = next;
        }
        machine.store(0, PAGE, VALUE);
        machine.store(0, OTHER, VALUE);
        start(&machine);
        machine.watch(VA);
        machine.set_still(false);
        for step in program {
            match *step {
                Store(pa, value) => machine.store(0, pa, value),
                Zero(frame) => machine.zero(0, frame),
                Dmb => machine.dmb(0, Barrier::Ishst),
                Dsb(kind) => machine.dsb(0, kind),
                Isb => machine.synchronise(0),
                Tlbi(name) => {
                    let operand = VA >> 12 & ((1 << 44) - 1);
                    machine.tlbi(0, Op::named(name).unwrap(), operand);
                }
            }
        }
        let found = machine.read(core, VA).map_err(drop);
        if found == wanted && machine.conflict().is_none() {
            outcomes.right += 1;
        } else {
            outcomes.wrong += 1;
        }
        chance = machine.into_chance().next_run();
    }
    outcomes
}

/// That `program` is always right, and without any one of its steps in `needed` sometimes wrong.
fn each_needed(
    name: &str,
    start: impl Fn(&Machine) + Copy,
    program: &[Do],
    needed: &[usize],
    core: usize,
    wanted: Result<u64, ()>,
) {
    let whole = every_schedule(start, program, core, wanted);
    println!("{name}, core {core}: {} schedules", whole.right);
    assert_eq!(whole.wrong, 0, "{name}, core {core}: {whole:?}");
    for &step in needed {
        let mut without = program.to_vec();
        without.remove(step);
        let outcomes = every_schedule(start, &without, core, wanted);
        println!("  without {:?}: {outcomes:?}", program[step]);
        assert!(outcomes.wrong > 0, "{name} without {:?}", program[step]);
    }
}

fn unmapped(_: &Machine) {}

fn mapped(machine: &Machine) {
    machine.store(0, SLOT, PAGE | LEAF);
}

#[test]
fn publish() {
    let program = [Store(SLOT, PAGE | LEAF), Dsb(Barrier::Ishst), Isb];
    each_needed("publish", unmapped, &program, &[1, 2], 0, Ok(VALUE));
    let reversed = [program[0], program[2], program[1]];
    assert!(every_schedule(unmapped, &reversed, 0, Ok(VALUE)).wrong > 0);
    let for_loads = [program[0], Dsb(Barrier::Ishld), Isb];
    assert!(every_schedule(unmapped, &for_loads, 0, Ok(VALUE)).wrong > 0);
    // Another core has done no ISB: it may fault, for no good reason.
    assert!(every_schedule(unmapped, &program, 1, Ok(VALUE)).wrong > 0);
}

#[test]
fn invalidate() {
    let program = [
        Store(SLOT, 0),
        Dsb(Barrier::Ishst),
        Tlbi("vaale1is"),
        Dsb(Barrier::Ish),
        Isb,
    ];
    each_needed("invalidate", mapped, &program, &[1, 2, 3, 4], 0, Err(()));
    // Another core needs no ISB for what is gone: the DSB has waited for it.
    let (shorter, needed) = (&program[..4], [1, 2, 3]);
    each_needed("invalidate", mapped, shorter, &needed, 1, Err(()));
    let with = |step: usize, other: Do| {
        let mut program = program;
        program[step] = other;
        every_schedule(mapped, &program, 1, Err(())).wrong
    };
    assert!(with(2, Tlbi("vaale1")) > 0, "local");
    assert!(with(3, Dsb(Barrier::Ishst)) > 0, "stores alone");
    assert!(with(3, Dsb(Barrier::Nsh)) > 0, "this core alone");
}

#[test]
fn link() {
    let start = |machine: &Machine| {
        // The last table is not linked yet, and its frame holds what its last owner left.
        machine.store(0, TABLES[1], 0);
        machine.fill(TABLES[2], EVIL);
    };
    let program = [
        Zero(TABLES[2]),
        Dmb,
        Store(TABLES[1], TABLES[2] | 0b11),
        Dsb(Barrier::Ishst),
        Isb,
    ];
    each_needed("link", start, &program, &[0, 1], 0, Err(()));
}

#[test]
fn break_before_make() {
    let program = [
        Store(SLOT, 0),
        Dsb(Barrier::Ishst),
        Tlbi("vaale1is"),
        Dsb(Barrier::Ish),
        Store(SLOT, OTHER | LEAF),
        Dsb(Barrier::Ishst),
        Isb,
    ];
    let needed = [0, 1, 2, 3];
    each_needed("break", mapped, &program, &needed, 0, Ok(VALUE));
}

#[test]
fn unlink() {
    // The table goes and its frame is somebody else's. A leaf-only invalidation does not do.
    let program = |tlbi| {
        [
            Store(SLOT, 0),
            Store(TABLES[1], 0),
            Dsb(Barrier::Ishst),
            Tlbi(tlbi),
            Dsb(Barrier::Ish),
            Isb,
            // The next owner's stores.
            Store(SLOT, EVIL_FRAME | LEAF),
            Dsb(Barrier::Ishst),
        ]
    };
    let outcomes = every_schedule(mapped, &program("vaae1is"), 0, Err(()));
    assert_eq!(outcomes.wrong, 0);
    assert!(every_schedule(mapped, &program("vaale1is"), 0, Err(())).wrong > 0);
}
