//! A kernel of about a hundred lines of code that is not ours, under one contract: its page table is an array, its
//! walker lags behind until a barrier pair, and its allocator is a debugging one that opens sections of its own.
//!
//! ```text
//! cargo run -p lazy-mmu --example hosted_kernel
//! ```

use lazy_mmu::{Cpu, Linux7, Misuse, TaskMmu, Unpublished};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

const PAGES: usize = 512;
/// The allocator maps what it hands out, at these indices.
const ALLOCATED: usize = PAGES;

/// The page table as it was stored, and what the table walker sees of it.
static STORED: [AtomicU64; 2 * PAGES] = [const { AtomicU64::new(0) }; 2 * PAGES];
static WALKED: [AtomicU64; 2 * PAGES] = [const { AtomicU64::new(0) }; 2 * PAGES];
/// Barrier pairs, and frames that were handed out.
static PAIRS: AtomicU32 = AtomicU32::new(0);
static FRAMES: AtomicUsize = AtomicUsize::new(0);

/// Step 1 of using the crate: how to pay, and who hears about misuse. It has no fields: it is the processor that
/// the code at hand runs on.
struct ThisCpu;

impl Cpu for ThisCpu {
    fn publish(&self) {
        for (stored, walked) in STORED.iter().zip(&WALKED) {
            walked.store(stored.load(Relaxed), Relaxed);
        }
        PAIRS.fetch_add(1, Relaxed);
    }

    fn misuse(&self, misuse: Misuse) {
        match misuse.is_bug() {
            true => panic!("kernel bug: {misuse}"),
            false => eprintln!("warning: {misuse}"),
        }
    }
}

/// Step 2: one name for contract and processor, and a place for the state, in the task.
type Mmu = TaskMmu<Linux7, ThisCpu>;
type Section<'a, 'id> = lazy_mmu::Section<'a, 'id, Mmu>;

static TASK: Mmu = Mmu::new(Linux7, ThisCpu);

/// The current task; of the only one that this kernel has.
fn current() -> &'static Mmu {
    &TASK
}

/// A mapping that can be used.
#[derive(Debug)]
struct Page(usize);

/// Step 3: stores a valid entry, which owes, and gives out a page that cannot be used yet.
fn map<'id>(section: &Section<'_, 'id>, page: usize, frame: usize) -> Unpublished<'id, Page> {
    STORED[page].store((frame as u64) << 12 | 1, Relaxed);
    section.owes(Page(page))
}

/// An access. The walker must see the entry by now.
fn access(page: &Page) {
    let entry = WALKED[page.0].load(Relaxed);
    assert!(entry & 1 == 1, "a fault at {page:?}");
}

/// A debugging allocator: a frame is mapped only while it is allocated, and it is cleared, so its mapping is used
/// at once. It does not know whether its caller is in a section. It may run out of frames.
fn allocate() -> Result<usize, &'static str> {
    let frame = FRAMES.fetch_add(1, Relaxed);
    let page = current().try_publish(|section| {
        if frame >= PAGES {
            return Err("no frame is left");
        }
        Ok(map(section, ALLOCATED + frame, frame))
    })?;
    access(&page);
    Ok(frame)
}

/// Step 4: maps fresh frames, an allocation for every `k` pages, in one section.
fn vmap(k: usize) -> Result<Vec<Page>, &'static str> {
    current().section(|section| {
        let (mut frame, mut pages) = (0, Vec::new());
        for page in 0..PAGES {
            if page % k == 0 {
                frame = allocate()?;
            }
            pages.push(map(section, page, frame));
        }
        Ok(section.collect(pages))
    })
}

/// Step 5: an interrupt, whose mapping works at once, whatever the task beneath it is doing.
fn interrupt() {
    current().irq_enter();
    access(&current().publish(|section| map(section, ALLOCATED - 1, 7)));
    current().irq_exit();
}

fn main() -> Result<(), &'static str> {
    let pages = vmap(16)?;
    pages.iter().for_each(access);
    let pairs = PAIRS.load(Relaxed);
    println!("{PAGES} pages in one section, an allocation before every 16: {pairs} barrier pairs");
    assert_eq!(pairs as usize, PAGES / 16 + 1);

    current().section(|section| {
        section.owe();
        interrupt();
        assert!(current().is_pending(), "the task's debt is its own");
        // A stretch in which every store works at once; the allocator does not know of it either.
        section.pause(allocate)
    })?;

    // Step 6 is the context switch's `dsb ish`. Step 7: a task ends, this one inside its section.
    std::mem::forget(current().enter());
    let leak = current().end_of_task().expect_err("it has leaked");
    println!("{leak}");
    Ok(())
}
