//! What an operand says (Arm ARM C5.5), and what a core is then bound to drop.

use crate::lines::*;
use mmu_check::{Op, What};

const LOW: u64 = 0x0000_1234_5678_9000;
const HIGH: u64 = 0xffff_8234_5678_9000;
const TTL: &str = "TTL is no level of the 4 KiB granule: the address spilled";
const HALVES: &str = "VA[55:48] are not all equal: no address of either half";
const SPILLED: &str = "bits 63..48, reserved here, are not zero: the address spilled";
const GRANULE: &str = "TG is not the 4 KiB granule";
const UNALIGNED: &str = "BaseADDR is not aligned to the level of its TTL";

/// ASID, TTL, VA[55:12].
fn by_address(asid: u64, ttl: u64, va: u64) -> u64 {
    asid << 48 | ttl << 44 | (va >> 12 & 0xfff_ffff_ffff)
}

/// ASID, TG, SCALE, NUM, TTL, BaseADDR = VA[48:12].
fn range(asid: u64, tg: u64, (scale, num): (u64, u64), ttl: u64, va: u64) -> u64 {
    let base = va >> 12 & 0x1f_ffff_ffff;
    asid << 48 | tg << 46 | scale << 44 | num << 39 | ttl << 37 | base
}

#[track_caller]
fn decodes(name: &str, operand: u64, pages: Option<(u64, u64)>, flaw: Option<&str>) {
    let op = Op::named(name).unwrap();
    let decoded = op.decode(operand);
    assert_eq!(decoded.pages(), pages, "{name} {operand:#x}");
    assert_eq!(decoded.flaw(), flaw, "{name} {operand:#x}");
    assert_eq!(op.is_broadcast(), name.ends_with('s'), "{name}");
}

#[test]
fn an_address() {
    for name in ["vae1", "vale1is", "vae1os"] {
        for va in [0, 0x1000, LOW, 0xffff_ffff_f000, HIGH, !0xfff] {
            for asid in [0, 1, 0xffff] {
                decodes(name, by_address(asid, 0, va), Some((va, 1)), None);
                for ttl in 1..16 {
                    let flaw = (!(5..8).contains(&ttl)).then_some(TTL);
                    decodes(name, by_address(asid, ttl, va), Some((va, 1)), flaw);
                }
            }
        }
    }
    for name in ["vaae1is", "vaale1"] {
        decodes(name, by_address(0, 0, HIGH), Some((HIGH, 1)), None);
        decodes(name, by_address(1, 0, HIGH), Some((HIGH, 1)), Some(SPILLED));
        decodes(
            name,
            by_address(0x8000, 0, LOW),
            Some((LOW, 1)),
            Some(SPILLED),
        );
        // Of two faults the one at the lower bits is named: it is how the other came.
        decodes(
            name,
            by_address(0xffff, 0xf, HIGH),
            Some((HIGH, 1)),
            Some(TTL),
        );
    }
    // VA[55:48] say which half it is.
    for (bits, va) in [(0x01, 0x0001_0000_0000_0000), (0x7f, 0x007f_0000_0000_0000)] {
        decodes(
            "vae1",
            by_address(0, 0, bits << 48),
            Some((va, 1)),
            Some(HALVES),
        );
    }
    for (bits, va) in [(0x80, 0xff80_0000_0000_0000), (0xfe, 0xfffe_0000_0000_0000)] {
        decodes(
            "vae1",
            by_address(0, 0, bits << 48),
            Some((va, 1)),
            Some(HALVES),
        );
    }
}

#[test]
fn a_range() {
    for va in [0, LOW, HIGH, !0xfff] {
        for scale in 0..4 {
            for num in [0, 1, 30, 31] {
                let pages = (num + 1) << (5 * scale + 1);
                let operand = range(7, 1, (scale, num), 0, va);
                decodes("rvae1is", operand, Some((va, pages)), None);
            }
        }
        for tg in [0, 2, 3] {
            let operand = range(0, tg, (0, 0), 0, va);
            decodes("rvale1is", operand, Some((va, 2)), Some(GRANULE));
        }
    }
    // Aligned to what a leaf of the level spans: a page, 2 MiB, 1 GiB.
    for (ttl, size) in [(3, 1 << 12), (2, 1 << 21), (1, 1 << 30)] {
        let aligned = 5 * size;
        let operand = range(0, 1, (1, 0), ttl, aligned);
        decodes("rvaae1is", operand, Some((aligned, 64)), None);
        for off in [size >> 1, size - 0x1000]
            .into_iter()
            .filter(|off| off & 0xfff == 0)
        {
            let flaw = (off != 0).then_some(UNALIGNED);
            let operand = range(0, 1, (1, 0), ttl, aligned + off);
            decodes("rvaale1is", operand, Some((aligned + off, 64)), flaw);
        }
    }
    let operand = range(1, 1, (0, 0), 0, HIGH);
    decodes("rvaae1is", operand, Some((HIGH, 2)), Some(SPILLED));
    let operand = range(1, 0, (0, 0), 0, HIGH);
    decodes("rvaae1is", operand, Some((HIGH, 2)), Some(GRANULE));
}

