//! Random operations on the model, with several gathers open, compared with a flat map after every
//! one: results, errors, how far each got, what every touched core may see, which frames come back
//! and when. The model says where break-before-make or W^X was not kept.
//!
//! A million operations in release, fewer in debug; `PAGING_OPS=n` sets the number. The seed is
//! fixed: a run repeats.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use stage1_paging::model::{Model, Seen};
use stage1_paging::*;

/// Pages in play: four last-level tables, two on either side of a 1 GiB boundary.
const WINDOW: usize = 4 * 512;
/// First frame in play, 2 MiB aligned.
const FRAMES: u64 = 0x8000_0000 >> 12;

#[derive(Clone, Debug)]
enum Op {
    Map {
        at: usize,
        n: usize,
        frame: u64,
        prot: Prot,
        fit: Fit,
    },
    MapFrames {
        at: usize,
        n: usize,
        given: usize,
        prot: Prot,
    },
    Unmap {
        at: usize,
        n: usize,
    },
    Protect {
        at: usize,
        n: usize,
        access: Access,
    },
    Move {
        at: usize,
        n: usize,
        to: usize,
    },
    Replace {
        at: usize,
        n: usize,
        prot: Prot,
    },
    Cursor {
        at: usize,
        n: usize,
        steps: Vec<(usize, usize, Prot)>,
    },
    Split {
        at: usize,
    },
    FreeTables {
        at: usize,
        n: usize,
    },
    Reserve {
        at: usize,
        n: usize,
    },
    Touch {
        core: usize,
        at: usize,
    },
    RunOn {
        core: usize,
    },
    Pay,
    Settle,
}

fn prot() -> impl Strategy<Value = Prot> {
    let device = Prot {
        memory: Memory::DEVICE,
        access: Access::ReadOnly,
    };
    prop_oneof![
        6 => Just(Prot::RW), 4 => Just(Prot::RO), 2 => Just(Prot::RX), 1 => Just(Prot::DEVICE), 1 => Just(device)
    ]
}

