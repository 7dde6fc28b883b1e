//! The tests that boot.
//!
//! Every `tests/NN_name.rs` is a kernel of its own, built as the binary `NN_name`. The comment it begins with says how
//! it is booted and what must come of it:
//!
//! ```text
//! //! A wild store ends the boot with a report.
//! //!
//! //! @boot verdict=4 expect="FAR 0xdead0000"
//! //! @boot verdict=4 cpu=cortex-a53,cortex-a72 smp=1,2 args="poison=on"
//! ```
//!
//! Each line is a boot, and with alternatives one boot for each combination: the second line above is four. The product's
//! own kernel is booted by the `@boot` lines of `tests/product.boots`. [`lazy_mmu_tools::directive`] reads the lines, [`found`] finds
//! the files, [`choice`] picks those that `TESTS` names, [`judge`] says whether a boot did what its line says.
//! [`sources`] is for the tests of the kernel's shape.

pub mod choice;
pub mod found;
pub mod judge;
pub mod sources;
