//! What the test kernels share: a check that says what failed and where.

/// Ends the test kernel with verdict 1 unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            lazy_mmu_kernel::println!(
                "FAILED {}:{}: {}: {}",
                file!(),
                line!(),
                stringify!($condition),
                format_args!($($message)*)
            );
            return lazy_mmu_kernel::base::Verdict::Failed;
        }
    };
}
pub(crate) use ensure;
