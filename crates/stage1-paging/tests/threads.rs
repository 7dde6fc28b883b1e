//! Real threads in one space: each owns areas, all share tables. The tables are atomics, as on
//! hardware; barriers and TLBs are not the subject here.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;

use stage1_paging::*;

/// Tables by frame number.
struct Shared {
    tables: Vec<[AtomicU64; ENTRIES]>,
    free: Mutex<Vec<usize>>,
    link: Mutex<()>,
    lost: AtomicUsize,
}

impl Shared {
    fn new(n: usize) -> Self {
        let table = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            tables: (0..n).map(|_| table()).collect(),
            // Frame 0 is the root.
            free: Mutex::new((1..n).collect()),
            link: Mutex::new(()),
            lost: AtomicUsize::new(0),
        }
    }

    fn used(&self) -> usize {
        self.tables.len() - self.free.lock().unwrap().len()
    }
}

impl Mmu for Shared {
    type Table = usize;

    fn read(&self, table: usize, index: usize) -> Desc {
        Desc::from_bits(self.tables[table][index].load(Relaxed))
    }

    fn child(&self, frame: Frame) -> usize {
        usize::try_from(frame.pa().raw() >> PAGE_SHIFT).unwrap()
    }

    fn frame(&self, table: usize) -> Frame {
        Frame::ZERO.checked_add(table as u64).unwrap()
    }

    fn edit(&self, slots: Slots<usize>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let mut edited = Edited {
            passed: 0,
            skipped: 0,
        };
        for word in &self.tables[slots.table][slots.at] {
            match f(Desc::from_bits(word.load(Relaxed))) {
                Step::Store(desc) => word.store(desc.bits(), Relaxed),
                Step::Skip => edited.skipped += 1,
                Step::Stop => break,
            }
            edited.passed += 1;
        }
        edited
    }

    fn may_break(&self, _: Pages) -> bool {
        true
    }

    fn link(&self, table: usize, level: Level, index: usize, _: Va) -> Result<usize, NoFrame> {
        let new = self.free.lock().unwrap().pop().ok_or(NoFrame)?;
        // So that somebody else may come first even where there are few cores.
        thread::yield_now();
        let _lock = self.link.lock().unwrap();
        if let Some(theirs) = self.read(table, index).next_table(level) {
            self.free.lock().unwrap().push(new);
            self.lost.fetch_add(1, Relaxed);
            return Ok(self.child(theirs));
        }
        let link = Desc::table(self.frame(new));
        self.tables[table][index].store(link.bits(), Relaxed);
        Ok(new)
    }

    fn owe(&self) {}

    fn invalidate(&self, debt: &mut Debt) -> Done {
        debt.done()
    }

    fn free_table(&self, table: usize, _: &Done) {
        self.tables[table]
            .iter()
            .for_each(|word| word.store(0, Relaxed));
        self.free.lock().unwrap().push(table);
    }
}

const THREADS: u64 = 4;
/// Pages in one area; the areas of the threads take turns, so that every table is everybody's.
const AREA: u64 = 24;
const AREAS: u64 = 64;

fn area(thread: u64, n: u64) -> Pages {
    let first = (n * THREADS + thread) * AREA;
    Pages::new(Va::new(first * PAGE_SIZE), AREA).unwrap()
}

/// Maps, changes, moves and unmaps the areas of one thread, and finds each time what it left there.
fn work(space: &Space<'_, Shared>, thread: u64, round: u64) {
    let frame = |n: u64| {
        Frame::ZERO
            .checked_add(0x10_0000 + (thread * AREAS + n) * AREA)
            .unwrap()
    };
    let expect = |pages: Pages, first: Option<Frame>, access| {
        let found: Vec<_> = space
            .mappings(pages)
            .unwrap()
            .map(|m| (m.frame(), m.prot().access))
            .collect();
        let frames = first.map(|f| (0..AREA).map(move |i| (f.checked_add(i).unwrap(), access)));
        assert_eq!(found, frames.into_iter().flatten().collect::<Vec<_>>());
    };
    let mut gather = space.gather(());
    for n in 0..AREAS {
        space
            .map(area(thread, n), frame(n), Prot::RW, Fit::Largest)
            .unwrap();
    }
    for n in 0..AREAS {
        expect(area(thread, n), Some(frame(n)), Access::ReadWrite);
        assert_eq!(
            space.protect(area(thread, n), Access::ReadOnly, &mut gather),
            Ok(AREA)
        );
    }
    for n in (0..AREAS).step_by(2) {
        space.unmap(area(thread, n + 1), &mut gather).unwrap();
        let to = area(thread, n + 1).start();
        assert_eq!(
            space.move_pages(area(thread, n), to, &mut gather),
            Ok(AREA),
            "round {round}"
        );
        expect(area(thread, n), None, Access::ReadOnly);
        expect(area(thread, n + 1), Some(frame(n)), Access::ReadOnly);
    }
    for n in 0..AREAS {
        space.unmap(area(thread, n), &mut gather).unwrap();
        expect(area(thread, n), None, Access::ReadOnly);
    }
    gather.finish();
}

#[test]
fn areas_of_one_space_need_no_lock_but_the_one_in_link() {
    let rounds = if cfg!(debug_assertions) { 20 } else { 200 };
    let shared = Shared::new(64);
    let mut lost = 0;
    for round in 0..rounds {
        let mut space = Space::new(&shared, 0, Half::Lower(Asid(1)));
        let start = Barrier::new(usize::try_from(THREADS).unwrap());
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (space, start) = (&space, &start);
                scope.spawn(move || {
                    start.wait();
                    work(space, thread, round);
                });
            }
        });
        // Root, two upper tables, and what the areas span: losers of a race gave theirs back.
        let last_level = (THREADS * AREAS * AREA).div_ceil(512);
        assert_eq!(shared.used() as u64, 3 + last_level);
        let mut gather = space.gather(());
        space
            .free_tables(Pages::whole(space.half()), &mut gather)
            .unwrap();
        gather.finish();
        assert_eq!(shared.used(), 1);
        lost = shared.lost.load(Relaxed);
    }
    assert!(
        lost > 0,
        "no two threads ever linked the same table at once"
    );
}
