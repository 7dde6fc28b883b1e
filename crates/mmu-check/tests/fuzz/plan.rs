//! What is tried: random programs that change few descriptors, with few cores.
//!
//! A plan has one subject. Half of the plans begin with what is right for it, and have a step or two of that left out,
//! replaced or added; the others are random throughout.
//!
//! What they leave out: contiguous descriptors; AT, and DC, which no event is of; tables that are unlinked above the last
//! level; an ASID that two spaces have; a space that is given back; an access that is tried again after a fault, and any that
//! is no read, where there are two spaces; more than one page, and more than one frame that is given back.

use mmu_check::Op;
use mmu_check::What;
use mmu_check::event::AccessKind::{self, Execute, Read, Write};
use mmu_check::event::Barrier::{self, Ish, Ishld, Ishst, Nsh, Nshst};
use mmu_check::event::Expect::{self, Faults, Retries, Works};
use mmu_check::machine::program::{Do, Outcome, Program, Seen};

/// The root and the tables of the page; in the lower half those of the first space.
pub const ROOT: u64 = 0x10_0000;
const TABLES: [u64; 3] = [0x10_1000, 0x10_2000, 0x10_3000];
/// The second space: root, tables.
const SECOND: [u64; 4] = [0x11_0000, 0x11_1000, 0x11_2000, 0x11_3000];
/// A table that is zeroed by the plan.
const FRESH: u64 = 0x10_4000;
const UPPER: u64 = 0xffff_0000_0000_1000;
const LOWER: u64 = 0x1000;
const SLOT: u64 = TABLES[2] + 8;
const FLAGS: u64 = 0x30_0000;
/// Two frames and what they hold.
const FRAMES: [(u64, u64); 2] = [(0x20_0000, 0x11), (0x20_1000, 0x22)];
/// What the frame holds that was given back, or that what is no table yet leads to. Nobody may see it.
const STRANGE: u64 = 0x99;
const STRANGE_FRAME: u64 = 0x20_2000;
/// A block at the level above, whose second page has this frame, and what that holds.
const BLOCK: u64 = 0x40_0000 | 0x0060_0000_0000_0705;
const IN_BLOCK: (u64, u64) = (0x40_1000, 0x33);
const LINK: u64 = TABLES[2] | 3;
const LINK_FRESH: u64 = FRESH | 3;
const RW: u64 = 0x0060_0000_0000_0707;
const READ_ONLY: u64 = 0x80;
const RX: u64 = 0x0040_0000_0000_0787;
const NOT_GLOBAL: u64 = 1 << 11;
/// States of one program that are looked at; a program with more is passed over.
const MOST: usize = 20_000;

/// What a plan is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A page of the upper half, and the descriptor above it.
    Page,
    /// A page of the lower half, in two spaces with an ASID each. In the second it is always mapped, to the second frame.
    Spaces,
    /// The page's frame is given back, and its next owner writes to it at once.
    Frame,
    /// A table is zeroed, filled and linked in the place of the page's. Before, it holds a descriptor.
    Table,
}

pub const SUBJECTS: [Subject; 4] = [
    Subject::Page,
    Subject::Spaces,
    Subject::Frame,
    Subject::Table,
];

/// What one core does next. Cores take turns: who goes on after another waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// What the page becomes; 0 is unmapped.
    Store(u64),
    /// What the page is in the fresh table.
    StoreFresh(u64),
    /// What the descriptor above it becomes: the link of a table, a block, or nothing.
    Above(u64),
    /// The first frame is given back.
    Free,
    /// TTBR0 is written: the first space or the second.
    Space(usize),
    Dsb(Barrier),
    Dmb(Barrier),
    Isb,
    Return,
    /// Of the page, in the first space or the second.
    Tlbi(&'static str, usize),
    /// The page is used, and what the tables say is relied on; a spurious fault is retried or not.
    Use(AccessKind, bool),
}

use Action::*;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub subject: Subject,
    /// Cores that act. Another may do nothing but access the page.
    pub cores: usize,
    /// What the page is in the beginning.
    pub start: u64,
    pub steps: Vec<(usize, Action)>,
}

