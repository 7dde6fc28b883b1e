//! An entry that is live: H16.

use core::sync::atomic::AtomicU64;

use mmu_check::Rule;
use stage1_hw::{Instructions, Slot, Why};
use stage1_paging::{Desc, Level, Prot, Va};

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::base::layout;
use crate::mem;
use crate::observe::access::{self, Expect};
use crate::observe::seam::HW;
use crate::workloads::pages::signature;
use crate::workloads::{Failure, check, failure};

/// H16.
pub(super) fn live_entry_replaced(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(2)?;
    let va = place.va(0);
    let other = place.frame(1).frame();
    scene.broken(
        "another frame is stored over a live entry",
        &[Rule::BreakBeforeMake],
        |scene| {
            place.map(0)?;
            // In one step: what prints in between may evict the translation from QEMU's TLB.
            let found = step("use page 0, store another entry over it, use it", || {
                place.read(0)?;
                store_over(va, other)?;
                stage1_hw::publish(HW);
                Ok::<_, Failure>(access::read(va, Expect::Works)?)
            })?;
            place.unmap()?;
            let old = found == signature(0, 1);
            scene.may_see("QEMU", old, "the load still has the old frame's word");
            Ok(())
        },
    )?;
    scene.right("clear, DSB, TLBI, DSB, set", |_| {
        place.map(0)?;
        step("use page 0", || place.read(0))?;
        let refused = step("map over it: refused", || {
            place.range().map_page(va, other, Prot::RW)
        });
        step("replace it", || {
            let mut gather = place.range().gather(());
            let replaced = place.range().replace(va, &[other], Prot::RW, &mut gather);
            let _ = gather.finish();
            replaced
        })?;
        step("use page 0: the other frame", || {
            check::touch(va, signature(1, 1))
        })?;
        place.unmap()?;
        if refused.is_ok() {
            return Err(failure!("a live entry was stored over by map_page"));
        }
        Ok(())
    })?;
    place.give_back();
    Ok(())
}

/// Stores to the last-level descriptor of `va`, which no operation of the tables does to a live one.
fn store_over(va: Va, frame: stage1_paging::Frame) -> Result<(), Failure> {
    let walk = mem::walk(va).ok_or_else(|| failure!("{va}: no tables translate it"))?;
    let mut steps = walk.steps();
    let table = steps.find_map(|(level, desc)| match level {
        Level::L2 => desc.next_table(level),
        _ => None,
    });
    let table = table.ok_or_else(|| failure!("{va}: there is no last-level table"))?;
    let offset = 8 * Level::L3.index(va) as u64;
    let word = (layout::linear(table.pa()).raw() + offset) as *const AtomicU64;
    let pa = stage1_paging::Pa::new(table.pa().raw() + offset);
    let slot = Slot {
        // SAFETY: 1. The walk has found the table, and the kernel's half never frees one: the linear map has it for ever. 2. Every
        // access to a table is atomic.
        word: unsafe { &*word },
        pa: pa.unwrap_or(table.pa()),
        level: Level::L3,
        va,
    };
    HW.store(
        slot,
        Desc::leaf(Level::L3, frame, Prot::RW, true),
        Why::Publish,
    );
    Ok(())
}
