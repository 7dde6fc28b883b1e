//! What runs between the kernel and the machine: the one place that says so.
//!
//! Three seams: the machine's instructions, the processor that the mode sees, and the services that
//! the tables call. In the product the first is watched by the [`Observer`] and the other two
//! stand as they are. The image that injects faults (`tests/faults`) decorates all three, and may have the frame allocator
//! refuse; these lines are all that the kernel knows of it.

use stage1_hw::{Instructions, Plain};

use super::observer::Observer;

/// The instructions of this kernel.
#[cfg(not(feature = "faults"))]
pub type Machine = Observer<Plain>;
/// The instructions of this kernel.
#[cfg(feature = "faults")]
pub type Machine = lazy_mmu_faults::Above<Observer<lazy_mmu_faults::Below<Plain>>>;

/// The value, which has no state: `publish(HW)`.
pub const HW: Machine = Machine::NEW;

/// The mode's processor around `C`.
#[cfg(not(feature = "faults"))]
pub type Cpu<C> = C;
/// The mode's processor around `C`.
#[cfg(feature = "faults")]
pub type Cpu<C> = lazy_mmu_faults::Cpu<C>;

/// The tables' services around `S`.
#[cfg(not(feature = "faults"))]
pub type Services<S> = S;
/// The tables' services around `S`.
#[cfg(feature = "faults")]
pub type Services<S> = lazy_mmu_faults::Services<S>;

/// A [`Cpu`].
pub(crate) const fn cpu<C>(inner: C) -> Cpu<C> {
    #[cfg(feature = "faults")]
    let inner = lazy_mmu_faults::Cpu(inner);
    inner
}

/// [`Services`].
pub(crate) const fn services<S>(inner: S) -> Services<S> {
    #[cfg(feature = "faults")]
    let inner = lazy_mmu_faults::Services(inner);
    inner
}

/// Whether the frame that is about to be allocated for the caller at this place is refused.
#[cfg(not(feature = "faults"))]
pub(crate) const fn refuses_frame(_: &core::panic::Location<'_>) -> bool {
    false
}
#[cfg(feature = "faults")]
pub(crate) use lazy_mmu_faults::refuses_frame;
