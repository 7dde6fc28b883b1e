//! What an A64 instruction is to the witness.

/// How many kinds of barriers and TLBIs are distinguished; [`name`] has their names.
pub const KINDS: usize = OTHER_TLBI as usize + 1;

// A kind's number: which instruction, then the operand's field of the encoding.
const DSB: u8 = 0;
const DMB: u8 = DSB + 16;
const DSB_NXS: u8 = DMB + 16;
const ISB: u8 = DSB_NXS + 4;
const TLBI: u8 = ISB + 1;
const TLBI_NXS: u8 = TLBI + 64;
const OTHER_TLBI: u8 = TLBI_NXS + 64;

/// The instructions that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any that is not one of the others.
    Plain,
    /// A DSB, DMB, ISB or TLBI, by its number below [`KINDS`].
    Counted(u8),
    /// A nibble of the next tag.
    Nibble(u8),
    /// A window starts.
    Start(u8),
    /// A window ends.
    End(u8),
}

/// Decodes a word.
#[must_use]
pub fn decode(word: u32) -> Kind {
    // System instructions with neither operand nor result: 1101 0101 0000 0011, CRn, CRm, op2, 11111.
    if word & 0xffff_f01f == 0xd503_201f {
        return hint((word >> 5) & 0x7f);
    }
    let (crm, op2) = (field(word, 8, 4), field(word, 5, 3));
    if word & 0xffff_f01f == 0xd503_301f {
        return barrier(crm, op2);
    }
    // SYS and, for 128-bit translation tables, SYSP: 1101 0101 0?00 1, op1, CRn, CRm, op2, Rt. CRn 8 is TLBI, 9 the
    // same with nXS, whatever the rest.
    let crn = field(word, 12, 4);
    if word & 0xffb8_0000 == 0xd508_0000 && matches!(crn, 8 | 9) {
        // EL1's own: SYS, op1 0, and a CRm below 8.
        let own = word & 0x0040_0000 == 0 && field(word, 16, 3) == 0 && crm < 8;
        let first = if crn == 8 { TLBI } else { TLBI_NXS };
        return Kind::Counted(if own {
            first + crm * 8 + op2
        } else {
            OTHER_TLBI
        });
    }
    Kind::Plain
}

/// `bits` bits from bit `low` on; at most eight.
fn field(word: u32, low: u32, bits: u32) -> u8 {
    (word >> low).to_le_bytes()[0] & ((1 << bits) - 1)
}

fn hint(number: u32) -> Kind {
    let low = number.to_le_bytes()[0];
    match number {
        0x40..=0x4f => Kind::Nibble(low & 0xf),
        0x50..=0x57 => Kind::Start(low & 7),
        0x58..=0x5f => Kind::End(low & 7),
        _ => Kind::Plain,
    }
}

fn barrier(crm: u8, op2: u8) -> Kind {
    match (op2, crm) {
        // In the space of DSB, but instructions of their own: SSBB and PSSBB order speculation only.
        (0b100, 0b0000 | 0b0100) => Kind::Plain,
        (0b100, _) => Kind::Counted(DSB + crm),
        (0b001, crm) if crm & 0b11 == 0b10 => Kind::Counted(DSB_NXS + crm / 4),
        (0b101, _) => Kind::Counted(DMB + crm),
        (0b110, _) => Kind::Counted(ISB),
        _ => Kind::Plain,
    }
}

/// The instruction of a kind as the assembler spells it, with `-` for the space: `dsb-ishst`, `tlbi-vale1is`.
///
/// What has no spelling (the barriers with a reserved CRm, which execute as `sy`; unallocated TLBIs) has its fields.
#[must_use]
pub fn name(kind: u8) -> String {
    const NXS: [&str; 4] = ["osh", "nsh", "ish", "sy"];
    match kind {
        DSB..DMB => format!("dsb-{}", domain(kind - DSB)),
        DMB..DSB_NXS => format!("dmb-{}", domain(kind - DMB)),
        DSB_NXS..ISB => format!("dsb-{}nxs", NXS[usize::from(kind - DSB_NXS)]),
        ISB => "isb".to_owned(),
        TLBI..TLBI_NXS => format!("tlbi-{}", operation(kind - TLBI)),
        TLBI_NXS..OTHER_TLBI => format!("tlbi-{}nxs", operation(kind - TLBI_NXS)),
        _ => "tlbi-other".to_owned(),
    }
}

/// The domain and type that a barrier's CRm names.
fn domain(crm: u8) -> String {
    const TYPES: [&str; 4] = ["", "ld", "st", ""];
    const DOMAINS: [&str; 4] = ["osh", "nsh", "ish", "sy"];
    match (crm / 4, crm % 4) {
        (_, 0) => format!("c{crm}"),
        (3, 1) => "ld".to_owned(),
        (3, 2) => "st".to_owned(),
        (domain, kind) => [DOMAINS[usize::from(domain)], TYPES[usize::from(kind)]].concat(),
    }
}

