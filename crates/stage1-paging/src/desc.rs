//! Descriptors: the 64-bit words of a table, and the break-before-make rule between two of them.
//!
//! Stage 1, 4 KiB granule, VMSAv8-64 (Arm ARM DDI 0487, D8). Hardware update of AF and of the
//! dirty state (TCR_EL1.HA, .HD) is not used: AF is always set, DBM never, so nobody but software
//! writes descriptors and a plain load followed by a plain store is a sound way to change one.

use core::fmt;

use crate::addr::{Frame, Level, PAGE_SIZE, Pa, Va};

const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTR_INDEX: u64 = 0b111 << 2;
const AP_EL0: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const SH: u64 = 0b11 << 8;
const SH_INNER: u64 = 0b11 << 8;
const AF: u64 = 1 << 10;
pub(crate) const NOT_GLOBAL: u64 = 1 << 11;
const OUTPUT: u64 = 0x0000_ffff_ffff_f000;
const DBM: u64 = 1 << 51;
const CONTIGUOUS: u64 = 1 << 52;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// Two of the four bits that are software's, 58 to 55. Set, each says that no TLB holds the leaf with one right: the leaf never had
/// it, or everything was invalidated since. Clear, a TLB may hold it so: the leaf has the right, or lost it, and where it gets the
/// other right it is not known whether the gather that owes for the loss has paid. So a change to read-only needs no invalidation
/// of its own, and clear is the safe value.
const NEVER_EXECUTABLE: u64 = 1 << 55;
const NEVER_WRITABLE: u64 = 1 << 56;
const NEVER: u64 = NEVER_EXECUTABLE | NEVER_WRITABLE;

/// A memory type: an index into MAIR_EL1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory(u8);

impl Memory {
    /// Index 0. MAIR_EL1 must hold Device-nGnRE there.
    pub const DEVICE: Memory = Memory(0);
    /// Index 1. MAIR_EL1 must hold Normal, Inner and Outer Write-Back there.
    pub const NORMAL: Memory = Memory(1);

    /// The type at `index` of MAIR_EL1; `None` from 8 on.
    pub const fn from_index(index: u8) -> Option<Self> {
        if index < 8 { Some(Self(index)) } else { None }
    }

    /// The index into MAIR_EL1, 0 to 7.
    pub const fn index(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Memory::DEVICE => f.write_str("device"),
            Memory::NORMAL => f.write_str("normal"),
            Memory(other) => write!(f, "attr{other}"),
        }
    }
}

/// What EL1 may do with a mapping, besides reading it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read, write and execute. Only ever decoded from foreign tables; every operation refuses to
    /// make one.
    ReadWriteExecute,
}

impl Access {
    /// AP\[2\] and PXN; UXN is always set, EL0 never executes.
    const fn bits(self) -> u64 {
        UXN | match self {
            Access::ReadOnly => AP_READ_ONLY | PXN,
            Access::ReadWrite => PXN,
            Access::ReadExecute => AP_READ_ONLY,
            Access::ReadWriteExecute => 0,
        }
    }

    /// What no TLB holds of a leaf that never had other permissions.
    const fn never(self) -> u64 {
        match self {
            Access::ReadOnly => NEVER,
            Access::ReadWrite => NEVER_EXECUTABLE,
            Access::ReadExecute => NEVER_WRITABLE,
            Access::ReadWriteExecute => 0,
        }
    }

    /// Whether stores are allowed.
    pub const fn is_writable(self) -> bool {
        matches!(self, Access::ReadWrite | Access::ReadWriteExecute)
    }

    /// Whether instruction fetches are allowed.
    pub const fn is_executable(self) -> bool {
        matches!(self, Access::ReadExecute | Access::ReadWriteExecute)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::ReadOnly => "r--",
            Access::ReadWrite => "rw-",
            Access::ReadExecute => "r-x",
            Access::ReadWriteExecute => "rwx",
        })
    }
}

/// Memory type and permissions of a mapping. Global or not follows from the [`Half`](crate::Half).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prot {
    /// The memory type.
    pub memory: Memory,
    /// The permissions of EL1.
    pub access: Access,
}

