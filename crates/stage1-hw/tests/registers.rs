//! Values of TCR_EL1, MAIR_EL1 and TTBRn_EL1, and what the ID registers are read to promise.

use std::fs;
use std::path::Path;

use aarch64_cpu::registers::{MAIR_EL1, TCR_EL1, TTBR0_EL1};
use stage1_hw::{CoreRegisters, MAIR, TCR, Unfit, check_walks, ttbr};
use stage1_paging::{Asid, Features, Memory, Pa};

#[test]
fn tcr_is_what_its_fields_say() {
    let fields = TCR_EL1::T0SZ.val(64 - 48)
        + TCR_EL1::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL1::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL1::SH0::Inner
        + TCR_EL1::TG0::KiB_4
        + TCR_EL1::EPD0::EnableTTBR0Walks
        + TCR_EL1::T1SZ.val(64 - 48)
        + TCR_EL1::IRGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL1::ORGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL1::SH1::Inner
        + TCR_EL1::TG1::KiB_4
        + TCR_EL1::EPD1::EnableTTBR1Walks
        + TCR_EL1::A1::TTBR0
        + TCR_EL1::HA::Disable
        + TCR_EL1::HD::Disable;
    assert_eq!(TCR, fields.value);
}

#[test]
fn mair_is_what_its_fields_say() {
    let fields = MAIR_EL1::Attr0_Device::nonGathering_nonReordering_EarlyWriteAck
        + MAIR_EL1::Attr1_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc
        + MAIR_EL1::Attr1_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc;
    assert_eq!(MAIR, fields.value);
    assert_eq!((Memory::DEVICE.index(), Memory::NORMAL.index()), (0, 1));
}

/// The early code of this repository's kernel sets both, in assembly.
#[test]
fn the_boot_code_sets_the_same() {
    let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boot/src/entry.s");
    if !entry.parent().is_some_and(Path::exists) {
        println!("NOT TESTED: this is a packaged crate, without the boot code");
        return;
    }
    let text = fs::read_to_string(&entry).expect("boot/src/entry.s is there");
    let set = |name: &str| {
        let prefix = format!(".set {name},");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        let value = line.unwrap_or_else(|| panic!("no `{prefix}` in {}", entry.display()));
        value.split("//").next().unwrap_or("").trim().to_owned()
    };
    let number = |text: &str| match text.trim().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).expect("a number"),
        None => text.trim().parse().expect("a number"),
    };
    assert_eq!(number(&set("MAIR")), MAIR);
    // `(16 << 0) | (1 << 8) | …`
    let tcr = set("TCR");
    let field = |term: &str| {
        let term = term.trim().trim_matches(['(', ')']);
        let (value, shift) = term.split_once("<<").expect("value << shift");
        number(value) << number(shift)
    };
    assert_eq!(tcr.split('|').map(field).sum::<u64>(), TCR);
}

#[test]
fn right_walks_are_accepted() {
    assert_eq!(check_walks(TCR, MAIR), Ok(()));
    // What the core fills in, or what the tables do not depend on: IPS, AS, TBI0 and TBI1, HPD0 and
    // HPD1, and the other attributes.
    let free = 0b111 << 32 | 1 << 36 | 0b11 << 37 | 0b11 << 41;
    assert_eq!(check_walks(TCR | free, MAIR | 0xBB44 << 16), Ok(()));
}

/// Fields of TCR_EL1 by the bit that they begin at, and their width: those of one half.
const HALF: [(&str, u32, u32); 6] = [
    ("TnSZ", 0, 6),
    ("EPDn", 7, 1),
    ("IRGNn", 8, 2),
    ("ORGNn", 10, 2),
    ("SHn", 12, 2),
    ("TGn", 14, 2),
];

/// Those that are not a half's.
const COMMON: [(&str, u32, u32); 4] = [("A1", 22, 1), ("HA", 39, 1), ("HD", 40, 1), ("DS", 59, 1)];