/// What an access must see: what a load returns, or where an instruction stands or a store goes.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    Value(u64),
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

    fn leaf(&mut self, subject: Subject) -> u64 {
        let (frame, _) = match subject {
            Subject::Page | Subject::Table => self.pick(&FRAMES),
            Subject::Spaces | Subject::Frame => FRAMES[0],
        };
        let kind = match self.below(8) {
            0..4 => RW,
            4..6 => RW | READ_ONLY,
            _ => RX,
        };
        frame | kind | subject.tag()
    }

    fn tlbi(&mut self, subject: Subject) -> Action {
        let (upper, lower) = (
            ["vaae1is", "vaae1is", "vaale1is", "vmalle1is", "vaae1"],
            [
                "vae1is",
                "vae1is",
                "vale1is",
                "aside1is",
                "vaae1is",
                "vmalle1is",
                "vae1",
                "aside1",
            ],
        );
        match subject {
            Subject::Spaces => Tlbi(self.pick(&lower), self.pick(&[0, 0, 0, 1])),
            _ => Tlbi(self.pick(&upper), 0),
        }
    }

    /// Any step; of the descriptor above the page only where that is among what changes.
    fn action(&mut self, subject: Subject, levels: bool) -> Action {
        let own = if levels || subject != Subject::Page {
            4
        } else {
            0
        };
        match self.below(16 + own) {
            0..2 => Store(0),
            2..4 => Store(self.leaf(subject)),
            4..8 => Dsb(self.pick(&[Ish, Ish, Ish, Ishst, Ishst, Ishld, Nsh, Nsh, Nshst])),
            8 => Dmb(self.pick(&[Ish, Ishst, Ishld, Nshst])),
            9..11 => Isb,
            11 => Return,
            12..15 => self.tlbi(subject),
            15 => Use(Read, subject != Subject::Spaces && self.below(3) == 0),
            _ => match subject {
                Subject::Page => Above(self.pick(&[0, 0, LINK, LINK, BLOCK])),
                Subject::Spaces if levels => Above(self.pick(&[0, LINK])),
                Subject::Spaces => Space(self.below(2) as usize),
                Subject::Frame => Free,
                Subject::Table if self.below(2) == 0 => StoreFresh(self.leaf(subject)),
                Subject::Table => Above(self.pick(&[0, LINK, LINK_FRESH, LINK_FRESH])),
            },
        }
    }

    /// What is right for a subject.
    fn right(&mut self, subject: Subject) -> Vec<Action> {
        let map = [Store(self.leaf(subject)), Dsb(Ishst), Isb];
        let gone = |tlbi: &'static str| [Dsb(Ishst), Tlbi(tlbi, 0), Dsb(Ish), Isb];
        match subject {
            Subject::Page => [&[Store(0)][..], &gone("vaae1is"), &map].concat(),
            Subject::Spaces => {
                let there = [Space(1), Isb];
                let back = [Space(0), Isb];
                match self.below(3) {
                    0 => [&there[..], &[Store(0)], &gone("vae1is"), &back].concat(),
                    1 => [&[Store(0)][..], &gone("aside1is")[..], &map, &there].concat(),
                    _ => [&there[..], &back, &[Above(0)], &gone("vae1is")].concat(),
                }
            }
            Subject::Frame => [&[Store(0)][..], &gone("vaale1is")[..], &[Free]].concat(),
            Subject::Table => {
                let fill = [StoreFresh(self.leaf(subject)), Dmb(Ishst)];
                let link = [Above(LINK_FRESH), Dsb(Ishst), Isb];
                [&fill[..], &[Above(0)], &gone("vaae1is"), &link].concat()
            }
        }
    }

    /// A step is left out, replaced or added.
    fn spoil(&mut self, steps: &mut Vec<Action>, subject: Subject, levels: bool) {
        let at = self.below(steps.len() as u64) as usize;
        match self.below(4) {
            0 if steps.len() > 1 => drop(steps.remove(at)),
            1 => steps[at] = self.action(subject, levels),
            2 if at > 0 => steps.swap(at - 1, at),
            _ => steps.insert(at, self.action(subject, levels)),
        }
    }
}

impl Subject {
    /// What a leaf has beside its kind.
    fn tag(self) -> u64 {
        match self {
            Subject::Spaces => NOT_GLOBAL,
            _ => 0,
        }
    }

    fn page(self) -> u64 {
        match self {
            Subject::Spaces => LOWER,
            _ => UPPER,
        }
    }

