//! The hook-up of a kernel whose tables are `stage1-hw`'s: ten lines, and around them as much of a kernel as
//! they need.
//!
//! `cargo run -p mmu-check --example hook_up`, and with `-- dsb` or `-- isb` the same kernel with that barrier left
//! out, which breaks a rule.
//!
//! Nothing of `std` is in the kernel's part. On a host [`Plain`] executes nothing: the rules judge what is
//! reported, not what a machine makes of it.
#![no_std]

extern crate alloc;
extern crate std;

use alloc::boxed::Box;
use core::error::Error;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use mmu_check::event::{AccessKind, Expect, What};
use mmu_check::{Coverage, dones};
use stage1_hw::{Barrier, Hardware, Instructions, Op, Page, Services, Upkeep, Why};
use stage1_paging::{Debt, Fit, Frame, Half, Pa, Pages, Prot, Space, Va};

// The ten lines.
use mmu_check::seam::{Checked, Here, Kernel, Reported, Shared};
static RULES: Shared = Shared::new();
impl Kernel for MyKernel {
    const RULES: &'static Shared = &RULES;
    fn masked<R>(f: impl FnOnce(Here) -> R) -> R {
        without_interrupts(|| f(Here::at(core(), task())))
    }
}
type Machine = Reported<Plain, Checked<MyKernel>>;
fn start_of_the_kernel() {
    RULES.start();
}
// Those were ten: a kernel has a function that starts things.

/// What is no instruction is reported where it happens.
const LISTENER: Checked<MyKernel> = Checked::NEW;

struct MyKernel;

/// A barrier of the pair that the kernel forgets.
static FORGETS_DSB: AtomicBool = AtomicBool::new(false);
static FORGETS_ISB: AtomicBool = AtomicBool::new(false);

impl Services for MyKernel {
    type Instructions = Machine;

    fn alloc(&self) -> Option<Frame> {
        let page = Box::new(Page([const { AtomicU64::new(!0) }; 512]));
        let frame = self.frame(NonNull::from(Box::leak(page)));
        LISTENER.hear(What::Alloc {
            frame: frame.pa().raw(),
        });
        Some(frame)
    }

    unsafe fn free(&self, frame: Frame) {
        LISTENER.hear(What::Free {
            frame: frame.pa().raw(),
        });
        // SAFETY: from `alloc`, and nothing leads to it, as the caller says.
        drop(unsafe { Box::from_raw(self.page(frame).as_ptr()) });
    }

    fn page(&self, frame: Frame) -> NonNull<Page> {
        let address = core::ptr::with_exposed_provenance_mut(frame.pa().raw() as usize);
        NonNull::new(address).unwrap_or(NonNull::dangling())
    }

    fn frame(&self, page: NonNull<Page>) -> Frame {
        let address = page.as_ptr().expose_provenance() as u64;
        Frame::containing(Pa::new(address).unwrap_or_default())
    }

    // One core: in a kernel, a short lock.
    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    fn owe(&self) {
        if !FORGETS_DSB.load(Relaxed) {
            Machine::NEW.execute(Op::Dsb(Barrier::Ishst), Why::Publish);
        }
        if !FORGETS_ISB.load(Relaxed) {
            Machine::NEW.execute(Op::Isb, Why::Publish);
        }
    }

    fn may_break(&self, _: Pages) -> bool {
        true
    }

    fn done(&self, debt: &Debt) {
        dones(debt).for_each(|done| LISTENER.hear(done));
    }
}

/// Maps a page, uses it, and unmaps it.
fn run() -> Result<Option<Coverage>, Box<dyn Error>> {
    start_of_the_kernel();
    // SAFETY: frames are this program's own, at their addresses, and nothing walks the tables.
    let mmu = unsafe { Hardware::new(MyKernel, Upkeep::default()) };
    let space = Space::new(&mmu, mmu.new_root()?, Half::Upper);
    let pages = Pages::new(Va::new(0xffff_0000_0000_1000), 1)?;
    let frame = MyKernel.alloc().ok_or("no frame")?;
    space.map(pages, frame, Prot::RW, Fit::Pages)?;
    LISTENER.hear(What::Access {
        va: pages.start().raw(),
        kind: AccessKind::Write,
        expect: Expect::Works,
    });
    let mut gather = space.gather(());
    space.unmap(pages, &mut gather)?;
    let _ = gather.finish();
    // SAFETY: it was mapped once, and its invalidation is complete.
    unsafe { MyKernel.free(frame) };
    Ok(LISTENER.stop())
}

fn main() -> Result<(), Box<dyn Error>> {
    for word in std::env::args().skip(1) {
        match &*word {
            "dsb" => FORGETS_DSB.store(true, Relaxed),
            "isb" => FORGETS_ISB.store(true, Relaxed),
            _ => return Err("dsb or isb: the barrier to leave out".into()),
        }
    }
    let coverage = run()?.ok_or("the rules were not on")?;
    std::println!("no violation; {coverage}");
    Ok(())
}

/// Of the machine `stage1-hw` has `Plain`, where there is one.
#[derive(Clone, Copy)]
struct Plain;

impl Instructions for Plain {
    const NEW: Self = Plain;
    fn execute(self, _: Op, _: Why) {}
    unsafe fn write_ttbr0(self, _: u64) {}
}

/// What every kernel has.
fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    f()
}

fn core() -> u8 {
    0
}

fn task() -> u16 {
    1
}

#[cfg(test)]
mod tests {
    use super::{FORGETS_DSB, FORGETS_ISB, LISTENER, Relaxed, run};
    use std::panic::catch_unwind;
    use std::string::String;

    /// What the panic says, when this barrier is left out.
    fn without(barrier: &super::AtomicBool) -> String {
        barrier.store(true, Relaxed);
        let panic = catch_unwind(|| run().is_ok()).unwrap_err();
        barrier.store(false, Relaxed);
        let _ = LISTENER.stop();
        *panic.downcast().unwrap()
    }

    /// One after the other: the rules are a static.
    #[test]
    fn a_barrier_left_out_breaks_a_rule() {
        assert!(run().unwrap().unwrap().used_mappings > 0);
        assert!(without(&FORGETS_DSB).starts_with("R1: "));
        assert!(without(&FORGETS_ISB).starts_with("R1: "));
        assert!(run().unwrap().unwrap().dones > 0);
    }

    /// As rustfmt writes them, and the same as in the crate's README and in the page of `seam`.
    #[test]
    fn the_ten_lines_are_ten() {
        let between = |text: &str| -> std::vec::Vec<String> {
            let from = text.find("use mmu_check::seam::{Checked").unwrap();
            let lines = text[from..].lines().map(|l| l.trim_start_matches("//! "));
            let code = lines.filter(|l| !l.trim().is_empty() && !l.trim().starts_with("//"));
            let code = code.filter(|l| !l.starts_with("fn start_of_the_kernel"));
            let strip = |l: &str| l.split(" //").next().unwrap_or("").trim().into();
            let mut rest = false;
            code.take_while(|l| !std::mem::replace(&mut rest, l.contains("RULES.start()")))
                .map(strip)
                .collect()
        };
        let own = between(include_str!("hook_up.rs"));
        assert_eq!(own.len(), 10, "{own:#?}");
        assert_eq!(own, between(include_str!("../src/seam.rs")));
        assert_eq!(own, between(include_str!("../README.md")));
    }
}