#[test]
fn every_wrong_value_of_a_field_is_refused() {
    let upper = HALF.map(|(name, shift, width)| (name, shift + 16, width));
    for (name, shift, width) in HALF.into_iter().chain(upper).chain(COMMON) {
        let mask = ((1 << width) - 1) << shift;
        for value in 0..1 << width {
            let tcr = TCR & !mask | value << shift;
            if tcr == TCR {
                continue;
            }
            let walks = ["IRGNn", "ORGNn", "SHn"].contains(&name);
            let bad = check_walks(tcr, MAIR).expect_err(name);
            assert_eq!((bad.register, bad.value), ("TCR_EL1", tcr));
            let said = bad.why.contains("write-back, inner shareable");
            assert_eq!(said, walks, "{name} = {value:#b} at {shift}: {bad}");
        }
    }
}

#[test]
fn every_wrong_bit_of_the_two_attributes_is_refused() {
    for bit in 0..16 {
        let mair = MAIR ^ 1 << bit;
        let bad = check_walks(TCR, mair).expect_err("not these attributes");
        assert_eq!((bad.register, bad.value), ("MAIR_EL1", mair), "bit {bit}");
    }
}

#[test]
fn what_is_wrong_is_said_with_the_value_and_what_to_do() {
    let errors = [
        (check_walks(!TCR, MAIR), format!("TCR_EL1 is {:#x}", !TCR)),
        (
            check_walks(TCR | 1, MAIR),
            format!("TCR_EL1 is {:#x}", TCR | 1),
        ),
        (check_walks(TCR, 0xABC), "MAIR_EL1 is 0xabc".to_owned()),
    ];
    for (checked, value) in errors {
        let text = checked.expect_err(&value).to_string();
        let remedy = format!("set it from {}", &value[..value.find('_').unwrap()]);
        assert!(
            text.starts_with(&value) && text.ends_with(&remedy),
            "{text}"
        );
    }
}

#[test]
fn a_ttbr_is_a_root_and_an_asid() {
    let root = Pa::new(0xFFFF_FFFF_F000).unwrap();
    assert_eq!(ttbr(root, Asid(0)), 0x0000_FFFF_FFFF_F000);
    assert_eq!(ttbr(root, Asid(0xFFFF)), 0xFFFF_FFFF_FFFF_F000);
    let value = ttbr(Pa::new(0x4123_5000).unwrap(), Asid(0x0102));
    let fields = TTBR0_EL1::ASID.val(0x0102) + TTBR0_EL1::BADDR.val(0x4123_5000 >> 1);
    assert_eq!(value, fields.value);
    assert_eq!(value & 1, 0, "CnP");
}

fn registers(isar0_tlb: u64, mmfr2_ttl: u64) -> CoreRegisters {
    CoreRegisters {
        // Ones around the field: no other bit may count.
        isar0: !(0xF << 56) | isar0_tlb << 56,
        mmfr2: !(0xF << 48) | mmfr2_ttl << 48,
        ..CoreRegisters::default()
    }
}

#[test]
fn a_greater_value_of_a_field_promises_what_a_smaller_one_does() {
    for value in 0..16 {
        let features = registers(value, 0).tlb();
        assert_eq!(features.range, value >= 2, "ISAR0.TLB = {value}");
        assert!(!features.ttl);
        let features = registers(0, value).tlb();
        assert_eq!(features.ttl, value >= 1, "MMFR2.TTL = {value}");
        assert!(!features.range);
    }
    assert_eq!(CoreRegisters::default().tlb(), Features::default());
}

#[test]
fn physical_addresses_have_at_most_48_bits() {
    // 6 is 52 bits, 7 is 56 bits, the rest is reserved and promises no less.
    let bits = [32, 36, 40, 42, 44, 48, 48, 48];
    for value in 0..16_u8 {
        let registers = CoreRegisters {
            mmfr0: !0xF | u64::from(value),
            ..CoreRegisters::default()
        };
        let expected = bits.get(usize::from(value)).copied().unwrap_or(48);
        assert_eq!(registers.pa_bits(), expected, "PARange = {value}");
    }
}

#[test]
fn asids_have_8_bits_or_16() {
    for value in 0..16 {
        let registers = CoreRegisters {
            mmfr0: !0xF0 | value << 4,
            ..CoreRegisters::default()
        };
        let expected = if value >= 2 { 16 } else { 8 };
        assert_eq!(registers.asid_bits(), expected, "ASIDBits = {value}");
    }
}

