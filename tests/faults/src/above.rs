//! Above the observer: what is left out here is neither executed nor seen.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_hw::{Barrier, Instructions, Op, Page, Slot, Slots, Why};
use stage1_paging::{Batch, Desc, Edited, Frame, Level, PAGE_SIZE, Pa, Step, Tlbi, Va};

use crate::image::{self, Moment};
use crate::{Fault, held, is, short};

/// The instructions of `I`, the observed machine, with the [`Fault`] that is injected.
///
/// What is executed and not seen goes to `P`, the same machine without an observer: the plain one,
/// where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Above<
    I,
    #[cfg(target_os = "none")] P = stage1_hw::Plain,
    #[cfg(not(target_os = "none"))] P,
> {
    seen: I,
    unseen: P,
}

impl<I: Instructions, P: Instructions> Instructions for Above<I, P> {
    const NEW: Self = Above {
        seen: I::NEW,
        unseen: P::NEW,
    };

    fn execute(self, op: Op, why: Why) {
        if !image::reach(Moment::Execute(op, why)) {
            return;
        }
        if is(Fault::FreeBeforeInvalidation) {
            return self.late(op, why);
        }
        match (op, why) {
            (_, Why::Publish) => self.publish(op),
            (_, Why::BeforeTlbi | Why::Invalidate | Why::AfterTlbi) => self.invalidate(op, why),
            (Op::Dmb(_), Why::Link) if is(Fault::LinkNoDmb) => {}
            (Op::Dsb(_), Why::Root) if is(Fault::RootUnpublished) => {}
            (Op::Isb, Why::Ttbr0) if is(Fault::Ttbr0NoIsb) => {}
            (Op::Dsb(_), Why::Switch) if is(Fault::SwitchNoDsb) => {}
            (Op::Isb, Why::Switch) if is(Fault::SwitchNoIsb) => {}
            (Op::Dmb(_) | Op::Dsb(_), Why::Acknowledge) if is(Fault::AckNoBarrier) => {}
            (Op::Isb, Why::Acknowledge) if is(Fault::AckNoIsb) => {}
            (Op::Isb, Why::Send) if is(Fault::SendNoIsb) => {}
            (Op::Isb, Why::Idle) if is(Fault::IdleNoIsb) => {}
            _ => self.observed_or_not(op, why),
        }
    }

    #[inline]
    fn load(self, word: &AtomicU64) -> Desc {
        self.seen.load(word)
    }

    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        self.seen.store(slot, new, why);
    }

    fn edit(self, slots: Slots<'_>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let changes = [
            Fault::FreeStillMapped,
            Fault::FrameOverwritten,
            Fault::WrongFrame,
        ];
        if !changes.into_iter().any(is) || slots.level != Level::L3 {
            return self.seen.edit(slots, f);
        }
        let mut va = slots.va;
        self.seen.edit(slots, |old| {
            let step = match f(old) {
                Step::Store(new) => Step::Store(changed(va, old, new)),
                other => other,
            };
            va = next(va);
            step
        })
    }

    fn zero(self, page: &Page, pa: Pa, why: Why) {
        if !(why == Why::Link && is(Fault::LinkNoZero)) {
            return self.seen.zero(page, pa, why);
        }
        // What it held may look like anything: on the machine like valid descriptors, blocks where there are blocks. On a host, where the
        // work must not fail, a frame holds zeroes.
        if cfg!(target_os = "none") {
            let words = page.0.iter();
            words.for_each(|word| word.store(0b01, Relaxed));
        }
    }

    unsafe fn write_ttbr0(self, value: u64) {
        // SAFETY: the caller's promise is this one's.
        unsafe { self.seen.write_ttbr0(value) }
    }
}

impl<I: Instructions, P: Instructions> Above<I, P> {
    /// The two instructions of a pair, one by one.
    fn publish(self, op: Op) {
        let (dsb, isb) = (Op::Dsb(Barrier::Ishst), Op::Isb);
        match op {
            Op::Dsb(_) if is(Fault::PublishNoDsb) => {}
            Op::Isb if is(Fault::PublishNoIsb) => {}
            Op::Dsb(_) if is(Fault::PublishSwapped) => self.seen.execute(isb, Why::Publish),
            Op::Isb if is(Fault::PublishSwapped) => self.seen.execute(dsb, Why::Publish),
            Op::Isb if is(Fault::PairUnasked) => {
                for op in [isb, dsb, isb] {
                    self.seen.execute(op, Why::Publish);
                }
            }
            _ => self.observed_or_not(op, Why::Publish),
        }
    }

