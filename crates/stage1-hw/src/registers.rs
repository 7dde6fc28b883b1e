//! Values of the registers that translation depends on, and what the ID registers promise.

use core::fmt;

use stage1_paging::{Asid, Features, Pa};

/// MAIR_EL1: index 0 is Device-nGnRE, index 1 Normal write-back, as
/// [`Memory`](stage1_paging::Memory) has them.
pub const MAIR: u64 = 0xFF04;

/// TCR_EL1 without IPS and AS, which depend on the core: 48-bit addresses in both halves, 4 KiB
/// granule, walks write-back and inner shareable, no hardware update of AF and dirty state.
pub const TCR: u64 = half(0) | half(16) | 0b10 << 30;

/// TnSZ = 16, IRGNn = ORGNn = 0b01, SHn = 0b11, from bit `shift` on. (TG0 = 0b00 is 4 KiB, as is TG1 =
/// 0b10.)
const fn half(shift: u32) -> u64 {
    (16 | WALKS << 8) << shift
}

/// IRGN, ORGN and SH of one half: write-back read/write-allocate, inner shareable.
const WALKS: u64 = 0b11_01_01;

/// A TTBR's value: a root and an ASID. CnP stays clear.
pub const fn ttbr(root: Pa, asid: Asid) -> u64 {
    root.raw() | (asid.0 as u64) << 48
}

/// The fields of TCR_EL1 that say where the tables are and how they are read, in both halves: TnSZ,
/// EPDn, TGn; A1, by which the ASID is TTBR0's; HA, HD and DS, by which the descriptors would mean
/// something else.
const TABLES: u64 = 0xC0BF_C0BF_u64 | 1 << 22 | 0b11 << 39 | 1 << 59;

/// What TCR_EL1 or MAIR_EL1 lack for these tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadWalks {
    /// Which of the two.
    pub register: &'static str,
    /// What it holds.
    pub value: u64,
    /// What is wrong about it, and what to do.
    pub why: &'static str,
}

impl fmt::Display for BadWalks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {:#x}: {}", self.register, self.value, self.why)
    }
}

impl core::error::Error for BadWalks {}

/// Checks that TCR_EL1 and MAIR_EL1 are what the barriers and the descriptors rely on. Fields that
/// these tables do not depend on (IPS, AS, TBI and others) may have any value, and so may the memory
/// attributes from index 2 on.
///
/// # Errors
/// [`BadWalks`] says what is not so; the walks' cacheability comes first.
pub const fn check_walks(tcr: u64, mair: u64) -> Result<(), BadWalks> {
    let both = WALKS << 8 | WALKS << 24;
    let (register, value, why) = if tcr & (0x3F << 8 | 0x3F << 24) != both {
        // `dsb ishst` would not publish a descriptor: each store would need a clean to the
        // point of coherency as well.
        let why = "table walks are not write-back, inner shareable; set it from TCR";
        ("TCR_EL1", tcr, why)
    } else if tcr & TABLES != TCR & TABLES {
        // The walker would read other tables than these: another granule or size, a half that is not walked,
        // hardware update of AF or the dirty state, 52-bit descriptors, or the ASID of TTBR1.
        let why = "not 48 bits in 4 KiB pages in both halves, or A1, HA, HD or DS is set; set it from TCR";
        ("TCR_EL1", tcr, why)
    } else if mair & 0xFFFF != MAIR {
        let why = "index 0 is not Device-nGnRE or index 1 not Normal write-back; set it from MAIR";
        ("MAIR_EL1", mair, why)
    } else {
        return Ok(());
    };
    Err(BadWalks {
        register,
        value,
        why,
    })
}

/// What translation depends on besides the tables: registers of one core.
///
/// Fields of ID registers are compared with `>=`: a greater value promises all that a smaller one does
/// (Arm ARM D24.1.3, "Principles of the ID scheme").
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CoreRegisters {
    /// ID_AA64ISAR0_EL1.
    pub isar0: u64,
    /// ID_AA64MMFR0_EL1.
    pub mmfr0: u64,
    /// ID_AA64MMFR2_EL1.
    pub mmfr2: u64,
    /// DCZID_EL0.
    pub dczid: u64,
    /// SCTLR_EL1: WXN among it.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// MAIR_EL1.
    pub mair: u64,
}