/// A TLBI of EL1 by CRm, which has the broadcast and whether it is of a range, and op2, which has the rest.
fn operation(fields: u8) -> String {
    let (crm, op2) = (fields / 8, fields % 8);
    let one = [
        "vmalle1", "vae1", "aside1", "vaae1", "", "vale1", "", "vaale1",
    ][usize::from(op2)];
    let range = ["", "rvae1", "", "rvaae1", "", "rvale1", "", "rvaale1"][usize::from(op2)];
    let (what, broadcast) = match crm {
        7 => (one, ""),
        3 => (one, "is"),
        1 => (one, "os"),
        6 => (range, ""),
        2 => (range, "is"),
        5 => (range, "os"),
        _ => ("", ""),
    };
    if what.is_empty() {
        format!("c{crm}-{op2}")
    } else {
        format!("{what}{broadcast}")
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Kind, decode, name};
    use std::collections::BTreeSet;

    fn plain(words: &[u32]) {
        for word in words {
            assert_eq!(decode(*word), Kind::Plain, "{word:#010x}");
        }
    }

    fn counted(word: u32) -> String {
        match decode(word) {
            Kind::Counted(kind) => name(kind),
            other => panic!("{word:#010x} is {other:?}"),
        }
    }

    #[test]
    fn barriers() {
        for (crm, domain) in [
            (0xf, "sy"),
            (0xe, "st"),
            (0xd, "ld"),
            (0xb, "ish"),
            (0xa, "ishst"),
            (0x9, "ishld"),
            (0x7, "nsh"),
            (0x6, "nshst"),
            (0x5, "nshld"),
            (0x3, "osh"),
            (0x2, "oshst"),
            (0x1, "oshld"),
            (0xc, "c12"),
            (0x8, "c8"),
        ] {
            assert_eq!(counted(0xd503_309f | crm << 8), format!("dsb-{domain}"));
            assert_eq!(counted(0xd503_30bf | crm << 8), format!("dmb-{domain}"));
        }
        for (word, barrier) in [
            (0xd503_323f, "dsb-oshnxs"),
            (0xd503_363f, "dsb-nshnxs"),
            (0xd503_3a3f, "dsb-ishnxs"),
            (0xd503_3e3f, "dsb-synxs"),
            (0xd503_3fdf, "isb"),
            (0xd503_33df, "isb"),
        ] {
            assert_eq!(counted(word), barrier);
        }
        // clrex, sb, ssbb, pssbb
        plain(&[0xd503_3f5f, 0xd503_30ff, 0xd503_309f, 0xd503_349f]);
    }

    #[test]
    fn invalidations() {
        for (word, operation) in [
            (0xd508_871f, "vmalle1"),
            (0xd508_831f, "vmalle1is"),
            (0xd508_811f, "vmalle1os"),
            (0xd508_8720, "vae1"),
            (0xd508_8328, "vae1is"),
            (0xd508_8762, "vaae1"),
            (0xd508_8361, "vaae1is"),
            (0xd508_87a1, "vale1"),
            (0xd508_83a1, "vale1is"),
            (0xd508_83e1, "vaale1is"),
            (0xd508_8342, "aside1is"),
            (0xd508_8220, "rvae1is"),
            (0xd508_8260, "rvaae1is"),
            (0xd508_82a0, "rvale1is"),
            (0xd508_86a0, "rvale1"),
            (0xd508_85a0, "rvale1os"),
            (0xd508_82e3, "rvaale1is"),
            (0xd508_8280, "c2-4"),
            (0xd50c_871f, "other"), // alle2
            (0xd50c_83df, "other"), // vmalls12e1is
            (0xd50e_831f, "other"), // alle3is
            (0xd508_8b20, "other"),
            (0xd548_8720, "other"), // tlbip vae1, x0, x1
            (0xd508_9320, "vae1isnxs"),
            (0xd508_931f, "vmalle1isnxs"),
        ] {
            assert_eq!(counted(word), format!("tlbi-{operation}"), "{word:#010x}");
        }
    }

    #[test]
    fn no_two_kinds_have_one_name() {
        let names: BTreeSet<String> = (0..KINDS).map(|kind| name(kind.to_le_bytes()[0])).collect();
        assert_eq!(names.len(), KINDS);
    }

    #[test]
    fn neighbours_are_plain() {
        plain(&[
            0xd508_7800, // at s1e1r, x0
            0xd508_751f, // ic iallu
            0xd50b_7e20, // dc civac, x0
            0xd518_2000, // msr ttbr0_el1, x0
            0xd538_8720, // an MRS with CRn 8
            0xd528_8720, // a SYSL with CRn 8
            0xd503_201f, // nop
            0xd503_203f, // yield
            0xd503_207f, // wfi
            0xd503_241f, // bti
            0xd69f_03e0, // eret
            0x9100_0420, // add
            0,
        ]);
    }

    #[test]
    fn marks() {
        for n in 0..16 {
            let nibble = 0xd503_201f | (0x40 + u32::from(n)) << 5;
            assert_eq!(decode(nibble), Kind::Nibble(n));
        }
        for w in 0..8 {
            let hint = |number: u8| decode(0xd503_201f | u32::from(number + w) << 5);
            assert_eq!(hint(0x50), Kind::Start(w));
            assert_eq!(hint(0x58), Kind::End(w));
        }
        plain(&[0xd503_201f | 0x3f << 5, 0xd503_201f | 0x60 << 5]);
    }
}
