//! Failures as values: what, where, how far the operation got, and what to do about it.

use core::fmt;

use crate::addr::{Pages, Va};

/// What an operation refused or could not do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum What {
    /// The address is not a multiple of 4 KiB.
    Misaligned,
    /// Bits \[63:48\] of the address are not all equal.
    NonCanonical,
    /// The range runs over the end of its half of the address space.
    TooLong,
    /// The range ends before it begins.
    Reversed,
    /// The address belongs to the half that these tables do not translate.
    OtherHalf,
    /// The pages are not all in the [`Part`](crate::Part) whose operation was called.
    Outside,
    /// The gather was opened by another space: of another machine, root, half or ASID, for which it
    /// would invalidate and free.
    OtherGather,
    /// The frames run over the end of the 48-bit physical address space.
    OutputTooHigh,
    /// There is a valid descriptor already.
    AlreadyMapped,
    /// There is no valid descriptor.
    NotMapped,
    /// No frame for a table.
    OutOfFrames,
    /// The list of frames ended before the range.
    TooFewFrames,
    /// The range covers a part of a block, or moves a block to where it is not aligned.
    PartOfBlock,
    /// The mapping would be writable and executable, at once or through a stale TLB entry.
    WriteAndExecute,
    /// Device memory cannot be executed.
    ExecutableDevice,
    /// The pages would have to be broken, and what runs meanwhile needs them
    /// ([`Mmu::may_break`](crate::Mmu::may_break)).
    InUse,
}

impl What {
    /// The failure and its remedy, in words.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            What::Misaligned => ("not page aligned", "round the address to 4 KiB"),
            What::NonCanonical => ("not a canonical address", "bits 63..48 must all be equal"),
            What::TooLong => ("range leaves its half of the address space", "shorten it"),
            What::Reversed => ("range ends before it begins", "swap its two addresses"),
            What::OtherHalf => (
                "address is in the other half",
                "use the space that translates it",
            ),
            What::Outside => (
                "not in this part of the space",
                "call the part that has these pages",
            ),
            What::OtherGather => (
                "gather belongs to another space",
                "open one with this space's `gather`",
            ),
            What::OutputTooHigh => ("output address beyond 48 bits", "check the physical range"),
            What::AlreadyMapped => ("already mapped", "unmap it first, or use `replace`"),
            What::NotMapped => ("not mapped", "map it first"),
            What::OutOfFrames => (
                "no frame for a table",
                "free memory and go on after what is done",
            ),
            What::TooFewFrames => (
                "fewer frames than pages",
                "go on with more after what is done",
            ),
            What::PartOfBlock => ("part of a block", "`split` it while nobody else uses it"),
            What::WriteAndExecute => ("writable and executable", "make it read-only in between"),
            What::ExecutableDevice => ("executable device memory", "use Normal memory"),
            What::InUse => (
                "in use by what runs during a break",
                "leave these as they are; map in pages what must change",
            ),
        }
    }
}

/// A failed operation. The first [`Error::done`] pages of its range are done and stay; the rest is
/// as it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use]
pub struct Error {
    /// What went wrong.
    pub what: What,
    /// The address it met the obstacle at: the first that is not done, or, of an operation that does
    /// all or nothing, wherever in the range that is.
    pub at: Va,
    /// Pages of the range, from its start, that are done; 0 when the tables are as they were (but
    /// for empty tables linked).
    pub done: u64,
}

impl Error {
    /// Refused at `at`, with nothing done.
    pub(crate) const fn new(what: What, at: Va) -> Self {
        Self { what, at, done: 0 }
    }

    /// Stopped when `rest` of `pages` was left.
    pub(crate) const fn stopped(what: What, pages: Pages, rest: Pages) -> Self {
        Self {
            what,
            at: rest.start(),
            done: pages.count() - rest.count(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, remedy) = self.what.text();
        write!(
            f,
            "{what} at {} ({} pages done): {remedy}",
            self.at, self.done
        )
    }
}

impl core::error::Error for Error {}
