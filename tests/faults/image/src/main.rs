//! The product with one fault: `fault=` names it, and without it the kernel is right.
//!
//! `nth=` says which allocation fails under `fault=no-frame`, and up to which under `fault=alloc-fails`.
#![no_std]
#![no_main]

extern crate alloc;

mod made_here;
mod scenarios;
mod sweep;

use lazy_mmu_faults::{Fault, NAMES, Places, at, by_name, fail_at, inject, set_places};
use lazy_mmu_kernel::base::Verdict;
use lazy_mmu_kernel::base::layout;
use lazy_mmu_kernel::{Boot, println, run};
use stage1_paging::Va;

lazy_mmu_kernel::entry!(main, keys = ["fault", "nth"]);

fn main(boot: &Boot) -> Verdict {
    let own = |key| boot.arguments.own(key);
    let Some(fault) = own("fault").map_or(Some(Fault::None), by_name) else {
        println!("bad argument: no such fault; there are");
        for entry in NAMES {
            println!("{:<25} {} ({})", entry.name, entry.what, entry.seen);
        }
        return Verdict::BadArguments;
    };
    let nth = own("nth").map(str::parse::<u64>).transpose();
    let Ok(nth) = nth else {
        println!("bad argument: nth= is no number");
        return Verdict::BadArguments;
    };
    let ram = boot.machine.ram;
    set_places(&Places {
        vmap: Va::new(layout::VMAP_BASE)..Va::new(layout::VMAP_BASE + layout::VMAP_SIZE),
        linear: layout::linear(ram.start)..layout::linear(ram.end()),
    });
    fail_at(nth.unwrap_or(1));
    at(made_here::at);
    inject(fault);
    if fault == Fault::AllocFails {
        return sweep::main(boot, nth.unwrap_or(u64::MAX));
    }
    match run::main(boot) {
        Verdict::Good => scenarios::main(boot.cores),
        seen => seen,
    }
}
