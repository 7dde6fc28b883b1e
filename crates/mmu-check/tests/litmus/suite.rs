//! What the tests are made of: tables, pages, instructions, and the shapes that most of them have.

use mmu_check::event::AccessKind::{self, Read};
use mmu_check::event::Barrier::{self, Ish, Ishst};
use mmu_check::event::Expect::{self, Faults, Works};
use mmu_check::machine::program::{Do, Program};
use mmu_check::{Op, What};

pub const ROOT: u64 = 0x10_0000;
pub const L1: u64 = 0x10_1000;
pub const L2: u64 = 0x10_2000;
pub const L3: u64 = 0x10_3000;
/// A table that is not linked, for the second entry of [`L2`].
pub const SPARE: u64 = 0x10_4000;
pub const X: u64 = 0xffff_0000_0000_1000;
pub const Y: u64 = 0xffff_0000_0000_2000;
/// A page below the spare table.
pub const Z: u64 = 0xffff_0000_0020_0000;
pub const SLOT_X: u64 = L3 + 8;
pub const SLOT_Y: u64 = L3 + 16;
pub const SLOT_Z: u64 = SPARE;
pub const LINK_Z: u64 = L2 + 8;
/// Read, write, never executed.
pub const RW: u64 = 0x0060_0000_0000_0707;
pub const RO: u64 = RW | 0x80;
/// Read only, executed.
pub const RX: u64 = 0x0040_0000_0000_0787;
pub const AF: u64 = 1 << 10;
pub const NG: u64 = 1 << 11;
pub const PAGE: u64 = 0x20_0000;
pub const OTHER: u64 = 0x20_1000;
/// What the frames hold.
pub const OLD: u64 = 0x11;
pub const NEW: u64 = 0x22;
pub const FLAG: u64 = 0x30_0000;
pub const FLAG2: u64 = 0x30_0040;

/// The lower half, for tests with ASIDs: root, three tables, and a page at 0x1000.
pub const LOWER: [u64; 4] = [0x11_0000, 0x11_1000, 0x11_2000, 0x11_3000];
pub const LOW: u64 = 0x1000;
pub const SLOT_LOW: u64 = 0x11_3008;

pub const ESOP: &str = "ESOP22";
pub const HERD: &str = "herd";

/// Published programs with one barrier more, less, or another, their verdicts by the same models.
const DERIVED: &[&str] = &[
    "CoWTf.inv+isb",
    "CoWTf.inv+isb-dsb",
    "CoWTf.inv+dmb-isb",
    "load-shoot-isb",
    "MP.RTf.inv+dsb+dmb",
    "MP.RTf.inv+dsb+dsb",
    "MP.RTf.inv+po+dsb-isb",
    "MP.RTf.inv+po+retry",
    "MP.RTf.inv+dmbst+dsb-isb",
    "MP.RTf.inv+dsbld+dsb-isb",
    "MP.RTf.inv+dsb+ctrl-isb",
    "M-load-shoot",
    "CoRpteTf.inv+po",
    "CoRpteTf.inv+dsb-isb",
    "WRC.RRTf.inv+dmb+dsb-isb",
    "ISA2.RRTf.inv+dsb+dmb+dsb-isb",
    "MP.TTf.inv+po+po",
    "MP.TTf.inv+dmb+dsb-isb",
    "ROT.inv+dsb",
    "CoWinvT+po",
    "CoWinvT+dsb-isb",
    "CoWinvT+dsb-tlbiis-dsb-eret",
    "V2I-W-DSB.LD-TLBI-DSB.ISH",
    "V2I-W-DSB.ISH-TLBI-DSB.LD",
    "CoWinvT+dsb-tlbiis.l-dsb-isb",
    "CoWinvT+dsb-tlbiis.all-dsb-isb",
    "CoWinvT+dsb-tlbiis.y-dsb-isb",
    "CoWinvT.global+vae1is",
    "MP.RT.EL1+dsb-tlbiis-dsb+dmbld",
    "MP.RT.EL1+tlbiis-dsb+dsb-isb",
    "MP.RT.EL1+dsb-tlbiis-dsbnsh+dsb-isb",
    "WBM+dsb-tlbiis-po",
    "WBM+dsb-tlbiis-dsb-isb",
    "RBS+dsb-tlbiis-dsb-isb",
    "S.RT.ro+dsb+dsb-isb",
    "fetch+dsb-tlbiis-dsb+isb",
    "fetch+dsb-tlbiis-dsb+dmbld",
    "unlink+tlbiis.all+reuse",
    "unlink+tlbiis.other+reuse",
    "unlink+dsb-tlbiis-dsb-map",
    "unlink+dsb-tlbiis-dsb-isb-map",
    "unlink+dsb-tlbiis-dsb-map-isb",
    "unlink+dsb-tlbiis-dsb-map-dsb",
    "unlink+dsb-tlbiis.l-dsb-isb-map",
    "unlink+dsb-tlbi-dsbnsh-map",
    "unlink+dsb-tlbiis-dsb-map+po",
    "unlink+dsb-unmap-tlbiis-dsb-isb",
    "unlink+dsb-unmap-tlbiis.l-dsb-isb",
    "unlink+dsb-unmap-dsb-tlbiis-dsb-isb",
    "CoWinvTa1.1+dsb-aside1is-dsb-eret",
    "CoWinvTa1.1+dsb-vae1is-dsb-eret",
    "CoWinvTa2.1+dsb-vae1is-dsb-eret",
    "CoWinvTa1.1+elsewhere-vae1is-dsb-isb",
    "CoWinvTa1.1+elsewhere-dsb-vae1is-dsb-isb",
    "CoWinvTa1.1+elsewhere-vae1is-isb",
    "MP.RTa1.1+tlbiis-dsb+away",
    "MP.RTa1.1+tlbiis-W-dsb+away",
    "MP.RTa1.1+dsb-tlbiis-dsb+away",
    "MP.RTa1.1+tlbiis-dmb+away",
    "MP.RTa1.1+tlbi-dsb+away",
    "MP.RTa1.1+tlbiis-dsb+po",
    "MP.RTa1.1+tlbiis-W-dsb+po",
    "ISA2.own+dsbnshst+tlbiis-dsb+isb",
    "ISA2.own+dmbnshst+tlbiis-dsb+isb",
    "ISA2.own+po+tlbiis-dsb+isb",
    "ROOT.own+po",
    "ROOT.own+dmbst",
    "ROOT.own+dsbst",
    "ROOT.own+dsbnshst",
    "SB+dmbsts",
    "SB+dsbs",
    "DBchange-UP+retry",
    "ISA2.RRT.EL1+dsb+dsb-tlbi-dsb+dsb-isb",
    "CoWTf.inv+dsbnsh-isb",
    "CoWTf.inv+dsbnshst-isb",
    "CoWTf.inv+dsbnsh",
    "CoWTf.inv+dmbnsh-isb",
    "MP.RTf.inv+dsbnsh-isb+dsb-isb",
    "ROT.zeroes+po",
    "ROT.own+dmbnshst",
    "ROT.inv+dmbnshst",
    "CoWinvT+dsbnshst-tlbi-dsbnsh-isb",
    "CoWinvT+dsbnshst-tlbiis-dsb-isb",
    "CoWinvT+dsbnshst-tlbi-dsbnsh",
    "CoWinvT+tlbi-dsbnsh-isb",
    "MP.RT.EL1+dsbnshst-tlbi-dsbnsh+dsb-isb",
    "MP.RT.EL1+dsbnshst-tlbiis-dsb+dsb-isb",
];

