//! The ledger finds what it owes by queues, chains and numbers that are used again. Here is the same without any of
//! them, which looks at everything at each event; on random programs both must find the same.

use crate::lines::event;
use crate::numbers::Numbers;
use mmu_check::Checker;

const CORES: usize = 3;
const PROGRAMS: u64 = 100;
const EVENTS: usize = 150;
const AF_AND_PAGE: u64 = 0x60_0000_0000_0703;
const READ_ONLY: u64 = 1 << 7;
const CONTIGUOUS: u64 = 1 << 52;
const FRAMES: [u64; 2] = [0x4000_0000, 0x4000_1000];
/// The descriptors that are stored to: the table's frame, and where in it. The first three may be held as one.
const SLOTS: [(u64, u64); 6] = [
    (0x3000, 1),
    (0x3000, 2),
    (0x3000, 15),
    (0x3000, 511),
    (0x4000, 0),
    (0x5000, 63),
];

/// Two levels above the slots' tables: the first of each is at this page.
fn page_of((table, index): (u64, u64)) -> u64 {
    (0xffff_0000_0000_0000 >> 12) + ((table - 0x3000) / 0x1000) * 512 + index
}

/// A descriptor that becomes valid.
struct Made {
    slot: usize,
    core: usize,
    visible: Option<u64>,
    /// To its own core's walker.
    own: Option<u64>,
}

/// What a descriptor was.
#[derive(Debug)]
struct Was {
    slot: usize,
    bits: u64,
    core: usize,
    visible: bool,
    own_visible: bool,
    held: [bool; CORES],
    /// By a TLBI for all, by one for itself, since its last DSB.
    broadcast: [bool; CORES],
    waits: [bool; CORES],
    behind: [bool; CORES],
}

#[derive(Default)]
struct Plain {
    now: u64,
    words: [u64; SLOTS.len()],
    made: Vec<Made>,
    was: Vec<Was>,
    synced: [u64; CORES],
}

impl Was {
    fn is_held(&self) -> bool {
        self.held.contains(&true)
    }

    fn is_gone(&self, core: usize) -> bool {
        !self.is_held() && !self.behind[core]
    }

    fn may_be_used(&self, core: usize) -> bool {
        self.held[core] || self.behind[core]
    }

    fn overlaps(&self, first: u64, pages: u64) -> bool {
        let page = page_of(SLOTS[self.slot]);
        let (start, held) = match self.bits & CONTIGUOUS {
            0 => (page, 1),
            _ => (page & !15, 16),
        };
        start < first + pages && first < start + held
    }

    fn leads_to(&self, frame: u64) -> bool {
        self.bits & 0xffff_ffff_f000 == frame
    }
}

impl Plain {
    fn store(&mut self, core: usize, slot: usize, new: u64) {
        let old = std::mem::replace(&mut self.words[slot], new);
        if old != 0 && old != new {
            self.was.retain(|was| (was.slot, was.bits) != (slot, old));
            self.was.push(Was {
                slot,
                bits: old,
                core,
                visible: false,
                own_visible: false,
                held: [true; CORES],
                broadcast: [false; CORES],
                waits: [false; CORES],
                behind: [false; CORES],
            });
        }
        if new == 0 {
            self.made.retain(|made| made.slot != slot);
            return;
        }
        self.was.retain(|was| (was.slot, was.bits) != (slot, new));
        if old == 0 {
            self.made.retain(|made| made.slot != slot);
            self.made.push(Made {
                slot,
                core,
                visible: None,
                own: None,
            });
        }
    }

    fn dsb(&mut self, core: usize, kind: &str) {
        let all = !kind.starts_with("nsh");
        if kind != "ishld" {
            for made in self.made.iter_mut().filter(|made| made.core == core) {
                made.own = made.own.or(Some(self.now));
                made.visible = made.visible.or(Some(self.now).filter(|_| all));
            }
            for was in self.was.iter_mut().filter(|was| was.core == core) {
                was.own_visible = true;
                was.visible |= all;
            }
        }
        if !["ish", "nsh", "sy"].contains(&kind) {
            return;
        }
        for was in self
            .was
            .iter_mut()
            .filter(|was| was.waits[core] && was.is_held())
        {
            was.behind[core] |= was.held[core];
            was.held[core] = false;
            if was.broadcast[core] && all {
                was.held = [false; CORES];
            }
            was.waits[core] = was.broadcast[core] && was.is_held();
        }
    }

