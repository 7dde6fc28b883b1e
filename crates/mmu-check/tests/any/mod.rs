//! Any event that a trace may have, from numbers that are the same in every run.

use mmu_check::event::{AccessKind, Barrier, Call, Contract, Expect, Hook, Policy, What};
use mmu_check::{Event, Op};

/// Numbers that are the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Small ones and the largest come up more often than by chance.
    pub fn any(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(4),
            1 => u64::MAX - self.below(4),
            _ => self.next(),
        }
    }

    /// A physical address, a multiple of `size`.
    pub fn pa(&mut self, size: u64) -> u64 {
        (self.any() & 0xffff_ffff_ffff) / size * size
    }

    /// An address of either half.
    pub fn va(&mut self) -> u64 {
        self.any() << 16 >> 16 | self.of(&[0, 0xffff << 48])
    }

    pub fn u16(&mut self) -> u16 {
        self.any() as u16
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) != 0
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

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
