//! Events as words, for a ring that other cores read while it is written.

use super::{AccessKind, Barrier, Call, Contract, Event, Expect, Hook, Policy, What};
use crate::tlbi::Op;

/// The words behind the two that every event has.
const REST: usize = 7;

impl Event {
    /// How many words an event takes.
    pub const WORDS: usize = 2 + REST;

    /// The event as words, each of which may be an atomic of its own. The first is never 0, so a slot
    /// of zeroes is no event.
    ///
    /// Whoever reads a slot while it is written must find that out by other means, such as a number
    /// before and behind.
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        let (kind, rest) = self.what.to_words();
        let mut words = [0; Self::WORDS];
        words[0] = u64::from(self.sequence)
            | u64::from(self.core) << 32
            | u64::from(kind) << 40
            | u64::from(self.task) << 48;
        words[1] = self.time;
        words[2..].copy_from_slice(&rest);
        words
    }

    /// The event of these words; `None` if [`to_words`](Self::to_words) has not made them.
    pub fn from_words(words: [u64; Self::WORDS]) -> Option<Self> {
        let [head, time, rest @ ..] = words;
        let [s0, s1, s2, s3, core, kind, t0, t1] = head.to_le_bytes();
        Some(Event {
            sequence: u32::from_le_bytes([s0, s1, s2, s3]),
            time,
            core,
            task: u16::from_le_bytes([t0, t1]),
            what: What::from_words(kind, rest)?,
        })
    }
}

/// Which of a list of words it is.
macro_rules! code {
    ($value:expr) => {
        u64::from($value as u8)
    };
}

fn coded<T: Copy>(all: &[T], code: u64) -> Option<T> {
    all.get(usize::try_from(code).ok()?).copied()
}

fn flag(word: u64) -> Option<bool> {
    coded(&[false, true], word)
}

impl What {
    fn to_words(self) -> (u8, [u64; REST]) {
        let short = |a, b, c| [a, b, c, 0, 0, 0, 0];
        match self {
            What::Store {
                slot,
                va,
                level,
                old,
                new,
            } => (1, [slot, va, level.into(), old, new, 0, 0]),
            What::Stores {
                slot,
                va,
                level,
                old,
                new,
                old_step,
                new_step,
                count,
            } => {
                let shape = u64::from(level) | u64::from(count) << 8;
                (2, [slot, va, shape, old, new, old_step, new_step])
            }
            What::Zero { frame } => (3, short(frame, 0, 0)),
            What::Dsb(kind) => (4, short(code!(kind), 0, 0)),
            What::Dmb(kind) => (5, short(code!(kind), 0, 0)),
            What::Isb => (6, short(0, 0, 0)),
            What::Tlbi { op, operand } => (7, short(op.code(), operand, 0)),
            What::Ttbr0 { root, asid } => (8, short(root, asid.into(), 0)),
            What::Switch { to } => (9, short(to.into(), 0, 0)),
            What::ExceptionEntry => (10, short(0, 0, 0)),
            What::ExceptionReturn => (11, short(0, 0, 0)),
            What::IrqEnter => (12, short(0, 0, 0)),
            What::IrqExit => (13, short(0, 0, 0)),
            What::CoreStart => (14, short(0, 0, 0)),
            What::Free { frame } => (15, short(frame, 0, 0)),
            What::Alloc { frame } => (16, short(frame, 0, 0)),
            What::Contract(contract) => (17, short(code!(contract), 0, 0)),
            What::Call(call) => (18, short(code!(call), 0, 0)),
            What::TaskEnd => (19, short(0, 0, 0)),
            What::Done {
                va,
                pages,
                asid,
                tables,
            } => {
                let space = u64::from(asid) << 1 | u64::from(tables);
                (20, short(va, pages, space))
            }
            What::Access { va, kind, expect } => (21, short(va, code!(kind), code!(expect))),
            What::Policy(policy) => (22, short(code!(policy), 0, 0)),
            What::Hook(hook) => (23, short(code!(hook), 0, 0)),
            What::Owe => (24, short(0, 0, 0)),
            What::Reenter { begin } => (25, short(begin.into(), 0, 0)),
            What::Window { tag, open } => (26, short(tag, open.into(), 0)),
        }
    }

    fn from_words(kind: u8, words: [u64; REST]) -> Option<Self> {
        let [a, b, c, old, new, old_step, new_step] = words;
        Some(match kind {
            1 => What::Store {
                slot: a,
                va: b,
                level: u8::try_from(c).ok()?,
                old,
                new,
            },
            2 => What::Stores {
                slot: a,
                va: b,
                level: u8::try_from(c & 0xff).ok()?,
                old,
                new,
                old_step,
                new_step,
                count: u16::try_from(c >> 8).ok()?,
            },
            3 => What::Zero { frame: a },
            4 => What::Dsb(coded(Barrier::ALL, a)?),
            5 => What::Dmb(coded(Barrier::ALL, a)?),
            6 => What::Isb,
            7 => What::Tlbi {
                op: Op::of_code(a)?,
                operand: b,
            },
            8 => What::Ttbr0 {
                root: a,
                asid: u16::try_from(b).ok()?,
            },
            9 => What::Switch {
                to: u16::try_from(a).ok()?,
            },
            10 => What::ExceptionEntry,
            11 => What::ExceptionReturn,
            12 => What::IrqEnter,
            13 => What::IrqExit,
            14 => What::CoreStart,
            15 => What::Free { frame: a },
            16 => What::Alloc { frame: a },
            17 => What::Contract(coded(Contract::ALL, a)?),
            18 => What::Call(coded(Call::ALL, a)?),
            19 => What::TaskEnd,
            20 => What::Done {
                va: a,
                pages: b,
                asid: u16::try_from(c >> 1).ok()?,
                tables: flag(c & 1)?,
            },
            21 => What::Access {
                va: a,
                kind: coded(AccessKind::ALL, b)?,
                expect: coded(Expect::ALL, c)?,
            },
            22 => What::Policy(coded(Policy::ALL, a)?),
            23 => What::Hook(coded(Hook::ALL, a)?),
            24 => What::Owe,
            25 => What::Reenter { begin: flag(a)? },
            26 => What::Window {
                tag: a,
                open: flag(b)?,
            },
            _ => return None,
        })
    }
}
