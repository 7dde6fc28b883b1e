//! Published litmus tests of virtual memory, on the rules and on the machine. The table of verdicts is printed,
//! and kept in LITMUS.md: `MMU_CHECK_WRITE=1 cargo test --test litmus` writes it again.
#![cfg(feature = "machine")]

use std::fmt::Write as _;

use mmu_check::event::AccessKind::{self, Execute, Read, Write};
use mmu_check::event::Barrier::{self, Ish, Ishld, Ishst, Nsh};
use mmu_check::event::Expect::{self, Faults, Retries, Works};
use mmu_check::machine::program::{Do, Outcome, Program, Seen};
use mmu_check::machine::{EVIL, EVIL_FRAME};
use mmu_check::{Checker, Op, What};

const ROOT: u64 = 0x10_0000;
const L1: u64 = 0x10_1000;
const L2: u64 = 0x10_2000;
const L3: u64 = 0x10_3000;
/// A table that is not linked, for the second entry of [`L2`].
const SPARE: u64 = 0x10_4000;
const X: u64 = 0xffff_0000_0000_1000;
const Y: u64 = 0xffff_0000_0000_2000;
/// A page below the spare table.
const Z: u64 = 0xffff_0000_0020_0000;
const SLOT_X: u64 = L3 + 8;
const SLOT_Y: u64 = L3 + 16;
const SLOT_Z: u64 = SPARE;
const LINK_Z: u64 = L2 + 8;
/// Read, write, never executed.
const RW: u64 = 0x0060_0000_0000_0707;
const RO: u64 = RW | 0x80;
/// Read only, executed.
const RX: u64 = 0x0040_0000_0000_0787;
const AF: u64 = 1 << 10;
const NG: u64 = 1 << 11;
const PAGE: u64 = 0x20_0000;
const OTHER: u64 = 0x20_1000;
/// What the frames hold.
const OLD: u64 = 0x11;
const NEW: u64 = 0x22;
const FLAG: u64 = 0x30_0000;
const FLAG2: u64 = 0x30_0040;

/// The lower half, for tests with ASIDs: root, three tables, and a page at 0x1000.
const LOWER: [u64; 4] = [0x11_0000, 0x11_1000, 0x11_2000, 0x11_3000];
const LOW: u64 = 0x1000;
const SLOT_LOW: u64 = 0x11_3008;

const ESOP: &str = "ESOP22";
const HERD: &str = "herd";

/// Why the rules may be stricter than the architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// Only the storing core's DSB is credited.
    StoringCore,
    /// A TLBI after a map ends other cores' faults too, and the rules credit it with none.
    TlbiAfterMap,
}

/// What an instruction of a core must have seen for the outcome to be the one that is asked about.
#[derive(Clone, Copy)]
enum Bad {
    Faults(usize, usize),
    Works(usize, usize),
    Sees(usize, usize, u64),
    SeesNot(usize, usize, u64),
}

struct Test {
    name: &'static str,
    source: &'static str,
    program: Program,
    bad: Vec<Bad>,
    /// Whether the architecture allows it, without FEAT_ETS2.
    allowed: bool,
    /// Why the rules break off what is forbidden all the same.
    stricter: Option<Cause>,
}

fn x(bits: u64) -> Do {
    Do::Store(SLOT_X, X, 3, bits)
}

fn dsb(kind: Barrier) -> Do {
    Do::Dsb(kind)
}

fn dmb(kind: Barrier) -> Do {
    Do::Dmb(kind)
}

const ISB: Do = Do::Synchronise(What::Isb);
const ERET: Do = Do::Synchronise(What::ExceptionReturn);
const SET: Do = Do::Data(FLAG, 1);
const SET2: Do = Do::Data(FLAG2, 1);
const SEE: Do = Do::Await(FLAG, 1);
const SEE2: Do = Do::Await(FLAG2, 1);

fn tlbi(name: &str, operand: u64) -> Do {
    Do::Tlbi(Op::named(name).unwrap(), operand)
}

/// An invalidation of x by this operation.
fn of_x(name: &str) -> Do {
    tlbi(name, X >> 12 & ((1 << 44) - 1))
}

fn of_z(name: &str) -> Do {
    tlbi(name, Z >> 12 & ((1 << 44) - 1))
}

fn access(va: u64, kind: AccessKind, relied: Expect) -> Do {
    Do::Access(va, kind, Some(relied))
}

fn read(relied: Expect) -> Do {
    access(X, Read, relied)
}

