//! The arch layer on the machine: the kernel's primitives, one for one, each with what may be wrong
//! in it.

use alloc::format;
use alloc::vec::Vec;

use stage1_paging::{
    Debt, Desc, Done, Edited, Frame, Half, Level, Mmu, NoFrame, Pa, Pages, Prot, Slots, Step, Tlbi,
    Va,
};

use super::bug::{Bug, Site};
use super::frames::frame_at;
use super::kernel::Kernel;
use crate::event::{Barrier, What};
use crate::tlbi::{Op, Operand, Scope};

/// A table: the address of its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table(pub(super) u64);

impl Kernel {
    pub(super) fn table(&self, frame: u64) -> Table {
        Table(frame)
    }

    fn slot(table: Table, index: usize) -> u64 {
        table.0 + index as u64 * 8
    }

    fn store(&self, table: Table, index: usize, va: u64, level: u8, old: Desc, new: Desc) {
        let slot = Self::slot(table, index);
        self.tick();
        self.machine.tempt(va);
        self.machine.store(self.core.get(), slot, new.bits());
        self.record(What::Store {
            slot,
            va,
            level,
            old: old.bits(),
            new: new.bits(),
        });
    }

    /// The pair.
    pub(super) fn publish(&self) {
        if self.is(Bug::PeerMapSilent) {
            return;
        }
        if self.is(Bug::PublishReversed) {
            self.isb(Site::PublishIsb);
            self.dsb(Site::PublishDsb, Barrier::Ishst);
            return;
        }
        let kind = if self.is(Bug::PublishForLoads) {
            Barrier::Ishld
        } else {
            Barrier::Ishst
        };
        self.dsb(Site::PublishDsb, kind);
        self.isb(Site::PublishIsb);
    }

    /// One TLBI, with what is wrong in it.
    pub(super) fn tlbi(&self, op: Op, operand: u64) {
        let op = if self.is(Bug::TlbiLocal) {
            Op {
                broadcast: false,
                ..op
            }
        } else {
            op
        };
        self.at(Site::Tlbi, What::Tlbi { op, operand }, || {
            self.machine.tlbi(self.core.get(), op, operand);
        });
    }

    fn execute(&self, tlbi: Tlbi, frees_tables: bool) {
        let What::Tlbi {
            mut op,
            mut operand,
        } = tlbi.into()
        else {
            return;
        };
        let page = matches!(
            tlbi,
            Tlbi::Vae1is(_) | Tlbi::Vale1is(_) | Tlbi::Vaae1is(_) | Tlbi::Vaale1is(_)
        );
        let range = !page && operand != 0 && !matches!(tlbi, Tlbi::Aside1is(_));
        if self.is(Bug::TlbiLeafForTables) && frees_tables {
            op.last_level = !matches!(op.scope, Scope::All | Scope::Asid);
        }
        if self.is(Bug::TlbiWrongHint) && page {
            operand = (operand & !(0xf << 44)) | 0b0110 << 44;
        }
        if self.is(Bug::TlbiWrongHint) && range {
            // Level 2: the pages are at level 3.
            operand = (operand & !(0b11 << 37)) | 0b10 << 37;
        }
        if self.is(Bug::TlbiShort) && range && operand >> 39 & 0x1f != 0 {
            operand -= 1 << 39;
        }
        if self.is(Bug::PeerUnmasked) && page && operand >> 43 & 1 != 0 {
            operand |= 0xff << 44;
        }
        if self.is(Bug::PeerAsidZero) {
            operand &= !(0xffff << 48);
        }
        self.tlbi(op, operand);
    }

    /// A page fault between two instructions. Its handler maps the page: it runs in the task, in no interrupt.
    fn page_fault(&self, va: Va, frame: u64) {
        self.exception(What::ExceptionEntry);
        if let Err(error) = self.space().map_page(va, frame_at(frame), Prot::RW) {
            self.note(format!("tables: {error}"));
        }
        self.exception(What::ExceptionReturn);
    }

    /// The barriers before an invalidation's TLBIs.
    pub(super) fn before_tlbi(&self) {
        if !self.is(Bug::PeerNoDsb) && !self.is(Bug::PeerLocalFlush) {
            self.dsb(Site::DsbBeforeTlbi, Barrier::Ishst);
        }
    }

    /// And those after them.
    pub(super) fn after_tlbi(&self) {
        let kind = match self.setup.bug {
            _ if self.is(Bug::DsbAfterForStores) => Barrier::Ishst,
            _ if self.is(Bug::DsbAfterLocal) => Barrier::Nsh,
            _ => Barrier::Ish,
        };
        if !self.is(Bug::PeerNoDsb) {
            self.dsb(Site::DsbAfterTlbi, kind);
        }
        if let Some((va, frame)) = self.faults.take() {
            self.page_fault(va, frame);
        }
        self.isb(Site::IsbAfterTlbi);
    }
}

impl Mmu for Kernel {
    type Table = Table;

