//! TLB invalidations decoded: what an instruction with this operand is *guaranteed* to drop.
//!
//! Operand layouts: Arm ARM DDI 0487, C5.5. Decoding goes by what the architecture promises, not by
//! what cores do: a bit that is reserved, or a hint that is wrong, costs the promise.

use core::fmt;

/// A TLB invalidation instruction of EL1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Op {
    pub(crate) scope: Scope,
    pub(crate) last_level: bool,
    pub(crate) broadcast: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scope {
    All,
    Asid,
    Va,
    VaAllAsids,
    Range,
    RangeAllAsids,
}

/// What an operation is called without the suffix that says whether it is broadcast, what it is about, and whether it
/// is for the last level alone.
type Stem = (&'static str, Scope, bool);

macro_rules! operations {
    ($($local:ident $broadcast:ident = $stem:literal $scope:ident $last_level:literal $what:literal,)+) => {
        const STEMS: &[Stem] = &[$(($stem, Scope::$scope, $last_level),)+];

        /// The operations. With FEAT_TLBIOS an outer shareable one is reported as the inner shareable one, which it
        /// includes.
        impl Op {
            $(
                #[doc = concat!("`tlbi ", $stem, "`: ", $what, ", on the core that executes it.")]
                pub const $local: Op = Op {
                    scope: Scope::$scope,
                    last_level: $last_level,
                    broadcast: false,
                };
                #[doc = concat!("`tlbi ", $stem, "is`: ", $what, ", on every core.")]
                pub const $broadcast: Op = Op {
                    scope: Scope::$scope,
                    last_level: $last_level,
                    broadcast: true,
                };
            )+

            /// All of them.
            pub const ALL: &[Op] = &[$(Op::$local, Op::$broadcast,)+];
        }
    };
}

operations! {
    VMALLE1 VMALLE1IS = "vmalle1" All false "everything of EL1 and EL0",
    ASIDE1 ASIDE1IS = "aside1" Asid false "everything of one ASID that is not global",
    VAE1 VAE1IS = "vae1" Va false "one address, under one ASID and global, walk caches too",
    VALE1 VALE1IS = "vale1" Va true "one address, under one ASID and global, last level only",
    VAAE1 VAAE1IS = "vaae1" VaAllAsids false "one address, under every ASID, walk caches too",
    VAALE1 VAALE1IS = "vaale1" VaAllAsids true "one address, under every ASID, last level only",
    RVAE1 RVAE1IS = "rvae1" Range false "a range, under one ASID and global, walk caches too",
    RVALE1 RVALE1IS = "rvale1" Range true "a range, under one ASID and global, last level only",
    RVAAE1 RVAAE1IS = "rvaae1" RangeAllAsids false "a range, under every ASID, walk caches too",
    RVAALE1 RVAALE1IS = "rvaale1" RangeAllAsids true "a range, under every ASID, last level only",
}

impl Op {
    /// The operation that a trace calls so: in lower case, such as `vaae1is`, or `vaae1os`. Code has the
    /// constants.
    pub fn named(name: &str) -> Option<Self> {
        let (stem, broadcast) = match name.strip_suffix("is").or(name.strip_suffix("os")) {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let (_, scope, last_level) = STEMS.iter().find(|(known, ..)| *known == stem)?;
        Some(Op {
            scope: *scope,
            last_level: *last_level,
            broadcast,
        })
    }

    /// A number for it, for [`of_code`](Self::of_code).
    pub(crate) fn code(self) -> u64 {
        let known = Op::ALL.iter().position(|op| *op == self);
        known.unwrap_or(Op::ALL.len()) as u64
    }

    pub(crate) fn of_code(code: u64) -> Option<Self> {
        Op::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Whether every core of the Inner Shareable domain carries it out.
    pub const fn is_broadcast(self) -> bool {
        self.broadcast
    }

    /// Whether it takes a register.
    pub const fn has_operand(self) -> bool {
        !matches!(self.scope, Scope::All)
    }

    /// Decodes the operand.
    pub fn decode(self, operand: u64) -> Decoded {
        let asid = (operand >> 48) as u16;
        let mut decoded = Decoded {
            op: self,
            asid: matches!(self.scope, Scope::Asid | Scope::Va | Scope::Range).then_some(asid),
            pages: None,
            hint: 0,
            flaw: None,
        };
        match self.scope {
            Scope::All | Scope::Asid => {}
            Scope::Va | Scope::VaAllAsids => decoded.decode_page(operand),
            Scope::Range | Scope::RangeAllAsids => decoded.decode_range(operand),
        }
        if matches!(self.scope, Scope::VaAllAsids | Scope::RangeAllAsids) && asid != 0 {
            decoded
                .flaw
                .get_or_insert("bits 63..48, reserved here, are not zero: the address spilled");
        }
        decoded
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = STEMS
            .iter()
            .find(|s| (s.1, s.2) == (self.scope, self.last_level));
        f.write_str(known.map_or("?", |s| s.0))?;
        f.write_str(if self.broadcast { "is" } else { "" })
    }
}

/// An operand, composed: for a kernel that has no register's value at hand where it reports a TLBI.
///
/// Where it has, report that: the rules decode it, and say when it means something else than its author thinks
/// (R6). What is composed here is right, and says nothing about what the kernel executes.
///
/// ```
/// use mmu_check::{Op, Operand, What};
///
/// let (va, asid) = (0x40_0000, 7);
/// // tlbi vale1is, x0
/// let one = What::tlbi(Op::VALE1IS, Operand::page(va, asid, Some(3)));
/// // tlbi rvaae1is, x0
/// let range = Operand::range(0xffff_0000_0000_0000, 64, 0, None).map(|o| What::tlbi(Op::RVAAE1IS, o));
/// // tlbi vmalle1is
/// let all = What::tlbi(Op::VMALLE1IS, Operand::NONE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Operand(u64);

impl Operand {
    /// Of an operation that has none.
    pub const NONE: Operand = Operand(0);

    /// For an operation by ASID.
    pub const fn asid(asid: u16) -> Self {
        Operand((asid as u64) << 48)
    }

    /// For an operation by address: the page that `va` lies in. `asid` is 0 for an operation on every ASID;
    /// `level`, 1 to 3, is that of the leaf (TTL), `None` or another number says nothing.
    pub const fn page(va: u64, asid: u16, level: Option<u8>) -> Self {
        let ttl = match level {
            Some(level @ 1..=3) => 0b0100 | level as u64,
            _ => 0,
        };
        Operand(va >> 12 & ((1 << 44) - 1) | ttl << 44 | (asid as u64) << 48)
    }

    /// For an operation on a range (FEAT_TLBIRANGE): `pages` of 4 KiB from the one that `va` lies in, the rest as
    /// for [`page`](Self::page). `None` if no operand says exactly so many: they are a number from 1 to 32, times
    /// 2, 64, 2048 or 65536.
    pub const fn range(va: u64, pages: u64, asid: u16, level: Option<u8>) -> Option<Self> {
        let level = match level {
            Some(level @ 1..=3) => level as u64,
            _ => 0,
        };
        let mut scale = 0;
        while scale < 4 {
            let unit = 1 << (5 * scale + 1);
            if pages != 0 && pages.is_multiple_of(unit) && pages / unit <= 32 {
                let base = va >> 12 & ((1 << 37) - 1);
                let count = (pages / unit - 1) << 39 | scale << 44;
                let granule = 0b01 << 46;
                let asid = (asid as u64) << 48;
                return Some(Operand(base | level << 37 | count | granule | asid));
            }
            scale += 1;
        }
        None
    }
}

impl From<Operand> for u64 {
    fn from(operand: Operand) -> u64 {
        operand.0
    }
}

/// An invalidation with its operand understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Decoded {
    op: Op,
    /// For one ASID, and for global entries where it is by address.
    asid: Option<u16>,
    /// First page number (of the 64-bit address) and count; `None`: every address.
    pages: Option<(u64, u64)>,
    /// TTL: the level of the leaf, or 0.
    hint: u8,
    /// What is wrong with the operand.
    flaw: Option<&'static str>,
}

/// What an invalidation is to drop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Target {
    /// The first address.
    pub va: u64,
    /// How many pages a TLB may hold as one entry, a power of two.
    pub pages: u64,
    /// The level of the descriptor.
    pub level: u8,
    /// It was a table: walk caches may hold it.
    pub table: bool,
    /// Entries made of it are for every ASID.
    pub global: bool,
    /// Entries made of it are tagged with this ASID; `None` where that is not known.
    pub asid: Option<u16>,
}

/// Whether an invalidation drops a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cover {
    /// It does.
    Yes,
    /// It is about something else.
    No,
    /// It is about these addresses, but its level hint or its encoding frees a core from doing so.
    Flawed,
}

