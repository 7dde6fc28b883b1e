//! Break-before-make under fire: pages are replaced while every other core loads from them, and executes one, without pause.
//!
//! A load sees the old page or the new one, never a fault and never anything else: an access that meets the break waits for
//! the make. First, text is replaced that another core executes and that has not run into the break: it must synchronise its context before
//! it relies on the new text, and only its fetch shows that. A page that really is not there still faults. Text, stacks and the linear map are never broken. It goes on until every reader has seen either page and met a
//! break: how soon that is, is the host's affair.
//!
//! @boot smp=2,4 cpu=max,cortex-a72 timeout=180
//! @boot smp=2 args="check=on" expect="no violation" timeout=180
//! @boot smp=2 verdict=1 args="check=on isb=off" expect="VIOLATION R3" expect="executes" timeout=180
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{probe, registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::PageRange;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::{self, frames};
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::observe::seam::HW;
use lazy_mmu_kernel::{Boot, mode, println, sched, task};
use stage1_hw::{Instructions, Op, Why};
use stage1_paging::{Frame, Level, Mapping, Pages, Prot, Sink, Va, What};

lazy_mmu_kernel::entry!(main, keys = ["isb"]);

const PAGES: u64 = 16;
const LEAST_ROUNDS: u64 = 300;
/// How long the readers may take to meet what they wait for, in microseconds.
const PATIENCE: u64 = 60_000_000;
static STOP: AtomicBool = AtomicBool::new(false);
/// The readers that have seen all there is to see.
static CONTENT: AtomicU64 = AtomicU64::new(0);

/// Keeps every break open for a while: a reader that has a core meets it.
struct Slow;

impl Sink for Slow {
    fn park(&mut self, _: Mapping) {
        time::wait_until(40, || false);
    }
}

/// Two frames of text with a RET at the same offset, and the offset: code that may stand in the place of other code.
fn two_with_ret() -> Option<([Frame; 2], u64)> {
    let image = layout::image();
    let text = (image.start.raw()..image.text_end.raw()).step_by(layout::PAGE_SIZE as usize);
    let is_ret =
        |va: u64| probe::read_u64(Va::new(va)).is_ok_and(|words| words as u32 == probe::RET);
    (0..layout::PAGE_SIZE).step_by(8).find_map(|offset| {
        let mut pages = text.clone().filter(|page| is_ret(page + offset));
        let two = [pages.next()?, pages.next()?];
        Some((
            two.map(|page| Frame::containing(layout::image_to_physical(Va::new(page)))),
            offset,
        ))
    })
}

/// Loads from `pages` and calls `ret` until the stop flag is set; how often it saw either page, and met a break with a fetch.
///
/// What races with the replacement is not reported to the rules: whoever meets a descriptor before its DSB relies on nothing, and waits.
fn load(pages: Pages, ret: Va) -> Result<[u64; 3], String> {
    let [mut old, mut new, mut fetches] = [0; 3];
    let waits = &task::current().stats.bbm_waits;
    let mut content = false;
    while !STOP.load(SeqCst) {
        for page in pages.chunks(1) {
            match probe::read_u64(page.start()) {
                Ok(1) => old += 1,
                Ok(2) => new += 1,
                other => {
                    // Nothing is waited for any more: the test has failed.
                    STOP.store(true, SeqCst);
                    return Err(alloc::format!("{}: {other:x?}", page.start()));
                }
            }
        }
        let loads = waits.get();
        // SAFETY: both frames are text, unchanged since the kernel was loaded, and have a RET there.
        if let Err(fault) = unsafe { probe::execute(ret) } {
            STOP.store(true, SeqCst);
            return Err(alloc::format!("{ret}: {fault:x?}"));
        }
        fetches += waits.get() - loads;
        if !content && old > 0 && new > 0 && loads > 0 && fetches > 0 {
            content = true;
            CONTENT.fetch_add(1, SeqCst);
        }
    }
    Ok([old, new, fetches])
}

/// Another core calls `ret` before the page is replaced by `text`, and again behind it, with an ISB between if it `synchronises`, and with
/// nothing else that synchronises its context. A load before the second call needs none: no TLB holds the old page, and a spurious fault is retried.
fn fetch_elsewhere(range: PageRange<'_>, ret: Va, text: Frame, synchronises: bool) -> Verdict {
    static STEP: AtomicU64 = AtomicU64::new(0);
    STEP.store(0, SeqCst);
    let reached = |step| time::wait_until(PATIENCE, || STEP.load(SeqCst) == step);
    let fetches = move || {
        // SAFETY: both frames are text, unchanged since the kernel was loaded, and have a RET there.
        let fetch = || unsafe { access::execute(ret, Expect::Retries) };
        let before = fetch();
        STEP.store(1, SeqCst);
        let replaced = reached(2);
        if synchronises {
            HW.execute(Op::Isb, Why::Register);
        }
        let load = access::read(ret, Expect::Retries);
        replaced && before.is_ok() && load.is_ok() && fetch().is_ok()
    };
    // Nobody preempts, and this task does not leave the core that it has.
    let other = sched::spawn(Policy::V3, move || registers::without_interrupts(fetches));
    let Ok(other) = other else {
        return Verdict::Failed;
    };
    ensure!(reached(1), "no other core has called {ret}");
    let mut gather = range.gather(());
    let replaced = range.replace(Level::L3.floor(ret), &[text], Prot::RX, &mut gather);
    let _ = gather.finish();
    ensure!(replaced.is_ok(), "{replaced:?}");
    STEP.store(2, SeqCst);
    ensure!(other.join().value, "{ret} was not there");
    Verdict::Good
}

fn main(boot: &Boot) -> Verdict {
    let (Some(area), Some((texts, ret))) = (Area::take(PAGES + 1), two_with_ret()) else {
        return Verdict::Failed;
    };
    let (pages, code) = (area.pages().take(PAGES), area.pages().skip(PAGES).start());
    let ret = Va::new(code.raw() + ret);
    let owned: Vec<_> = (0..2 * PAGES).filter_map(|_| frames::alloc()).collect();
    ensure!(owned.len() as u64 == 2 * PAGES, "{} frames", owned.len());
    let frames: Vec<Frame> = owned.iter().map(frames::Owned::frame).collect();
    let (old, new) = frames.split_at(PAGES as usize);
    for (index, frame) in owned.iter().enumerate() {
        frame.words()[0].store(1 + index as u64 / PAGES, SeqCst);
    }
    let range = area.range();
    ensure!(
        range
            .map_frames(pages, old.iter().copied(), Prot::RW)
            .is_ok(),
        "map"
    );
    let mapped = range.map_page(code, texts[0], Prot::RX);
    ensure!(mapped.is_ok(), "{mapped:?}");
    let synchronises = boot.arguments.own("isb") != Some("off");
    for text in [texts[1], texts[0]] {
        let verdict = fetch_elsewhere(range, ret, text, synchronises);
        if verdict != Verdict::Good {
            return verdict;
        }
    }
    let readers: Result<Vec<_>, _> = (1..boot.cores)
        .map(|_| sched::spawn(Policy::V3, move || load(pages, ret)))
        .collect();
    let Ok(readers) = readers else {
        return Verdict::Failed;
    };

    let all = readers.len() as u64;
    let end = time::now() + time::from_micros(PATIENCE);
    let mut round = 0;
    while !STOP.load(SeqCst)
        && (round < LEAST_ROUNDS || CONTENT.load(SeqCst) < all && time::now() < end)
    {
        let frames = if round % 2 == 0 { new } else { old };
        let replaced = mode::section(|| {
            let mut gather = range.gather(Slow);
            range.replace(pages.start(), frames, Prot::RW, &mut gather)?;
            let text = texts[(round as usize + 1) % 2];
            let replaced = range.replace(code, &[text], Prot::RX, &mut gather);
            let _ = gather.finish();
            replaced
        });
        ensure!(replaced.is_ok(), "{replaced:?}");
        // SAFETY: as in `load`. This core has paid, and may execute the new text at once.
        let fetched = unsafe { access::execute(ret, Expect::Works) };
        ensure!(fetched.is_ok(), "{fetched:x?}");
        // A different pause each time, so that loads fall before, into and after the break.
        time::wait_until(100 + round % 7 * 20, || false);
        round += 1;
    }
    STOP.store(true, SeqCst);
    let [mut ones, mut twos, mut met, mut fetched] = [0; 4];
    for reader in readers {
        let ended = reader.join();
        met += ended.figures.bbm_waits;
        match ended.value {
            Ok([one, two, fetches]) => {
                [ones, twos, fetched] = [ones + one, twos + two, fetched + fetches];
            }
            Err(seen) => ensure!(false, "a reader saw {seen}"),
        }
    }
    println!(
        "{ones} loads of the old pages, {twos} of the new ones, {met} into a break, {fetched} of them fetches; {round} rounds"
    );
    let content = CONTENT.load(SeqCst);
    ensure!(
        content == all,
        "{content} of {all} readers saw both and met a break"
    );

    let [text, stack] = [main as *const () as u64, &raw const round as u64];
    let linear = layout::linear(old[0].pa()).raw();
    // SAFETY: 1. Every replacement must be refused, with nothing changed; a test that is wrong about that ends here. 2. The
    // readers have ended.
    let all = unsafe { mem::upper_half() };
    let mut gather = all.gather(());
    for (what, at) in [
        ("text", text),
        ("the stack", stack),
        ("the linear map", linear),
    ] {
        let page = Level::L3.floor(Va::new(at));
        let Some(mapping) = mem::walk(page).and_then(|walk| walk.mapping()) else {
            ensure!(false, "{what} is not mapped");
            return Verdict::Failed;
        };
        let refused = all.replace(page, &new[..1], mapping.prot(), &mut gather);
        ensure!(
            refused.is_err_and(|error| error.what == What::InUse),
            "{what}: {refused:?}"
        );
        ensure!(gather.debt().is_empty(), "{what} was broken");
    }
    let mut gather = range.gather(());
    let unmapped = range.unmap(area.pages(), &mut gather);
    ensure!(unmapped == Ok(PAGES + 1), "{unmapped:?}");
    let _ = gather.finish();
    ensure!(
        access::read(pages.start(), Expect::Faults).is_err(),
        "what is not there faults"
    );
    frames::free_all(owned);
    Verdict::Good
}
