//! What the rules hear of: everything that page tables, barriers, invalidations and uses have to
//! do with each other.
//!
//! # When a thing is reported
//!
//! All cores' events are in one order, that of the lock under which the rules hear of them. Between an
//! instruction and its report another core's events may come. So where a report stands is part of what
//! it says:
//!
//! | reported | what | otherwise |
//! |---|---|---|
//! | before it takes effect | an access, [`Done`](What::Done), [`Free`](What::Free), [`Switch`](What::Switch): what relies on a payment | what another core pays meanwhile seems to have come in time |
//! | before it takes effect | [`Tlbi`](What::Tlbi), [`Isb`](What::Isb), [`ExceptionReturn`](What::ExceptionReturn), a write of [`Ttbr0`](What::Ttbr0) | a store and DSB of another core that came too late for it seem to have come before |
//! | after | [`Dsb`](What::Dsb), [`Dmb`](What::Dmb) | another core relies on what the barrier still waits for |
//! | after | [`Alloc`](What::Alloc) | another core's [`Free`](What::Free) of the same frame comes behind it |
//! | as one with it, under the lock | [`Store`](What::Store), [`Zero`](What::Zero) | what another core stores because of it comes before it |
//! | late, as there is no other way | [`ExceptionEntry`](What::ExceptionEntry), [`CoreStart`](What::CoreStart) | see there |
//!
//! Interrupts are masked from a report to its instruction: a task that goes on elsewhere between the two
//! executes it on another core than it says.
//!
//! The module `seam` keeps to this for whatever passes the seam of `stage1-hw`. `tests/order.rs` has the
//! interleavings that go wrong otherwise, for each kind but two: a switch is judged by what its own core
//! has reported, which no other core comes between; an allocation is looked at a second time, behind the
//! free that was looked at.
//!
//! As text an event is a line of a trace: [`trace`](crate::trace) has the format.

mod ring;
mod runs;
mod text;
mod words;

pub use ring::Ring;
pub use runs::Merge;
pub use text::ParseEventError;

use crate::tlbi::Op;

/// One event.
///
/// Its [`Display`](core::fmt::Display) is a line of a trace and its [`FromStr`](core::str::FromStr)
/// reads it. [`Event::to_words`] is for a ring of atomic words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Position in the order of all cores, for people: the rules go by the order in which they
    /// hear of events. May wrap.
    pub sequence: u32,
    /// When, in counts of the system counter; 0 where that is not known. The rules do not look at it.
    pub time: u64,
    /// On which core. Below [`MAX_CORES`](crate::MAX_CORES): others are no event in a trace, and the
    /// [`Checker`](crate::Checker) refuses them.
    pub core: u8,
    /// In which task, or on top of which task in an interrupt handler.
    pub task: u16,
    /// What happened.
    pub what: What,
}

