//! What the rules are told: everything that page tables, barriers, invalidations and uses have to
//! do with each other.
//!
//! Where an event is recorded matters as much as that it is. What *pays* (a barrier, a TLBI) and
//! what *owes* (a store) is recorded after it was executed, and what *relies* on a payment (an
//! access, "done", a freed frame, a switch) before it takes effect. Then two cores' events may
//! interleave in any way without a rule being wrong about it.

use core::fmt;
use core::str::FromStr;

use crate::tlbi::Op;

/// One event. Its [`Display`](fmt::Display) is a line of a trace and its [`FromStr`] reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Position in the order of all cores, for people: the rules go by the order in which they are
    /// told. May wrap.
    pub sequence: u32,
    /// On which core. Cores from [`MAX_CORES`](crate::MAX_CORES) on are refused by the
    /// [`Checker`](crate::Checker).
    pub core: u8,
    /// In which task, or on top of which task in an interrupt handler.
    pub task: u16,
    /// What happened.
    pub what: What,
}

/// What happened. Addresses of descriptors, tables and frames are physical, `va` is virtual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A descriptor was stored. A range of descriptors is an event each.
    Store {
        /// The descriptor's physical address.
        slot: u64,
        /// The first address it translates.
        va: u64,
        /// The level of its table, 0 to 3.
        level: u8,
        /// What was there.
        old: u64,
        /// What is there now.
        new: u64,
    },
    /// A frame was filled with zeroes, to become a table.
    Zero {
        /// The frame's address.
        frame: u64,
    },
    /// A DSB was executed.
    Dsb(Barrier),
    /// A DMB was executed.
    Dmb(Barrier),
    /// An ISB was executed.
    Isb,
    /// A TLB invalidation was executed.
    Tlbi {
        /// Which instruction.
        op: Op,
        /// Its operand, as it was in the register; 0 for an instruction without one.
        operand: u64,
    },
    /// TTBR0_EL1 was written. The ISB that follows is an event of its own.
    Ttbr0 {
        /// The root table.
        root: u64,
        /// The ASID.
        asid: u16,
    },
    /// This core is about to go on with another task. After the switch's own DSB.
    Switch {
        /// The task that runs next.
        to: u16,
    },
    /// An exception was taken, which synchronises the context (SCTLR_EL1.EIS, or before FEAT_ExS
    /// always).
    ExceptionEntry,
    /// An exception return was executed, which does as well (SCTLR_EL1.EOS).
    ExceptionReturn,
    /// An interrupt handler starts on top of the task, so the mode's calls and stores are the
    /// handler's.
    IrqEnter,
    /// It ends.
    IrqExit,
    /// A core begins to run the kernel.
    CoreStart,
    /// A frame is about to be given back, be it a page's or a table's.
    Free {
        /// Its address.
        frame: u64,
    },
    /// A frame was taken from the allocator.
    Alloc {
        /// Its address.
        frame: u64,
    },
    /// The task says which contract its mode follows from here on.
    Contract(Contract),
    /// One of the mode's four calls is about to *return*.
    Call(Call),
    /// The task ends. Before what is left over is cleaned up behind it.
    TaskEnd,
    /// An invalidation is about to be called complete for these pages: all that this task withdrew
    /// from them before is gone.
    Done {
        /// The first address.
        va: u64,
        /// How many pages.
        pages: u64,
        /// The ASID, where they are in the lower half.
        asid: u16,
        /// Walk caches too, so tables that were unlinked there may go.
        tables: bool,
    },
    /// A mapped address is about to be used.
    Access {
        /// The address.
        va: u64,
        /// How.
        kind: AccessKind,
        /// What the program relies on.
        expect: Expect,
    },
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$item])* $variant,)+ }

        impl $name {
            /// The word for it in a trace.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// Which accesses a barrier orders, and for whom.
    Barrier {
        /// Loads and stores, inner shareable.
        Ish = "ish",
        /// Stores, inner shareable.
        Ishst = "ishst",
        /// Loads before it, inner shareable.
        Ishld = "ishld",
        /// Loads and stores, this core.
        Nsh = "nsh",
        /// Stores, this core.
        Nshst = "nshst",
        /// Loads and stores, the whole system.
        Sy = "sy",
        /// Stores, the whole system.
        St = "st",
    }
}

words! {
    /// What a section's end promises.
    Contract {
        /// Every end, at any depth, and every pause pays (seed, linux7, and the baselines eager and
        /// flat).
        EveryExit = "every-exit",
        /// Only the outermost end and a pause pay (the baseline reenter).
        OutermostExit = "outermost-exit",
    }
}

words! {
    /// One of the mode's calls.
    Call {
        /// A section begins.
        Enable = "enable",
        /// A section ends.
        Disable = "disable",
        /// The mode is left, at any depth.
        Pause = "pause",
        /// The mode is entered again.
        Resume = "resume",
    }
}

words! {
    /// How an address is used.
    AccessKind {
        /// A load.
        Read = "read",
        /// A store.
        Write = "write",
        /// An instruction fetch.
        Execute = "execute",
    }
}

words! {
    /// What the program relies on when it uses an address.
    Expect {
        /// It works, and a fault would be a bug.
        Works = "works",
        /// It works, and a spurious fault is told apart from a real one and retried: how a core
        /// uses what another one has published.
        Retries = "retries",
        /// It faults: a probe that something is gone.
        Faults = "faults",
    }
}

impl Barrier {
    /// Whether it waits for stores.
    pub const fn orders_stores(self) -> bool {
        !matches!(self, Barrier::Ishld)
    }

    /// Whether, as a DSB, it completes TLB invalidations: it must be one for loads and for stores
    /// (Arm ARM D8, completion of TLB maintenance).
    pub const fn completes_tlbi(self) -> bool {
        matches!(self, Barrier::Ish | Barrier::Nsh | Barrier::Sy)
    }

    /// Whether it is for this core alone.
    pub const fn is_local(self) -> bool {
        matches!(self, Barrier::Nsh | Barrier::Nshst)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event {
            sequence,
            core,
            task,
            what,
        } = self;
        write!(f, "{sequence} core={core} task={task} {what}")
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
            core: words.field("core=")?,
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

    fn what(&mut self) -> Result<What, ParseEventError> {
        Ok(match self.next("an event's name", Some)? {
            "store" => What::Store {
                slot: self.field("slot=")?,
                va: self.field("va=")?,
                level: self.field("level=")?,
                old: self.field("old=")?,
                new: self.field("new=")?,
            },
            "zero" => What::Zero {
                frame: self.field("frame=")?,
            },
            "dsb" => What::Dsb(self.next("a barrier", Barrier::from_word)?),
            "dmb" => What::Dmb(self.next("a barrier", Barrier::from_word)?),
            "isb" => What::Isb,
            "tlbi" => What::Tlbi {
                op: self.next("a TLBI operation", Op::named)?,
                operand: self.number("an operand")?,
            },
            "ttbr0" => What::Ttbr0 {
                root: self.field("root=")?,
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
                frame: self.field("frame=")?,
            },
            "alloc" => What::Alloc {
                frame: self.field("frame=")?,
            },
            "contract" => What::Contract(self.next("a contract", Contract::from_word)?),
            "call" => What::Call(self.next("a call", Call::from_word)?),
            "task-end" => What::TaskEnd,
            "done" => What::Done {
                va: self.field("va=")?,
                pages: self.field("pages=")?,
                asid: self.field("asid=")?,
                tables: self.field::<u8>("tables=")? != 0,
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

/// Decimal, or hexadecimal after `0x`.
fn parse_u64(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}
