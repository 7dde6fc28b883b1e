//! Descriptors: every class of bit pattern, and the break-before-make rule.

use stage1_paging::*;

fn frame(pa: u64) -> Frame {
    Frame::containing(Pa::new(pa).unwrap())
}

/// Bits that select kind, attributes and permissions, without the address.
fn classes() -> impl Iterator<Item = u64> {
    // Bits 0-11 in full, 50-58 in full: valid, kind, AttrIndx, NS, AP, SH, AF, nG; GP, DBM,
    // Contiguous, PXN, UXN, software.
    (0..1u64 << 12).flat_map(|low| (0..1u64 << 9).map(move |high| low | high << 50))
}

#[test]
fn every_class_of_pattern_decodes_as_the_architecture_says() {
    const PA: u64 = 0x0000_8123_4567_8000;
    for bits in classes() {
        let desc = Desc::from_bits(bits | PA);
        assert_eq!(desc.is_valid(), bits & 1 == 1);
        for level in Level::ALL {
            let block = frame(PA & !(level.size() - 1));
            let expected = match (bits & 0b11, level) {
                (0b11, Level::L3) => Kind::Page(frame(PA)),
                (0b11, _) => Kind::Table(frame(PA)),
                (0b01, Level::L1 | Level::L2) => Kind::Block(block),
                _ => Kind::Invalid,
            };
            assert_eq!(desc.kind(level), expected, "{bits:#x} at {level:?}");
            assert_eq!(
                desc.next_table(level).is_some(),
                matches!(expected, Kind::Table(_))
            );
            assert_eq!(
                desc.is_leaf(level),
                bits & 1 == 1 && !matches!(expected, Kind::Table(_))
            );
        }
        let access = match (bits >> 7 & 1, bits >> 53 & 1) {
            (0, 0) => Access::ReadWriteExecute,
            (0, _) => Access::ReadWrite,
            (_, 0) => Access::ReadExecute,
            _ => Access::ReadOnly,
        };
        assert_eq!(desc.access(), access);
        assert_eq!(u64::from(desc.memory().index()), bits >> 2 & 7);
        assert_eq!(desc.is_global(), bits >> 11 & 1 == 0);
        assert_eq!(desc.is_cacheable(), bits & 1 == 1 && bits >> 10 & 1 == 1);
        assert_eq!(desc.with_access(access).access(), access);
        let changed = desc.with_access(Access::ReadOnly).bits() ^ desc.bits();
        assert_eq!(
            changed & !(1 << 7 | 0b11 << 53),
            0,
            "only the permissions change"
        );
        assert!(!desc.broken().is_valid());
        assert!(!desc.is_valid() || desc.broken().restored() == desc);
        assert!(!desc.is_valid() || desc.restored() == desc);
        assert_eq!(desc.is_broken(), !desc.is_valid());
        let _ = format!("{desc:?} {}", desc.at(Level::L2)); // no pattern panics
    }
}

#[test]
fn a_hole_is_not_broken_and_stays_one() {
    assert!(!Desc::INVALID.is_broken());
    assert_eq!(Desc::INVALID.broken(), Desc::INVALID);
    assert_eq!(Desc::INVALID.restored(), Desc::INVALID);
}

#[test]
fn leaves_are_encoded_as_the_architecture_says() {
    let pa = frame(0x8765_4321_0000);
    let common = 0b11 << 8 | 1 << 10; // Inner Shareable, AF
    let (pxn, uxn) = (1 << 53, 1 << 54);
    // Software's: no TLB holds it executable, writable.
    let (never_x, never_w) = (1 << 55, 1 << 56);
    let cases = [
        (
            Level::L3,
            Prot::RW,
            true,
            0b11 | 1 << 2 | pxn | uxn | never_x,
        ),
        (
            Level::L3,
            Prot::RO,
            true,
            0b11 | 1 << 2 | 1 << 7 | pxn | uxn | never_x | never_w,
        ),
        (
            Level::L3,
            Prot::RX,
            false,
            0b11 | 1 << 2 | 1 << 7 | 1 << 11 | uxn | never_w,
        ),
        (Level::L3, Prot::DEVICE, true, 0b11 | pxn | uxn | never_x),
    ];
    for (level, prot, global, bits) in cases {
        assert_eq!(
            Desc::leaf(level, pa, prot, global).bits(),
            pa.pa().raw() | common | bits
        );
    }
    let block = Desc::leaf(Level::L2, pa, Prot::RW, true);
    assert_eq!(block.kind(Level::L2), Kind::Block(frame(0x8765_4320_0000)));
    assert_eq!(
        Desc::leaf(Level::L0, pa, Prot::RW, true).kind(Level::L0),
        Kind::Invalid
    );
    assert_eq!(Desc::table(pa).bits(), pa.pa().raw() | 0b11);
    assert_eq!(
        block.at(Level::L2).to_string(),
        "block 0x876543200000 normal rw-"
    );
    assert_eq!(Desc::INVALID.at(Level::L1).to_string(), "invalid");
    // What others make, and a report shows.
    let foreign = Desc::from_bits(block.bits() | 1 << 51 | 1 << 52);
    assert_eq!(
        foreign.at(Level::L2).to_string(),
        "block 0x876543200000 normal rw- contiguous DBM"
    );
    let limited = Desc::from_bits(Desc::table(pa).bits() | 0b1111 << 59);
    assert_eq!(
        limited.at(Level::L1).to_string(),
        "table 0x876543210000 PXN UXN no EL0 read-only"
    );
}

