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

pub use tree::{COMMAND_LINE_MAX, Conduit, Gic, Machine, Region, TreeError, console as uart};
