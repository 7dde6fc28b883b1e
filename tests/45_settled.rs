//! An invalidation pays for the pair that is pending: protect, move and map in sections, under every policy, each counted in a window of
//! its own. With `settle=off` both are paid, as in Linux.
//!
//! @boot
//! @boot args="settle=off"
//! @boot cpu=max,cortex-a72 args="check=on" expect="no violation"
//! @boot args="check=on settle=off" expect="no violation"
#![no_std]
#![no_main]

mod common;

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::window::Window;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::PageRange;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::{Boot, mode, println, report, task};
use stage1_paging::{Access, Error, Frame, Pages, Prot};

lazy_mmu_kernel::entry!(main);

/// The pages of one case: the first two are mapped, the third is not.
struct Case<'a> {
    range: PageRange<'a>,
    pages: [Pages; 3],
    frame: Frame,
    /// A pair is pending behind the invalidation of what has been deferred before it.
    stays_pending: bool,
}

impl Case<'_> {
    /// Takes the right to write away from the first two, by one gather, and runs `then` before the gather pays.
    fn protect(&self, then: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mut gather = self.range.gather(());
        for page in &self.pages[..2] {
            self.range.protect(*page, Access::ReadOnly, &mut gather)?;
        }
        then()?;
        let _ = gather.finish();
        Ok(())
    }

    fn map(&self) -> Result<(), Error> {
        let va = self.pages[2].start();
        self.range.map_page(va, self.frame, Prot::RO)
    }

    /// Moves the first page to where the third is.
    fn shift(&self) -> Result<(), Error> {
        let mut gather = self.range.gather(());
        let to = self.pages[2].start();
        self.range
            .move_pages(self.pages[0], &self.range, to, &mut gather)?;
        let _ = gather.finish();
        Ok(())
    }

    /// What has been mapped, and settled, is used before the section ends.
    fn use_it_at_once(&self) {
        let pending = task::current().mmu.is_pending();
        assert!(pending == self.stays_pending, "pending: {pending}");
        let va = self.pages[2].start();
        assert!(pending || access::read(va, Expect::Works).is_ok(), "{va}");
    }

    fn is_used(&self) -> bool {
        access::read(self.pages[1].start(), Expect::Works).is_ok()
    }
}

type Work = fn(&Case<'_>) -> Result<(), Error>;

/// What is done, and how many pairs each policy pays, in the order of [`Policy::ALL`]: where invalidations settle, and where both are
/// paid. Each takes one invalidation.
const CASES: [(&str, Work, [u64; 5], [u64; 5]); 8] = [
    (
        "protect",
        |case| case.protect(|| Ok(())),
        [0; 5],
        [2, 2, 2, 2, 2],
    ),
    (
        "protect in a section",
        |case| mode::section(|| case.protect(|| Ok(()))),
        [2, 0, 0, 0, 0],
        [2, 1, 1, 1, 1],
    ),
    (
        "move in a section",
        |case| mode::section(|| case.shift()),
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
    ),
    (
        "protect, and use what it has settled in the section",
        |case| {
            mode::section(|| {
                case.protect(|| case.map())?;
                case.use_it_at_once();
                Ok(())
            })
        },
        [3, 0, 0, 0, 0],
        [3, 1, 1, 1, 1],
    ),
    (
        "a store behind the invalidation",
        |case| {
            mode::section(|| {
                case.protect(|| Ok(()))?;
                case.map()
            })
        },
        [3, 1, 1, 1, 1],
        [3, 1, 1, 1, 1],
    ),
    (
        "an inner section that settles for the outer one",
        |case| {
            mode::section(|| {
                case.map()?;
                mode::section(|| case.protect(|| Ok(())))
            })
        },
        [3, 0, 0, 0, 0],
        [3, 1, 1, 1, 1],
    ),
    (
        "a section that ends before the gather pays",
        |case| {
            mode::lazy_mmu_mode_enable();
            case.protect(|| {
                mode::lazy_mmu_mode_disable();
                Ok(())
            })
        },
        [2, 1, 1, 1, 1],
        [2, 1, 1, 1, 1],
    ),
    (
        "in a pause",
        |case| {
            mode::section(|| {
                mode::lazy_mmu_mode_pause();
                let result = case.protect(|| Ok(()));
                mode::lazy_mmu_mode_resume();
                result
            })
        },
        [2; 5],
        [2; 5],
    ),
];

fn main(boot: &Boot) -> Verdict {
    let settles = boot.arguments.settle;
    let counts = &task::current().counts;
    let Some(frame) = frames::alloc() else {
        return Verdict::Failed;
    };
    access::fill(frame.frame());
    for (number, policy) in (0_u8..).zip(Policy::ALL) {
        ensure!(mode::set_policy(policy).is_ok(), "{policy}");
        for (index, (name, work, once, both)) in (0_u8..).zip(CASES) {
            let Some(area) = Area::take(3) else {
                return Verdict::Failed;
            };
            let range = area.range();
            let mut pages = area.pages().chunks(1);
            let pages = [(); 3].map(|()| pages.next().expect("of three pages"));
            let mapped = range.reserve(area.pages()).and_then(|()| {
                let mut first = pages[..2].iter();
                first.try_for_each(|page| range.map_page(page.start(), frame.frame(), Prot::RW))
            });
            ensure!(mapped.is_ok(), "{mapped:?}");
            let case = Case {
                range,
                pages,
                frame: frame.frame(),
                stays_pending: !settles && policy != Policy::Eager,
            };
            ensure!(case.is_used(), "{policy}, {name}");
            let (tag, mut result) = ([number, index], Ok(()));
            let ((), counted) = report::in_window(&tag, || counts.tally(), || result = work(&case));
            report::note_window(&tag, Window::Work, counted);
            ensure!(result.is_ok(), "{policy}, {name}: {result:?}");
            let pairs = if settles { once } else { both }[usize::from(number)];
            let [dsb, isb, _, tlbi] = counted.totals();
            ensure!(
                [counted.pairs, dsb, isb] == [pairs, pairs + 2, pairs + 1] && tlbi > 0,
                "{policy}, {name}: {counted:?}, and {pairs} pairs expected"
            );
            ensure!(!task::current().mmu.is_pending(), "{policy}, {name}");
            // The page that is read-only now, or has stayed.
            ensure!(case.is_used(), "{policy}, {name}");
        }
    }
    ensure!(
        handlers_settle_nothing(),
        "a handler has settled the task's debt"
    );
    frames::free(frame);
    println!("{} cases, {} policies", CASES.len(), Policy::ALL.len());
    Verdict::Good
}

/// The barriers of a handler on top of a task in debt.
fn handlers_settle_nothing() -> bool {
    let task = task::current();
    let mmu = &task.mmu;
    mode::section(|| {
        mode::owe();
        let left = task.interrupted(|| mmu.settled_by(|| mmu.is_pending()));
        left && mmu.is_pending()
    })
}
