//! A kernel of about a hundred lines of code that is not ours: its page table is an array, its walker lags behind until a
//! barrier pair, and its allocator is a debugging one that re-enters the mode.
//!
//! ```text
//! cargo run -p lazy-mmu --example hosted_kernel
//! ```

use lazy_mmu::{Cpu, Misuse, Policy, Section, TaskMmu, Unpublished};
use std::cell::{Cell, RefCell};

const PAGES: usize = 512;
/// The allocator maps what it hands out, at these indices.
const ALLOCATED: usize = PAGES;

/// One core, its page table, and its current task.
struct Kernel {
    /// What has been stored, and what the table walker sees of it.
    stored: RefCell<[u64; 2 * PAGES]>,
    walked: RefCell<[u64; 2 * PAGES]>,
    pairs: Cell<u32>,
    next_frame: Cell<usize>,
    current: TaskMmu,
}

/// Step 2 of using the crate: how to pay, and who hears about misuse.
impl Cpu for Kernel {
    fn publish(&self) {
        *self.walked.borrow_mut() = *self.stored.borrow();
        self.pairs.set(self.pairs.get() + 1);
    }

    fn misuse(&self, misuse: Misuse) {
        match misuse.is_bug() {
            true => panic!("kernel bug: {misuse}"),
            false => eprintln!("warning: {misuse}"),
        }
    }
}

/// A mapping that can be used.
#[derive(Debug)]
struct Page(usize);

type Lazy<'a, 'id> = Section<'a, 'id, std::sync::atomic::AtomicU8, Kernel>;

impl Kernel {
    fn new(policy: Policy) -> Self {
        Kernel {
            stored: RefCell::new([0; 2 * PAGES]),
            walked: RefCell::new([0; 2 * PAGES]),
            pairs: Cell::new(0),
            next_frame: Cell::new(0),
            current: TaskMmu::new(policy),
        }
    }

    /// Stores a valid entry, which owes, and gives out a page that cannot be used yet.
    fn map<'id>(
        &self,
        section: &Lazy<'_, 'id>,
        page: usize,
        frame: usize,
    ) -> Unpublished<'id, Page> {
        self.stored.borrow_mut()[page] = (frame as u64) << 12 | 1;
        section.owe();
        section.unpublished(Page(page))
    }

    /// An access. The walker must see the entry by now.
    fn access(&self, page: &Page) {
        assert!(self.walked.borrow()[page.0] & 1 == 1, "a fault at {page:?}");
    }

    /// A debugging allocator: a frame is mapped only while it is allocated, and it is cleared, so its mapping
    /// is used at once. It does not know whether its caller is in a section.
    fn allocate(&self) -> usize {
        let frame = self.next_frame.replace(self.next_frame.get() + 1);
        let page = self.current.reenter(self, || {
            (self.current).publish(self, |s| self.map(s, ALLOCATED + frame % PAGES, frame))
        });
        self.access(&page);
        frame
    }

    /// Maps fresh frames, one allocation for every `k` pages, in one section.
    fn vmap(&self, k: usize) -> Vec<Page> {
        self.current.section(self, |s| {
            let (mut frame, mut pages) = (0, Vec::new());
            for page in 0..PAGES {
                if page % k == 0 {
                    frame = self.allocate();
                }
                pages.push(self.map(s, page, frame));
            }
            s.collect(pages)
        })
    }

    /// A device interrupt: its mapping works at once, whatever the task beneath it is doing.
    fn interrupt(&self) {
        self.current.irq_enter();
        let page = self
            .current
            .publish(self, |s| self.map(s, ALLOCATED - 1, 7));
        self.access(&page);
        self.current.irq_exit();
    }
}

fn main() {
    println!("{PAGES} pages in one section, an allocation before every 16");
    for policy in Policy::ALL {
        let kernel = Kernel::new(policy);
        let pages = kernel.vmap(16);
        pages.iter().for_each(|page| kernel.access(page));
        println!("{policy:8} {:4} barrier pairs", kernel.pairs.get());
        assert_eq!(kernel.current.end_of_task(&kernel), Ok(()));
    }

    let kernel = Kernel::new(Policy::Linux7);
    kernel.current.section(&kernel, |s| {
        s.owe();
        kernel.interrupt();
        assert!(
            kernel.current.is_pending(),
            "the task's own debt is still its own"
        );
    });

    // A task that exits inside its section.
    std::mem::forget(kernel.current.enter(&kernel));
    let leak = kernel
        .current
        .end_of_task(&kernel)
        .expect_err("it has leaked");
    println!("{leak}");
}