/// The tables, and x as it is in the beginning.
fn start(bits: u64) -> Vec<Do> {
    let mut steps = vec![
        Do::Zero(L1),
        Do::Zero(L2),
        Do::Zero(L3),
        dsb(Ishst),
        Do::Store(ROOT, X & !0xfff_ffff, 0, L1 | 3),
        Do::Store(L1, X & !0xfff_ffff, 1, L2 | 3),
        Do::Store(L2, X & !0xf_ffff, 2, L3 | 3),
        Do::Data(PAGE, OLD),
        Do::Data(OTHER, NEW),
        dsb(Ish),
        ISB,
    ];
    if bits != 0 {
        steps.extend([x(bits), dsb(Ish), ISB]);
    }
    steps
}

fn lower() -> Vec<Do> {
    let [root, l1, l2, l3] = LOWER;
    let mut steps = start(0);
    steps.extend(LOWER.map(Do::Zero));
    steps.extend([
        dsb(Ishst),
        Do::Ttbr0(root, 1),
        ISB,
        Do::Store(root, 0, 0, l1 | 3),
        Do::Store(l1, 0, 1, l2 | 3),
        Do::Store(l2, 0, 2, l3 | 3),
        Do::Store(SLOT_LOW, LOW, 3, PAGE | RW | NG),
        dsb(Ish),
        ISB,
    ]);
    steps
}

struct Suite(Vec<Test>);

impl Suite {
    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        name: &'static str,
        source: &'static str,
        start: Vec<Do>,
        cores: &[&[Do]],
        bad: &[Bad],
        allowed: bool,
        stricter: Option<Cause>,
    ) {
        let cores = cores.iter().map(|core| core.to_vec()).collect();
        self.0.push(Test {
            name,
            source,
            program: Program { start, cores },
            bad: bad.to_vec(),
            allowed,
            stricter,
        });
    }

    /// x is mapped, and core 0 accesses it.
    fn map(&mut self, name: &'static str, source: &'static str, between: &[Do], allowed: bool) {
        let core = [&[x(PAGE | RW)], between, &[read(Works)]].concat();
        let bad = [Bad::Faults(0, core.len() - 1)];
        self.add(name, source, start(0), &[&core], &bad, allowed, None);
    }

    /// x is unmapped, and core 0 accesses it.
    fn unmap(&mut self, name: &'static str, source: &'static str, between: &[Do], allowed: bool) {
        let core = [&[x(0)], between, &[read(Faults)]].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        self.add(
            name,
            source,
            start(PAGE | RW),
            &[&core],
            &bad,
            allowed,
            None,
        );
    }

    /// x is unmapped by core 0, which says so; core 1 accesses it.
    fn unmap_on_two(
        &mut self,
        name: &'static str,
        source: &'static str,
        between: [&[Do]; 2],
        allowed: bool,
    ) {
        let one = [&[x(0)], between[0], &[SET]].concat();
        let two = [&[SEE], between[1], &[read(Faults)]].concat();
        let bad = [Bad::Works(1, two.len() - 1)];
        let cores: [&[Do]; 2] = [&one, &two];
        self.add(name, source, start(PAGE | RW), &cores, &bad, allowed, None);
    }

    /// x is mapped by core 0, which says so; core 1 accesses it, and relies on that.
    fn map_on_two(
        &mut self,
        name: &'static str,
        source: &'static str,
        between: [&[Do]; 2],
        relied: Expect,
        (allowed, stricter): (bool, Option<Cause>),
    ) {
        let one = [&[x(PAGE | RW)], between[0], &[SET]].concat();
        let two = [&[SEE], between[1], &[read(relied)]].concat();
        let bad = [Bad::Faults(1, two.len() - 1)];
        let cores: [&[Do]; 2] = [&one, &two];
        self.add(name, source, start(0), &cores, &bad, allowed, stricter);
    }
}

const FORBIDDEN: (bool, Option<Cause>) = (false, None);
const ALLOWED: (bool, Option<Cause>) = (true, None);

