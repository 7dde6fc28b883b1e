//! Events as lines of text, as the module `trace` describes them.

use core::fmt;
use core::str::FromStr;

use super::{AccessKind, Barrier, Call, Contract, Event, Expect, Hook, Policy, What};
use crate::ledger::MAX_CORES;
use crate::tlbi::Op;

const _: () = assert!(MAX_CORES == 8, "the message below says so");

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event {
            sequence,
            time,
            core,
            task,
            what,
        } = self;
        write!(f, "{sequence} ")?;
        if *time != 0 {
            write!(f, "time={time} ")?;
        }
        write!(f, "core={core} task={task} {what}")
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Store {
                slot,
                va,
                level,
                old,
                new,
            } => {
                write!(
                    f,
                    "store slot={slot:#x} va={va:#x} level={level} old={old:#x} new={new:#x}"
                )
            }
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
                write!(
                    f,
                    "stores slot={slot:#x} va={va:#x} level={level} old={old:#x} new={new:#x} \
                     old-step={old_step:#x} new-step={new_step:#x} count={count}"
                )
            }
            What::Zero { frame } => write!(f, "zero frame={frame:#x}"),
            What::Dsb(kind) => write!(f, "dsb {}", kind.word()),
            What::Dmb(kind) => write!(f, "dmb {}", kind.word()),
            What::Isb => f.write_str("isb"),
            What::Tlbi { op, operand } => write!(f, "tlbi {op} {operand:#x}"),
            What::Ttbr0 { root, asid } => write!(f, "ttbr0 root={root:#x} asid={asid}"),
            What::Switch { to } => write!(f, "switch to={to}"),
            What::ExceptionEntry => f.write_str("exception-entry"),
            What::ExceptionReturn => f.write_str("exception-return"),
            What::IrqEnter => f.write_str("irq-enter"),
            What::IrqExit => f.write_str("irq-exit"),
            What::CoreStart => f.write_str("core-start"),
            What::Free { frame } => write!(f, "free frame={frame:#x}"),
            What::Alloc { frame } => write!(f, "alloc frame={frame:#x}"),
            What::Contract(contract) => write!(f, "contract {}", contract.word()),
            What::Call(call) => write!(f, "call {}", call.word()),
            What::TaskEnd => f.write_str("task-end"),
            What::Owe => f.write_str("owe"),
            What::Hook(hook) => write!(f, "hook {}", hook.word()),
            What::Policy(policy) => write!(f, "policy {}", policy.word()),
            What::Reenter { begin } => write!(f, "reenter begin={}", u8::from(*begin)),
            What::Window { tag, open } => {
                write!(f, "window tag={tag:#x} open={}", u8::from(*open))
            }
            What::Done {
                va,
                pages,
                asid,
                tables,
            } => {
                let tables = u8::from(*tables);
                write!(
                    f,
                    "done va={va:#x} pages={pages} asid={asid} tables={tables}"
                )
            }
            What::Access { va, kind, expect } => {
                write!(f, "access {} {} va={va:#x}", kind.word(), expect.word())
            }
        }
    }
}

/// A line that is no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseEventError {
    /// Which word of the line, from 0.
    pub word: usize,
    /// What should have been there.
    pub expected: &'static str,
}

impl fmt::Display for ParseEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no event: {} expected at word {}",
            self.expected,
            self.word + 1
        )
    }
}

impl core::error::Error for ParseEventError {}

impl FromStr for Event {
    type Err = ParseEventError;

    fn from_str(line: &str) -> Result<Self, ParseEventError> {
        let mut words = Words {
            rest: line.split_ascii_whitespace(),
            at: 0,
        };
        let event = Event {
            sequence: words.number("a sequence number")?,
            time: words.optional("time=")?,
            core: words.core()?,
            task: words.field("task=")?,
            what: words.what()?,
        };
        match words.rest.next() {
            None => Ok(event),
            Some(_) => Err(words.expected("the end of the line")),
        }
    }
}

/// The words of a line not read yet.
struct Words<'a> {
    rest: core::str::SplitAsciiWhitespace<'a>,
    at: usize,
}

impl<'a> Words<'a> {
    fn expected(&self, expected: &'static str) -> ParseEventError {
        ParseEventError {
            word: self.at,
            expected,
        }
    }

    /// The next word, if `read` makes something of it.
    fn next<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, ParseEventError> {
        let value = self.rest.next().and_then(read);
        let value = value.ok_or(self.expected(expected))?;
        self.at += 1;
        Ok(value)
    }

    fn number<T: TryFrom<u64>>(&mut self, expected: &'static str) -> Result<T, ParseEventError> {
        self.next(expected, |word| T::try_from(parse_u64(word)?).ok())
    }

    fn field<T: TryFrom<u64>>(&mut self, name: &'static str) -> Result<T, ParseEventError> {
        self.next(name, |word| {
            T::try_from(parse_u64(word.strip_prefix(name)?)?).ok()
        })
    }

    /// 0 where the field is not there.
    fn optional(&mut self, name: &'static str) -> Result<u64, ParseEventError> {
        let next = self.rest.clone().next();
        if next.is_some_and(|word| word.starts_with(name)) {
            self.field(name)
        } else {
            Ok(0)
        }
    }

