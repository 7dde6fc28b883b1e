//! The order of stores, invalidations and uses: H11, H12.

use mmu_check::Rule;
use stage1_hw::{Barrier, Instructions, Op, Why};
use stage1_paging::{Batch, Features, Half, Level, Tlbi, Va};

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::observe::seam::HW;
use crate::workloads::{Failure, failure};
use crate::{mode, task};

/// H11.
pub(super) fn tlbi_before_store(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(1)?;
    scene.broken(
        "the TLBI comes first, the store second",
        &[Rule::Early],
        |scene| {
            place.map(0)?;
            step("use page 0: it is in the TLB", || place.read(0))?;
            let mut gather = place.range().gather(());
            step("invalidate page 0", || invalidate(place.va(0)));
            // In one step: what prints in between may evict the translation from QEMU's TLB.
            let stale = step("use page 0 ahead, clear it, use it: it must fault", || {
                place.read(0)?;
                place.range().unmap(place.pages(), &mut gather)?;
                Ok::<_, Failure>(place.is_stale(0))
            })?;
            let _ = gather.finish();
            scene.may_see("QEMU", stale, "the page is still there");
            Ok(())
        },
    )?;
    scene.right("the store, a DSB, the TLBI, a DSB", |_| {
        place.map(0)?;
        step("use page 0: it is in the TLB", || place.read(0))?;
        step("clear page 0, and invalidate", || place.unmap())
    })?;
    place.give_back();
    Ok(())
}

/// Invalidates the page at `va` by hand, where no gather owes it.
fn invalidate(va: Va) {
    let first = Tlbi::page(Half::Upper, va, Some(Level::L3), true, Features::default());
    let batch = Batch {
        first,
        count: 1,
        step: 1,
    };
    HW.execute(Op::Dsb(Barrier::Ishst), Why::BeforeTlbi);
    HW.execute(Op::Tlbi(batch), Why::Invalidate);
    HW.execute(Op::Dsb(Barrier::Ish), Why::AfterTlbi);
    HW.execute(Op::Isb, Why::AfterTlbi);
}

/// H12.
pub(super) fn use_while_pending(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(1)?;
    scene.broken_undisturbed(
        "a page is used while its pair is pending",
        &[Rule::Publish],
        |scene| {
            step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
            step("map page 0: deferred", || place.map(0))?;
            let pending = task::current().mmu.is_pending();
            step("use page 0: ahead of its barrier", || place.read(0))?;
            step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
            place.unmap()?;
            scene.must_see(
                "the pending flag",
                pending,
                "the pair was pending at the use",
            )
        },
    )?;
    scene.right(
        "its entry is read, and the page is used behind the exit",
        |_| {
            step("lazy_mmu_mode_enable()", mode::lazy_mmu_mode_enable);
            step("map page 0: deferred", || place.map(0))?;
            let walk = step("read the entry of page 0", || {
                place.range().walk(place.va(0))
            })?;
            step("lazy_mmu_mode_disable()", mode::lazy_mmu_mode_disable);
            step("use page 0", || place.read(0))?;
            place.unmap()?;
            match walk.frame() {
                Some(frame) if frame == place.frame(0).frame() => Ok(()),
                other => Err(failure!(
                    "the entry of a page that is pending says {other:?}"
                )),
            }
        },
    )?;
    place.give_back();
    Ok(())
}
