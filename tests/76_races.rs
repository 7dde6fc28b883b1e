//! What two cores do at once to one thing: link a table, end a task whose number another wants, sleep on what a handler makes ready.
//!
//! @boot smp=2,4 args="poison=on" timeout=180
//! @boot smp=2 args="check=on" timeout=180
//! @boot smp=2 cpu=cortex-a72 gic=3 args="debug=off" timeout=180
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::time;
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout::PAGE_SIZE;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::{frames, services};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::sched;
use lazy_mmu_kernel::{Boot, println, task};
use stage1_paging::{Level, Prot, Va};

lazy_mmu_kernel::entry!(main);

/// Tables that are linked by two at once.
const TABLES: u64 = 2000;
/// The same with the rules on, which take a hundred times as long over each.
const CHECKED_TABLES: u64 = 200;
/// One of how many at least must have been made by both, without the rules.
const LOST: u64 = 100;
const PATIENCE: u64 = 20_000_000;

/// Where both tasks are: each adds one, and waits for the other.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// Two areas that need one table which is not there yet: one page each, from the next 2 MiB on. What lies before is taken for good.
fn two_areas() -> Option<[Area; 2]> {
    let next = Area::take(1)?.pages().start().raw();
    let boundary = (next + 1).next_multiple_of(Level::L2.size());
    // An area has one page more behind it.
    let between = (boundary - next) / PAGE_SIZE;
    if let Some(pages) = between.checked_sub(1).filter(|pages| *pages > 0) {
        core::mem::forget(Area::take(pages)?);
    }
    let two = [Area::take(1)?, Area::take(1)?];
    (two[0].pages().start() == Va::new(boundary)).then_some(two)
}

/// Maps a page in each area as soon as the other task does, and finds its own word there once both have. Returns how many tables it
/// made, linked or not.
fn link_all(areas: Vec<Area>, word: u64) -> Result<u64, String> {
    let frame = frames::alloc().ok_or("no frame")?;
    frame.words()[0].store(word, SeqCst);
    let links = || task::current().counts.tally().totals()[2];
    let before = links();
    let meet = |turn: u64| time::wait_until(PATIENCE, || TURNS.load(SeqCst) >= 2 * turn);
    for (turn, area) in (0..).step_by(2).zip(&areas) {
        let va = area.pages().start();
        TURNS.fetch_add(1, SeqCst);
        if !meet(turn + 1) {
            return Err(format!("alone at {va}"));
        }
        let mapped = area.range().map_page(va, frame.frame(), Prot::RW);
        mapped.map_err(|error| format!("{va}: {error}"))?;
        TURNS.fetch_add(1, SeqCst);
        if !meet(turn + 2) {
            return Err(format!("alone at {va}"));
        }
        let found = access::read(va, Expect::Works);
        if found != Ok(word) {
            return Err(format!("{va}: {found:x?}"));
        }
    }
    let links = links() - before;
    drop(areas);
    frames::free(frame);
    Ok(links)
}

/// Two link the same table: one is kept, the other's frame is free again, and what both mapped is there.
fn link(boot: &Boot) -> Verdict {
    let count = if boot.arguments.check {
        CHECKED_TABLES
    } else {
        TABLES
    };
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let Some([one, two]) = two_areas() else {
            ensure!(false, "no addresses");
            return Verdict::Failed;
        };
        // Before and behind, in turn.
        let swap = mine.len() % 2 == 1;
        let (one, two) = if swap { (two, one) } else { (one, two) };
        mine.push(one);
        theirs.push(two);
    }
    // One for each; and one for all that lie below the same descriptor of a level above, nothing of which was there either.
    let below = |level: Level| {
        let mut starts: Vec<Va> = mine
            .iter()
            .map(|area| level.floor(area.pages().start()))
            .collect();
        starts.dedup();
        starts.len() as u64
    };
    let expected = count + below(Level::L1) + below(Level::L0);
    let Ok(other) = sched::spawn(Policy::V3, move || link_all(theirs, 2)) else {
        return Verdict::Failed;
    };
    // With the other's stack mapped.
    let (tables, free) = (services::table_count(), frames::free_count());
    let mine = link_all(mine, 1);
    let theirs = other.join().value;
    let (Ok(mine), Ok(theirs)) = (&mine, &theirs) else {
        ensure!(false, "{mine:?}, {theirs:?}");
        return Verdict::Failed;
    };
    let linked = services::table_count() - tables;
    ensure!(linked == expected, "{linked} tables, not {expected}");
    let lost = mine + theirs - linked;
    println!("{lost} of {linked} tables were made by two");
    // How often two meet is chance, but where each looks at a frame's poison before it links it. Under the rules' lock they seldom
    // do; there their events are what is looked at.
    let met = !boot.arguments.poison || lost >= count / LOST;
    ensure!(met, "{lost} times two came at once");
    // The other's stack has been unmapped since.
    let used = free + STACK_PAGES - frames::free_count();
    ensure!(used == linked, "{used} frames for {linked} tables");
    Verdict::Good
}

const STACK_PAGES: u64 = 8;

/// Tasks end on every core while others take their numbers: a stack is unmapped before its number is free, so nobody finds it mapped.
fn numbers(boot: &Boot) -> Verdict {
    let churn = || -> Result<(), String> {
        for round in 0..300_u64 {
            let join = sched::spawn(Policy::V3, move || (round, task::current().id));
            let join = join.map_err(|error| format!("round {round}: {error}"))?;
            let id = join.id();
            let ended = join.join();
            if ended.value != (round, id) {
                return Err(format!("round {round}, task {id}: {:?}", ended.value));
            }
        }
        Ok(())
    };
    let others: Vec<_> = (1..2 * boot.cores)
        .filter_map(|_| sched::spawn(Policy::V3, churn).ok())
        .collect();
    let mut all = Vec::from([churn()]);
    all.extend(others.into_iter().map(|other| other.join().value));
    for ended in all {
        ensure!(ended.is_ok(), "{ended:?}");
    }
    Verdict::Good
}

/// All cores idle, and an interrupt on one of them makes a task ready: it runs then, and does not wait for the next interrupt.
fn idle(_: &Boot) -> Verdict {
    const SLEEPS: u64 = 100;
    const SHORT: u64 = 2_000;
    const LONG: u64 = 60_000_000;
    ensure!(sched::quiesce(), "a core is busy");
    // The next interrupt without those below. Nobody waits for it: the kernel ends while it sleeps.
    let long = sched::spawn(Policy::V3, || sched::sleep(LONG)).map(core::mem::forget);
    ensure!(long.is_ok(), "{long:?}");
    let start = time::now();
    for _ in 0..SLEEPS {
        sched::sleep(SHORT);
    }
    let took = time::to_nanos(time::now() - start) / 1_000;
    ensure!(
        took < LONG / 2,
        "{SLEEPS} sleeps of {SHORT} us took {took} us"
    );
    Verdict::Good
}

fn main(boot: &Boot) -> Verdict {
    // The one that leaves a sleeper behind comes last.
    for part in [link, numbers, idle] {
        let verdict = part(boot);
        if verdict != Verdict::Good {
            return verdict;
        }
    }
    Verdict::Good
}