impl CoreRegisters {
    /// This core's.
    #[cfg(target_os = "none")]
    pub fn read() -> Self {
        use aarch64_cpu::registers::*;
        use tock_registers::interfaces::Readable;
        Self {
            isar0: ID_AA64ISAR0_EL1.get(),
            mmfr0: ID_AA64MMFR0_EL1.get(),
            mmfr2: ID_AA64MMFR2_EL1.get(),
            dczid: crate::plain::dczid(),
            sctlr: SCTLR_EL1.get(),
            tcr: TCR_EL1.get(),
            mair: MAIR_EL1.get(),
        }
    }

    /// What TLBI can do. Of several cores, what all of them can.
    pub const fn tlb(self) -> Features {
        Features {
            // FEAT_TLBIRANGE: ISAR0.TLB is 2 or more.
            range: self.isar0 >> 56 & 0xF >= 2,
            // FEAT_TTL: MMFR2.TTL is 1 or more.
            ttl: self.mmfr2 >> 48 & 0xF >= 1,
        }
    }

    /// Bits of a physical address that a descriptor may hold here: at most the 48 of these tables.
    pub const fn pa_bits(self) -> u8 {
        // MMFR0.PARange; from 5 on there are 48 bits or more.
        match self.mmfr0 & 0xF {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            _ => 48,
        }
    }

    /// Bits of an ASID.
    pub const fn asid_bits(self) -> u8 {
        // MMFR0.ASIDBits.
        if self.mmfr0 >> 4 & 0xF >= 2 { 16 } else { 8 }
    }

    /// Whether a core with these registers can work on the tables of `first`, the core that made them.
    ///
    /// It can do all that this crate does because of `first`, and may be able to do more; what `DC ZVA`
    /// zeroes must be the same, since a task that has read it may go on elsewhere before it zeroes. The
    /// control registers are the same.
    ///
    /// # Errors
    /// [`Unfit`] names the first register by which it cannot.
    pub fn fit(self, first: Self) -> Result<(), Unfit> {
        let (tlb, needed) = (self.tlb(), first.tlb());
        let (register, here, first) = if needed.range && !tlb.range {
            ("ID_AA64ISAR0_EL1 (TLB)", self.isar0, first.isar0)
        } else if self.pa_bits() < first.pa_bits() {
            ("ID_AA64MMFR0_EL1 (PARange)", self.mmfr0, first.mmfr0)
        } else if self.asid_bits() < first.asid_bits() {
            ("ID_AA64MMFR0_EL1 (ASIDBits)", self.mmfr0, first.mmfr0)
        } else if needed.ttl && !tlb.ttl {
            ("ID_AA64MMFR2_EL1 (TTL)", self.mmfr2, first.mmfr2)
        } else if self.dczid & 0x1F != first.dczid & 0x1F {
            // DZP and BS.
            ("DCZID_EL0", self.dczid, first.dczid)
        } else if self.sctlr != first.sctlr {
            ("SCTLR_EL1", self.sctlr, first.sctlr)
        } else if self.tcr != first.tcr {
            ("TCR_EL1", self.tcr, first.tcr)
        } else if self.mair != first.mair {
            ("MAIR_EL1", self.mair, first.mair)
        } else {
            return Ok(());
        };
        Err(Unfit {
            register,
            here,
            first,
        })
    }
}

/// Why a core cannot work on the tables of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// The register, and of an ID register the field.
    pub register: &'static str,
    /// What it holds on the core that is refused.
    pub here: u64,
    /// What it holds on the first core.
    pub first: u64,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its {} is {:#x} where the first core has {:#x}: it cannot work on the same tables",
            self.register, self.here, self.first
        )
    }
}

impl core::error::Error for Unfit {}