    /// A TLBI of these pages, on each core or on its own.
    fn tlbi(&mut self, core: usize, first: u64, pages: u64, broadcast: bool) {
        let about = |was: &&mut Was| {
            let visible = was.visible || (was.own_visible && was.core == core);
            visible && was.is_held() && was.overlaps(first, pages)
        };
        for was in self.was.iter_mut().filter(about) {
            was.waits[core] = true;
            was.broadcast[core] |= broadcast && was.visible;
        }
    }

    fn isb(&mut self, core: usize) {
        self.synced[core] = self.now;
        self.was.iter_mut().for_each(|was| was.behind[core] = false);
    }

    fn access(&self, core: usize, page: u64, write: bool, expect: &str) -> bool {
        let permits = |was: &Was| !write || was.bits & READ_ONLY == 0;
        let mut was = self.was.iter().filter(|was| was.overlaps(page, 1));
        let relies = match expect {
            "faults" => was.any(|was| permits(was) && was.may_be_used(core)),
            "works" => was.any(|was| !permits(was) && was.may_be_used(core)),
            _ => was.any(|was| match permits(was) {
                true => was.may_be_used(core) && self.leads_elsewhere(was, page),
                false => was.held[core],
            }),
        };
        let mut made = self
            .made
            .iter()
            .filter(|made| page_of(SLOTS[made.slot]) == page);
        let visible = |made: &Made| made.own.filter(|_| made.core == core).or(made.visible);
        let unpublished = match expect {
            "faults" => false,
            "works" => made.any(|made| visible(made).is_none_or(|at| at >= self.synced[core])),
            _ => made.any(|made| visible(made).is_none()),
        };
        relies || unpublished
    }

    /// Whether the page is another one now than by this.
    fn leads_elsewhere(&self, was: &Was, page: u64) -> bool {
        let at = |bits: u64| match bits & CONTIGUOUS {
            0 => bits & 0xffff_ffff_f000,
            _ => bits & 0xffff_ffff_0000 | (page & 15) << 12,
        };
        let slots = SLOTS.iter().zip(self.words);
        let known = slots.filter(|(slot, _)| page_of(**slot) == page);
        let mut now = known.map(|(_, word)| word);
        now.any(|now| now != 0 && at(now) != at(was.bits))
    }

    fn free(&self, frame: u64) -> bool {
        let mapped = self
            .words
            .iter()
            .any(|word| *word != 0 && word & 0xffff_ffff_f000 == frame);
        mapped
            || self
                .was
                .iter()
                .any(|was| was.leads_to(frame) && (was.is_held() || was.behind.contains(&true)))
    }

    fn done(&self, core: usize, first: u64, pages: u64) -> bool {
        let mut own = self.was.iter().filter(|was| was.core == core);
        own.any(|was| was.overlaps(first, pages) && !was.is_gone(core))
    }

    fn owes_pair(&self, core: usize) -> bool {
        let mut own = self.made.iter().filter(|made| made.core == core);
        own.any(|made| made.visible.is_none_or(|at| at >= self.synced[core]))
    }

    fn owes_dsb(&self, core: usize) -> bool {
        let issued = |was: &Was| was.waits[core] && was.is_held();
        let stored = |was: &Was| was.core == core && !was.visible;
        let made = |made: &Made| made.core == core && made.visible.is_none();
        self.was.iter().any(|was| issued(was) || stored(was)) || self.made.iter().any(made)
    }
}

