//! A table that is freed: H17.

use alloc::vec::Vec;

use mmu_check::{Event, Op as TlbiOp, Rule, What};
use stage1_paging::{Pages, Prot, Va};

use super::place::Place;
use super::scene::Scene;
use super::steps::step;
use crate::mem::services::table_count;
use crate::mem::spaces::TaskSpace;
use crate::println;
use crate::workloads::pages::signature;
use crate::workloads::{Failure, check, failure};

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
                let unmapped = space.range().unmap(page, &mut gather);
                let _ = gather.finish();
                unmapped
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