    fn read(&self, table: Table, index: usize) -> Desc {
        Desc::from_bits(self.machine.load(self.core.get(), Self::slot(table, index)))
    }

    fn child(&self, frame: Frame) -> Table {
        Table(frame.pa().raw())
    }

    fn frame(&self, table: Table) -> Frame {
        match Pa::new(table.0) {
            Some(pa) => Frame::containing(pa),
            None => Frame::ZERO,
        }
    }

    fn edit(&self, slots: Slots<Table>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let size = slots.level.size();
        let base = slots.va.raw() & !(size - 1);
        let (mut passed, mut skipped) = (0, 0);
        for index in slots.at.clone() {
            let old = self.read(slots.table, index);
            let va = base.wrapping_add(passed as u64 * size);
            match f(old) {
                Step::Store(new) => {
                    if self.is(Bug::TlbiBeforeStore) && old.is_valid() {
                        self.before_tlbi();
                        self.tlbi(Op::VAAE1IS, Operand::page(va, 0, None).into());
                    }
                    if self.is(Bug::ChangedByAnother) && old.is_valid() && new.is_valid() {
                        // A bit that is the software's, as a flag of its own would be.
                        let changed = Desc::from_bits(old.bits() ^ 1 << 55);
                        self.masked.set(self.masked.get() + 1);
                        self.on_core_2(|k| {
                            k.store(slots.table, index, va, slots.level.number(), old, changed);
                        });
                        self.masked.set(self.masked.get() - 1);
                    }
                    self.store(slots.table, index, va, slots.level.number(), old, new);
                }
                Step::Skip => skipped += 1,
                Step::Stop => break,
            }
            passed += 1;
        }
        Edited { passed, skipped }
    }

    // Scenarios break only what their other cores can wait for.
    fn may_break(&self, _: Pages) -> bool {
        true
    }

    fn link(&self, table: Table, level: Level, index: usize, va: Va) -> Result<Table, NoFrame> {
        let frame = self.alloc().ok_or(NoFrame)?;
        if !self.is(Bug::LinkUnzeroed) {
            self.zero_table(frame);
        }
        self.at(Site::LinkDmb, What::Dmb(Barrier::Ishst), || {
            self.machine.dmb(self.core.get(), Barrier::Ishst);
        });
        self.masked.set(self.masked.get() + 1);
        // Who takes the lock sees what its last holder has stored.
        if self.link_lock.get() != self.core.get() {
            self.machine.released(self.link_lock.get());
        }
        let old = self.read(table, index);
        let theirs = old.next_table(level);
        if theirs.is_none() {
            let new = Desc::table(self.frame(Table(frame)));
            let base = va.raw() & !(level.size() - 1);
            self.store(table, index, base, level.number(), old, new);
        }
        self.link_lock.set(self.core.get());
        self.masked.set(self.masked.get() - 1);
        match theirs {
            Some(theirs) => {
                self.free(frame);
                Ok(self.child(theirs))
            }
            None => Ok(Table(frame)),
        }
    }

    fn owe(&self) {
        let irq = self.task().mmu.in_interrupt();
        if irq && self.is(Bug::IrqDefers) {
            return;
        }
        self.task().mmu.owe();
    }

    fn invalidation_settles(&self) -> bool {
        self.task().mmu.state().count == 0
    }

    fn invalidate(&self, debt: &mut Debt) -> Done {
        if self.is(Bug::SettledLate) {
            self.barriers_of(debt);
            self.task().mmu.settled_by(|| ());
        } else {
            self.task().mmu.settled_by(|| self.barriers_of(debt));
        }
        let asid = match debt.half() {
            Half::Lower(asid) => asid.0,
            Half::Upper => 0,
        };
        for pages in debt.pages() {
            self.record(What::Done {
                va: pages.start().raw(),
                pages: pages.count(),
                asid,
                tables: debt.frees_tables(),
            });
        }
        debt.done()
    }

    fn free_table(&self, table: Table, _done: &Done) {
        self.free(table.0);
    }
}

impl Kernel {
    /// The barriers of an invalidation, with what is wrong in them.
    fn barriers_of(&self, debt: &Debt) {
        let ops: Vec<Tlbi> = debt.ops(self.setup.features).collect();
        if self.is(Bug::TlbiBeforeStore) {
            self.after_tlbi();
        } else if self.is(Bug::PeerLocalFlush) {
            self.tlbi(Op::VMALLE1, Operand::NONE.into());
            self.after_tlbi();
        } else {
            self.before_tlbi();
            for (n, op) in ops.iter().copied().enumerate() {
                let short = n > 0 && n + 1 == ops.len() && self.is(Bug::TlbiShort);
                let kept = matches!(op, Tlbi::Aside1is(_)) && self.is(Bug::AsidNotFlushed);
                if !kept && !short {
                    self.execute(op, debt.frees_tables());
                }
            }
            self.after_tlbi();
        }
    }
}