    /// The instructions of an invalidation, one by one.
    fn invalidate(self, op: Op, why: Why) {
        match (op, why) {
            (Op::Tlbi(_), _) if is(Fault::TlbiNone) => {}
            (Op::Tlbi(_), _) if is(Fault::TlbiLocal) => self.seen.execute(Op::TlbiAllLocal, why),
            (Op::Tlbi(batch), _) if is(Fault::TlbiLeafOnly) => {
                self.seen.execute(Op::Tlbi(of_last_level(batch)), why);
            }
            (Op::Tlbi(batch), _) if is(Fault::TlbiShort) => {
                self.seen.execute(Op::Tlbi(short::shortened(batch)), why);
            }
            (Op::Dsb(_), Why::BeforeTlbi) if is(Fault::TlbiNoDsbBefore) || is(Fault::TlbiFirst) => {
            }
            (Op::Dsb(_), Why::AfterTlbi) if is(Fault::TlbiFirst) => {
                self.seen.execute(Op::Dsb(Barrier::Ishst), Why::BeforeTlbi);
                self.seen.execute(op, why);
            }
            (Op::Dsb(_), Why::AfterTlbi) if is(Fault::TlbiNoDsbAfter) => {}
            (Op::Isb, Why::AfterTlbi) if is(Fault::TlbiNoIsb) => {}
            _ => self.observed_or_not(op, why),
        }
    }

    /// [`Fault::FreeBeforeInvalidation`]: an invalidation is made when this core does something else
    /// for page tables. The ISBs of a probe and the barriers of interrupts are not that: between the
    /// invalidation and what relies on it they are all that is executed.
    fn late(self, op: Op, why: Why) {
        match (op, why) {
            (_, Why::Translate | Why::Register | Why::Acknowledge | Why::Send | Why::Idle) => {
                self.seen.execute(op, why)
            }
            (Op::Tlbi(batch), Why::Invalidate) => {
                if !held::hold(batch) {
                    self.seen.execute(op, why);
                }
            }
            (_, Why::AfterTlbi) => {}
            (_, Why::BeforeTlbi) => self.make_up(),
            _ => {
                self.make_up();
                self.seen.execute(op, why);
            }
        }
    }

    fn make_up(self) {
        if !held::any() {
            return;
        }
        self.seen.execute(Op::Dsb(Barrier::Ishst), Why::BeforeTlbi);
        held::release(|batch| self.seen.execute(Op::Tlbi(batch), Why::Invalidate));
        self.seen.execute(Op::Dsb(Barrier::Ish), Why::AfterTlbi);
        self.seen.execute(Op::Isb, Why::AfterTlbi);
    }

    /// As it is; past the observer where that is the fault.
    fn observed_or_not(self, op: Op, why: Why) {
        let unseen = match op {
            Op::Dsb(_) => Fault::DsbNotCounted,
            Op::Dmb(_) => Fault::DmbNotCounted,
            Op::Isb => Fault::IsbNotCounted,
            Op::Tlbi(_) | Op::TlbiAllLocal => Fault::TlbiNotCounted,
        };
        if is(unseen) {
            self.unseen.execute(op, why);
        } else {
            self.seen.execute(op, why);
        }
    }
}

/// The same of the last level alone, where there is such an operation.
fn of_last_level(batch: Batch) -> Batch {
    let first = match batch.first {
        Tlbi::Vae1is(operand) => Tlbi::Vale1is(operand),
        Tlbi::Vaae1is(operand) => Tlbi::Vaale1is(operand),
        Tlbi::Rvae1is(operand) => Tlbi::Rvale1is(operand),
        Tlbi::Rvaae1is(operand) => Tlbi::Rvaale1is(operand),
        other => other,
    };
    Batch { first, ..batch }
}

/// [`Fault::WrongFrame`]: the page mapped last in the vmap area, and the frame that it should have.
static LAST: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// What is stored at `va`, at the last level, in the place of `new`.
fn changed(va: Va, old: Desc, new: Desc) -> Desc {
    if image::in_linear(va) {
        if is(Fault::FreeStillMapped) && old.is_valid() && !new.is_valid() {
            return old;
        }
        if is(Fault::FrameOverwritten) && new.is_valid() {
            image::reach(Moment::MapLinear(new.frame(Level::L3)));
        }
    }
    if is(Fault::WrongFrame) && image::in_vmap(va) && new.is_valid() {
        let page = Va::new(LAST[0].swap(va.raw(), Relaxed));
        let frame = Pa::new(LAST[1].swap(new.frame(Level::L3).pa().raw(), Relaxed));
        if let (true, Some(frame)) = (next(page) == va, frame.and_then(Frame::new)) {
            return Desc::leaf(Level::L3, frame, new.prot(), new.is_global());
        }
    }
    new
}

fn next(va: Va) -> Va {
    Va::new(va.raw().wrapping_add(PAGE_SIZE))
}