#[test]
fn the_rule_for_break_before_make() {
    let level = Level::L3;
    let page = Desc::leaf(level, frame(0x1000), Prot::RW, false);
    let with = |bits: u64| Desc::from_bits(page.bits() ^ bits);
    let needs = |new| needs_break(level, page, new);
    assert!(!needs(page));
    assert!(!needs(page.with_access(Access::ReadOnly)), "permissions");
    assert!(!needs(with(1 << 55)), "a software bit");
    assert!(
        !needs(Desc::INVALID) && !needs_break(level, Desc::INVALID, page),
        "one side invalid"
    );
    assert!(
        !needs(with(1 << 10)) && !needs_break(level, with(1 << 10), with(1 << 12)),
        "AF = 0 is not cached"
    );
    assert!(needs(with(1 << 12)), "output address");
    assert!(needs(with(1 << 2)), "memory type");
    assert!(needs(with(1 << 8)), "shareability");
    assert!(needs(with(1 << 11)), "global against non-global");
    assert!(needs(with(1 << 52)), "Contiguous");
    let block = Desc::leaf(Level::L2, frame(0x20_0000), Prot::RW, false);
    let table = Desc::table(frame(0x1000));
    assert!(
        needs_break(Level::L2, block, table) && needs_break(Level::L2, table, block),
        "table against block"
    );
    assert!(
        needs_break(Level::L2, table, Desc::table(frame(0x2000))),
        "one table for another"
    );
    assert!(
        !needs_break(Level::L2, Desc::INVALID, table)
            && !needs_break(Level::L2, table, Desc::INVALID)
    );
}

#[test]
fn every_flag_of_a_leaf_is_shown_where_it_is_unusual() {
    let page = Desc::leaf(Level::L3, frame(0x1000), Prot::RO, true);
    let usual = "page 0x000000001000 normal r--";
    for (changed, shown) in [
        (0, ""),
        (1 << 6, " EL0"),
        (1 << 10, " AF=0"),
        (1 << 11, " nG"),
        (1 << 52, " contiguous"),
        (1 << 54, " UXN=0"),
        (1 << 8, " SH=0b10"),
        (1 << 9, " SH=0b01"),
        (0b11 << 8, " SH=0b00"),
        (0b11 << 55, ""),
    ] {
        let desc = Desc::from_bits(page.bits() ^ changed);
        assert_eq!(desc.at(Level::L3).to_string(), format!("{usual}{shown}"));
    }
    let shown = |bits: u64, level| Desc::from_bits(bits).at(level).to_string();
    assert_eq!(shown(0x1003, Level::L2), "table 0x000000001000");
    assert_eq!(shown(0x1002, Level::L2), "invalid (0x0000000000001002)");
    assert_eq!(format!("{page:?}"), "Desc(0x01e0000000001787)");
    let memory = |index| Memory::from_index(index).map(|m| format!("{m:?}"));
    assert_eq!(memory(0).as_deref(), Some("device"));
    assert_eq!(memory(1).as_deref(), Some("normal"));
    assert_eq!(memory(7).as_deref(), Some("attr7"));
    assert_eq!(memory(8), None);
}

#[test]
fn a_block_is_of_the_frame_that_it_begins_with() {
    for level in [Level::L1, Level::L2, Level::L3] {
        let leaf = |pa| Desc::leaf(level, frame(pa), Prot::RW, true);
        let first = 0x40_4000_0000;
        let last = first + level.size() - (1 << 12);
        assert_eq!(leaf(last), leaf(first), "{level:?}");
    }
}