/// What happened. Addresses of descriptors, tables and frames are physical, `va` is virtual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A descriptor is stored. Reported as one with the store.
    Store {
        /// The descriptor's physical address.
        slot: u64,
        /// The first address it translates.
        va: u64,
        /// The level of its table, 0 to 3.
        level: u8,
        /// What was there, by what whoever stores has seen.
        old: u64,
        /// What is there from now on.
        new: u64,
    },
    /// Consecutive descriptors of one table are stored, and what was and what is there each grow by
    /// a step: `count` [`Store`](What::Store)s in one. See [`Merge`] and [`Event::singles`].
    Stores {
        /// The first descriptor's physical address.
        slot: u64,
        /// The first address it translates.
        va: u64,
        /// The level of the table, 0 to 3.
        level: u8,
        /// What was in the first.
        old: u64,
        /// What is in the first now.
        new: u64,
        /// What the next one's `old` is larger by; wraps.
        old_step: u64,
        /// What the next one's `new` is larger by; wraps.
        new_step: u64,
        /// How many, from 1 to as many as the table has from `slot` on.
        count: u16,
    },
    /// A frame is filled with zeroes, to become a table. Reported as one with that.
    Zero {
        /// The frame's address.
        frame: u64,
    },
    /// A DSB was executed: what it waits for is complete.
    Dsb(Barrier),
    /// A DMB was executed.
    Dmb(Barrier),
    /// An ISB is about to be executed.
    Isb,
    /// A TLB invalidation is about to be executed.
    Tlbi {
        /// Which instruction.
        op: Op,
        /// Its operand, as it was in the register; 0 for an instruction without one.
        operand: u64,
    },
    /// TTBR0_EL1 is about to be written. The ISB that follows is an event of its own.
    ///
    /// The core may walk from the root that it leaves until its next context synchronisation, and that
    /// is sure to have happened only when the core is heard of again: so long that root is in use.
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
    ///
    /// The handler reports it, so it happened at some time since this core's report before. It counts
    /// for what was settled before *that* report; what another core has settled since may have come too
    /// late for it.
    ExceptionEntry,
    /// An exception return is about to be executed, which does as well (SCTLR_EL1.EOS).
    ExceptionReturn,
    /// An interrupt handler starts on top of the task, so the mode's calls and stores are the
    /// handler's.
    IrqEnter,
    /// It ends.
    IrqExit,
    /// A core runs the kernel from here on; another event of a core that was not heard of means the
    /// same.
    ///
    /// Its start has synchronised its context some time before, so it counts for nothing: what the core
    /// uses takes an ISB or an exception return of its own.
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
    /// The task says which policy its mode has from here on. The rules do not look at it: they go by
    /// [`Contract`](What::Contract).
    Policy(Policy),
    /// The mode has called back. The rules do not look at it.
    Hook(Hook),
    /// A store's debt of a pair was noted, or paid. The rules do not look at it: they see the store
    /// and the pair.
    Owe,
    /// An allocator's work on page tables beneath its caller's section begins or ends. The rules do
    /// not look at it.
    Reenter {
        /// It begins.
        begin: bool,
    },
    /// A measured window. The rules do not look at it.
    Window {
        /// Its name.
        tag: u64,
        /// It begins.
        open: bool,
    },
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
    ($(#[$doc:meta])* $name:ident {
        $($(#[$item:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$item])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word for it in a trace.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word $(| $alias)* => Some(Self::$variant),)+ _ => None }
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
        /// Every end, at any depth, and every pause pays (v3, linux7, and the baselines eager and
        /// flat).
        EveryExit = "every-exit",
        /// Only the outermost end and a pause pay (the baseline reenter).
        OutermostExit = "outermost-exit",
    }
}

words! {
    /// The policy of a task's mode.
    Policy {
        /// A baseline: no batching.
        Eager = "eager",
        /// A baseline: sections do not nest.
        Flat = "flat",
        /// A baseline: the outermost end pays.
        Reenter = "reenter",
        /// The contract of \[PATCH v3 07/13\].
        V3 = "v3",
        /// The merged contract.
        Linux7 = "linux7",
    }
}

words! {
    /// What the mode has called the architecture for.
    Hook {
        /// The mode is entered.
        Enter = "enter",
        /// The mode is left, and what it owes is paid.
        Leave = "leave",
        /// What it owes is paid, and it goes on.
        Flush = "flush",
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
        /// It works, and a spurious fault is distinguished from a real one and retried: how a core
        /// uses what another one has published.
        Retries = "retries",
        /// It faults: a probe that something is gone.
        Faults = "faults",
    }
}

impl What {
    /// A TLB invalidation that is about to be executed: the operation, and what its register holds or an
    /// [`Operand`](crate::Operand).
    pub fn tlbi(op: Op, operand: impl Into<u64>) -> Self {
        What::Tlbi {
            op,
            operand: operand.into(),
        }
    }

    /// Whether the rules look at it. What they do not look at is for pictures and for people.
    pub const fn is_judged(self) -> bool {
        !matches!(
            self,
            What::Policy(_)
                | What::Hook(_)
                | What::Owe
                | What::Reenter { .. }
                | What::Window { .. }
        )
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