impl Prot {
    /// Normal memory, read-only.
    pub const RO: Prot = Prot {
        memory: Memory::NORMAL,
        access: Access::ReadOnly,
    };
    /// Normal memory, read and write.
    pub const RW: Prot = Prot {
        memory: Memory::NORMAL,
        access: Access::ReadWrite,
    };
    /// Normal memory, read and execute.
    pub const RX: Prot = Prot {
        memory: Memory::NORMAL,
        access: Access::ReadExecute,
    };
    /// Device memory, read and write.
    pub const DEVICE: Prot = Prot {
        memory: Memory::DEVICE,
        access: Access::ReadWrite,
    };
}

/// What a descriptor is, at a level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Faults: bit 0 clear, or an encoding that is reserved at this level.
    Invalid,
    /// Points to the table of the next level.
    Table(Frame),
    /// Maps 2 MiB or 1 GiB from this frame.
    Block(Frame),
    /// Maps 4 KiB.
    Page(Frame),
}

/// A descriptor.
///
/// What it means depends on the level it stands in (0b11 is a table, but a page at level 3), so
/// decoding takes the level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Desc(u64);

impl Desc {
    /// The all-zero descriptor, which faults.
    pub const INVALID: Desc = Desc(0);

    /// The descriptor with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Points to `next`. The hierarchical permission bits are zero: leaves alone decide.
    pub const fn table(next: Frame) -> Self {
        Self(next.pa().raw() | TABLE_OR_PAGE | VALID)
    }

    /// Maps the page or block of `level` that holds `frame`: AF = 1, Inner Shareable, AP\[1\] = 0,
    /// nG = !`global`. Software's bits 55 and 56 say that no TLB holds it executable, or writable.
    ///
    /// Level 0 has no blocks; there the result decodes as [`Kind::Invalid`].
    pub const fn leaf(level: Level, frame: Frame, prot: Prot, global: bool) -> Self {
        let kind = if matches!(level, Level::L3) {
            TABLE_OR_PAGE
        } else {
            0
        };
        let ng = if global { 0 } else { NOT_GLOBAL };
        // A frame is aligned as a page is.
        let below = level.size() - PAGE_SIZE;
        let output = frame.pa().raw() & !below;
        let attr = (prot.memory.index() as u64) << 2;
        let access = prot.access.bits() | prot.access.never();
        Self(output | attr | access | SH_INNER | AF | ng | kind | VALID)
    }

    /// Bit 0. It distinguishes a leaf from a hole wherever a table cannot stand.
    pub const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// What the walker makes of it in a table of `level`.
    pub const fn kind(self, level: Level) -> Kind {
        let last = matches!(level, Level::L3);
        match self.0 & (TABLE_OR_PAGE | VALID) {
            0b11 if last => Kind::Page(self.output()),
            0b11 => Kind::Table(self.output()),
            // Level 0 has no blocks without FEAT_LPA2; level 3 has none at all.
            0b01 if last || matches!(level, Level::L0) => Kind::Invalid,
            0b01 => Kind::Block(self.frame(level)),
            _ => Kind::Invalid,
        }
    }

    /// The next table, if it is a table descriptor at `level`.
    #[inline]
    pub const fn next_table(self, level: Level) -> Option<Frame> {
        if self.is_table(level) {
            Some(self.output())
        } else {
            None
        }
    }

    /// Whether it is a table descriptor at `level`.
    #[inline]
    pub const fn is_table(self, level: Level) -> bool {
        !matches!(level, Level::L3) && self.0 & (TABLE_OR_PAGE | VALID) == (TABLE_OR_PAGE | VALID)
    }

    /// Whether a valid descriptor above the last level is a table: one bit.
    #[inline]
    pub(crate) const fn is_table_if_valid(self) -> bool {
        self.0 & TABLE_OR_PAGE != 0
    }

    /// Whether it is a valid descriptor that is no table: a page, or a block (or what is reserved
    /// at this level, which the operations treat as something to be cleared).
    #[inline]
    pub const fn is_leaf(self, level: Level) -> bool {
        self.is_valid() && !self.is_table(level)
    }

    /// Whether it differs from another of its level in the output address alone, if at all.
    #[inline]
    pub(crate) const fn is_but_for_frame(self, other: Desc) -> bool {
        (self.0 ^ other.0) & !OUTPUT == 0
    }

    /// What becomes of it when `from`, which it is but for its frame, becomes `to`, which has `from`'s.
    #[inline]
    pub(crate) const fn changed_as(self, from: Desc, to: Desc) -> Self {
        Self(self.0 ^ from.0 ^ to.0)
    }

    /// The descriptor with the output address of another of its level.
    #[inline]
    pub(crate) const fn with_frame_of(self, other: Desc) -> Self {
        Self(self.0 & !OUTPUT | other.0 & OUTPUT)
    }

