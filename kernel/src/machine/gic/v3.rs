//! GICv3 (Arm IHI 0069): affinity routing, interrupts of group 1, system registers.

use core::arch::asm;

use stage1_hw::{Barrier, Instructions, Op, Why};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

use super::{GicError, LOWEST_PRIORITY, PRIORITY};
use crate::arch::{registers, time};
use crate::base::{MAX_CORES, layout};
use crate::machine::{Gic, Region};

register_structs! {
    /// GICD_*.
    #[allow(non_snake_case)]
    Distributor {
        (0x000 => CTLR: ReadWrite<u32>),
        (0x004 => @END),
    },
    /// GICR_*: one core's, two frames of 64 KiB.
    #[allow(non_snake_case)]
    Redistributor {
        (0x00000 => _0),
        (0x00008 => TYPER: ReadOnly<u64>),
        (0x00010 => _1),
        (0x00014 => WAKER: ReadWrite<u32>),
        (0x00018 => _2),
        (0x10080 => IGROUPR0: ReadWrite<u32>),
        (0x10084 => _3),
        (0x10100 => ISENABLER0: ReadWrite<u32>),
        (0x10104 => _4),
        (0x10180 => ICENABLER0: ReadWrite<u32>),
        (0x10184 => _5),
        (0x10400 => IPRIORITYR: [ReadWrite<u8>; 32]),
        (0x10420 => _6),
        (0x20000 => @END),
    }
}

/// GICD_CTLR: affinity routing, group 1. One security state, as QEMU's `virt` has it without EL3.
const CTLR: u32 = 1 << 4 | 1 << 1;
/// GICR_WAKER.ProcessorSleep and ChildrenAsleep.
const PROCESSOR_SLEEP: u32 = 1 << 1;
const CHILDREN_ASLEEP: u32 = 1 << 2;

/// The driver.
pub(super) struct Controller {
    redistributors: Region,
}

impl Controller {
    /// For this controller, of the device tree.
    pub(super) fn new(gic: Gic) -> Self {
        let distributor = layout::device(gic.distributor.start).raw() as *const Distributor;
        // SAFETY: the kernel's tables map the device for ever, nothing else uses it.
        unsafe { &*distributor }.CTLR.set(CTLR);
        Self {
            redistributors: gic.cores,
        }
    }

    /// Enables the private interrupts with a bit in `enabled`, and no other, on this core. Returns its affinity.
    pub(super) fn init_core(
        &self,
        machine: impl Instructions,
        enabled: u32,
    ) -> Result<u64, GicError> {
        let affinity = registers::affinity();
        let mine = self
            .redistributor(affinity)
            .ok_or(GicError::NoRedistributor)?;
        mine.WAKER.set(mine.WAKER.get() & !PROCESSOR_SLEEP);
        if !time::wait_until(1_000_000, || mine.WAKER.get() & CHILDREN_ASLEEP == 0) {
            return Err(GicError::Asleep);
        }
        mine.IGROUPR0.set(u32::MAX);
        for priority in &mine.IPRIORITYR {
            priority.set(PRIORITY);
        }
        mine.ICENABLER0.set(!enabled);
        mine.ISENABLER0.set(enabled);
        enable_cpu_interface(machine);
        Ok(affinity)
    }

    /// The one whose GICR_TYPER has this affinity; they lie one behind the other.
    fn redistributor(&self, affinity: u64) -> Option<&'static Redistributor> {
        let wanted = affinity >> 8 & 0xFF00_0000 | affinity & 0xFF_FFFF;
        let count = self.redistributors.bytes as usize / size_of::<Redistributor>();
        let base = layout::device(self.redistributors.start).raw() as *const Redistributor;
        (0..count.min(MAX_CORES))
            // SAFETY: the kernel's tables map the redistributors of as many cores as it has, for ever.
            .map(|index| unsafe { &*base.wrapping_add(index) })
            .find(|redistributor| redistributor.TYPER.get() >> 32 == wanted)
    }
}

pub(super) fn acknowledge(machine: impl Instructions) -> u32 {
    let id: u64;
    // SAFETY: acknowledges; the caller serves the interrupt and ends it. Not `nomem`: what the handler reads comes after.
    unsafe { asm!("mrs {}, icc_iar1_el1", out(reg) id, options(nostack, preserves_flags)) };
    machine.execute(Op::Dsb(Barrier::Sy), Why::Acknowledge);
    id as u32
}

pub(super) fn end(word: u32) {
    // SAFETY: ends what was acknowledged. Not `nomem`: what the handler wrote comes before.
    unsafe {
        asm!("msr icc_eoir1_el1, {}", in(reg) u64::from(word), options(nostack, preserves_flags))
    };
}

/// Sends SGI `id` to the cores with these affinities, one by one: they may be in different clusters.
pub(super) fn send(machine: impl Instructions, id: u32, affinities: impl Iterator<Item = u64>) {
    for affinity in affinities {
        let [aff0, aff1, aff2, _, aff3, ..] = affinity.to_le_bytes().map(u64::from);
        let (range, bit) = (aff0 / 16, aff0 % 16);
        let value =
            aff3 << 48 | range << 44 | aff2 << 32 | u64::from(id) << 24 | aff1 << 16 | 1 << bit;
        // SAFETY: an interrupt that every core serves.
        unsafe { asm!("msr icc_sgi1r_el1, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
    machine.execute(Op::Isb, Why::Send);
}

/// ICC_*: system registers instead of memory, every priority, group 1, end drops and deactivates.
///
/// The ISB: the registers behind the first one are only there once it counts.
fn enable_cpu_interface(machine: impl Instructions) {
    // SAFETY: this core's own; EL2 has allowed it where there is one (entry.s).
    unsafe { asm!("msr icc_sre_el1, {}", in(reg) 0b111_u64, options(nostack, preserves_flags)) };
    machine.execute(Op::Isb, Why::Register);
    // SAFETY: as above; interrupts are masked still.
    unsafe {
        asm!(
            "msr icc_pmr_el1, {pmr}",
            "msr icc_ctlr_el1, xzr",
            "msr icc_igrpen1_el1, {on}",
            pmr = in(reg) u64::from(LOWEST_PRIORITY),
            on = in(reg) 1_u64,
            options(nostack, preserves_flags)
        );
    }
    machine.execute(Op::Isb, Why::Register);
}