    /// Whether a core that does nothing else accesses the page at some time.
    fn is_watched(self) -> bool {
        matches!(self, Subject::Frame | Subject::Table)
    }
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut n = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            n.below(2);
        }
        let subject = match n.below(8) {
            0..4 => Subject::Page,
            4..6 => Subject::Spaces,
            6 => Subject::Frame,
            _ => Subject::Table,
        };
        let start = match n.below(3) {
            0 if subject != Subject::Frame => 0,
            _ => n.leaf(subject),
        };
        let levels = n.below(3) == 0;
        let mut actions = match n.below(2) {
            0 => n.right(subject),
            _ => {
                let count = 3 + n.below(if subject == Subject::Page { 7 } else { 5 });
                (0..count).map(|_| n.action(subject, levels)).collect()
            }
        };
        for _ in 0..n.below(3) {
            n.spoil(&mut actions, subject, levels);
        }
        let cores = if subject == Subject::Page && n.below(8) == 0 {
            3
        } else {
            2
        };
        let kind = match subject {
            Subject::Spaces => Read,
            _ => n.pick(&[Read, Read, Read, Write, Execute]),
        };
        actions.push(Use(kind, subject != Subject::Spaces && n.below(4) == 0));
        let mut core = 0;
        let last = actions.len() - 1;
        let turns = actions.into_iter().enumerate().map(|(at, action)| {
            if n.below(if at == last { 3 } else { 5 }) == 0 {
                core = (core + 1 + n.below(cores as u64 - 1) as usize) % cores;
            }
            (core, action)
        });
        let mut plan = Plan {
            subject,
            cores,
            steps: turns.collect(),
            start,
        };
        plan.keep_promises();
        plan
    }

    /// A frame is given back once, and mapped no more then: who maps it again owns it.
    fn keep_promises(&mut self) {
        let mut free = false;
        self.steps.retain_mut(|(_, action)| match action {
            Free => !core::mem::replace(&mut free, true),
            Store(new) if free && *new != 0 => {
                *new = *new & !FRAMES[0].0 | FRAMES[1].0;
                true
            }
            _ => true,
        });
    }

    fn beginning(&self) -> Vec<Do> {
        let page = self.subject.page();
        let base = page & !0xfff;
        let tree = |[root, one, two, three]: [u64; 4]| {
            [
                Do::Store(root, base & !0xfff_ffff, 0, one | 3),
                Do::Store(one, base & !0xfff_ffff, 1, two | 3),
                Do::Store(two, base & !0xf_ffff, 2, three | 3),
            ]
        };
        let settle = [Do::Dsb(Ish), Do::Synchronise(What::Isb)];
        let [one, two, three] = TABLES;
        let mut steps: Vec<Do> = TABLES.map(Do::Zero).to_vec();
        if self.subject == Subject::Spaces {
            steps.extend([ROOT, SECOND[0], SECOND[1], SECOND[2], SECOND[3]].map(Do::Zero));
            steps.extend([Do::Dsb(Ishst), Do::Ttbr0(ROOT, 1)]);
            steps.extend(tree(SECOND));
            let leaf = FRAMES[1].0 | RW | NOT_GLOBAL;
            steps.push(Do::Store(SECOND[3] + 8, page, 3, leaf));
        }
        steps.push(Do::Dsb(Ishst));
        steps.extend(tree([ROOT, one, two, three]));
        let frames = FRAMES
            .into_iter()
            .chain([IN_BLOCK, (STRANGE_FRAME, STRANGE)]);
        steps.extend(frames.map(|(frame, value)| Do::Data(frame, value)));
        if self.subject == Subject::Table {
            steps.push(Do::Data(FRESH + 8, STRANGE_FRAME | RW));
        }
        steps.extend(settle);
        if self.start != 0 {
            steps.push(Do::Store(SLOT, page, 3, self.start));
            steps.extend(settle);
        }
        steps
    }

    /// The program, and what its accesses must see: by core and instruction.
    pub fn program(&self) -> (Program, Vec<(usize, usize, Wanted)>) {
        let page = self.subject.page();
        let idle = Do::Access(page, Read, None);
        let mut cores = vec![Vec::new(); self.cores];
        let mut wanted = Vec::new();
        let mut tables = Tables::new(self);
        let (mut before, mut flag) = (None, FLAGS);
        if self.subject == Subject::Table {
            cores[self.steps[0].0].push(Do::Zero(FRESH));
        }
        for &(core, action) in &self.steps {
            if let Some(other) = before.filter(|other| *other != core) {
                // As a lock is handed over.
                let other: &mut Vec<Do> = &mut cores[other];
                other.extend([Do::Dmb(Ish), Do::Data(flag, 1)]);
                cores[core].extend([Do::Await(flag, 1), Do::Dmb(Ishld)]);
                flag += 64;
            }
            before = Some(core);
            tables.change(core, action);
            let step = match action {
                Store(new) => Do::Store(SLOT, page, 3, new),
                StoreFresh(new) => Do::Store(FRESH + 8, page, 3, new),
                Above(new) => Do::Store(TABLES[1], page & !0xfff, 2, new),
                Free => Do::Free(FRAMES[0].0),
                Space(0) => Do::Ttbr0(ROOT, 1),
                Space(_) => Do::Ttbr0(SECOND[0], 2),
                Dsb(kind) => Do::Dsb(kind),
                Dmb(kind) => Do::Dmb(kind),
                Isb => Do::Synchronise(What::Isb),
                Return => Do::Synchronise(What::ExceptionReturn),
                Tlbi(name, space) => Do::Tlbi(Op::named(name).unwrap(), operand(name, page, space)),
                Use(kind, retries) => {
                    let (expect, want) = expected(tables.page(core), kind, retries);
                    wanted.push((core, cores[core].len(), want));
                    Do::Access(page, kind, Some(expect))
                }
            };
            cores[core].push(step);
            if action == Free {
                cores[core].extend([Do::Data(FRAMES[0].0, STRANGE), idle]);
            }
        }
        // Somebody who relies on nothing is at work all the time.
        cores.iter_mut().for_each(|core| core.push(idle));
        if self.subject.is_watched() {
            cores.push(vec![idle]);
        }
        let start = self.beginning();
        (Program { start, cores }, wanted)
    }

    /// Whether something goes wrong on the machine; nothing if there are too many states.
    pub fn goes_wrong(&self) -> Option<bool> {
        let (program, wanted) = self.program();
        let bad = |outcome: &Outcome| {
            let strange = Seen::Value(STRANGE);
            outcome.conflict
                || outcome.seen.iter().flatten().any(|seen| *seen == strange)
                || wanted.iter().any(
                    |&(core, at, wanted)| match (outcome.seen[core][at], wanted) {
                        (Seen::Value(seen), Wanted::Value(value)) => seen != value,
                        (Seen::Fault(_), Wanted::Fault) => false,
                        _ => true,
                    },
                )
        };
        program.reaches(ROOT, MOST, bad).ok()
    }
}