    /// A field whose value `fits`; another one is the `expected` that was not there.
    fn bounded<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        fits: impl FnOnce(&T) -> bool,
    ) -> Result<T, ParseEventError> {
        let value = self.field(name)?;
        if fits(&value) {
            return Ok(value);
        }
        self.at -= 1;
        Err(self.expected(expected))
    }

    fn core(&mut self) -> Result<u8, ParseEventError> {
        self.bounded("core=", "core= below 8", |core: &u8| {
            usize::from(*core) < MAX_CORES
        })
    }

    fn slot(&mut self) -> Result<u64, ParseEventError> {
        let expected = "slot= of 48 bits, a multiple of 8,";
        self.bounded("slot=", expected, |slot| is_physical(*slot, 8))
    }

    fn frame(&mut self) -> Result<u64, ParseEventError> {
        let expected = "frame= of 48 bits, a multiple of 4096,";
        self.bounded("frame=", expected, |frame| is_physical(*frame, 4096))
    }

    /// An address of either half.
    fn va(&mut self) -> Result<u64, ParseEventError> {
        self.bounded("va=", "va= of either half", |va: &u64| {
            matches!(va >> 48, 0 | 0xffff)
        })
    }

    fn level(&mut self) -> Result<u8, ParseEventError> {
        self.bounded("level=", "level= of 0 to 3", |level| *level <= 3)
    }

    fn tlbi(&mut self) -> Result<What, ParseEventError> {
        let op = self.next("a TLBI operation", Op::named)?;
        let operand = self.next("an operand, 0 where there is none,", |word| {
            parse_u64(word).filter(|operand| *operand == 0 || op.has_operand())
        })?;
        Ok(What::Tlbi { op, operand })
    }

    /// 0 or 1.
    fn flag(&mut self, name: &'static str) -> Result<bool, ParseEventError> {
        self.next(name, |word| match word.strip_prefix(name)? {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        })
    }

    fn stores(&mut self) -> Result<What, ParseEventError> {
        let (slot, va, level) = (self.slot()?, self.va()?, self.level()?);
        let (old, new) = (self.field("old=")?, self.field("new=")?);
        let (old_step, new_step) = (self.field("old-step=")?, self.field("new-step=")?);
        // The table has no more behind the first.
        let most = 512 - (slot >> 3 & 0x1ff);
        let count = self.next("count= within the table", |word| {
            let count = parse_u64(word.strip_prefix("count=")?)?;
            (1..=most)
                .contains(&count)
                .then(|| u16::try_from(count).ok())?
        })?;
        Ok(What::Stores {
            slot,
            va,
            level,
            old,
            new,
            old_step,
            new_step,
            count,
        })
    }

    fn what(&mut self) -> Result<What, ParseEventError> {
        Ok(match self.next("an event's name", Some)? {
            "store" => What::Store {
                slot: self.slot()?,
                va: self.va()?,
                level: self.level()?,
                old: self.field("old=")?,
                new: self.field("new=")?,
            },
            "stores" => self.stores()?,
            "zero" => What::Zero {
                frame: self.frame()?,
            },
            "dsb" => What::Dsb(self.next("a barrier", Barrier::from_word)?),
            "dmb" => What::Dmb(self.next("a barrier", Barrier::from_word)?),
            "isb" => What::Isb,
            "tlbi" => self.tlbi()?,
            "ttbr0" => What::Ttbr0 {
                root: self.bounded("root=", "root= of 48 bits, a multiple of 4096,", |root| {
                    is_physical(*root, 4096)
                })?,
                asid: self.field("asid=")?,
            },
            "switch" => What::Switch {
                to: self.field("to=")?,
            },
            "exception-entry" => What::ExceptionEntry,
            "exception-return" => What::ExceptionReturn,
            "irq-enter" => What::IrqEnter,
            "irq-exit" => What::IrqExit,
            "core-start" => What::CoreStart,
            "free" => What::Free {
                frame: self.frame()?,
            },
            "alloc" => What::Alloc {
                frame: self.frame()?,
            },
            "contract" => What::Contract(self.next("a contract", Contract::from_word)?),
            "call" => What::Call(self.next("a call", Call::from_word)?),
            "task-end" => What::TaskEnd,
            "owe" => What::Owe,
            "hook" => What::Hook(self.next("a hook", Hook::from_word)?),
            "policy" => What::Policy(self.next("a policy", Policy::from_word)?),
            "reenter" => What::Reenter {
                begin: self.flag("begin=")?,
            },
            "window" => What::Window {
                tag: self.field("tag=")?,
                open: self.flag("open=")?,
            },
            "done" => What::Done {
                va: self.va()?,
                pages: self.bounded("pages=", "pages= up to 2^36", |pages| *pages <= 1 << 36)?,
                asid: self.field("asid=")?,
                tables: self.flag("tables=")?,
            },
            "access" => What::Access {
                kind: self.next("an access", AccessKind::from_word)?,
                expect: self.next("an expectation", Expect::from_word)?,
                va: self.field("va=")?,
            },
            _ => {
                self.at -= 1;
                return Err(self.expected("an event's name"));
            }
        })
    }
}

/// Whether it is a physical address of 48 bits, and a multiple of `size`.
fn is_physical(address: u64, size: u64) -> bool {
    address >> 48 == 0 && address.is_multiple_of(size)
}

/// Decimal, or hexadecimal after `0x`; without a sign.
fn parse_u64(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    let signed = digits.starts_with('+');
    u64::from_str_radix(digits, radix).ok().filter(|_| !signed)
}