/// An event that changes what is owed, as a line.
fn change(n: &mut Numbers, plain: &mut Plain, core: usize) -> String {
    let slot = n.below(SLOTS.len() as u64) as usize;
    match n.below(10) {
        0..4 => {
            let (table, index) = SLOTS[slot];
            let (old, bits) = (plain.words[slot], AF_AND_PAGE | n.of(&FRAMES));
            let new = n.of(&[0, 0, bits, bits, bits | READ_ONLY, bits | CONTIGUOUS]);
            plain.store(core, slot, new);
            let (place, va) = (table + 8 * index, page_of(SLOTS[slot]) << 12);
            format!("store slot={place:#x} va={va:#x} level=3 old={old:#x} new={new:#x}")
        }
        4..7 => {
            let kind = n.of(&[
                "ish", "ish", "ishst", "ishst", "ishld", "nsh", "nshst", "sy",
            ]);
            plain.dsb(core, kind);
            format!("dsb {kind}")
        }
        7 => {
            plain.isb(core);
            "isb".into()
        }
        _ => {
            let page = page_of(SLOTS[slot]) - n.below(2);
            let operand = page & 0xfff_ffff_ffff;
            let (name, first, pages, operand) = n.of(&[
                ("vmalle1", 0, 1 << 52, 0),
                ("vaae1", page, 1, operand),
                ("vaale1", page, 1, operand),
                ("vae1", page, 1, operand | 5 << 48),
                ("rvaae1", page, 2, page & 0x1f_ffff_ffff | 1 << 46),
                // Nothing of this level is there, so nothing is bound to go.
                ("vaae1", page, 0, operand | 6 << 44),
            ]);
            let broadcast = n.below(3) > 0;
            if pages > 0 {
                plain.tlbi(core, first, pages, broadcast);
            }
            format!(
                "tlbi {name}{} {operand:#x}",
                if broadcast { "is" } else { "" }
            )
        }
    }
}

/// An event that relies on what was paid, as a line: which kind, and whether it comes too early.
fn reliance(n: &mut Numbers, plain: &Plain, core: usize) -> (usize, bool, String) {
    let page = page_of(n.of(&SLOTS));
    match n.below(8) {
        kind @ 0..3 => {
            let (write, expect) = (
                n.below(2) > 0,
                ["faults", "works", "retries"][kind as usize],
            );
            let how = if write { "write" } else { "read" };
            let line = format!("access {how} {expect} va={:#x}", page << 12);
            (kind as usize, plain.access(core, page, write, expect), line)
        }
        3 => {
            let frame = n.of(&FRAMES);
            (3, plain.free(frame), format!("free frame={frame:#x}"))
        }
        4 => {
            let pages = n.of(&[1, 2, 16, 600]);
            let line = format!("done va={:#x} pages={pages} asid=0 tables=1", page << 12);
            (4, plain.done(core, page, pages), line)
        }
        5 => (5, plain.owes_dsb(core), "switch to=9".into()),
        6 => (6, plain.owes_pair(core), "call disable".into()),
        _ => (7, plain.owes_pair(core), "call pause".into()),
    }
}

/// The tables of the slots.
fn start(checker: &mut Checker) {
    for table in [0x3000_u64, 0x4000, 0x5000] {
        let (place, va) = (0x2000 + (table - 0x3000) / 512, page_of((table, 0)) << 12);
        for line in [
            format!("zero frame={table:#x}"),
            "dmb ishst".into(),
            format!(
                "store slot={place:#x} va={va:#x} level=2 old=0x0 new={:#x}",
                table | 3
            ),
        ] {
            checker.step(&event(0, &line)).unwrap();
        }
    }
    for line in ["dsb ish", "isb", "1:isb", "2:isb"] {
        checker.step(&event(0, line)).unwrap();
    }
}

#[test]
fn the_ledger_finds_what_a_look_at_everything_finds() {
    // How often each kind of reliance came too early, and in time.
    let mut seen = [[0; 2]; 8];
    for seed in 1..=PROGRAMS {
        let (mut n, mut plain, mut lines) =
            (Numbers(seed << 32 | seed), Plain::default(), Vec::new());
        let mut checker = Checker::new();
        start(&mut checker);
        for _ in 0..EVENTS {
            plain.now += 1;
            let core = n.below(CORES as u64) as usize;
            if n.below(3) > 0 {
                let line = format!("{core}:{}", change(&mut n, &mut plain, core));
                // What it breaks by itself, such as break-before-make, is not the question here.
                let _ = checker.step(&event(lines.len(), &line));
                lines.push(line);
                continue;
            }
            let (kind, early, what) = reliance(&mut n, &plain, core);
            let line = format!("{core}:{what}");
            let found = checker.step(&event(lines.len(), &line)).err();
            lines.push(line);
            let so_far = || format!("seed {seed}:\n{}\n{found:?}", lines.join("\n"));
            assert_eq!(found.is_some(), early, "{}", so_far());
            seen[kind][usize::from(early)] += 1;
        }
    }
    println!("{seen:?}");
    assert!(seen.iter().flatten().all(|count| *count > 30), "{seen:?}");
}
