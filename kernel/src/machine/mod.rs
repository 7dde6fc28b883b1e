//! The machine around the cores: what the device tree says of it, and its devices.
//!
//! | file | what |
//! |---|---|
//! | `tree.rs` | the device tree: RAM, cores, devices, command line |
//! | [`console`] | the UART |
//! | [`exit`] | the end of a boot, through semihosting |
//! | [`gic`] | the interrupt controller |
//! | `psci` | how another core is started |

pub mod console;
pub mod exit;
pub mod gic;
pub(crate) mod psci;
mod tree;

pub use tree::{Conduit, Gic, Machine, Region, TreeError, command_line, console as uart};