fn publishing(suite: &mut Suite) {
    suite.map("CoWTf.inv+po", ESOP, &[], true);
    suite.map("CoWTf.inv+dmb", ESOP, &[dmb(Ish)], true);
    suite.map("CoWTf.inv+dsb", ESOP, &[dsb(Ish)], true);
    suite.map("CoWTf.inv+isb", HERD, &[ISB], true);
    suite.map("CoWTf.inv+isb-dsb", HERD, &[ISB, dsb(Ish)], true);
    suite.map("CoWTf.inv+dsb-isb", ESOP, &[dsb(Ish), ISB], false);
    suite.map("CoWTf.inv+dmb-isb", HERD, &[dmb(Ish), ISB], false);
    suite.0.last_mut().unwrap().stricter = Some(Cause::StoringCore);
    suite.map("I2V-W-DSB.LD-ISB-R", HERD, &[dsb(Ishld), ISB], true);
    suite.map("I2V-W-DSB.ST-ISB-R", HERD, &[dsb(Ishst), ISB], false);
    suite.map(
        "CoWTf.inv+dsb-svc",
        ESOP,
        &[dsb(Ish), Do::Synchronise(What::ExceptionEntry)],
        false,
    );
    suite.map("CoWTf.inv+dsb-eret", ESOP, &[dsb(Ish), ERET], false);
    let shoot = [dsb(Ish), of_x("vaae1is"), dsb(Ish)];
    suite.map("load-shoot", HERD, &shoot, true);
    suite.map(
        "load-shoot-isb",
        HERD,
        &[&shoot[..], &[ISB]].concat(),
        false,
    );
    let settle = [dsb(Ish), ISB];
    suite.map_on_two(
        "M-load-DSB+DSB-ISB",
        HERD,
        [&[dsb(Ish)], &settle],
        Works,
        FORBIDDEN,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+ctrl",
        ESOP,
        [&[dsb(Ish)], &[]],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+ctrl-isb",
        ESOP,
        [&[dsb(Ish)], &[ISB]],
        Works,
        FORBIDDEN,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+dmb",
        HERD,
        [&[dsb(Ish)], &[dmb(Ish)]],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+dsb",
        HERD,
        [&[dsb(Ish)], &[dsb(Ish)]],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+po+dsb-isb",
        ESOP,
        [&[], &settle],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+retry",
        HERD,
        [&[dsb(Ish)], &[]],
        Retries,
        FORBIDDEN,
    );
    suite.map_on_two("MP.RTf.inv+po+retry", HERD, [&[], &[]], Retries, ALLOWED);
    let strict = (false, Some(Cause::StoringCore));
    suite.map_on_two(
        "MP.RTf.inv+dmb+dsb-isb",
        ESOP,
        [&[dmb(Ish)], &settle],
        Works,
        strict,
    );
    suite.map_on_two(
        "MP.RTf.inv+dmbst+dsb-isb",
        HERD,
        [&[dmb(Ishst)], &settle],
        Works,
        strict,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsbld+dsb-isb",
        HERD,
        [&[dsb(Ishld)], &settle],
        Works,
        ALLOWED,
    );
    let strict = (false, Some(Cause::TlbiAfterMap));
    suite.map_on_two("M-load-shoot", HERD, [&shoot, &[dsb(Ish)]], Works, strict);
    // Another core has seen the descriptor itself.
    let seen = [Do::Await(SLOT_X, PAGE | RW), dsb(Ish), ISB, read(Works)];
    let (one, bad) = ([x(PAGE | RW)], [Bad::Faults(1, 3)]);
    let strict = Some(Cause::StoringCore);
    suite.add(
        "CoRpteTf.inv+dsb-isb",
        ESOP,
        start(0),
        &[&one, &seen],
        &bad,
        false,
        strict,
    );
    let unsynchronised = [Do::Await(SLOT_X, PAGE | RW), read(Works)];
    let bad = [Bad::Faults(1, 1)];
    suite.add(
        "CoRpteTf.inv+po",
        ESOP,
        start(0),
        &[&one, &unsynchronised],
        &bad,
        true,
        None,
    );
    let relay = [Do::Await(SLOT_X, PAGE | RW), dmb(Ish), SET2];
    let last = [SEE2, dsb(Ish), ISB, read(Works)];
    let bad = [Bad::Faults(2, 3)];
    let three: [&[Do]; 3] = [&one, &relay, &last];
    suite.add(
        "WRC.RRTf.inv+dmb+dsb-isb",
        ESOP,
        start(0),
        &three,
        &bad,
        false,
        strict,
    );
    let three: [&[Do]; 3] = [
        &[x(PAGE | RW), dsb(Ish), SET],
        &[SEE, dmb(Ish), SET2],
        &last,
    ];
    suite.add(
        "ISA2.RRTf.inv+dsb+dmb+dsb-isb",
        ESOP,
        start(0),
        &three,
        &bad,
        false,
        None,
    );
}

