//! GICv2 (Arm IHI 0048): interrupts of group 0, which without Security Extensions are IRQs.

use stage1_hw::{Barrier, Instructions, Op, Why};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

use super::{LOWEST_PRIORITY, PRIORITY};
use crate::base::layout;
use crate::machine::Gic;

register_structs! {
    /// GICD_*. The first word of the arrays below is banked: each core's own.
    #[allow(non_snake_case)]
    Distributor {
        (0x000 => CTLR: ReadWrite<u32>),
        (0x004 => _0),
        (0x100 => ISENABLER: [ReadWrite<u32>; 32]),
        (0x180 => ICENABLER: [ReadWrite<u32>; 32]),
        (0x200 => _1),
        (0x400 => IPRIORITYR: [ReadWrite<u8>; 1024]),
        (0x800 => ITARGETSR: [ReadWrite<u8>; 1024]),
        (0xC00 => _2),
        (0xF00 => SGIR: WriteOnly<u32>),
        (0xF04 => @END),
    },
    /// GICC_*. Each core has its own at the same address.
    #[allow(non_snake_case)]
    CpuInterface {
        (0x000 => CTLR: ReadWrite<u32>),
        (0x004 => PMR: ReadWrite<u32>),
        (0x008 => _0),
        (0x00C => IAR: ReadOnly<u32>),
        (0x010 => EOIR: WriteOnly<u32>),
        (0x014 => @END),
    }
}

/// The driver.
pub(super) struct Controller {
    distributor: &'static Distributor,
    cpu: &'static CpuInterface,
}

// SAFETY: registers, each access of which is one load or store that any core may make; those that would
// have to be read and written in one go are set once, by the first core.
unsafe impl Sync for Controller {}
// SAFETY: as above.
unsafe impl Send for Controller {}

impl Controller {
    /// For this controller, of the device tree.
    pub(super) fn new(gic: Gic) -> Self {
        let distributor = layout::device(gic.distributor.start).raw() as *const Distributor;
        let cpu = layout::device(gic.cores.start).raw() as *const CpuInterface;
        // SAFETY: the kernel's tables map the device for ever, nothing else uses it.
        let distributor = unsafe { &*distributor };
        // SAFETY: as above.
        let cpu = unsafe { &*cpu };
        distributor.CTLR.set(1);
        Self { distributor, cpu }
    }

    /// Enables the private interrupts with a bit in `enabled`, and no other, on this core. Says by which bit of a target list
    /// the distributor knows it.
    pub(super) fn init_core(&self, enabled: u32) -> u64 {
        for priority in &self.distributor.IPRIORITYR[..32] {
            priority.set(PRIORITY);
        }
        self.distributor.ICENABLER[0].set(!enabled);
        self.distributor.ISENABLER[0].set(enabled);
        self.cpu.PMR.set(LOWEST_PRIORITY.into());
        self.cpu.CTLR.set(1);
        // A private interrupt's target is who reads it.
        self.distributor.ITARGETSR[0].get().into()
    }

    pub(super) fn acknowledge(&self, machine: impl Instructions) -> u32 {
        let word = self.cpu.IAR.get();
        machine.execute(Op::Dmb(Barrier::Ishld), Why::Acknowledge);
        word
    }

    pub(super) fn end(&self, word: u32) {
        self.cpu.EOIR.set(word);
    }

    /// Sends SGI `id` to the cores with these bits.
    pub(super) fn send(&self, id: u32, targets: impl Iterator<Item = u64>) {
        let list = targets.fold(0, |list, target| list | target as u32);
        self.distributor.SGIR.set(list << 16 | id);
    }
}
