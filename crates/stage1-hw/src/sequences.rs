//! Which instructions, in which order. Why each is there: [`Why`].

use stage1_paging::{Debt, Features};

use crate::instructions::{Barrier, Instructions, Op, Why};

/// Publishes the valid descriptors that this core has stored: `dsb ishst; isb` ([`Why::Publish`]).
///
/// In this order. The ISB discards what this core has begun ahead, and that must not have been begun
/// before the walkers could see the store.
#[inline(always)]
pub fn publish(machine: impl Instructions) {
    machine.execute(Op::Dsb(Barrier::Ishst), Why::Publish);
    machine.execute(Op::Isb, Why::Publish);
}

/// Makes a root and what lies below it visible to the walkers, before a TTBR points at it:
/// `dsb ishst` ([`Why::Root`]).
#[inline(always)]
pub fn publish_root(machine: impl Instructions) {
    machine.execute(Op::Dsb(Barrier::Ishst), Why::Root);
}

/// How invalidations are made on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Upkeep {
    /// What TLBI can do, on every core.
    pub tlb: Features,
    /// Some core has an erratum by which one TLBI and its DSB do not wait for every access that uses
    /// the old translation: every invalidation is made twice, with a `dsb ish` between. (Cortex-A76
    /// 1286807, Cortex-A55 2441007, Cortex-A510 2441009, Falkor 1009. Linux:
    /// `ARM64_WORKAROUND_REPEAT_TLBI`.)
    pub repeat_tlbi: bool,
}

/// Invalidates what `debt` names, on every core:
/// `dsb ishst; tlbi…; dsb ish; isb` ([`Why::BeforeTlbi`], [`Why::AfterTlbi`]).
///
/// Complete when it returns; the caller may call [`Debt::done`] then.
pub fn invalidate(machine: impl Instructions, debt: &Debt, upkeep: Upkeep) {
    machine.execute(Op::Dsb(Barrier::Ishst), Why::BeforeTlbi);
    tlbis(machine, debt, upkeep.tlb);
    if upkeep.repeat_tlbi {
        machine.execute(Op::Dsb(Barrier::Ish), Why::AfterTlbi);
        tlbis(machine, debt, upkeep.tlb);
    }
    machine.execute(Op::Dsb(Barrier::Ish), Why::AfterTlbi);
    machine.execute(Op::Isb, Why::AfterTlbi);
}

#[inline(always)]
fn tlbis(machine: impl Instructions, debt: &Debt, features: Features) {
    if let Some(batch) = debt.only(features) {
        machine.execute(Op::Tlbi(batch), Why::Invalidate);
    } else {
        debt.each_batch(features, |batch| {
            machine.execute(Op::Tlbi(batch), Why::Invalidate);
        });
    }
}

/// Drops everything that this core's TLB holds: `tlbi vmalle1; dsb nsh; isb` ([`Why::LeaveEarly`]).
///
/// For a core that leaves its early tables, after the `isb` that makes the new registers count: what
/// it holds of the old ones is nobody else's. Whatever another core may hold needs [`invalidate`].
pub fn drop_all_local(machine: impl Instructions) {
    machine.execute(Op::TlbiAllLocal, Why::LeaveEarly);
    machine.execute(Op::Dsb(Barrier::Nsh), Why::LeaveEarly);
    machine.execute(Op::Isb, Why::LeaveEarly);
}