/// Programs that rely on nothing: the outcome is of the machine alone.
fn two_translations(suite: &mut Suite) {
    let nothing = |va| Do::Access(va, Read, None);
    let map: &[Do] = &[x(PAGE | RW)];
    let again = [nothing(X), nothing(X)];
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 1)];
    suite.add(
        "CoTTf.inv+po",
        ESOP,
        start(0),
        &[map, &again],
        &bad,
        true,
        None,
    );
    let settled = [nothing(X), dsb(Ish), ISB, nothing(X)];
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 3)];
    suite.add(
        "CoTTf.inv+dsb-isb",
        ESOP,
        start(0),
        &[map, &settled],
        &bad,
        false,
        None,
    );
    // A table that is linked: its old contents are whatever the frame held.
    let filled = |barrier: &[Do]| {
        let link = Do::Store(LINK_Z, Z, 2, SPARE | 3);
        let z = Do::Store(SLOT_Z, Z, 3, PAGE | RW);
        [&[Do::Zero(SPARE), z][..], barrier, &[link]].concat()
    };
    let mut stale = start(0);
    stale.push(Do::Data(SLOT_Z, OTHER | RW));
    let bad = [Bad::Sees(1, 0, NEW)];
    let walk = [nothing(Z)];
    suite.add(
        "ROT.inv+po",
        ESOP,
        stale.clone(),
        &[&filled(&[]), &walk],
        &bad,
        true,
        None,
    );
    let ordered = filled(&[dmb(Ishst)]);
    suite.add(
        "ROT.inv+dmbst",
        ESOP,
        stale.clone(),
        &[&ordered, &walk],
        &bad,
        false,
        None,
    );
    let ordered = filled(&[dsb(Ish)]);
    suite.add(
        "ROT.inv+dsb",
        ESOP,
        stale,
        &[&ordered, &walk],
        &bad,
        false,
        None,
    );
    // Message passing by translations alone.
    let maps = |barrier: &[Do]| {
        let y = Do::Store(SLOT_Y, Y, 3, PAGE | RW);
        [&[x(PAGE | RW)], barrier, &[y]].concat()
    };
    let reads = |between: &[Do]| [&[nothing(Y)], between, &[nothing(X)]].concat();
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 1)];
    suite.add(
        "MP.TTf.inv+po+po",
        ESOP,
        start(0),
        &[&maps(&[]), &reads(&[])],
        &bad,
        true,
        None,
    );
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 3)];
    let (written, seen) = (maps(&[dmb(Ish)]), reads(&[dsb(Ish), ISB]));
    suite.add(
        "MP.TTf.inv+dmb+dsb-isb",
        ESOP,
        start(0),
        &[&written, &seen],
        &bad,
        false,
        None,
    );
    // Ordinary memory.
    let buffered = |mine, theirs, between: &[Do]| {
        [&[Do::Data(mine, 1)], between, &[Do::Load(theirs)]].concat()
    };
    let both = |between: &[Do]| {
        let end = between.len() + 1;
        let cores = [
            buffered(FLAG, FLAG2, between),
            buffered(FLAG2, FLAG, between),
        ];
        (cores, [Bad::Sees(0, end, 0), Bad::Sees(1, end, 0)])
    };
    for (name, between, allowed) in [
        ("SB", &[][..], true),
        ("SB+dmbs", &[dmb(Ish)], false),
        ("SB+dmbsts", &[dmb(Ishst)], true),
        ("SB+dsbs", &[dsb(Ish)], false),
    ] {
        let ([one, two], bad) = both(between);
        suite.add(name, HERD, start(0), &[&one, &two], &bad, allowed, None);
    }
    let written = |between: &[Do]| [&[SET], between, &[SET2]].concat();
    let seen = |between: &[Do]| [&[Do::Load(FLAG2)], between, &[Do::Load(FLAG)]].concat();
    for (name, there, here, allowed) in [
        ("MP", &[][..], &[][..], true),
        ("MP+dmbst+po", &[dmb(Ishst)], &[], true),
        ("MP+po+dmbld", &[], &[dmb(Ishld)], true),
        ("MP+dmbst+dmbld", &[dmb(Ishst)], &[dmb(Ishld)], false),
        ("MP+dmbst+dsbst", &[dmb(Ishst)], &[dsb(Ishst)], true),
        ("MP+dmb+dsb", &[dmb(Ish)], &[dsb(Ish)], false),
    ] {
        let (one, two) = (written(there), seen(here));
        let bad = [Bad::Sees(1, 0, 1), Bad::Sees(1, two.len() - 1, 0)];
        suite.add(name, HERD, start(0), &[&one, &two], &bad, allowed, None);
    }
}