    /// The descriptor of a last-level leaf with this frame.
    #[inline]
    pub(crate) const fn with_frame(self, frame: Frame) -> Self {
        Self(self.0 & !OUTPUT | frame.pa().raw())
    }

    /// Bits \[47:12\]: the output address, or the next table's.
    pub(crate) const fn output(self) -> Frame {
        Frame::containing(Pa::masked(self.0))
    }

    /// The first frame that a leaf of `level` maps.
    pub const fn frame(self, level: Level) -> Frame {
        Frame::containing(Pa::masked(self.0 & !(level.size() - 1)))
    }

    /// The memory type of a leaf.
    pub const fn memory(self) -> Memory {
        Memory(((self.0 & ATTR_INDEX) >> 2) as u8)
    }

    /// The permissions of EL1 in a leaf.
    pub const fn access(self) -> Access {
        match (self.0 & AP_READ_ONLY != 0, self.0 & PXN != 0) {
            (true, true) => Access::ReadOnly,
            (false, true) => Access::ReadWrite,
            (true, false) => Access::ReadExecute,
            (false, false) => Access::ReadWriteExecute,
        }
    }

    /// Whether EL1 may write through a leaf.
    #[inline]
    pub(crate) const fn is_writable(self) -> bool {
        self.0 & AP_READ_ONLY == 0
    }

    /// Whether EL1 may fetch through a leaf.
    #[inline]
    pub(crate) const fn is_executable(self) -> bool {
        self.0 & PXN == 0
    }

    /// Memory type and permissions of a leaf.
    pub const fn prot(self) -> Prot {
        Prot {
            memory: self.memory(),
            access: self.access(),
        }
    }

    /// Everything but the output address and software's bits.
    pub(crate) const fn attributes(self) -> u64 {
        self.0 & !(OUTPUT | NEVER)
    }

    /// Whether a leaf's TLB entry is for every ASID (nG = 0).
    pub const fn is_global(self) -> bool {
        self.0 & NOT_GLOBAL == 0
    }

    /// Whether a TLB may hold the leaf: valid, with the Access flag set (Arm's herd model
    /// `aarch64bbm.cat`).
    pub const fn is_cacheable(self) -> bool {
        self.0 & (VALID | AF) == (VALID | AF)
    }

    /// The leaf with other permissions and everything else as it was.
    ///
    /// Read-only, it keeps in software's bits what a TLB may still hold of its past. Writable or executable, it does not: TLBs must
    /// have dropped what contradicts it before it is stored. The operations of a [`Space`](crate::Space) see to that.
    #[must_use]
    #[inline]
    pub const fn with_access(self, access: Access) -> Self {
        let kept = self.0 & !(AP_READ_ONLY | PXN | UXN) | access.bits();
        match access {
            Access::ReadOnly => Self(kept),
            _ => Self(kept & !NEVER | access.never()),
        }
    }

    /// The leaf in the place of `old`, which maps the same frame: a read-only one keeps what a TLB may hold of it, as in
    /// [`Desc::with_access`].
    #[must_use]
    pub(crate) const fn in_place_of(self, old: Desc) -> Self {
        match self.access() {
            Access::ReadOnly => Self(self.0 & !NEVER | old.0 & NEVER),
            _ => self,
        }
    }

    /// Whether some TLB may hold the leaf, as it is or was, executable where `access` is writable or the reverse.
    #[inline]
    pub(crate) const fn may_contradict(self, access: Access) -> bool {
        (access.is_writable() && self.0 & NEVER_EXECUTABLE == 0)
            || (access.is_executable() && self.0 & NEVER_WRITABLE == 0)
    }

    /// The descriptor for piece `index` of a block of `level`, one level down; everything but kind
    /// and output address is kept.
    #[must_use]
    pub(crate) const fn piece(self, level: Level, index: usize) -> Self {
        let Some(below) = level.next() else {
            return self;
        };
        let kind = if matches!(below, Level::L3) {
            TABLE_OR_PAGE
        } else {
            0
        };
        let output = self.frame(level).pa().raw() + index as u64 * below.size();
        Self(self.0 & !OUTPUT | output | kind)
    }

    /// The leaf with bit 0 cleared and everything else kept: the walker faults, [`Desc::restored`]
    /// makes it valid again.
    #[must_use]
    pub const fn broken(self) -> Self {
        Self(self.0 & !VALID)
    }

