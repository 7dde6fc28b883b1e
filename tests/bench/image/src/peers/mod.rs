//! Other crates on the same frames and ranges, through their own range interfaces.
//!
//! Each has tables of its own in TTBR0, so that its invalidations are of a table that is walked. The addresses are of the lower half
//! and lie as the others' do in the upper one: from a 1 GiB boundary on. What they execute the kernel does not count; the plugin does.

mod multiarch;
mod paging;

use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::mem::frames::{self, Owned};
use lazy_mmu_kernel::observe::seam::HW;
use stage1_hw::{Instructions, Op, Why, read_ttbr0, ttbr};
use stage1_paging::{Asid, Frame, Pa, Pages, Va};

use crate::ground::{self, Frames};
use crate::measure::{Bench, Failure};

/// Where their pages are.
const BASE: u64 = 1 << 30;
/// An ASID that no task has: they are given from 1 on, and no task of this image has a lower half.
const ASID: Asid = Asid(200);

/// The rows of every crate, of `n` pages.
pub fn all(bench: &mut Bench, n: u64) -> Result<(), Failure> {
    let frames = Frames::take(n)?;
    paging::all(bench, n, &frames)?;
    multiarch::all(bench, n, &frames)?;
    frames.free();
    Ok(())
}

fn pages(n: u64) -> Result<Pages, Failure> {
    Pages::new(Va::new(BASE), n).map_err(|error| Failure(alloc::format!("{error}")))
}

/// The physical address that everybody maps a run from.
fn run() -> usize {
    ground::run().pa().raw() as usize
}

/// Runs `work` with the table at `root` in TTBR0, and leaves nothing of it in the TLB.
fn with_root<R>(root: u64, work: impl FnOnce() -> R) -> Result<R, Failure> {
    let root = Pa::new(root).ok_or_else(|| Failure("a root beyond 48 bits".into()))?;
    let before = read_ttbr0();
    stage1_hw::publish_root(HW);
    // SAFETY: 1. A root that the crate has made, with everything below it published by the barrier above; it lives until `work` has
    // returned and the register has its old value. 2. Nobody else uses the ASID, and at the end everything is dropped. 3. Rust's
    // objects lie in the upper half. One task on this core: no switch writes the register meanwhile.
    unsafe { HW.write_ttbr0(ttbr(root, ASID)) };
    HW.execute(Op::Isb, Why::Ttbr0);
    let result = work();
    // SAFETY: the value from before.
    unsafe { HW.write_ttbr0(before) };
    HW.execute(Op::Isb, Why::Ttbr0);
    // Local: no other core has used the table.
    stage1_hw::drop_all_local(HW);
    Ok(result)
}

/// A frame for a table, all zero.
fn new_table() -> Option<u64> {
    let owned = frames::alloc()?;
    let zero = |word: &core::sync::atomic::AtomicU64| {
        word.store(0, core::sync::atomic::Ordering::Relaxed);
    };
    owned.words().iter().for_each(zero);
    Some(owned.into_frame().pa().raw())
}

/// # Safety
/// It came from [`new_table`], is given back once, and nothing leads to it.
unsafe fn free_table(pa: u64) {
    if let Some(frame) = Pa::new(pa).and_then(Frame::new) {
        // SAFETY: from `into_frame` in `new_table`; the rest is the caller's promise.
        frames::free(unsafe { Owned::from_frame(frame) });
    }
}

/// Where the linear map has a frame.
fn linear(pa: u64) -> u64 {
    Pa::new(pa).map_or(0, |pa| layout::linear(pa).raw())
}