/// Why the rules may be stricter than the architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Only the storing core's DSB is credited.
    StoringCore,
    /// A table that is linked must be in order, whatever a walker would find there.
    WholeTable,
    /// A TLBI after a map ends other cores' faults too, and the rules credit it with none.
    TlbiAfterMap,
    /// Who gives a frame back must have synchronised its own context, whether it uses the address again or not.
    FreeingCore,
    /// A TLBI is credited where the store is visible, though who relies on it has no way there.
    Elsewhere,
}

/// What an instruction of a core must have seen for the outcome to be the one in question.
#[derive(Clone, Copy)]
pub enum Bad {
    Faults(usize, usize),
    Works(usize, usize),
    Sees(usize, usize, u64),
    SeesNot(usize, usize, u64),
}

pub struct Test {
    pub name: &'static str,
    pub source: &'static str,
    pub program: Program,
    pub bad: Vec<Bad>,
    /// Whether the architecture allows it, without FEAT_ETS2.
    pub allowed: bool,
    /// Why the rules break off what is forbidden all the same.
    pub stricter: Option<Cause>,
}

pub fn x(bits: u64) -> Do {
    Do::Store(SLOT_X, X, 3, bits)
}

pub fn dsb(kind: Barrier) -> Do {
    Do::Dsb(kind)
}

pub fn dmb(kind: Barrier) -> Do {
    Do::Dmb(kind)
}

pub const ISB: Do = Do::Synchronise(What::Isb);
pub const ERET: Do = Do::Synchronise(What::ExceptionReturn);
pub const SET: Do = Do::Data(FLAG, 1);
pub const SET2: Do = Do::Data(FLAG2, 1);
pub const SEE: Do = Do::Await(FLAG, 1);
pub const SEE2: Do = Do::Await(FLAG2, 1);

pub fn tlbi(name: &str, operand: u64) -> Do {
    Do::Tlbi(Op::named(name).unwrap(), operand)
}

/// An invalidation of x by this operation.
pub fn of_x(name: &str) -> Do {
    tlbi(name, X >> 12 & ((1 << 44) - 1))
}

pub fn of_z(name: &str) -> Do {
    tlbi(name, Z >> 12 & ((1 << 44) - 1))
}

pub fn access(va: u64, kind: AccessKind, relied: Expect) -> Do {
    Do::Access(va, kind, Some(relied))
}

pub fn read(relied: Expect) -> Do {
    access(X, Read, relied)
}

/// The tables, and x as it is in the beginning.
pub fn start(bits: u64) -> Vec<Do> {
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

pub fn lower() -> Vec<Do> {
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

pub struct Suite(pub Vec<Test>);

impl Suite {
    #[allow(clippy::too_many_arguments)]
    pub fn add(
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
        let source = if DERIVED.contains(&name) {
            "derived"
        } else {
            source
        };
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
    pub fn map(&mut self, name: &'static str, source: &'static str, between: &[Do], allowed: bool) {
        let core = [&[x(PAGE | RW)], between, &[read(Works)]].concat();
        let bad = [Bad::Faults(0, core.len() - 1)];
        self.add(name, source, start(0), &[&core], &bad, allowed, None);
    }

    /// x is unmapped, and core 0 accesses it.
    pub fn unmap(
        &mut self,
        name: &'static str,
        source: &'static str,
        between: &[Do],
        allowed: bool,
    ) {
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
    pub fn unmap_on_two(
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
    pub fn map_on_two(
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
