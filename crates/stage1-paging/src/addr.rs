//! Addresses, frames, levels and ranges.
//!
//! The geometry is fixed: 4 KiB granule, 48-bit addresses, four levels of 512 descriptors (Arm ARM
//! DDI 0487, D8).

use core::fmt;

use crate::error::{Error, What};

/// Bytes in a page, a frame and a table.
pub const PAGE_SIZE: u64 = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Descriptors in a table.
pub const ENTRIES: usize = 512;
/// Bits of an input address that the tables translate; the bits above select the half.
pub const VA_BITS: u32 = 48;
/// Bits of an output address.
pub const PA_BITS: u32 = 48;

/// A virtual address. Any 64-bit value; whether it is canonical is checked where it is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Va(u64);

impl Va {
    /// The address with this value.
    pub const fn new(va: u64) -> Self {
        Self(va)
    }

    /// The value.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Which half of the address space the address lies in; `None` when bits \[63:48\] are not all
    /// equal.
    pub const fn in_upper_half(self) -> Option<bool> {
        match self.0 >> VA_BITS {
            0 => Some(false),
            0xffff => Some(true),
            _ => None,
        }
    }
}

impl fmt::Debug for Va {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl fmt::Display for Va {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A physical address below 2^48.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pa(u64);

impl Pa {
    /// The address with this value; `None` when it needs more than 48 bits.
    pub const fn new(pa: u64) -> Option<Self> {
        if pa >> PA_BITS == 0 {
            Some(Self(pa))
        } else {
            None
        }
    }

    /// The address in the low 48 bits of `bits`.
    pub const fn masked(bits: u64) -> Self {
        Self(bits & ((1 << PA_BITS) - 1))
    }

    /// The value.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Pa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#014x}", self.0)
    }
}

impl fmt::Display for Pa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A 4 KiB frame of physical memory: an aligned [`Pa`]. It holds a page, or a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(Pa);

impl Frame {
    /// The frame at address 0.
    pub const ZERO: Frame = Frame(Pa(0));

    /// The frame that begins at `pa`; `None` when `pa` is not 4 KiB aligned.
    pub const fn new(pa: Pa) -> Option<Self> {
        if pa.0.is_multiple_of(PAGE_SIZE) {
            Some(Self(pa))
        } else {
            None
        }
    }

    /// The frame that holds the byte at `pa`.
    pub const fn containing(pa: Pa) -> Self {
        Self(Pa(pa.0 & !(PAGE_SIZE - 1)))
    }

    /// The address of the frame's first byte.
    pub const fn pa(self) -> Pa {
        self.0
    }

