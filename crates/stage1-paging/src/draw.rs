//! Drawing a space, for `{:?}` and `{:#?}`.

use core::fmt;

use crate::addr::{ENTRIES, Level, PAGE_SHIFT, PAGE_SIZE, Pages, Va};
use crate::desc::{Desc, Mapping};
use crate::mmu::Mmu;
use crate::space::Space;

/// `{:?}` lists runs of like mappings, as Linux's ptdump does; `{:#?}` shows every table and every
/// valid descriptor in it. A snapshot: other cores may be at work.
impl<M: Mmu> fmt::Debug for Space<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, root {:?}", self.half, self.mmu.frame(self.root))?;
        let whole = Pages::whole(self.half);
        if f.alternate() {
            return self.draw(f, self.root, Level::L0, whole.start());
        }
        let mut run: Option<Run> = None;
        for next in self.mappings(whole).map_err(|_| fmt::Error)? {
            if let Some(r) = &mut run
                && r.takes(next)
            {
                continue;
            }
            if let Some(r) = run.replace(Run::new(next)) {
                writeln!(f, "{r}")?;
            }
        }
        run.map_or(Ok(()), |r| writeln!(f, "{r}"))
    }
}

impl<M: Mmu> Space<'_, M> {
    /// As deep as there are levels.
    fn draw(
        &self,
        f: &mut fmt::Formatter<'_>,
        table: M::Table,
        level: Level,
        start: Va,
    ) -> fmt::Result {
        for index in 0..ENTRIES {
            let desc = self.mmu.read(table, index);
            if desc == Desc::INVALID {
                continue;
            }
            let va = Va::new(start.raw() + index as u64 * level.size());
            let indent = 2 * usize::from(level.number());
            writeln!(
                f,
                "{:indent$}{level:?}[{index:3}] {va}: {}",
                "",
                desc.at(level)
            )?;
            if let (Some(next), Some(below)) = (desc.next_table(level), level.next()) {
                self.draw(f, self.mmu.child(next), below, va)?;
            }
        }
        Ok(())
    }
}

/// Adjacent mappings of one size and one kind.
struct Run {
    first: Mapping,
    count: u64,
    contiguous: bool,
}

impl Run {
    const fn new(first: Mapping) -> Self {
        Self {
            first,
            count: 1,
            contiguous: true,
        }
    }

    /// Takes `next` in, if it belongs.
    fn takes(&mut self, next: Mapping) -> bool {
        let Mapping { va, level, desc } = self.first;
        let adjacent = next.va.raw() == va.raw().wrapping_add(self.count * level.size());
        if !adjacent || next.level != level || next.desc.attributes() != desc.attributes() {
            return false;
        }
        self.contiguous &=
            self.first.frame().checked_add(self.count * level.pages()) == Some(next.frame());
        self.count += 1;
        true
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mapping { va, level, desc } = self.first;
        let last = va.raw().wrapping_add(self.count * level.size() - 1);
        let (unit, size) = match level.size() {
            PAGE_SIZE => ("page", (self.count << PAGE_SHIFT) >> 10),
            size => ("block", (self.count * size) >> 10),
        };
        let scattered = if self.contiguous { "" } else { " …" };
        let plural = if self.count == 1 { "" } else { "s" };
        write!(
            f,
            "{va}-{last:#018x} {size:>9} KiB, {} {unit}{plural}: {}{scattered}",
            self.count,
            desc.at(level)
        )
    }
}
