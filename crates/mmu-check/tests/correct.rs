//! The correct kernel: neither the rules nor the machine find anything, whatever comes in between,
//! and everything that could be checked was there.
#![cfg(feature = "machine")]

use lazy_mmu::Policy;
use mmu_check::machine::{Chance, Intrusion, Run, Setup, run, scenario, scenario::Scenario};
use mmu_check::{Checker, Coverage};
use stage1_paging::Features;

fn setup(policy: Policy, n: u64) -> Setup {
    // Not in step with whatever `n` counts.
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Setup {
        policy,
        features: Features {
            range: n & 1 != 0,
            ttl: n & 2 != 0,
        },
        debug: n & 4 == 0,
        bug: None,
        intrusion: None,
    }
}

fn check(scenario: &Scenario, setup: &Setup, seed: u64) -> Run {
    let run = run(
        scenario,
        setup.clone(),
        Checker::new(),
        Chance::seeded(seed),
    );
    let name = scenario.name;
    if let Some(violation) = run.violations.first() {
        panic!("{name}, {setup:?}, seed {seed}:\n{violation}");
    }
    if let Some(wrong) = &run.wrong {
        panic!("{name}, {setup:?}, seed {seed}: {wrong}");
    }
    run
}

/// How many runs of each kind: `MMU_CHECK_SEEDS`, for a longer look.
fn seeds() -> u64 {
    let set = std::env::var("MMU_CHECK_SEEDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(160)
}

#[test]
fn nobody_finds_anything() {
    let mut coverage = Coverage::default();
    for scenario in &scenario::ALL {
        for policy in Policy::ALL {
            for seed in 0..seeds() {
                coverage.add(&check(scenario, &setup(policy, seed), seed).coverage);
            }
        }
    }
    println!("{coverage}");
}

#[test]
fn whatever_comes_in_between() {
    let mut coverage = Coverage::default();
    let mut runs = 0;
    let intrusions = [
        Intrusion::Interrupt,
        Intrusion::Migration,
        Intrusion::Neighbour,
        Intrusion::Invalidation,
    ];
    for scenario in &scenario::ALL {
        for policy in Policy::ALL {
            let steps = check(scenario, &setup(policy, 1), 1).steps;
            // Every step under the contracts, samples under the baselines and in loops over
            // hundreds of descriptors.
            let contract = matches!(policy, Policy::V3 | Policy::Linux7);
            let often = if contract { 1 } else { 7 };
            let all = (0..steps.min(160)).step_by(often);
            for at in all.chain((160..steps).step_by(23)) {
                for intrusion in intrusions {
                    let mut setup = setup(policy, at);
                    setup.intrusion = Some((at, intrusion));
                    runs += 1;
                    coverage.add(&check(scenario, &setup, at).coverage);
                }
            }
        }
    }
    println!("{runs} runs: {coverage}");
    assert_eq!(coverage.missing().collect::<Vec<_>>(), [] as [&str; 0]);
    // Mappings are used, not only made: boot and split make many that nobody needs.
    assert!(coverage.used_mappings > 5 * runs, "{coverage}");
}
