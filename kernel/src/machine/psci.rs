//! How another core is started: PSCI, by `smccc`, which knows both conduits and has no state.

use smccc::psci::{self, error::Error};
use smccc::{Hvc, Smc};

use super::tree::Conduit;

pub use smccc::psci::error::Error as PsciError;

/// Starts the core with this affinity at the physical address `entry`, where it finds `context` in x0.
///
/// # Errors
/// What PSCI answers.
///
/// # Safety
/// What lies at `entry` is code that expects `context` and a core on which nothing has run, and all that it needs is there.
pub(crate) unsafe fn start_core(
    conduit: Conduit,
    affinity: u64,
    entry: u64,
    context: u64,
) -> Result<(), Error> {
    match conduit {
        Conduit::Hvc => psci::cpu_on::<Hvc>(affinity, entry, context),
        Conduit::Smc => psci::cpu_on::<Smc>(affinity, entry, context),
    }
}