fn withdrawing(suite: &mut Suite) {
    let whole = [dsb(Ish), of_x("vaae1is"), dsb(Ish)];
    suite.unmap("CoWinvT+po", ESOP, &[], true);
    suite.unmap("CoWinvT+dsb-isb", ESOP, &[dsb(Ish), ISB], true);
    suite.unmap("CoWinvT+dsb-tlbiis-dsb", ESOP, &whole, true);
    suite.unmap(
        "CoWinvT+dsb-tlbiis-dsb-isb",
        ESOP,
        &[&whole[..], &[ISB]].concat(),
        false,
    );
    suite.unmap(
        "CoWinvT+dsb-tlbiis-dsb-eret",
        ESOP,
        &[&whole[..], &[ERET]].concat(),
        false,
    );
    let early = [of_x("vaae1is"), dsb(Ish), ISB];
    suite.unmap("CoWinvT+tlbiis-dsb-isb", ESOP, &early, true);
    let dmbs = [dmb(Ish), of_x("vaae1is"), dsb(Ish), ISB];
    let _ = dmbs;
    let with = |first, tlbi, second| [dsb(first), tlbi, dsb(second), ISB];
    let leaf = of_x("vaale1is");
    suite.unmap(
        "V2I-W-DSB.ISH-TLBI-DSB.ST",
        HERD,
        &with(Ish, of_x("vaae1is"), Ishst),
        true,
    );
    suite.unmap(
        "V2I-W-DSB.ST-TLBI-DSB.ISH",
        HERD,
        &with(Ishst, of_x("vaae1is"), Ish),
        false,
    );
    suite.unmap(
        "V2I-W-DSB.LD-TLBI-DSB.ISH",
        HERD,
        &with(Ishld, of_x("vaae1is"), Ish),
        true,
    );
    suite.unmap(
        "V2I-W-DSB.ISH-TLBI-DSB.LD",
        HERD,
        &with(Ish, of_x("vaae1is"), Ishld),
        true,
    );
    suite.unmap(
        "CoWinvT+dsb-tlbiis.l-dsb-isb",
        HERD,
        &with(Ish, leaf, Ish),
        false,
    );
    suite.unmap(
        "CoWinvT+dsb-tlbiis.all-dsb-isb",
        HERD,
        &with(Ish, tlbi("vmalle1is", 0), Ish),
        false,
    );
    let y = tlbi("vaae1is", Y >> 12 & ((1 << 44) - 1));
    suite.unmap(
        "CoWinvT+dsb-tlbiis.y-dsb-isb",
        HERD,
        &with(Ish, y, Ish),
        true,
    );
    let asid = tlbi("aside1is", 0);
    suite.unmap("CoWinvT.global+aside1is", HERD, &with(Ish, asid, Ish), true);
    suite.unmap(
        "CoWinvT.global+vae1is",
        HERD,
        &with(Ish, of_x("vae1is"), Ish),
        false,
    );
    let core = [
        [x(PAGE | RW)].as_slice(),
        &whole,
        &[x(0), dsb(Ish), ISB, read(Faults)],
    ]
    .concat();
    let bad = [Bad::Works(0, core.len() - 1)];
    suite.add("needTLBI1", HERD, start(0), &[&core], &bad, true, None);

    let settle = [dsb(Ish), ISB];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dsb+dsb-isb",
        ESOP,
        [&whole, &settle],
        false,
    );
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dsb+dmbld",
        ESOP,
        [&whole, &[dmb(Ishld)]],
        false,
    );
    let local = [dsb(Ish), of_x("vaae1"), dsb(Ish)];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbi-dsb+dsb-isb",
        ESOP,
        [&local, &settle],
        true,
    );
    let weak = [dsb(Ish), of_x("vaae1is"), dmb(Ish)];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dmb+dsb-isb",
        ESOP,
        [&weak, &settle],
        true,
    );
    let none = [of_x("vaae1is"), dsb(Ish)];
    suite.unmap_on_two("MP.RT.EL1+tlbiis-dsb+dsb-isb", ESOP, [&none, &settle], true);
    let near = [dsb(Ish), of_x("vaae1is"), dsb(Nsh)];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dsbnsh+dsb-isb",
        HERD,
        [&near, &settle],
        true,
    );

    // Core 1 invalidates for core 0, and tells core 2.
    let third = |between: &[Do]| {
        let one = vec![x(0), dsb(Ish), SET];
        let two = [&[SEE], between, &[SET2]].concat();
        let three = vec![SEE2, dsb(Ish), ISB, read(Faults)];
        [one, two, three]
    };
    let bad = [Bad::Works(2, 3)];
    for (name, between, allowed) in [
        ("ISA2.RRT.EL1+dsb+dsb-tlbiis-dsb+dsb-isb", &whole[..], false),
        ("ISA2.RRT.EL1+dsb+tlbiis-dsb+dsb-isb", &none, false),
        ("ISA2.RRT.EL1+dsb+dsb-tlbi-dsb+dsb-isb", &local, true),
    ] {
        let [one, two, three] = third(between);
        let cores: [&[Do]; 3] = [&one, &two, &three];
        suite.add(name, ESOP, start(PAGE | RW), &cores, &bad, allowed, None);
    }

    // The frame gets other data, and its old user must not see it.
    let reused = |second: &[Do]| {
        let head = [x(0), dsb(Ish), of_x("vaae1is")];
        [&head, second, &[Do::Data(PAGE, NEW)]].concat()
    };
    let unaware = [Do::Access(X, Read, None)];
    let bad = [Bad::Sees(1, 0, NEW)];
    let (right, wrong) = (reused(&[dsb(Ish)]), reused(&[]));
    suite.add(
        "RBS+dsb-tlbiis-dsb",
        ESOP,
        start(PAGE | RW),
        &[&right, &unaware],
        &bad,
        false,
        None,
    );
    suite.add(
        "RBS+dsb-tlbiis-po",
        ESOP,
        start(PAGE | RW),
        &[&wrong, &unaware],
        &bad,
        true,
        None,
    );
    // A late write lands after the frame was read, and is read by nobody else.
    let taken = |second: &[Do]| {
        let head = [x(0), dsb(Ish), of_x("vaae1is")];
        [&head, second, &[Do::Load(PAGE)]].concat()
    };
    let unaware = [Do::Access(X, Write, None)];
    for (name, second, allowed) in [
        ("WBM+dsb-tlbiis-dsb", &[dsb(Ish)][..], false),
        ("WBM+dsb-tlbiis-po", &[], true),
    ] {
        let one = taken(second);
        let bad = [Bad::Sees(0, one.len() - 1, OLD), Bad::Works(1, 0)];
        suite.add(
            name,
            ESOP,
            start(PAGE | RW),
            &[&one, &unaware],
            &bad,
            allowed,
            None,
        );
    }
}

