//! What an A64 instruction is to the witness.

/// The instructions that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any that is not one of the others.
    Plain,
    /// DSB, with or without nXS.
    Dsb,
    /// ISB.
    Isb,
    /// DMB.
    Dmb,
    /// TLBI: by address, by range, all; any regime, with or without nXS.
    Tlbi,
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
    if word & 0xffff_f01f == 0xd503_301f {
        return barrier((word >> 8) & 0xf, (word >> 5) & 7);
    }
    // SYS and, for 128-bit translation tables, SYSP: 1101 0101 0?00 1, op1, CRn, CRm, op2, Rt. CRn 8 is TLBI, 9 the
    // same with nXS, whatever the rest.
    let crn = (word >> 12) & 0xf;
    if word & 0xffb8_0000 == 0xd508_0000 && matches!(crn, 8 | 9) {
        return Kind::Tlbi;
    }
    Kind::Plain
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

fn barrier(crm: u32, op2: u32) -> Kind {
    match (op2, crm) {
        // In the space of DSB, but instructions of their own: SSBB and PSSBB order speculation only.
        (0b100, 0b0000 | 0b0100) => Kind::Plain,
        (0b100, _) => Kind::Dsb,
        // DSB nXS.
        (0b001, crm) if crm & 0b11 == 0b10 => Kind::Dsb,
        (0b101, _) => Kind::Dmb,
        (0b110, _) => Kind::Isb,
        _ => Kind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, decode};

    fn all(kind: Kind, words: &[u32]) {
        for word in words {
            assert_eq!(decode(*word), kind, "{word:#010x}");
        }
    }

    #[test]
    fn barriers() {
        // sy, st, ld, ish, ishst, ishld, nsh, nshst, nshld, osh, oshst, oshld
        let domains = [0xf, 0xe, 0xd, 0xb, 0xa, 0x9, 0x7, 0x6, 0x5, 0x3, 0x2, 0x1];
        all(Kind::Dsb, &domains.map(|crm| 0xd503_309f | crm << 8));
        all(Kind::Dmb, &domains.map(|crm| 0xd503_30bf | crm << 8));
        // oshnXS, nshnXS, ishnXS, synXS
        all(
            Kind::Dsb,
            &[0xd503_323f, 0xd503_363f, 0xd503_3a3f, 0xd503_3e3f],
        );
        // isb, isb #3
        all(Kind::Isb, &[0xd503_3fdf, 0xd503_33df]);
        // clrex, sb, ssbb, pssbb
        all(
            Kind::Plain,
            &[0xd503_3f5f, 0xd503_30ff, 0xd503_309f, 0xd503_349f],
        );
    }

    #[test]
    fn invalidations() {
        all(
            Kind::Tlbi,
            &[
                0xd508_871f, // vmalle1
                0xd508_831f, // vmalle1is
                0xd508_811f, // vmalle1os
                0xd508_8720, // vae1, x0
                0xd508_8328, // vae1is, x8
                0xd508_8762, // vaae1, x2
                0xd508_83a1, // vale1is, x1
                0xd508_83e1, // vaale1is, x1
                0xd508_8342, // aside1is, x2
                0xd508_8220, // rvae1is, x0
                0xd508_86a0, // rvale1, x0
                0xd508_82e3, // rvaale1is, x3
                0xd50c_871f, // alle2
                0xd50c_83df, // vmalls12e1is
                0xd50e_831f, // alle3is
                0xd508_9320, // vae1isnxs, x0
                0xd508_931f, // vmalle1isnxs
                0xd548_8720, // tlbip vae1, x0, x1
            ],
        );
    }

    #[test]
    fn neighbours_are_plain() {
        all(
            Kind::Plain,
            &[
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
            ],
        );
    }

    #[test]
    fn marks() {
        for n in 0..16 {
            let nibble = 0xd503_201f | (0x40 + u32::from(n)) << 5;
            assert_eq!(decode(nibble), Kind::Nibble(n));
        }
        for w in 0..8 {
            assert_eq!(
                decode(0xd503_201f | (0x50 + u32::from(w)) << 5),
                Kind::Start(w)
            );
            assert_eq!(
                decode(0xd503_201f | (0x58 + u32::from(w)) << 5),
                Kind::End(w)
            );
        }
        all(
            Kind::Plain,
            &[0xd503_201f | 0x3f << 5, 0xd503_201f | 0x60 << 5],
        );
    }
}
