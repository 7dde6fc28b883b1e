//! What the rules read in a descriptor. Stage 1, 4 KiB granule, 48 bits (Arm ARM DDI 0487, D8.3).

/// A descriptor, together with the level of its table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Desc {
    pub bits: u64,
    pub level: u8,
}

const ATTR_INDEX: u64 = 0b111 << 2;
const READ_ONLY: u64 = 1 << 7;
const SH: u64 = 0b11 << 8;
const AF: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const OUTPUT: u64 = 0x0000_ffff_ffff_f000;
const CONTIGUOUS: u64 = 1 << 52;
const PXN: u64 = 1 << 53;
/// Bits 58..55 are software's.
const SOFTWARE: u64 = 0b1111 << 55;

impl Desc {
    pub fn is_table(self) -> bool {
        self.level < 3 && self.bits & 0b11 == 0b11
    }

    /// A TLB or a walk cache may hold what is made of it: a table, or a leaf whose access flag is
    /// set. "Invalid or AF = 0" is never held (Arm ARM D8, what a TLB may hold).
    pub fn is_cacheable(self) -> bool {
        self.is_table() || (self.is_leaf() && self.bits & AF != 0)
    }

    pub fn is_leaf(self) -> bool {
        let kind = if self.level == 3 { 0b11 } else { 0b01 };
        self.level > 0 && self.bits & 0b11 == kind
    }

    pub fn is_global(self) -> bool {
        self.bits & NOT_GLOBAL == 0
    }

    /// The next table's frame, or the first one mapped.
    pub fn frame(self) -> u64 {
        let size = if self.is_table() { 4096 } else { self.size() };
        self.bits & OUTPUT & !(size - 1)
    }

    /// Bytes one descriptor of its level spans.
    pub fn size(self) -> u64 {
        crate::tlbi::span_pages(self.level) << 12
    }

    pub fn is_contiguous(self) -> bool {
        self.bits & CONTIGUOUS != 0
    }

    pub fn is_writable(self) -> bool {
        self.bits & READ_ONLY == 0
    }

    pub fn is_executable(self) -> bool {
        self.bits & PXN == 0
    }

    /// A core may fetch instructions through it. Through a table it fetches what a leaf below leads to.
    pub fn is_text(self) -> bool {
        self.is_leaf() && self.is_executable()
    }

    /// Pages that a TLB may hold as one entry with this leaf: sixteen times its own where the Contiguous bit
    /// is set.
    pub fn held_pages(self) -> u64 {
        let own = crate::tlbi::span_pages(self.level);
        if self.is_leaf() && self.is_contiguous() {
            16 * own
        } else {
            own
        }
    }

    /// Whether the two agree in all that a translation depends on.
    pub fn translates_like(self, other: Desc) -> bool {
        (self.bits ^ other.bits) & !SOFTWARE == 0
    }
}

/// Whether storing `new` over `old` needs break-before-make, when both may be held by a TLB.
///
/// Arm ARM D8, break-before-make, and Arm's
/// herd model (`aarch64bbm.cat`): a change of memory type, shareability or cacheability; of the
/// output address; between table and block, or another table; of the Contiguous bit; of nG. Of an
/// output address the model excuses one case, both sides read-only with the same bytes behind them.
/// Bytes are nothing a descriptor shows, so it is not excused here.
pub(crate) fn needs_break(old: Desc, new: Desc) -> bool {
    if !old.is_cacheable() || !new.is_cacheable() {
        return false;
    }
    if old.is_table() || new.is_table() {
        return old.is_table() != new.is_table() || old.frame() != new.frame();
    }
    let kept = OUTPUT | ATTR_INDEX | SH | NOT_GLOBAL | CONTIGUOUS;
    (old.bits ^ new.bits) & kept != 0
}