fn breaking(suite: &mut Suite) {
    let make = x(OTHER | RW);
    let parts = [
        x(0),
        dsb(Ish),
        of_x("vaae1is"),
        dsb(Ish),
        make,
        dsb(Ish),
        SET,
    ];
    let user = [SEE, dsb(Ish), ISB, read(Works)];
    let bad = [Bad::SeesNot(1, 3, NEW)];
    let names = [
        "MP.BBM1-break",
        "MP.BBM1-dsb1",
        "MP.BBM1-tlbi",
        "MP.BBM1-dsb2",
    ];
    let full: [&[Do]; 2] = [&parts, &user];
    suite.add(
        "MP.BBM1+dsb-tlbiis-dsb-dsb+dsb-isb",
        ESOP,
        start(PAGE | RW),
        &full,
        &bad,
        false,
        None,
    );
    for (at, name) in names.into_iter().enumerate() {
        let mut less = parts.to_vec();
        less.remove(at);
        suite.add(
            name,
            ESOP,
            start(PAGE | RW),
            &[&less, &user],
            &bad,
            true,
            None,
        );
    }
    let mut local = parts;
    local[2] = of_x("vaae1");
    suite.add(
        "MP.BBM1+local",
        ESOP,
        start(PAGE | RW),
        &[&local, &user],
        &bad,
        true,
        None,
    );
    let mut unpublished = parts.to_vec();
    unpublished.remove(5);
    suite.add(
        "MP.BBM1-dsb3",
        ESOP,
        start(PAGE | RW),
        &[&unpublished, &user],
        &bad,
        true,
        None,
    );
    let unaware = [Do::Access(X, Read, None), Do::Access(X, Read, None)];
    let cleared = [
        x((PAGE | RW) & !AF),
        dsb(Ish),
        of_x("vaae1is"),
        dsb(Ish),
        x(OTHER | RW),
    ];
    let bad = [Bad::Sees(1, 0, NEW), Bad::Sees(1, 1, OLD)];
    suite.add(
        "BBM.AF0",
        HERD,
        start(PAGE | RW),
        &[&cleared, &unaware],
        &bad,
        false,
        None,
    );
    let replaced = [x(OTHER | RO)];
    suite.add(
        "CoRR+PteOA.DB0",
        HERD,
        start(PAGE | RO),
        &[&replaced, &unaware],
        &bad,
        true,
        None,
    );
}

