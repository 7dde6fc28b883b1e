//! Live entries and tables: H16, H17.

use core::sync::atomic::AtomicU64;

use alloc::vec::Vec;

use mmu_check::{Event, Op as TlbiOp, Rule, What};
use stage1_hw::{Instructions, Slot, Why};
use stage1_paging::{Desc, Level, Pages, Prot, Va};

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::base::layout;
use crate::mem::services::table_count;
use crate::mem::spaces::TaskSpace;
use crate::observe::access::{self, Expect};
use crate::observe::seam::HW;
use crate::workloads::pages::signature;
use crate::workloads::{Failure, check, failure};
use crate::{mem, println};

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
            step("use page 0: it is in the TLB", || place.read(0))?;
            step("store another frame's entry over it", || {
                store_over(va, other)
            })?;
            step("dsb ishst; isb", || stage1_hw::publish(HW));
            let found = step("use page 0", || access::read(va, Expect::Works))?;
            place.unmap()?;
            let old = found == signature(0, 1);
            scene.must_see("QEMU", old, "the load still has the old frame's word")
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

/// H17.
pub(super) fn table_freed_early(scene: &mut Scene) -> Result<(), Failure> {
    let place = Place::new(1)?;
    let ((), events) = scene.recorded(
        "an empty table is unlinked, walk caches dropped, and freed",
        |_| {
            let mut space =
                TaskSpace::new().map_err(|error| failure!("no task space: {error:?}"))?;
            space.enter();
            let page = Pages::one(Va::new(1 << 30))?;
            let frame = place.frame(0).frame();
            step("map a page, three tables", || {
                space.range().map_page(page.start(), frame, Prot::RW)
            })?;
            step("use it: walk caches have the way", || {
                check::touch(page.start(), signature(0, 1))
            })?;
            step("clear it, and invalidate the last level", || {
                let mut gather = space.range().gather(());
                space
                    .range()
                    .unmap(page, &mut gather)
                    .map(|_| drop(gather.finish()))
            })?;
            let before = table_count();
            step("unlink the tables, invalidate all levels, free", || {
                space.free_tables(page)
            })?;
            let freed = before - table_count();
            step("use it: it must fault", || check::unreachable(page.start()))?;
            space.destroy();
            if freed != 3 {
                return Err(failure!("{freed} tables were freed, of three"));
            }
            Ok(())
        },
    )?;
    let events: Vec<Event> = events.into_iter().map(of_last_level).collect();
    println!("  wrong on purpose: the same record, with every TLBI of the last level only");
    scene.caught(&events, &[Rule::TableReuse])?;
    place.give_back();
    Ok(())
}

/// The event, as it would be with a TLBI that leaves walk caches alone.
fn of_last_level(event: Event) -> Event {
    let What::Tlbi { op, operand } = event.what else {
        return event;
    };
    let op = match op {
        TlbiOp::VAE1IS => TlbiOp::VALE1IS,
        TlbiOp::RVAE1IS => TlbiOp::RVALE1IS,
        other => other,
    };
    Event {
        what: What::Tlbi { op, operand },
        ..event
    }
}
