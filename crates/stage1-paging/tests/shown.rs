//! What is shown of addresses, mappings and spaces.

mod common;

use common::*;
use stage1_paging::*;

const GIB: u64 = 1 << 30;
const MIB2: u64 = 2 << 20;

#[test]
fn numbers_are_shown_as_wide_as_they_are() {
    let (va, pa) = (Va::new(0x1000), Pa::new(0x2_3000).unwrap());
    assert_eq!(
        format!("{va} {va:?}"),
        "0x0000000000001000 0x0000000000001000"
    );
    assert_eq!(format!("{pa} {pa:?}"), "0x000000023000 0x000000023000");
    assert_eq!(format!("{:?}", Frame::containing(pa)), "0x000000023000");
    assert_eq!(
        format!("{:?}", pages(0x1000, 3)),
        "0x0000000000001000+3 pages"
    );
    assert_eq!(NoFrame.to_string(), "no frame for a table");
}

#[test]
fn a_space_is_drawn_readably() {
    let model = model();
    let space = model.space(TASK);
    space
        .map(pages(0x1000, 3), ram(0), Prot::RX, Fit::Pages)
        .unwrap();
    space
        .map_frames(pages(0x4000, 2), [ram(9), ram(7)], Prot::RW)
        .unwrap();
    space
        .map(pages(GIB, 1 << 18), frame(1 << 18), Prot::RO, Fit::Largest)
        .unwrap();
    let expected = "\
Lower(Asid(5)), root 0x000040000000
0x0000000000001000-0x0000000000003fff        12 KiB, 3 pages: page 0x000080000000 normal r-x nG
0x0000000000004000-0x0000000000005fff         8 KiB, 2 pages: page 0x000080009000 normal rw- nG …
0x0000000040000000-0x000000007fffffff   1048576 KiB, 1 block: block 0x000040000000 normal r-- nG
";
    assert_eq!(format!("{space:?}"), expected);
    let tree = format!("{space:#?}");
    assert!(
        tree.contains("L0[  0] 0x0000000000000000: table 0x000040001000\n"),
        "{tree}"
    );
    assert!(
        tree.contains("      L3[  4] 0x0000000000004000: page 0x000080009000 normal rw- nG\n"),
        "{tree}"
    );
    let walk = space.walk(Va::new(GIB + 5)).unwrap().to_string();
    let expected = "L0 table 0x000040001000 → L1 block 0x000040000000 normal r-- nG";
    assert_eq!(walk, expected);
    let error = space
        .map(pages(0x2000, 1), ram(0), Prot::RW, Fit::Pages)
        .unwrap_err();
    let text =
        "already mapped at 0x0000000000002000 (0 pages done): unmap it first, or use `replace`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_drawn_run_ends_where_anything_differs() {
    let model = model();
    let space = model.space(TASK);
    let largest = |va, n, prot| {
        let first = frame((0x1_0000_0000 + va) >> 12);
        space.map(pages(va, n), first, prot, Fit::Largest).unwrap();
    };
    // A hole, another permission, another memory type.
    largest(0x1000, 1, Prot::RX);
    largest(0x3000, 2, Prot::RX);
    largest(0x5000, 1, Prot::RW);
    largest(0x6000, 2, Prot::DEVICE);
    // Another level on either side.
    largest(2 * GIB - 2 * MIB2 - 4096, 1, Prot::RW);
    largest(2 * GIB - 2 * MIB2, 2 * 512, Prot::RW);
    largest(2 * GIB, 2 << 18, Prot::RW);
    // Frames that are not the next ones end no run, they mark it.
    for (n, first) in [(0, 512), (1, 1024), (2, 512)] {
        let block = pages(8 * GIB + n * MIB2, 512);
        let first = frame(first);
        space.map(block, first, Prot::RO, Fit::Largest).unwrap();
    }
    let expected = "\
Lower(Asid(5)), root 0x000040000000
0x0000000000001000-0x0000000000001fff         4 KiB, 1 page: page 0x000100001000 normal r-x nG
0x0000000000003000-0x0000000000004fff         8 KiB, 2 pages: page 0x000100003000 normal r-x nG
0x0000000000005000-0x0000000000005fff         4 KiB, 1 page: page 0x000100005000 normal rw- nG
0x0000000000006000-0x0000000000007fff         8 KiB, 2 pages: page 0x000100006000 device rw- nG
0x000000007fbff000-0x000000007fbfffff         4 KiB, 1 page: page 0x00017fbff000 normal rw- nG
0x000000007fc00000-0x000000007fffffff      4096 KiB, 2 blocks: block 0x00017fc00000 normal rw- nG
0x0000000080000000-0x00000000ffffffff   2097152 KiB, 2 blocks: block 0x000180000000 normal rw- nG
0x0000000200000000-0x00000002005fffff      6144 KiB, 3 blocks: block 0x000000200000 normal r-- nG …
";
    assert_eq!(format!("{space:?}"), expected);
    // What a leaf was before is no difference.
    let mut gather = space.gather(());
    let page = pages(0x5000, 1);
    space.protect(page, Access::ReadOnly, &mut gather).unwrap();
    largest(0x4_0000_0000, 1, Prot::RO);
    space
        .move_pages(page, Va::new(0x4_0000_1000), &mut gather)
        .unwrap();
    let line = "0x0000000400000000-0x0000000400001fff         8 KiB, 2 pages: page 0x000500000000";
    assert!(format!("{space:?}").contains(line), "{space:?}");
    let space = model.space(Half::Upper);
    let last = pages(0u64.wrapping_sub(0x2000), 2);
    space.map(last, frame(7), Prot::RO, Fit::Pages).unwrap();
    let text = format!("{space:?}");
    let line = "0xffffffffffffe000-0xffffffffffffffff         8 KiB, 2 pages: page 0x000000007000";
    assert!(text.contains(line), "{text}");
}
