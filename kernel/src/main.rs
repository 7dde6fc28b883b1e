//! The product.
#![no_std]
#![no_main]

lazy_mmu_kernel::entry!(lazy_mmu_kernel::run::main);

// Cargo gives a package the features that any package of the same build turns on.
#[cfg(feature = "faults")]
compile_error!("the product is not built together with lazy-mmu-fault-image: build that by itself");