/// What the tables say, as the program means it.
struct Tables {
    page: u64,
    fresh: u64,
    above: u64,
    /// The space of each core.
    spaces: Vec<usize>,
}

impl Tables {
    fn new(plan: &Plan) -> Self {
        Tables {
            page: plan.start,
            fresh: 0,
            above: LINK,
            spaces: vec![0; plan.cores],
        }
    }

    fn change(&mut self, core: usize, action: Action) {
        match action {
            Store(new) => self.page = new,
            StoreFresh(new) => self.fresh = new,
            Above(new) => self.above = new,
            Space(space) => self.spaces[core] = space,
            _ => {}
        }
    }

    /// The leaf of the page for this core; 0 for none.
    fn page(&self, core: usize) -> u64 {
        match self.above {
            _ if self.spaces[core] == 1 => FRAMES[1].0 | RW | NOT_GLOBAL,
            LINK => self.page,
            LINK_FRESH => self.fresh,
            block => block,
        }
    }
}

fn operand(name: &str, page: u64, space: usize) -> u64 {
    let asid = (space as u64 + 1) << 48;
    let number = page >> 12 & ((1 << 44) - 1);
    match name {
        "vmalle1is" => 0,
        _ if name.starts_with("aside") => asid,
        _ if name.starts_with("vaa") => number,
        _ => asid | number,
    }
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
        Read => value,
        Execute | Write => frame,
    };
    (expect, Wanted::Value(wanted))
}