/// A range in the window: often short, sometimes whole tables.
fn range() -> impl Strategy<Value = (usize, usize)> {
    let clip = |(at, n): (usize, usize)| (at, n.min(WINDOW - at));
    prop_oneof![
        4 => (0..WINDOW, 0usize..24).prop_map(clip),
        2 => (0usize..4, 0usize..1030).prop_map(move |(t, n)| clip((t * 512, n))),
        2 => (0usize..4, 1usize..3).prop_map(move |(t, n)| clip((t * 512, n * 512))),
        1 => (0..WINDOW, 0usize..1200).prop_map(clip),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let frame = prop_oneof![2 => (0u64..4).prop_map(|t| t * 512), 1 => 0u64..2048];
    prop_oneof![
        6 => (range(), frame, any::<bool>(), prot(), any::<bool>()).prop_map(|((at, n), f, congruent, prot, large)| {
            let frame = FRAMES + if congruent { f / 512 * 512 + at as u64 % 512 } else { f };
            Op::Map { at, n, frame, prot, fit: if large { Fit::Largest } else { Fit::Pages } }
        }),
        3 => (range(), 0usize..40, prot()).prop_map(|((at, n), short, prot)| {
            Op::MapFrames { at, n, given: if short < 4 { n.saturating_sub(short) } else { n }, prot }
        }),
        5 => range().prop_map(|(at, n)| Op::Unmap { at, n }),
        3 => (range(), prot()).prop_map(|((at, n), p)| Op::Protect { at, n, access: p.access }),
        4 => (range(), 0..WINDOW, 0usize..8, 0usize..3).prop_map(|((at, n), to, near, how)| {
            let to = [to, (at + near).saturating_sub(4), to / 512 * 512 + at % 512][how].min(WINDOW - n);
            Op::Move { at, n, to }
        }),
        2 => (range(), prot()).prop_map(|((at, n), prot)| Op::Replace { at, n, prot }),
        4 => (range(), prop::collection::vec((0usize..4, 0..WINDOW, prot()), 0..24))
            .prop_map(|((at, n), steps)| Op::Cursor { at, n, steps }),
        1 => (0..WINDOW).prop_map(|at| Op::Split { at }),
        1 => range().prop_map(|(at, n)| Op::FreeTables { at, n }),
        1 => range().prop_map(|(at, n)| Op::Reserve { at, n }),
        4 => (0usize..2, 0..WINDOW).prop_map(|(core, at)| Op::Touch { core, at }),
        1 => (0usize..2).prop_map(|core| Op::RunOn { core }),
        2 => Just(Op::Pay),
        3 => Just(Op::Settle),
    ]
}

type Fail = Option<(What, usize)>;

/// What the tables must say, as simply as it can be said.
struct Oracle {
    pages: Vec<Option<(u64, Prot)>>,
    /// By 2 MiB slot: mapped by a block; a last-level table is linked.
    block: [bool; 4],
    linked: [bool; 4],
    /// First frames of mappings removed, and how many.
    removed: Vec<(u64, u64)>,
}

impl Oracle {
    fn unit(&self, p: usize, end: usize) -> Result<usize, What> {
        if !self.block[p / 512] {
            return Ok(1);
        }
        if p.is_multiple_of(512) && end - p >= 512 {
            Ok(512)
        } else {
            Err(What::PartOfBlock)
        }
    }

    fn map(
        &mut self,
        at: usize,
        n: usize,
        prot: Prot,
        fit: Fit,
        frame: impl Fn(usize) -> Option<u64>,
    ) -> Fail {
        let mut p = at;
        while p < at + n {
            let slot = p / 512;
            let large = fit == Fit::Largest
                && p.is_multiple_of(512)
                && at + n - p >= 512
                && frame(p - at).is_some_and(|f| f.is_multiple_of(512));
            if self.block[slot] {
                return Some((What::AlreadyMapped, p - at));
            }
            let step = if large && !self.linked[slot] { 512 } else { 1 };
            if step == 512 {
                self.block[slot] = true;
            } else {
                self.linked[slot] = true;
                if self.pages[p].is_some() {
                    return Some((What::AlreadyMapped, p - at));
                }
            }
            for i in p..p + step {
                let Some(frame) = frame(i - at) else {
                    return Some((What::TooFewFrames, i - at));
                };
                self.pages[i] = Some((frame, prot));
            }
            p += step;
        }
        None
    }

    fn unmap(&mut self, at: usize, n: usize) -> Fail {
        let mut p = at;
        while p < at + n {
            let Ok(step) = self.unit(p, at + n) else {
                return Some((What::PartOfBlock, p - at));
            };
            if let Some((frame, _)) = self.pages[p] {
                self.removed.push((frame, step as u64));
            }
            self.pages[p..p + step].fill(None);
            if step == 512 {
                self.block[p / 512] = false;
            }
            p += step;
        }
        None
    }

    fn refused(old: Prot, new: Access) -> bool {
        (old.access == Access::ReadWrite && new == Access::ReadExecute)
            || (old.access == Access::ReadExecute && new == Access::ReadWrite)
    }

    fn protect(&mut self, at: usize, n: usize, access: Access) -> Fail {
        let mut p = at;
        while p < at + n {
            let Ok(step) = self.unit(p, at + n) else {
                return Some((What::PartOfBlock, p - at));
            };
            if self.pages[p].is_some_and(|(_, old)| Self::refused(old, access)) {
                return Some((What::WriteAndExecute, p - at));
            }
            let device = |(_, old): (u64, Prot)| old.memory == Memory::DEVICE;
            if access == Access::ReadExecute && self.pages[p].is_some_and(device) {
                return Some((What::ExecutableDevice, p - at));
            }
            self.pages[p..p + step]
                .iter_mut()
                .flatten()
                .for_each(|(_, prot)| prot.access = access);
            p += step;
        }
        None
    }

    fn move_pages(&mut self, at: usize, n: usize, to: usize) -> Fail {
        if at == to {
            let mut p = at;
            while p < at + n {
                match self.unit(p, at + n) {
                    Ok(step) => p += step,
                    Err(what) => return Some((what, p - at)),
                }
            }
            return None;
        }
        if n == 0 {
            return None;
        }
        if at.abs_diff(to) < n {
            return self.move_overlapping(at, n, to);
        }
        let mut p = at;
        while p < at + n {
            let fail = |what| Some((what, p - at));
            let q = p - at + to;
            let Ok(step) = self.unit(p, at + n) else {
                return fail(What::PartOfBlock);
            };
            if self.pages[p].is_some() {
                if step == 512 && (!q.is_multiple_of(512) || self.linked[q / 512]) {
                    return fail(What::PartOfBlock);
                }
                if self.block[q / 512] {
                    return fail(What::AlreadyMapped);
                }
                if step == 512 {
                    self.block[p / 512] = false;
                    self.block[q / 512] = true;
                } else {
                    self.linked[q / 512] = true;
                    if self.pages[q].is_some() {
                        return fail(What::AlreadyMapped);
                    }
                }
                for i in 0..step {
                    self.pages[q + i] = self.pages[p + i].take();
                }
            }
            p += step;
        }
        None
    }

    fn move_overlapping(&mut self, at: usize, n: usize, to: usize) -> Fail {
        let by = at.abs_diff(to);
        let fresh = if to > at {
            to + n - by..to + n
        } else {
            to..to + by
        };
        if (at..at + n).any(|p| self.block[p / 512]) {
            return Some((What::PartOfBlock, 0));
        }
        let both = |q: usize| self.pages[q].is_some() && self.pages[q - to + at].is_some();
        if let Some(q) = fresh.into_iter().find(|&q| both(q)) {
            return Some((What::AlreadyMapped, q - to));
        }
        let moved: Vec<_> = (at..at + n).map(|p| self.pages[p].take()).collect();
        for (q, page) in (to..).zip(moved).filter(|(_, page)| page.is_some()) {
            self.linked[q / 512] = true;
            self.pages[q] = page;
        }
        None
    }

    fn replace(&mut self, at: usize, new: &[u64], prot: Prot) -> Fail {
        for p in at..at + new.len() {
            let what = match self.pages[p] {
                _ if self.block[p / 512] => What::PartOfBlock,
                None => What::NotMapped,
                Some((_, old)) if Self::refused(old, prot.access) => What::WriteAndExecute,
                _ => continue,
            };
            return Some((what, p - at));
        }
        for (p, frame) in (at..).zip(new) {
            let old = self.pages[p].replace((*frame, prot));
            self.removed.extend(
                old.filter(|(old, _)| !new.contains(old))
                    .map(|(old, _)| (old, 1)),
            );
        }
        None
    }

    fn reserve(&mut self, at: usize, n: usize) {
        for p in at..at + n {
            self.linked[p / 512] |= !self.block[p / 512];
        }
    }

    fn free_tables(&mut self, at: usize, n: usize) {
        for slot in 0..4 {
            let touched = n > 0 && at < (slot + 1) * 512 && slot * 512 < at + n;
            if touched
                && self.pages[slot * 512..(slot + 1) * 512]
                    .iter()
                    .all(Option::is_none)
            {
                self.linked[slot] = false;
            }
        }
    }
}

#[derive(Default)]
struct Parked(Vec<(u64, u64)>);

impl Sink for Parked {
    fn park(&mut self, m: Mapping) {
        self.0.push((m.frame().pa().raw() >> 12, m.frames()));
    }
}

fn frame(number: u64) -> Frame {
    Frame::containing(Pa::new(number << 12).unwrap())
}

/// Open at once; each operation has one of them.
const GATHERS: usize = 3;

type Gathers<'m> = [Gather<'m, Model, Parked>; GATHERS];