    /// The frame `n` frames further up; `None` beyond 48 bits.
    pub const fn checked_add(self, n: u64) -> Option<Self> {
        if n >> (PA_BITS - PAGE_SHIFT) != 0 {
            return None;
        }
        match Pa::new(self.0.0 + (n << PAGE_SHIFT)) {
            Some(pa) => Some(Self(pa)),
            None => None,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An address space identifier: the tag that non-global TLB entries carry (16 bits where the core
/// has them).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Asid(pub u16);

/// The half of the address space a set of tables translates, and how its TLB entries are tagged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Half {
    /// Addresses from 2^64 − 2^48 up, through TTBR1_EL1; global entries (nG = 0).
    Upper,
    /// Addresses below 2^48, through TTBR0_EL1; entries tagged with the ASID (nG = 1).
    Lower(Asid),
}

impl Half {
    /// Whether this half translates `pages`.
    pub const fn holds(self, pages: Pages) -> bool {
        let top = match self {
            Half::Upper => u64::MAX >> VA_BITS,
            Half::Lower(_) => 0,
        };
        pages.start.0 >> VA_BITS == top
    }
}

/// A level of the table walk, from the root ([`Level::L0`]) to the pages ([`Level::L3`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// The root; one descriptor spans 512 GiB and is a table or invalid.
    L0,
    /// One descriptor spans 1 GiB.
    L1,
    /// One descriptor spans 2 MiB.
    L2,
    /// The last level; one descriptor spans 4 KiB.
    L3,
}

impl Level {
    /// All levels, in the order of the walk.
    pub const ALL: [Level; 4] = [Level::L0, Level::L1, Level::L2, Level::L3];

    /// The levels where a descriptor may point to a table. (An array, so that walks unroll.)
    pub(crate) const TABLES: [Level; 3] = [Level::L0, Level::L1, Level::L2];

    /// The level's number, 0 to 3.
    pub const fn number(self) -> u8 {
        match self {
            Level::L0 => 0,
            Level::L1 => 1,
            Level::L2 => 2,
            Level::L3 => 3,
        }
    }

    /// The level below; `None` below the last.
    pub const fn next(self) -> Option<Level> {
        match self {
            Level::L0 => Some(Level::L1),
            Level::L1 => Some(Level::L2),
            Level::L2 => Some(Level::L3),
            Level::L3 => None,
        }
    }

    /// log2 of [`Level::size`].
    pub const fn shift(self) -> u32 {
        39 - 9 * self.number() as u32
    }

    /// Bytes that one descriptor spans.
    pub const fn size(self) -> u64 {
        1 << self.shift()
    }

    /// Pages that one descriptor spans.
    pub const fn pages(self) -> u64 {
        1 << (self.shift() - PAGE_SHIFT)
    }

    /// The index of the descriptor for `va` in a table of this level, always below [`ENTRIES`].
    pub const fn index(self, va: Va) -> usize {
        ((va.0 >> self.shift()) & 0x1ff) as usize
    }

    /// The first address of the `n`-th descriptor after the one that begins at `first`.
    pub(crate) const fn nth(self, first: Va, n: usize) -> Va {
        Va(first.0.wrapping_add((n as u64) << self.shift()))
    }

    /// The first address that the descriptor for `va` spans.
    pub const fn floor(self, va: Va) -> Va {
        Va(va.0 & !(self.size() - 1))
    }

    /// Whether `address` is a multiple of [`Level::size`].
    pub const fn aligned(self, address: u64) -> bool {
        address & (self.size() - 1) == 0
    }
}

/// `Ord::min`, which is not `const`.
const fn min(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

/// A run of whole pages inside one half of the address space. May be empty.
///
/// The only way to make one checks alignment, canonical form and overflow, so the operations do not
/// have to. It is a start and a count because the end of the upper half is not representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pages {
    start: Va,
    count: u64,
}

impl Pages {
    /// `count` pages from `start`.
    ///
    /// # Errors
    /// [`What::Misaligned`] when `start` is not a multiple of 4 KiB, [`What::NonCanonical`] when it
    /// is in neither half, [`What::TooLong`] when the run would leave its half.
    pub const fn new(start: Va, count: u64) -> Result<Self, Error> {
        if !start.0.is_multiple_of(PAGE_SIZE) {
            return Err(Error::new(What::Misaligned, start));
        }
        if start.in_upper_half().is_none() {
            return Err(Error::new(What::NonCanonical, start));
        }
        let room = ((1 << VA_BITS) - (start.0 & ((1 << VA_BITS) - 1))) >> PAGE_SHIFT;
        if count > room {
            return Err(Error::new(What::TooLong, start));
        }
        Ok(Self { start, count })
    }

    /// The one page at `va`.
    ///
    /// # Errors
    /// As [`Pages::new`].
    pub const fn one(va: Va) -> Result<Self, Error> {
        Self::new(va, 1)
    }

    /// The pages from `start` up to the one at `end`, which is not among them: 2^48 is the end of the lower half,
    /// and 0 that of the upper one.
    ///
    /// # Errors
    /// Those of [`Pages::new`], [`What::Misaligned`] also for `end`; [`What::Reversed`]; [`What::TooLong`] when
    /// `end` is beyond the half of `start`.
    pub const fn between(start: Va, end: Va) -> Result<Self, Error> {
        if !end.0.is_multiple_of(PAGE_SIZE) {
            return Err(Error::new(What::Misaligned, end));
        }
        if let Err(error) = Self::new(start, 0) {
            return Err(error);
        }
        let top = end.0 == 0 && matches!(start.in_upper_half(), Some(true));
        if end.0 < start.0 && !top {
            return Err(Error::new(What::Reversed, start));
        }
        Self::new(start, end.0.wrapping_sub(start.0) >> PAGE_SHIFT)
    }

    /// Every page of `half`.
    pub const fn whole(half: Half) -> Self {
        let start = match half {
            Half::Upper => Va(!0 << VA_BITS),
            Half::Lower(_) => Va(0),
        };
        Self {
            start,
            count: 1 << (VA_BITS - PAGE_SHIFT),
        }
    }

    /// The first address.
    pub const fn start(self) -> Va {
        self.start
    }

    /// How many pages.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// Whether there is no page in it.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Whether `va` lies in the run.
    pub const fn contains(self, va: Va) -> bool {
        va.0 >= self.start.0 && (va.0 - self.start.0) >> PAGE_SHIFT < self.count
    }

    /// Whether the two runs share a page.
    pub const fn overlaps(self, other: Pages) -> bool {
        !self.is_empty()
            && !other.is_empty()
            && (self.contains(other.start) || other.contains(self.start))
    }

    /// Whether all of `other` lies in the run; of an empty one, where it begins.
    pub const fn covers(self, other: Pages) -> bool {
        let offset = self.before(other.start);
        offset <= self.count && other.count <= self.count - offset
    }

    /// The run without its first `n` pages; empty when it has no more.
    pub const fn skip(self, n: u64) -> Self {
        let n = min(n, self.count);
        // Wraps to 0 only for the empty run at the very end of the upper half, which has no first
        // page to look at.
        Self {
            start: Va(self.start.0.wrapping_add(n << PAGE_SHIFT)),
            count: self.count - n,
        }
    }

    /// The first `n` pages of the run; all of it when it has no more.
    pub const fn take(self, n: u64) -> Self {
        Self {
            start: self.start,
            count: min(n, self.count),
        }
    }

    /// The run in pieces of `k` pages, the last one shorter; for work that does something else
    /// between groups. `k` = 0 counts as 1.
    pub fn chunks(self, k: u64) -> impl Iterator<Item = Pages> {
        let (mut rest, k) = (self, k.max(1));
        core::iter::from_fn(move || {
            let piece = rest.take(k);
            rest = rest.skip(k);
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// The first address of each page, in ascending order.
    pub const fn iter(self) -> PagesIter {
        PagesIter(self)
    }

    /// How many pages of the run lie before the one at `va`, which is not before the run.
    pub(crate) const fn before(self, va: Va) -> u64 {
        va.0.wrapping_sub(self.start.0) >> PAGE_SHIFT
    }

    /// The number in the run of the page that begins at `va`; not below its count if `va` begins no page of it.
    pub(crate) const fn number(self, va: Va) -> u64 {
        va.0.wrapping_sub(self.start.0).rotate_right(PAGE_SHIFT)
    }

    /// Leaves out the part that `n` descriptors of `level` span, counted from the one that covers
    /// the first page.
    pub(crate) const fn skip_slots(self, level: Level, n: usize) -> Self {
        let into = (self.start.0 & (level.size() - 1)) >> PAGE_SHIFT;
        self.skip(n as u64 * level.pages() - into)
    }

    /// How many descriptors of one table of `level`, from the one that covers the first page, lie
    /// wholly inside the run; 0 when the first one begins before it or ends after it.
    pub(crate) const fn whole_slots(self, level: Level) -> usize {
        if !level.aligned(self.start.0) {
            return 0;
        }
        let (fit, to_end) = (
            self.count / level.pages(),
            (ENTRIES - level.index(self.start)) as u64,
        );
        (min(fit, to_end) & 0x3ff) as usize
    }
}

impl IntoIterator for Pages {
    type Item = Va;
    type IntoIter = PagesIter;

    fn into_iter(self) -> PagesIter {
        self.iter()
    }
}

/// Iterator over single pages, by their first addresses; see [`Pages::iter`].
#[derive(Clone, Debug)]
pub struct PagesIter(Pages);

impl Iterator for PagesIter {
    type Item = Va;

    #[inline]
    fn next(&mut self) -> Option<Va> {
        let Pages { start, count } = self.0;
        self.0.count = count.checked_sub(1)?;
        self.0.start = Va(start.0.wrapping_add(PAGE_SIZE));
        Some(start)
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<Va> {
        let page = self.0.skip(n as u64);
        self.0 = page.skip(1);
        (!page.is_empty()).then_some(page.start)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.0.count & (u64::MAX >> PAGE_SHIFT)) as usize;
        (left, Some(left))
    }
}

impl DoubleEndedIterator for PagesIter {
    #[inline]
    fn next_back(&mut self) -> Option<Va> {
        let before = self.0.take(self.0.count.checked_sub(1)?);
        let last = self.0.skip(before.count).start;
        self.0 = before;
        Some(last)
    }
}

impl ExactSizeIterator for PagesIter {}

impl core::iter::FusedIterator for PagesIter {}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{} pages", self.start, self.count)
    }
}
