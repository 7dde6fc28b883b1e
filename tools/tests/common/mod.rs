//! A boot of the product's kernel.

use std::time::Duration;

use lazy_mmu_tools::places::{self, WorkDir};
use lazy_mmu_tools::{Boot, Outcome, Verdict, Witnessing};

/// Boots it with these words, on one core unless `with` says otherwise; all must be good. Its files are in the directory.
///
/// `make build` builds the kernel.
pub fn boot(args: &str, with: impl FnOnce(&mut Boot)) -> (Outcome, WorkDir) {
    let kept = WorkDir::new().unwrap();
    let mut boot = Boot {
        args: args.split_whitespace().map(str::to_owned).collect(),
        witness: Witnessing::Required,
        keep: Some(kept.path().to_owned()),
        timeout: Some(Duration::from_secs(300)),
        ..Boot::new(places::kernel("lazy-mmu-kernel"))
    };
    with(&mut boot);
    let outcome = boot.run().unwrap();
    assert_eq!(outcome.verdict, Verdict::Good, "{outcome:?}");
    (outcome, kept)
}
