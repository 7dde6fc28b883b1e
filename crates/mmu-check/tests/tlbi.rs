//! TLBIs as code writes them: constants and composed operands, and what `stage1-paging` has composed.

use std::collections::BTreeSet;

use mmu_check::{Op, Operand};

#[test]
fn every_operation_has_a_constant_and_a_name() {
    let names: BTreeSet<String> = Op::ALL.iter().map(Op::to_string).collect();
    assert_eq!(names.len(), 20);
    for op in Op::ALL {
        let name = op.to_string();
        assert_eq!(Op::named(&name), Some(*op));
        assert_eq!(op.is_broadcast(), name.ends_with("is"));
    }
    assert_eq!(Op::VAALE1IS.to_string(), "vaale1is");
    assert_eq!(Op::RVAE1.to_string(), "rvae1");
    assert_eq!(Op::named("vae1os"), Some(Op::VAE1IS));
    assert_eq!(Op::named("alle1"), None);
}

/// What an operand is decoded to.
fn decoded(op: Op, operand: Operand) -> (Option<&'static str>, Option<(u64, u64)>) {
    let decoded = op.decode(operand.into());
    (decoded.flaw(), decoded.pages())
}

#[test]
fn a_composed_operand_says_what_was_asked() {
    for (va, asid) in [(0xffff_8765_4321_0000, 0), (0x7654_3210_f000, 0xabcd)] {
        for level in [None, Some(1), Some(2), Some(3)] {
            let operand = Operand::page(va + 0x123, asid, level);
            assert_eq!(decoded(Op::VALE1IS, operand), (None, Some((va, 1))));
            assert_eq!(u64::from(operand) >> 48, asid.into());
        }
        for (pages, units) in [
            (2, 1),
            (62, 31),
            (64, 32),
            (128, 2),
            (2048, 32),
            (32 << 16, 32),
        ] {
            let operand = Operand::range(va, pages, asid, None).unwrap();
            assert_eq!(decoded(Op::RVAE1IS, operand), (None, Some((va, pages))));
            assert_eq!((u64::from(operand) >> 39 & 31) + 1, units);
            assert_eq!(u64::from(operand) >> 48, asid.into());
        }
        for pages in [0, 1, 3, 66, 33 << 16, 1 << 22, u64::MAX] {
            assert_eq!(Operand::range(va, pages, asid, None), None, "{pages}");
        }
    }
    // The level is that of TTL, in its two places.
    assert_eq!(u64::from(Operand::page(0, 0, Some(2))), 0b0110 << 44);
    let range = Operand::range(0x20_0000, 512, 0, Some(2)).unwrap();
    assert_eq!(u64::from(range) >> 37 & 0b11, 2);
    let unaligned = Operand::range(0x1000, 512, 0, Some(2)).unwrap();
    assert!(decoded(Op::RVAE1IS, unaligned).0.is_some());
    assert_eq!(u64::from(Operand::asid(7)), 7 << 48);
    assert_eq!(decoded(Op::VMALLE1IS, Operand::NONE), (None, None));
}

#[cfg(feature = "paging")]
#[test]
fn what_stage1_paging_composes_is_the_same_operation() {
    use mmu_check::What;
    use stage1_paging::{Asid, Features, Half, Level, Tlbi, Va};

    let named = |tlbi: Tlbi| match What::from(tlbi) {
        What::Tlbi { op, operand } => (op.to_string(), operand),
        other => panic!("{other}"),
    };
    for (tlbi, name) in [
        (Tlbi::Vae1is(5), "vae1is"),
        (Tlbi::Vale1is(5), "vale1is"),
        (Tlbi::Vaae1is(5), "vaae1is"),
        (Tlbi::Vaale1is(5), "vaale1is"),
        (Tlbi::Rvae1is(5), "rvae1is"),
        (Tlbi::Rvale1is(5), "rvale1is"),
        (Tlbi::Rvaae1is(5), "rvaae1is"),
        (Tlbi::Rvaale1is(5), "rvaale1is"),
        (Tlbi::Aside1is(5), "aside1is"),
    ] {
        assert_eq!(named(tlbi), (name.into(), 5));
    }
    assert_eq!(named(Tlbi::Vmalle1is), ("vmalle1is".into(), 0));

    let features = Features {
        range: true,
        ttl: true,
    };
    let va = 0x7654_3210_f000;
    let half = Half::Lower(Asid(9));
    let page = Tlbi::page(half, Va::new(va), Some(Level::L3), true, features);
    let own = What::tlbi(Op::VALE1IS, Operand::page(va, 9, Some(3)));
    assert_eq!(What::from(page), own);
}
