//! Barriers. Each function says which store it follows and for which observer; none is called "just
//! in case".

use aarch64_cpu::asm::barrier as cpu;

use mmu_check::What;
use mmu_check::event::Barrier;

use crate::event::{self, Kind};
use crate::planted::{self, Bug};
use crate::{check, task};

/// The pair owed by a store of a valid descriptor: `dsb ishst; isb`.
///
/// The DSB completes the store for every table walker in the inner shareable domain: without it a
/// walk may read the old entry for any length of time. The ISB follows because, without FEAT_ETS2,
/// a walk for an instruction already in the pipeline is not ordered after the DSB: this core could
/// take a fault that it had speculated from the old entry. (Linux: `emit_pte_barriers`, commit
/// 5fdd05efa1cd.)
#[inline]
pub fn publish() {
    if planted::is(Bug::PublishSwapped) {
        isb();
        dsb_ishst();
    } else {
        if !planted::is(Bug::PublishNoDsb) {
            dsb_ishst();
        }
        if !planted::is(Bug::PublishNoIsb) {
            isb();
        }
    }
    task::counts().pairs.add(1);
}

/// `dsb ishst`: every earlier store to a table is visible to every walker before anything later
/// begins.
///
/// For the walkers: before a TLBI it is what keeps a walker from refilling the TLB with the old
/// entry; in [`publish`] it makes the new entry visible. Stores are all that need ordering, hence
/// `st`; the walkers are inner shareable (TCR, asserted at boot), hence `ish`.
#[inline]
pub fn dsb_ishst() {
    let turn = check::turn();
    if !planted::is(Bug::DsbOnlyRecorded) {
        cpu::dsb(cpu::ISHST);
    }
    task::counts()
        .dsb
        .add(u64::from(!planted::is(Bug::DsbNotCounted)));
    event::record(Kind::DsbIshst, 0, 0, 0);
    turn.tell(What::Dsb(Barrier::Ishst));
}

/// `dsb ish` after a TLBI: every core has dropped the translation, and every access made through it
/// is complete.
///
/// For the frame's next owner: without it a store of another core through the old translation could
/// land after the frame was given away. It must wait for loads as well, hence not `ishst`.
#[inline]
pub fn dsb_ish() {
    let turn = check::turn();
    cpu::dsb(cpu::ISH);
    task::counts().dsb.add(1);
    event::record(Kind::DsbIsh, 0, 0, 0);
    turn.tell(What::Dsb(Barrier::Ish));
}

/// `isb`: instructions after it are fetched and translated anew on this core.
///
/// For this core alone: another core does its own.
#[inline]
pub fn isb() {
    let turn = check::turn();
    cpu::isb(cpu::SY);
    task::counts()
        .isb
        .add(u64::from(!planted::is(Bug::IsbNotCounted)));
    event::record(Kind::Isb, 0, 0, 0);
    turn.tell(What::Isb);
}

/// `dmb ishst` between the zeroes of a new table and the store that links it.
///
/// For the walkers: one that sees the link must see zeroes behind it, or it reads whatever the
/// frame held as descriptors. It is never deferred: the pair that publishes the link may come much
/// later, and orders nothing before itself against a walker that runs ahead. A DMB is enough, since
/// the second store *is* the one being ordered.
#[inline]
pub fn dmb_ishst() {
    let turn = check::turn();
    cpu::dmb(cpu::ISHST);
    task::counts()
        .dmb
        .add(u64::from(!planted::is(Bug::DmbNotCounted)));
    event::record(Kind::DmbIshst, 0, 0, 0);
    turn.tell(What::Dmb(Barrier::Ishst));
}