#[test]
fn everything() {
    for (name, operand, all) in [
        ("vmalle1", 0, true),
        ("vmalle1is", 0, true),
        ("aside1is", 0x7_0000_0000_0000, false),
        ("aside1", 0, false),
    ] {
        decodes(name, operand, None, None);
        assert_eq!(
            Op::named(name).unwrap().decode(operand).is_everything(),
            all
        );
    }
    for name in ["vae1", "vaae1", "rvae1", "rvaae1"] {
        assert!(
            !Op::named(name).unwrap().decode(0).is_everything(),
            "{name}"
        );
    }
    for name in ["", "is", "vae2is", "vae1isis", "ipas2e1is", "vae1nxs"] {
        assert_eq!(Op::named(name), None, "{name}");
    }
}

/// Each instruction by its name, its number in a ring of events, and as `stage1-paging` composes it.
#[test]
fn every_instruction() {
    use stage1_paging::Tlbi;
    let stems = [
        "vmalle1", "aside1", "vae1", "vale1", "vaae1", "vaale1", "rvae1", "rvale1", "rvaae1",
        "rvaale1",
    ];
    for name in stems
        .iter()
        .flat_map(|stem| [stem.to_string(), format!("{stem}is")])
    {
        let op = Op::named(&name).unwrap();
        assert_eq!(op.to_string(), name);
        let operand = if name.starts_with("vmalle1") { 0 } else { 7 };
        let tlbi = event(0, &format!("tlbi {name} {operand:#x}"));
        assert_eq!(
            mmu_check::Event::from_words(tlbi.to_words()),
            Some(tlbi),
            "{name}"
        );
    }
    for (composed, name, operand) in [
        (Tlbi::Vae1is(1), "vae1is", 1),
        (Tlbi::Vale1is(2), "vale1is", 2),
        (Tlbi::Vaae1is(3), "vaae1is", 3),
        (Tlbi::Vaale1is(4), "vaale1is", 4),
        (Tlbi::Rvae1is(5), "rvae1is", 5),
        (Tlbi::Rvale1is(6), "rvale1is", 6),
        (Tlbi::Rvaae1is(7), "rvaae1is", 7),
        (Tlbi::Rvaale1is(8), "rvaale1is", 8),
        (Tlbi::Aside1is(9), "aside1is", 9),
        (Tlbi::Vmalle1is, "vmalle1is", 0),
    ] {
        let op = Op::named(name).unwrap();
        assert_eq!(What::from(composed), What::Tlbi { op, operand });
    }
}

/// Whether a probe of the first address that `clear` withdrew may go by it after this TLBI.
fn gone(start: &[&str], clear: &str, (op, operand): (&str, u64)) -> Option<&'static str> {
    let va = clear.split(' ').find(|word| word.starts_with("va="));
    let probe = format!("access read faults {}", va.unwrap());
    let tlbi = format!("tlbi {op} {operand:#x}");
    first(
        start,
        &[clear, "dsb ishst", &tlbi, "dsb ish", "isb", &probe],
    )
}

/// A hint is the level of the leaf, and frees a core from dropping one of another level.
#[test]
fn a_hint_of_the_leafs_level() {
    for (level, bits, slot, va) in [
        (3, 0x60000040000707_u64, 0x3008, 0xffff_0000_0000_1000_u64),
        (2, 0x60000040000705, 0x2ff0, 0xffff_0000_3fc0_0000),
        (1, 0x60000040000705, 0x7ff0, 0xffff_007f_8000_0000),
    ] {
        let store = |old, new| {
            format!("store slot={slot:#x} va={va:#x} level={level} old={old:#x} new={new:#x}")
        };
        let map = store(0, bits);
        let start = [UPPER, &[&map, "dsb ishst", "isb"]].concat();
        let clear = store(bits, 0);
        for hint in 0..4 {
            let flaw = (hint != 0 && hint != level).then_some("R6");
            let ttl = if hint == 0 { 0 } else { 4 + hint };
            let one = ("vaale1is", by_address(0, ttl, va));
            assert_eq!(gone(&start, &clear, one), flaw, "{hint} for {level}");
            let some = ("rvaae1is", range(0, 1, (0, 0), hint, va));
            let aligned = va & ((1 << (12 + 9 * (3 - hint))) - 1) == 0 || hint == 0;
            let flaw = if aligned { flaw } else { Some("R6") };
            assert_eq!(gone(&start, &clear, some), flaw, "{hint} for {level}");
        }
    }
}

