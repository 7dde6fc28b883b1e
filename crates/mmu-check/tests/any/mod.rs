//! Any event that a trace may have, from numbers that are the same in every run.

mod numbers;

pub use numbers::Numbers;

use mmu_check::event::{AccessKind, Barrier, Call, Contract, Expect, Hook, Policy, What};
use mmu_check::{Event, Op};

const TLBIS: [&str; 10] = [
    "vmalle1", "aside1", "vae1", "vale1", "vaae1", "vaale1", "rvae1", "rvale1", "rvaae1", "rvaale1",
];

fn op(n: &mut Numbers) -> Op {
    let suffix = n.of(&["", "is"]);
    Op::named(&format!("{}{suffix}", n.of(&TLBIS))).unwrap()
}

/// How many kinds [`what`] makes. `event.rs` does not compile before a new kind is counted here.
pub const KINDS: u64 = 26;

/// Any event of the kind of this number.
pub fn what(kind: u64, n: &mut Numbers) -> What {
    match kind {
        0 => What::Store {
            slot: n.pa(8),
            va: n.va(),
            level: n.below(4) as u8,
            old: n.any(),
            new: n.any(),
        },
        1 => {
            let slot = n.pa(8);
            What::Stores {
                slot,
                va: n.va(),
                level: n.below(4) as u8,
                old: n.any(),
                new: n.any(),
                old_step: n.any(),
                new_step: n.any(),
                count: 1 + n.below(512 - (slot >> 3) % 512) as u16,
            }
        }
        2 => What::Zero { frame: n.pa(4096) },
        3 => What::Dsb(n.of(Barrier::ALL)),
        4 => What::Dmb(n.of(Barrier::ALL)),
        5 => What::Isb,
        6 => {
            let op = op(n);
            let operand = if op.has_operand() { n.any() } else { 0 };
            What::Tlbi { op, operand }
        }
        7 => What::Ttbr0 {
            root: n.pa(4096),
            asid: n.u16(),
        },
        8 => What::Switch { to: n.u16() },
        9 => What::ExceptionEntry,
        10 => What::ExceptionReturn,
        11 => What::IrqEnter,
        12 => What::IrqExit,
        13 => What::CoreStart,
        14 => What::Free { frame: n.pa(4096) },
        15 => What::Alloc { frame: n.pa(4096) },
        16 => What::Contract(n.of(Contract::ALL)),
        17 => What::Call(n.of(Call::ALL)),
        18 => What::TaskEnd,
        19 => What::Done {
            va: n.va(),
            pages: n.any() % (1 << 36 | 1),
            asid: n.u16(),
            tables: n.flag(),
        },
        20 => What::Access {
            va: n.any(),
            kind: n.of(AccessKind::ALL),
            expect: n.of(Expect::ALL),
        },
        21 => What::Policy(n.of(Policy::ALL)),
        22 => What::Hook(n.of(Hook::ALL)),
        23 => What::Owe,
        24 => What::Reenter { begin: n.flag() },
        _ => What::Window {
            tag: n.any(),
            open: n.flag(),
        },
    }
}

pub fn event(kind: u64, n: &mut Numbers) -> Event {
    Event {
        sequence: n.any() as u32,
        time: n.of(&[0, 1, u64::MAX]),
        core: n.below(8) as u8,
        task: n.u16(),
        what: what(kind, n),
    }
}