/// A core with FEAT_TLBIRANGE, FEAT_TTL, 40 bits, ASIDs of 16, and `DC ZVA` of 64 bytes.
const FIRST: CoreRegisters = CoreRegisters {
    isar0: 2 << 56,
    mmfr0: 2 << 4 | 2,
    mmfr2: 1 << 48,
    dczid: 4,
    sctlr: 0x30D0_198D,
    tcr: TCR,
    mair: MAIR,
};

fn changed(change: impl FnOnce(&mut CoreRegisters)) -> CoreRegisters {
    let mut core = FIRST;
    change(&mut core);
    core
}

#[test]
fn a_core_that_can_do_as_much_or_more_fits() {
    assert_eq!(FIRST.fit(FIRST), Ok(()));
    let more = changed(|core| {
        core.isar0 = 3 << 56 | 0xFFFF;
        core.mmfr0 = 0xF00 | 2 << 4 | 6;
        core.mmfr2 = 2 << 48 | 0xFFFF;
        // Reserved bits say nothing.
        core.dczid = 1 << 8 | 4;
    });
    assert_eq!(more.fit(FIRST), Ok(()));
    // What the first core does not have, nobody relies on.
    let first = changed(|core| {
        (core.isar0, core.mmfr0, core.mmfr2) = (0, 0, 0);
    });
    assert_eq!(FIRST.fit(first), Ok(()));
    // Outer shareable TLBIs alone (ISAR0.TLB = 1) are not used.
    let first = changed(|core| core.isar0 = 1 << 56);
    assert_eq!(changed(|core| core.isar0 = 0).fit(first), Ok(()));
    // Nor are more than 48 bits.
    let first = changed(|core| core.mmfr0 = 2 << 4 | 6);
    let here = changed(|core| core.mmfr0 = 2 << 4 | 5);
    assert_eq!(here.fit(first), Ok(()));
}

#[test]
fn a_core_whose_features_are_less_is_refused_and_the_register_named() {
    type Less = (&'static str, fn(&mut CoreRegisters) -> &mut u64, u64);
    let less: [Less; 10] = [
        ("ID_AA64ISAR0_EL1 (TLB)", |core| &mut core.isar0, 1 << 56),
        ("ID_AA64ISAR0_EL1 (TLB)", |core| &mut core.isar0, 0),
        (
            "ID_AA64MMFR0_EL1 (PARange)",
            |core| &mut core.mmfr0,
            2 << 4 | 1,
        ),
        ("ID_AA64MMFR0_EL1 (ASIDBits)", |core| &mut core.mmfr0, 2),
        ("ID_AA64MMFR2_EL1 (TTL)", |core| &mut core.mmfr2, 0),
        // A smaller block, a greater one, and none allowed.
        ("DCZID_EL0", |core| &mut core.dczid, 3),
        ("DCZID_EL0", |core| &mut core.dczid, 5),
        ("DCZID_EL0", |core| &mut core.dczid, 0x14),
        // Whatever differs: a set bit or a clear one.
        ("SCTLR_EL1", |core| &mut core.sctlr, FIRST.sctlr ^ 1 << 19),
        ("MAIR_EL1", |core| &mut core.mair, MAIR | 1 << 40),
    ];
    for (register, field, here) in less {
        let core = changed(|core| *field(core) = here);
        let first = *field(&mut changed(|_| ()));
        let unfit = Unfit {
            register,
            here,
            first,
        };
        assert_eq!(core.fit(FIRST), Err(unfit));
        let text = unfit.to_string();
        let values = [format!("{here:#x}"), format!("{first:#x}")];
        assert!(
            text.contains(register) && values.iter().all(|v| text.contains(v)),
            "{text}"
        );
    }
    for bit in 0..64 {
        let core = changed(|core| core.tcr ^= 1 << bit);
        let register = core.fit(FIRST).map_err(|unfit| unfit.register);
        assert_eq!(register, Err("TCR_EL1"), "bit {bit}");
    }
}