struct Bench<'m> {
    model: &'m Model,
    space: Space<'m, Model>,
    base: Va,
    oracle: Oracle,
    touched: Vec<usize>,
    fresh: u64,
}

impl Bench<'_> {
    fn va(&self, p: usize) -> Va {
        Va::new(self.base.raw() + p as u64 * 4096)
    }

    fn pages(&self, at: usize, n: usize) -> Pages {
        Pages::new(self.va(at), n as u64).unwrap()
    }

    /// `n` frames in no order, no two the same for long.
    fn scattered(&mut self, n: usize) -> Vec<u64> {
        self.fresh += 1;
        (0..n as u64)
            .map(|i| FRAMES + 0x1_0000 + (i * 7919 + self.fresh * 104_729) % 0x10_0000)
            .collect()
    }

    fn expect<T>(&self, at: usize, got: Result<T, Error>, want: Fail, undone: bool) -> Option<T> {
        let got_fail = got.as_ref().err().map(|e| (e.what, e.at, e.done));
        let want = want.map(|(what, n)| (what, self.va(at + n), if undone { 0 } else { n as u64 }));
        assert_eq!(got_fail, want);
        got.ok()
    }

    fn step(&mut self, op: &Op, which: usize, gathers: &mut Gathers<'_>) {
        let mapped =
            |o: &Oracle, at: usize, n: usize| o.pages[at..at + n].iter().flatten().count() as u64;
        match *op {
            Op::Map {
                at,
                n,
                frame: first,
                prot,
                fit,
            } => {
                self.settle_if(gathers, at, n);
                let want = self
                    .oracle
                    .map(at, n, prot, fit, |i| Some(first + i as u64));
                self.expect(
                    at,
                    self.space.map(self.pages(at, n), frame(first), prot, fit),
                    want,
                    false,
                );
            }
            Op::MapFrames { at, n, given, prot } => {
                self.settle_if(gathers, at, n);
                let list = self.scattered(given);
                let want = self
                    .oracle
                    .map(at, n, prot, Fit::Pages, |i| list.get(i).copied());
                let frames = list.iter().map(|&f| frame(f));
                self.expect(
                    at,
                    self.space.map_frames(self.pages(at, n), frames, prot),
                    want,
                    false,
                );
            }
            Op::Unmap { at, n } => {
                let count = mapped(&self.oracle, at, n);
                let want = self.oracle.unmap(at, n);
                let got = self.space.unmap(self.pages(at, n), &mut gathers[which]);
                assert_eq!(self.expect(at, got, want, false).unwrap_or(count), count);
            }
            Op::Protect { at, n, access } => {
                let count = mapped(&self.oracle, at, n);
                let want = self.oracle.protect(at, n, access);
                let got = self
                    .space
                    .protect(self.pages(at, n), access, &mut gathers[which]);
                assert_eq!(self.expect(at, got, want, false).unwrap_or(count), count);
            }
            Op::Move { at, n, to } => {
                // The gather it is given sees to its own debt.
                for other in (0..gathers.len()).filter(|&other| other != which) {
                    if gathers[other].touches(self.pages(to, n)) {
                        let _ = gathers[other].pay();
                    }
                }
                let count = mapped(&self.oracle, at, n);
                let want = self.oracle.move_pages(at, n, to);
                let got =
                    self.space
                        .move_pages(self.pages(at, n), self.va(to), &mut gathers[which]);
                let undone = at != to && at.abs_diff(to) < n;
                assert_eq!(self.expect(at, got, want, undone).unwrap_or(count), count);
            }
            Op::Replace { at, n, prot } => {
                // Some of the frames stay as they are: then only the permissions change.
                let mut new = self.scattered(n);
                for (i, new) in new.iter_mut().enumerate().step_by(3) {
                    *new = self.oracle.pages[at + i].map_or(*new, |(old, _)| old);
                }
                let want = self.oracle.replace(at, &new, prot);
                let frames: Vec<Frame> = new.iter().map(|&f| frame(f)).collect();
                self.expect(
                    at,
                    self.space
                        .replace(self.va(at), &frames, prot, &mut gathers[which]),
                    want,
                    true,
                );
            }
            Op::Cursor { at, n, ref steps } => {
                let pages = self.pages(at, n);
                let (mut cursor, mut target) = (self.space.cursor(pages), self.space.cursor(pages));
                let outside = cursor.unmap(self.va(at + n), &mut gathers[which]);
                assert_eq!(outside.map_err(|e| e.what), Err(What::Outside));
                for &(what, place, prot) in steps.iter().filter(|_| n > 0) {
                    let p = at + place % n;
                    let (va, there) = (self.va(p), self.oracle.pages[p].is_some());
                    let page = self.pages(p, 1);
                    let oracle = &mut self.oracle;
                    let (want, got) = match what {
                        0 if gathers.iter().any(|g| g.touches(page)) => continue,
                        0 => {
                            let first = FRAMES + place as u64;
                            let want = oracle.map(p, 1, prot, Fit::Pages, |_| Some(first));
                            (want, cursor.map(va, frame(first), prot).map(|()| there))
                        }
                        1 => (oracle.unmap(p, 1), cursor.unmap(va, &mut gathers[which])),
                        2 => {
                            let to = at + (3 * place + 1) % n;
                            let there = self.pages(to, 1);
                            for other in (0..gathers.len()).filter(|&other| other != which) {
                                if gathers[other].touches(there) {
                                    let _ = gathers[other].pay();
                                }
                            }
                            let gather = &mut gathers[which];
                            let want = self.oracle.move_pages(p, 1, to);
                            (want, cursor.move_to(va, &mut target, self.va(to), gather))
                        }
                        _ => {
                            let want = oracle.protect(p, 1, prot.access);
                            (want, cursor.protect(va, prot.access, &mut gathers[which]))
                        }
                    };
                    let got = self.expect(p, got, want, false);
                    assert_eq!(got.unwrap_or(there), there, "page {p}");
                }
            }
            Op::Split { at } => {
                if self.oracle.block[at / 512] && !at.is_multiple_of(512) {
                    self.oracle.block[at / 512] = false;
                    self.oracle.linked[at / 512] = true;
                }
                self.space.split(self.va(at)).unwrap();
            }
            Op::FreeTables { at, n } => {
                self.oracle.free_tables(at, n);
                self.space
                    .free_tables(self.pages(at, n), &mut gathers[which])
                    .unwrap();
            }
            Op::Reserve { at, n } => {
                self.settle_if(gathers, at, n);
                self.oracle.reserve(at, n);
                self.space.reserve(self.pages(at, n)).unwrap();
            }
            Op::Touch { core, at } => {
                self.model.access(core, &self.space, self.va(at));
                self.touched.push(at);
            }
            Op::RunOn { core } => {
                self.model.flush();
                self.model.run_on(core);
            }
            Op::Pay => drop(gathers[which].pay()),
            Op::Settle => self.settle(gathers),
        }
        for p in self.touched.iter().rev().take(4) {
            self.compare(*p);
        }
        assert_eq!(self.model.conflicts(), []);
    }

    /// Addresses are not mapped anew before the gathers have paid for them: that is the caller's side
    /// of the bargain.
    fn settle_if(&mut self, gathers: &mut Gathers<'_>, at: usize, n: usize) {
        if gathers.iter().any(|g| g.touches(self.pages(at, n))) {
            self.settle(gathers);
        }
    }

    fn settle(&mut self, gathers: &mut Gathers<'_>) {
        let mut got = Vec::new();
        for gather in gathers {
            got.append(&mut gather.pay().0.0);
        }
        let mut want = std::mem::take(&mut self.oracle.removed);
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want, "frames parked");
        self.model.flush();
        for &p in &self.touched {
            let want =
                self.oracle.pages[p].map_or(Seen::Fault, |(f, prot)| Seen::Page(frame(f), prot));
            for core in 0..2 {
                assert_eq!(
                    self.model.access(core, &self.space, self.va(p)),
                    [want],
                    "page {p} on core {core}"
                );
            }
        }
        self.touched.clear();
    }

    fn compare(&self, p: usize) {
        let walk = self.space.walk(self.va(p)).unwrap();
        let end = self.space.lookup(self.va(p)).ok();
        assert_eq!(end, walk.steps().last(), "page {p}");
        let got = walk
            .frame()
            .zip(walk.mapping())
            .map(|(f, m)| (f.pa().raw() >> 12, m.prot()));
        assert_eq!(got, self.oracle.pages[p], "page {p}");
        let block = walk.mapping().is_some_and(|m| m.level == Level::L2);
        assert_eq!(block, self.oracle.block[p / 512], "block at {p}");
    }

    /// Every page, and every table.
    fn compare_all(&self) {
        let mut flat = vec![None; WINDOW];
        for m in self.space.mappings(self.pages(0, WINDOW)).unwrap() {
            let p = ((m.va.raw() - self.base.raw()) >> 12) as usize;
            for i in 0..m.frames() {
                let place = &mut flat[p + usize::try_from(i).unwrap()];
                *place = Some(((m.frame().pa().raw() >> 12) + i, m.prot()));
            }
        }
        assert_eq!(flat, self.oracle.pages);
        for slot in 0..4 {
            let steps = self
                .space
                .walk(self.va(slot * 512))
                .unwrap()
                .steps()
                .count();
            assert_eq!(steps == 4, self.oracle.linked[slot], "table of slot {slot}");
        }
    }
}

