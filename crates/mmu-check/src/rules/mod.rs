//! The rules. A rule asks of the state *before* an event whether the event may happen; it changes
//! nothing.

mod break_before_make;
mod broadcast;
mod done;
mod early;
mod frame_reuse;
mod leftover;
mod operand;
mod publish;
mod reliance;
mod table_reuse;
mod zeroes;

use crate::checker::State;
use crate::event::Event;

/// What a rule found.
pub(crate) struct Finding {
    pub why: &'static str,
    pub address: u64,
    pub owes: Option<Event>,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal, $module:ident;)+) => {
        /// The rules, by name.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule { $($(#[$doc])* $rule,)+ }

        impl Rule {
            /// All of them.
            pub const ALL: [Rule; 10] = [$(Rule::$rule,)+];

            /// `R1` to `R10`.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name,)+ }
            }

            /// What is wrong when it is broken.
            pub const fn title(self) -> &'static str {
                match self { $(Rule::$rule => $module::TITLE,)+ }
            }

            /// What it follows from.
            pub const fn basis(self) -> &'static str {
                match self { $(Rule::$rule => $module::BASIS,)+ }
            }

            pub(crate) fn check(self, state: &State, event: &Event) -> Option<Finding> {
                match self { $(Rule::$rule => $module::check(state, event),)+ }
            }
        }
    };
}

rules! {
    /// R1: publish before use.
    Publish = "R1", publish;
    /// R2: break-before-make.
    BreakBeforeMake = "R2", break_before_make;
    /// R3: an invalidation is complete before "done" is claimed.
    Done = "R3", done;
    /// R4: a frame is reused too early.
    FrameReuse = "R4", frame_reuse;
    /// R5: a table is reused too early.
    TableReuse = "R5", table_reuse;
    /// R6: the encoding of an operand.
    Operand = "R6", operand;
    /// R7: local where broadcast is needed.
    Broadcast = "R7", broadcast;
    /// R8: debt left over.
    Leftover = "R8", leftover;
    /// R9: a TLBI before its store.
    Early = "R9", early;
    /// R10: a table linked before its zeroes are ordered.
    Zeroes = "R10", zeroes;
}