/// A translation goes with any of the addresses that it translates, and with none beside them.
#[test]
fn which_addresses_are_covered() {
    let block = |old: &str, new: &str| {
        format!("store slot=0x2008 va=0xffff000000200000 level=2 old={old} new={new}")
    };
    let (map, clear) = (
        block("0x0", "0x60000040000705"),
        block("0x60000040000705", "0x0"),
    );
    let start = [UPPER, &[&map, "dsb ishst", "isb"]].concat();
    for (va, found) in [
        (0xffff_0000_001f_f000, Some("R3")),
        (0xffff_0000_0020_0000, None),
        (0xffff_0000_003f_f000, None),
        (0xffff_0000_0040_0000, Some("R3")),
        (0x0000_0000_0020_0000, Some("R3")),
    ] {
        let one = ("vaae1is", by_address(0, 0, va));
        assert_eq!(gone(&start, &clear, one), found, "{va:#x}");
    }
    // Ranges of 64 pages that end before it, at its start, in it, and begin at its end.
    for (va, found) in [
        (0xffff_0000_001c_0000, Some("R3")),
        (0xffff_0000_001c_1000, None),
        (0xffff_0000_003f_f000, None),
        (0xffff_0000_0040_0000, Some("R3")),
    ] {
        let some = ("rvaae1is", range(0, 1, (1, 0), 0, va));
        assert_eq!(gone(&start, &clear, some), found, "{va:#x}");
    }
    // Sixteen pages that a TLB may hold as one: one of their addresses does, and none beside them.
    let start = mapped("0x70000040001707");
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let clear = page("0x70000040001707", "0x0");
    for (page, found) in [(0, None), (15, None), (16, Some("R3"))] {
        let one = (
            "vaae1is",
            by_address(0, 0, 0xffff_0000_0000_0000 + 4096 * page),
        );
        assert_eq!(gone(&start, &clear, one), found, "page {page}");
    }
}

/// Sixteen blocks with the Contiguous bit are one entry as sixteen pages are.
#[test]
fn sixteen_blocks() {
    let store = |old: &str, new: &str| {
        format!("store slot=0x2088 va=0xffff000002200000 level=2 old={old} new={new}")
    };
    let bits = "0x70000040000705";
    let (map, clear) = (store("0x0", bits), store(bits, "0x0"));
    let start = [UPPER, &[&map, "dsb ishst", "isb"]].concat();
    for (index, found) in [(15, Some("R3")), (16, None), (31, None), (32, Some("R3"))] {
        let va = 0xffff_0000_0000_0000 + (index << 21);
        let one = ("vaae1is", by_address(0, 0, va));
        assert_eq!(gone(&start, &clear, one), found, "block {index}");
    }
}

/// Under which ASID an entry goes.
#[test]
fn which_asids_are_covered() {
    let store =
        |old: &str, new: &str| format!("store slot=0x4010 va=0x2000 level=3 old={old} new={new}");
    let covered = |bits: &str, tlbi: (&str, u64)| {
        let map = store("0x0", bits);
        let start = [LOWER, &[&map, "dsb ishst", "isb"]].concat();
        gone(&start, &store(bits, "0x0"), tlbi).is_none()
    };
    let (tagged, global) = ("0x60000080000f07", "0x60000080000707");
    for (name, asid, takes_tagged, takes_global) in [
        ("vae1is", 1, true, true),
        ("vale1is", 1, true, true),
        ("vae1is", 2, false, true),
        ("vaae1is", 0, true, true),
    ] {
        let one = (name, by_address(asid, 0, 0x2000));
        assert_eq!(covered(tagged, one), takes_tagged, "{name} {asid}");
        assert_eq!(covered(global, one), takes_global, "{name} {asid}");
    }
    assert!(covered(tagged, ("rvae1is", range(1, 1, (0, 0), 0, 0x2000))));
    assert!(!covered(
        tagged,
        ("rvae1is", range(2, 1, (0, 0), 0, 0x2000))
    ));
    assert!(covered(global, ("rvae1is", range(2, 1, (0, 0), 0, 0x2000))));
    let asid = |asid: u64| ("aside1is", asid << 48);
    assert!(covered(tagged, asid(1)) && !covered(tagged, asid(2)));
    assert!(!covered(global, asid(1)), "global entries stay");
    assert!(covered(tagged, ("vmalle1is", 0)) && covered(global, ("vmalle1is", 0)));
    // Of a table in the lower half whose root nobody has seen any ASID may be its own.
    let unlink = "store slot=0x7000 va=0x0 level=2 old=0x9003 new=0x0";
    let one = by_address(5, 0, 0);
    let tlbi = format!("tlbi vae1is {one:#x}");
    let program = [
        unlink,
        "dsb ishst",
        &tlbi,
        "dsb ish",
        "isb",
        "free frame=0x9000",
    ];
    assert_eq!(first(UPPER, &program), None);
}