fn permissions(suite: &mut Suite) {
    let (up, down) = (x(PAGE | RW), x(PAGE | RO));
    let write = |relied| access(X, Write, relied);
    let settle = [dsb(Ish), ISB];
    let whole = [dsb(Ish), of_x("vaae1is"), dsb(Ish)];
    let one = [&[up][..], &settle, &[write(Works)]].concat();
    let bad = [Bad::Faults(0, 3)];
    suite.add(
        "DBchange-UP",
        HERD,
        start(PAGE | RO),
        &[&one],
        &bad,
        true,
        None,
    );
    let one = [&[up][..], &settle, &[write(Retries)]].concat();
    suite.add(
        "DBchange-UP+retry",
        HERD,
        start(PAGE | RO),
        &[&one],
        &bad,
        true,
        None,
    );
    let told = [&[up][..], &whole, &[SET]].concat();
    let user = [SEE, dmb(Ish), write(Works)];
    let bad = [Bad::Faults(1, 2)];
    suite.add(
        "permchange-M-shoot",
        HERD,
        start(PAGE | RO),
        &[&told, &user],
        &bad,
        false,
        None,
    );
    let told = [&[down][..], &whole, &[SET]].concat();
    let user = [SEE, dsb(Ish), ISB, write(Faults)];
    let bad = [Bad::Works(1, 3)];
    suite.add(
        "S.RT.ro+dsb-tlbiis-dsb+dsb-isb",
        ESOP,
        start(PAGE | RW),
        &[&told, &user],
        &bad,
        false,
        None,
    );
    let told = [down, dsb(Ish), SET];
    suite.add(
        "S.RT.ro+dsb+dsb-isb",
        ESOP,
        start(PAGE | RW),
        &[&told, &user],
        &bad,
        true,
        None,
    );
    // Instructions.
    let fetch = |relied| access(X, Execute, relied);
    let told = [&[x(0)][..], &whole, &[SET]].concat();
    let user = [SEE, ISB, fetch(Faults)];
    let bad = [Bad::Works(1, 2)];
    suite.add(
        "fetch+dsb-tlbiis-dsb+isb",
        HERD,
        start(PAGE | RX),
        &[&told, &user],
        &bad,
        false,
        None,
    );
}

fn tables(suite: &mut Suite) {
    let linked = || {
        let mut steps = start(0);
        steps.extend([
            Do::Zero(SPARE),
            dsb(Ishst),
            Do::Store(LINK_Z, Z, 2, SPARE | 3),
            dsb(Ish),
            ISB,
        ]);
        steps
    };
    // Its next owner writes what walkers would take for descriptors.
    let reused = |tlbi: Do| {
        [
            Do::Store(LINK_Z, Z, 2, 0),
            dsb(Ishst),
            tlbi,
            dsb(Ish),
            ISB,
            Do::Data(SLOT_Z, EVIL_FRAME | (EVIL & 0xfff) | RW),
            access(Z, Read, Faults),
        ]
    };
    let bad = [Bad::Works(0, 6)];
    for (name, tlbi, allowed) in [
        ("unlink+tlbiis.l+reuse", of_z("vaale1is"), true),
        ("unlink+tlbiis+reuse", of_z("vaae1is"), false),
        ("unlink+tlbiis.all+reuse", tlbi("vmalle1is", 0), false),
        ("unlink+tlbiis.other+reuse", of_x("vaae1is"), true),
    ] {
        suite.add(name, HERD, linked(), &[&reused(tlbi)], &bad, allowed, None);
    }
    // ASIDs.
    let low = |operand: u64, name| {
        [
            Do::Store(SLOT_LOW, LOW, 3, 0),
            dsb(Ish),
            tlbi(name, operand),
            dsb(Ish),
            ERET,
            access(LOW, Read, Faults),
        ]
    };
    let bad = [Bad::Works(0, 5)];
    for (name, operand, op, allowed) in [
        (
            "CoWinvTa1.1+dsb-aside1is-dsb-eret",
            1 << 48,
            "aside1is",
            false,
        ),
        (
            "CoWinvTa2.1+dsb-aside1is-dsb-eret",
            2 << 48,
            "aside1is",
            true,
        ),
        (
            "CoWinvTa1.1+dsb-vae1is-dsb-eret",
            1 << 48 | 1,
            "vae1is",
            false,
        ),
        (
            "CoWinvTa2.1+dsb-vae1is-dsb-eret",
            2 << 48 | 1,
            "vae1is",
            true,
        ),
    ] {
        suite.add(
            name,
            ESOP,
            lower(),
            &[&low(operand, op)],
            &bad,
            allowed,
            None,
        );
    }
}

