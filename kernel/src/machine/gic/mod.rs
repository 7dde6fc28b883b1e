//! The interrupt controller, a GICv2 or a GICv3.
//!
//! Both drivers are the kernel's own and small. `arm-gic` 0.10.0, the newest when this was written, was
//! tried, and does not do for this kernel:
//! - It executes no barrier: none behind the acknowledge, ICC_SRE_EL1 or ICC_SGI1R_EL1. `GicV3::init_cpu`
//!   even writes ICC_SRE_EL1 and the registers behind it in one call.
//! - `GicV2` is one object for the distributor and the CPU interface, which every core has for itself.
//!   Acknowledging and ending an interrupt both take it by `&mut`: a lock that all cores share, in each
//!   interrupt. (A GICv3's CPU interface it has per core.)
//! - Of a GICv2's software-generated interrupts it knows those that core 0 sends: bits 12..10 of what it
//!   acknowledges are still the sender, so number 1 from core 1 is the reserved 1025. And nothing says by
//!   which bit of a target list a core is known (GICD_ITARGETSR).
//! - `GicV2::set_interrupt_priority` writes the whole word, and clears the priorities of three others.
//! - Its waits for a redistributor have no bound, and spin by `spin_loop`, which is an ISB on this
//!   architecture: one without a reason.
//!
//! Barriers are the machine's, which is passed in: nothing below the observer counts.

mod v2;
mod v3;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spin::once::Once;
use stage1_hw::Instructions;
use thiserror::Error;

use super::Machine;
use crate::base::{MAX_CORES, Yield};

/// A driver of this machine's controller.
enum Controller {
    V2(v2::Controller),
    V3(v3::Controller),
}

static CONTROLLER: Once<Controller, Yield> = Once::new();
/// What each core is to the controller: its bit of a target list for a GICv2, its affinity for a GICv3.
static TARGETS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// IDs from here on are no interrupts: nothing is pending.
pub const NONE: u32 = 1020;
/// The software-generated interrupt by which a core makes others look at the run queue.
pub const RESCHEDULE: u32 = 1;

/// All interrupts have the same priority: none is taken on top of another.
const PRIORITY: u8 = 0x80;
/// A mask that lets every priority through.
const LOWEST_PRIORITY: u8 = 0xFF;

/// Why the controller cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum GicError {
    /// The device tree names no controller that is known.
    #[error("the device tree names no GICv2 or GICv3")]
    NoController,
    /// The controller has no redistributor for this core.
    #[error("the GIC has no redistributor for this core")]
    NoRedistributor,
    /// The redistributor of this core does not wake up.
    #[error("the GIC's redistributor of this core does not wake up")]
    Asleep,
}

/// Prepares the controller. On the first core, before [`init_core`] on any.
///
/// # Errors
/// [`GicError::NoController`].
pub(crate) fn init(machine: &Machine) -> Result<(), GicError> {
    let gic = machine.gic.ok_or(GicError::NoController)?;
    CONTROLLER.call_once(|| match gic.version {
        2 => Controller::V2(v2::Controller::new(gic)),
        _ => Controller::V3(v3::Controller::new(gic)),
    });
    Ok(())
}

/// Lets this core, number `core`, take the private interrupts with a bit in `enabled` and no other,
/// once it unmasks them.
///
/// # Errors
/// [`GicError`]
pub(crate) fn init_core(
    machine: impl Instructions,
    core: u8,
    enabled: u32,
) -> Result<(), GicError> {
    let target = match CONTROLLER.get().ok_or(GicError::NoController)? {
        Controller::V2(gic) => gic.init_core(enabled),
        Controller::V3(gic) => gic.init_core(machine, enabled)?,
    };
    TARGETS[usize::from(core)].store(target, Relaxed);
    Ok(())
}

/// Which architecture the controller is of: 2 or 3; `None` where there is none.
pub fn version() -> Option<u8> {
    Some(match CONTROLLER.get()? {
        Controller::V2(_) => 2,
        Controller::V3(_) => 3,
    })
}

/// Sends the software-generated interrupt `id` to the cores whose bits are set, one at least. On a
/// GICv3 with an ISB behind it ([`Why::Send`](stage1_hw::Why::Send)).
///
/// No barrier before it: what the other cores are to see is ordered by its sender, who knows whether a
/// lock does it.
pub(crate) fn send(machine: impl Instructions, id: u32, cores: u8) {
    let targets = (0..MAX_CORES)
        .filter(|core| cores >> core & 1 != 0)
        .map(|core| TARGETS[core].load(Relaxed));
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.send(id, targets),
        Some(Controller::V3(_)) => v3::send(machine, id, targets),
        None => {}
    }
}

/// An interrupt that was acknowledged: what `end` wants back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledged(u32);

impl Acknowledged {
    /// Its ID; from [`NONE`] on there was none.
    pub const fn id(self) -> u32 {
        // Of a GICv2's word, bits 12..10 are the core that sent an SGI.
        self.0 & 0x3FF
    }
}

/// Acknowledges the interrupt that this core has taken. `None` where there is no controller.
///
/// Memory is read behind it: a GICv2's acknowledge has a DMB, a GICv3's a DSB
/// ([`Why::Acknowledge`](stage1_hw::Why::Acknowledge)). The ISB, for system registers, is the caller's,
/// behind the branch on the number.
pub(crate) fn acknowledge(machine: impl Instructions) -> Option<Acknowledged> {
    let word = match CONTROLLER.get()? {
        Controller::V2(gic) => gic.acknowledge(machine),
        Controller::V3(_) => v3::acknowledge(machine),
    };
    Some(Acknowledged(word))
}

/// Ends it: the next one may come.
pub(crate) fn end(Acknowledged(word): Acknowledged) {
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.end(word),
        Some(Controller::V3(_)) => v3::end(word),
        None => {}
    }
}