    /// Undoes [`Desc::broken`]; an all-zero descriptor stays invalid.
    #[must_use]
    pub const fn restored(self) -> Self {
        if self.0 == 0 {
            self
        } else {
            Self(self.0 | VALID)
        }
    }

    /// An invalid descriptor that carries a frame: bit 0 is clear, bit 1 distinguishes it from zero.
    pub(crate) const fn parked(frame: Frame) -> Self {
        Self(frame.pa().raw() | TABLE_OR_PAGE)
    }

    /// Whether it was made by [`Desc::broken`].
    pub const fn is_broken(self) -> bool {
        !self.is_valid() && self.0 != 0
    }

    /// Shows the descriptor as one of `level`.
    pub const fn at(self, level: Level) -> impl fmt::Display {
        Shown { desc: self, level }
    }
}

/// Whether going from `old` to `new` in one place of a table of `level` needs break-before-make:
/// make the descriptor invalid, `dsb`, TLBI, `dsb`, and only then make the new one.
///
/// It does between two descriptors that a TLB may hold when the output address, the memory type,
/// the shareability, the Contiguous bit or nG changes, and between a table and a block or another
/// table. Permissions and software bits alone need an invalidation but no break (Arm ARM DDI 0487,
/// D8, "Using break-before-make"; Arm's herd model `aarch64bbm.cat`). A changed output address
/// always counts: that the two frames are read-only and hold the same bytes is nothing this
/// function can know. FEAT_BBM is not relied on.
pub const fn needs_break(level: Level, old: Desc, new: Desc) -> bool {
    let (was, is) = (old.is_table(level), new.is_table(level));
    if was || is {
        return old.is_valid() && new.is_valid() && old.0 != new.0;
    }
    // Both are valid and no tables, so bits 1 and 0 agree.
    let kept = OUTPUT | ATTR_INDEX | SH | NOT_GLOBAL | CONTIGUOUS;
    old.is_cacheable() && new.is_cacheable() && (old.0 ^ new.0) & kept != 0
}

impl fmt::Debug for Desc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desc({:#018x})", self.0)
    }
}

struct Shown {
    desc: Desc,
    level: Level,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, frame) = match self.desc.kind(self.level) {
            Kind::Invalid if self.desc.0 == 0 => return f.write_str("invalid"),
            Kind::Invalid => return write!(f, "invalid ({:#018x})", self.desc.0),
            Kind::Table(next) => {
                write!(f, "table {next:?}")?;
                return limits(f, self.desc);
            }
            Kind::Block(frame) => ("block", frame),
            Kind::Page(frame) => ("page", frame),
        };
        write!(
            f,
            "{what} {frame:?} {:?} {:?}",
            self.desc.memory(),
            self.desc.access()
        )?;
        for (bit, set, clear) in [
            (NOT_GLOBAL, " nG", ""),
            (AF, "", " AF=0"),
            (AP_EL0, " EL0", ""),
            (UXN, "", " UXN=0"),
            (CONTIGUOUS, " contiguous", ""),
            (DBM, " DBM", ""),
        ] {
            f.write_str(if self.desc.0 & bit != 0 { set } else { clear })?;
        }
        if self.desc.0 & SH == SH_INNER {
            Ok(())
        } else {
            write!(f, " SH={:#04b}", (self.desc.0 & SH) >> 8)
        }
    }
}

/// What a table descriptor allows nowhere below it, whatever the leaves say: of foreign tables, as [`Desc::table`] sets none.
fn limits(f: &mut fmt::Formatter<'_>, table: Desc) -> fmt::Result {
    for (bit, limit) in [
        (59, " PXN"),
        (60, " UXN"),
        (61, " no EL0"),
        (62, " read-only"),
    ] {
        if table.0 >> bit & 1 != 0 {
            f.write_str(limit)?;
        }
    }
    Ok(())
}

/// A mapping: a leaf descriptor and the address it translates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mapping {
    /// The first address.
    pub va: Va,
    /// The level of its descriptor, hence its size.
    pub level: Level,
    /// The descriptor.
    pub desc: Desc,
}

impl Mapping {
    /// The first frame.
    pub const fn frame(self) -> Frame {
        self.desc.frame(self.level)
    }

    /// How many frames.
    pub const fn frames(self) -> u64 {
        self.level.pages()
    }

    /// Memory type and permissions.
    pub const fn prot(self) -> Prot {
        self.desc.prot()
    }
}