fn suite() -> Vec<Test> {
    let mut suite = Suite(Vec::new());
    publishing(&mut suite);
    two_translations(&mut suite);
    withdrawing(&mut suite);
    breaking(&mut suite);
    permissions(&mut suite);
    tables(&mut suite);
    suite.0
}

impl Test {
    fn is_bad(&self, outcome: &Outcome) -> bool {
        let mut all = self.bad.iter();
        let relies = self.relies();
        all.all(|bad| {
            let seen = |core: usize, at: usize| outcome.seen[core][at];
            match *bad {
                Bad::Faults(core, at) => matches!(seen(core, at), Seen::Fault(_)),
                Bad::Works(core, at) => matches!(seen(core, at), Seen::Value(_)),
                Bad::Sees(core, at, value) => seen(core, at) == Seen::Value(value),
                Bad::SeesNot(core, at, value) => seen(core, at) != Seen::Value(value),
            }
        }) || (outcome.conflict && relies)
    }

    /// Whether the program says what it relies on: else the rules have nothing to say.
    fn relies(&self) -> bool {
        let mut all = self.program.cores.iter().flatten();
        all.any(|step| matches!(step, Do::Access(_, _, Some(_))))
    }

    /// Whether the outcome happens on the machine.
    fn happens(&self) -> bool {
        let happens = self.program.reaches(ROOT, 3_000_000, |o| self.is_bad(o));
        happens.unwrap_or_else(|_| panic!("{}: too many states", self.name))
    }

    /// The first rule that the program breaks.
    fn breaks(&self) -> Option<&'static str> {
        let mut checker = Checker::new();
        let events = self.program.events();
        let mut results = events.iter().map(|event| checker.step(event));
        results
            .find_map(Result::err)
            .map(|violation| violation.rule.name())
    }
}

fn yes(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "forbidden" }
}

#[test]
fn rules_and_machine_agree_with_the_architecture() {
    let (mut table, mut wrong, mut strict) = (String::new(), Vec::new(), 0);
    let tests = suite();
    for test in &tests {
        let happens = test.happens();
        let breaks = test.relies().then(|| test.breaks());
        let rules = match breaks {
            None => "relies on nothing".into(),
            Some(None) => "accepted".into(),
            Some(Some(rule)) => match test.stricter {
                Some(Cause::StoringCore) => format!("{rule}: stricter (1)"),
                Some(Cause::TlbiAfterMap) => format!("{rule}: stricter (3)"),
                None => rule.to_string(),
            },
        };
        let right =
            breaks.is_none_or(|rule| rule.is_some() == (test.allowed || test.stricter.is_some()));
        strict += u32::from(test.stricter.is_some());
        let (name, source) = (test.name, test.source);
        let line = format!(
            "| {name} | {source} | {} | {} | {rules} |",
            yes(test.allowed),
            yes(happens)
        );
        if happens != test.allowed || !right {
            wrong.push(line.clone());
        }
        writeln!(table, "{line}").unwrap();
    }
    println!(
        "{table}{} tests, the rules stricter in {strict}",
        tests.len()
    );
    assert!(
        wrong.is_empty(),
        "not as the architecture says:\n{}",
        wrong.join("\n")
    );
    assert!(strict <= 20);
    let path = format!("{}/LITMUS.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let head = text.split("\n| test |").next().unwrap_or_default();
    let whole = format!(
        "{head}\n| test | source | architecture | machine | rules |\n|---|---|---|---|---|\n{table}"
    );
    if std::env::var_os("MMU_CHECK_WRITE").is_some() {
        std::fs::write(&path, &whole).unwrap();
    } else {
        assert_eq!(text, whole, "LITMUS.md is not what was found");
    }
}