fn run(upper: bool, range: bool, defer: bool, ops: &[(usize, Op)]) {
    let model = Model::new(2, Features { range, ttl: range });
    model.defer(defer);
    let half = if upper {
        Half::Upper
    } else {
        Half::Lower(Asid(0x8001))
    };
    let start = Pages::whole(half).start().raw();
    // Two tables below a 1 GiB boundary, two above; in the upper half the last one there is.
    let base = Va::new(if upper {
        0u64.wrapping_sub(1 << 30) - (4 << 20)
    } else {
        start + (1 << 30) - (4 << 20)
    });
    let oracle = Oracle {
        pages: vec![None; WINDOW],
        block: [false; 4],
        linked: [false; 4],
        removed: Vec::new(),
    };
    let space = model.space(half);
    let mut bench = Bench {
        model: &model,
        space,
        base,
        oracle,
        touched: Vec::new(),
        fresh: 0,
    };
    let mut gathers: Gathers<'_> = std::array::from_fn(|_| bench.space.gather(Parked::default()));
    for (which, op) in ops {
        bench.step(op, *which, &mut gathers);
    }
    bench.settle(&mut gathers);
    bench.compare_all();
    drop(gathers);
    // Ending the space gives back every frame that is still mapped, and every table.
    let (parked, _) = bench.space.destroy(Parked::default());
    let count: u64 = parked.0.iter().map(|(_, n)| n).sum();
    assert_eq!(count, bench.oracle.pages.iter().flatten().count() as u64);
    assert_eq!(model.tables(), 0);
}

#[test]
fn random_operations_agree_with_a_flat_map() {
    // On average; a case may shrink to nothing.
    const PER_CASE: u32 = 64;
    let default = if cfg!(debug_assertions) {
        20_000
    } else {
        1_000_000
    };
    let total = std::env::var("PAGING_OPS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default);
    let config = Config {
        cases: (total / PER_CASE).max(1),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x1a2b_3c4d),
        ..Config::default()
    };
    let input = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec((0..GATHERS, op()), 0..=2 * PER_CASE as usize),
    );
    let result = TestRunner::new(config).run(&input, |(upper, range, defer, ops)| {
        run(upper, range, defer, &ops);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