impl Decoded {
    /// What is wrong with the operand, whatever it was meant for.
    pub const fn flaw(&self) -> Option<&'static str> {
        self.flaw
    }

    /// Whether every core carries it out.
    pub(crate) const fn is_broadcast(&self) -> bool {
        self.op.broadcast
    }

    /// First address and number of pages; `None` for every address.
    pub const fn pages(&self) -> Option<(u64, u64)> {
        match self.pages {
            Some((first, count)) => Some((first << 12, count)),
            None => None,
        }
    }

    /// Which instruction it was.
    pub(crate) const fn op(&self) -> Op {
        self.op
    }

    /// The ASID whose non-global entries all go, and global ones stay; `None` for every other
    /// operation.
    pub(crate) fn whole_asid(&self) -> Option<u16> {
        self.asid.filter(|_| self.pages.is_none())
    }

    /// Whether everything goes.
    pub const fn is_everything(&self) -> bool {
        self.pages.is_none() && self.asid.is_none()
    }

    fn decode_page(&mut self, operand: u64) {
        // VA[55:12] in bits 43:0; bit 55 distinguishes the halves.
        let page = ((operand << 20) as i64 >> 20) as u64 & (u64::MAX >> 12);
        self.pages = Some((page, 1));
        let top = page >> 36;
        if top != 0 && top != 0xffff {
            self.flaw = Some("VA[55:48] are not all equal: no address of either half");
        }
        match operand >> 44 & 0xf {
            0 => {}
            ttl @ 0b0101..=0b0111 => self.hint = (ttl & 0b11) as u8,
            _ => self.flaw = Some("TTL is no level of the 4 KiB granule: the address spilled"),
        }
    }

    fn decode_range(&mut self, operand: u64) {
        // BaseADDR, VA[48:12], in bits 36:0; bit 48 distinguishes the halves.
        let first = ((operand << 27) as i64 >> 27) as u64 & (u64::MAX >> 12);
        let (num, scale) = (operand >> 39 & 0x1f, operand >> 44 & 0b11);
        self.pages = Some((first, (num + 1) << (5 * scale + 1)));
        self.hint = (operand >> 37 & 0b11) as u8;
        if operand >> 46 & 0b11 != 0b01 {
            self.flaw = Some("TG is not the 4 KiB granule");
        } else if self.hint != 0 && first & (span_pages(self.hint) - 1) != 0 {
            self.flaw = Some("BaseADDR is not aligned to the level of its TTL");
        }
    }

    /// Whether the architecture promises that a core drops `target`, on the cores that carry it
    /// out.
    pub(crate) fn covers(&self, target: &Target) -> Cover {
        if let Some((first, count)) = self.pages {
            let start = target.va >> 12 & !(target.pages - 1);
            if first >= start + target.pages || start >= first + count {
                return Cover::No;
            }
        }
        if let Some(asid) = self.asid {
            let covered = match target.asid {
                // By address global leaves are covered too, by ASID alone they are not.
                _ if target.global => self.pages.is_some(),
                Some(own) => own == asid,
                // A walk cache may hold a table of the upper half under any ASID.
                None => !target.table || target.va >> 63 == 0,
            };
            if !covered {
                return Cover::No;
            }
        }
        if self.op.last_level && target.table {
            return Cover::No;
        }
        // The hint is the level of the leaf: an entry from above it is not meant.
        let wrong_hint = self.hint != 0 && (target.table || self.hint != target.level);
        if wrong_hint || self.flaw.is_some() {
            return Cover::Flawed;
        }
        Cover::Yes
    }
}

/// Pages that one descriptor of `level` spans. There are no levels behind 3.
pub(crate) const fn span_pages(level: u8) -> u64 {
    match level {
        0 => 1 << 27,
        1 => 1 << 18,
        2 => 1 << 9,
        _ => 1,
    }
}
