//! H14: a core uses a mapping that another core is publishing. A fault that AT shows to be over is retried and
//! counted; a real one is not.
//!
//! QEMU does not translate ahead, so there is nothing stale to fault on: what is raced here is the store itself. The
//! reader starts when the writer is about to map; the fault comes first, the descriptor second, the question third.
//!
//! @boot smp=2,4 timeout=180
//! @boot smp=2 args="check=on" timeout=180
//! @boot smp=2 cpu=cortex-a72 gic=3 timeout=180
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use common::ensure;
use lazy_mmu::Policy;
use lazy_mmu_kernel::arch::{TrapFrame, probe, registers, time};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::mem::areas::Area;
use lazy_mmu_kernel::mem::frames;
use lazy_mmu_kernel::observe::access::{self, Expect};
use lazy_mmu_kernel::sched;
use lazy_mmu_kernel::task::{self, LastFault};
use lazy_mmu_kernel::{Boot, println};
use stage1_paging::Prot;

lazy_mmu_kernel::entry!(main);

/// Which round it is; odd while the page is mapped or about to be.
static ROUND: AtomicU64 = AtomicU64::new(0);

/// Maps and unmaps the area's first page until the stop flag is set.
fn write(area: &Area, stop: &AtomicBool) {
    let (range, page) = (area.range(), area.pages().take(1));
    let Some(frame) = frames::alloc() else { return };
    frame.words()[0].store(7, SeqCst);
    while !stop.load(SeqCst) {
        let round = ROUND.fetch_add(1, SeqCst);
        // A different moment each time.
        (0..round / 2 % 64 * 4).for_each(|_| registers::yield_now());
        if range
            .map_page(page.start(), frame.frame(), Prot::RW)
            .is_err()
        {
            break;
        }
        (0..200).for_each(|_| registers::yield_now());
        ROUND.fetch_add(1, SeqCst);
        let mut gather = range.gather(());
        if range.unmap(page, &mut gather).is_err() {
            break;
        }
        let _ = gather.finish();
    }
    frames::free(frame);
}

/// How often one access is made again that faults every `micros` microseconds and never gets anywhere: `None` if that has no end.
fn retries(fault: &LastFault, frame: &TrapFrame, micros: u64) -> Option<u64> {
    let every = time::from_micros(micros);
    (0..20_000).find(|n| !fault.note(frame, n * every))
}

/// Neither a fast access nor a slow one is made again for ever; one with other registers is another.
fn bounds() -> Verdict {
    let mut frame = TrapFrame {
        x: [7; 31],
        sp: 1,
        elr: 2,
        spsr: 3,
        esr: 4,
        far: 5,
    };
    let fault = LastFault::new();
    let fast = retries(&fault, &frame, 10);
    ensure!(fast == Some(1_000), "every 10 us: {fast:?}");
    let slow = retries(&LastFault::new(), &frame, 2_000);
    ensure!(slow == Some(10_000), "every 2 ms: {slow:?}");
    // Slow ones do not wear out the row, and a change of one register begins anew.
    frame.x[30] += 1;
    let again = retries(&fault, &frame, 2_000);
    ensure!(again == Some(10_000), "with other registers: {again:?}");
    frame.far += 8;
    let again = retries(&fault, &frame, 10);
    ensure!(again == Some(1_000), "at another address: {again:?}");
    Verdict::Good
}

fn main(_: &Boot) -> Verdict {
    ensure!(bounds() == Verdict::Good, "retries have no bound");
    let Some(area) = Area::take(2) else {
        return Verdict::Failed;
    };
    ensure!(area.range().reserve(area.pages()).is_ok(), "no table");
    let (page, never) = (area.pages().take(1), area.pages().skip(1));

    let stop = Arc::new(AtomicBool::new(false));
    let stop_flag = Arc::clone(&stop);
    // Nobody preempts: the writer has a core of its own, and this task has this one.
    let Ok(writer) = sched::spawn(Policy::V3, move || write(&area, &stop_flag)) else {
        return Verdict::Failed;
    };
    let stats = &task::current().stats;
    let (mut reads, mut faults) = (0_u64, 0_u64);
    let seen = time::wait_until(20_000_000, || {
        // Not reported: it relies on nothing, as the page may not be mapped yet, or not any more.
        match probe::read_u64(page.start()) {
            Ok(7) => reads += 1,
            Ok(other) => println!("{other:#x} was read"),
            Err(_) => faults += 1,
        }
        // A retry may find the page gone again, so reads are waited for by themselves.
        stats.spurious.get() >= 3 && reads > 0 && faults > 0
    });
    let spurious = stats.spurious.get();
    // A page that stays unmapped: as many real faults as accesses, and none is counted or retried.
    let real = (0..1000)
        .filter(|_| access::read(never.start(), Expect::Faults).is_err())
        .count();
    let unchanged = stats.spurious.get() == spurious;
    stop.store(true, SeqCst);
    let ended = writer.join();
    println!(
        "{reads} reads, {faults} faults, {spurious} of them over when looked at; {} rounds",
        ROUND.load(SeqCst) / 2
    );
    ensure!(
        seen,
        "{spurious} spurious faults, {reads} reads, {faults} faults in 20 s"
    );
    ensure!(real == 1000 && unchanged, "{real} real faults");
    ensure!(ended.leak.is_none(), "{:?}", ended.leak);
    Verdict::Good
}
