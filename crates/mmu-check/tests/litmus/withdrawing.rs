//! Mappings that are taken away or changed: whether an access still sees them.

use mmu_check::event::AccessKind::{Execute, Read, Write};
use mmu_check::event::Barrier::{Ish, Ishld, Ishst, Nsh, Nshst};
use mmu_check::event::Expect::{Faults, Retries, Works};
use mmu_check::machine::program::Do;
use mmu_check::machine::{EVIL, EVIL_FRAME};

use crate::suite::*;

pub fn withdrawing(suite: &mut Suite) {
    let whole = [dsb(Ish), of_x("vaae1is"), dsb(Ish)];
    suite.unmap("CoWinvT+po", ESOP, &[], true);
    suite.unmap("CoWinvT+dsb-isb", ESOP, &[dsb(Ish), ISB], true);
    suite.unmap("CoWinvT+dsb-tlbiis-dsb", ESOP, &whole, true);
    suite.unmap(
        "CoWinvT+dsb-tlbiis-dsb-isb",
        ESOP,
        &[&whole[..], &[ISB]].concat(),
        false,
    );
    suite.unmap(
        "CoWinvT+dsb-tlbiis-dsb-eret",
        ESOP,
        &[&whole[..], &[ERET]].concat(),
        false,
    );
    let early = [of_x("vaae1is"), dsb(Ish), ISB];
    suite.unmap("CoWinvT+tlbiis-dsb-isb", ESOP, &early, true);
    let with = |first, tlbi, second| [dsb(first), tlbi, dsb(second), ISB];
    let leaf = of_x("vaale1is");
    suite.unmap(
        "V2I-W-DSB.ISH-TLBI-DSB.ST",
        HERD,
        &with(Ish, of_x("vaae1is"), Ishst),
        true,
    );
    suite.unmap(
        "V2I-W-DSB.ST-TLBI-DSB.ISH",
        HERD,
        &with(Ishst, of_x("vaae1is"), Ish),
        false,
    );
    suite.unmap(
        "V2I-W-DSB.LD-TLBI-DSB.ISH",
        HERD,
        &with(Ishld, of_x("vaae1is"), Ish),
        true,
    );
    suite.unmap(
        "V2I-W-DSB.ISH-TLBI-DSB.LD",
        HERD,
        &with(Ish, of_x("vaae1is"), Ishld),
        true,
    );
    suite.unmap(
        "CoWinvT+dsb-tlbiis.l-dsb-isb",
        HERD,
        &with(Ish, leaf, Ish),
        false,
    );
    suite.unmap(
        "CoWinvT+dsb-tlbiis.all-dsb-isb",
        HERD,
        &with(Ish, tlbi("vmalle1is", 0), Ish),
        false,
    );
    let y = tlbi("vaae1is", Y >> 12 & ((1 << 44) - 1));
    suite.unmap(
        "CoWinvT+dsb-tlbiis.y-dsb-isb",
        HERD,
        &with(Ish, y, Ish),
        true,
    );
    let asid = tlbi("aside1is", 0);
    suite.unmap("CoWinvT.global+aside1is", HERD, &with(Ish, asid, Ish), true);
    suite.unmap(
        "CoWinvT.global+vae1is",
        HERD,
        &with(Ish, of_x("vae1is"), Ish),
        false,
    );
    let core = [
        [x(PAGE | RW)].as_slice(),
        &whole,
        &[x(0), dsb(Ish), ISB, read(Faults)],
    ]
    .concat();
    let bad = [Bad::Works(0, core.len() - 1)];
    suite.add("needTLBI1", HERD, start(0), &[&core], &bad, true, None);

    let settle = [dsb(Ish), ISB];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dsb+dsb-isb",
        ESOP,
        [&whole, &settle],
        false,
    );
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dsb+dmbld",
        ESOP,
        [&whole, &[dmb(Ishld)]],
        false,
    );
    let local = [dsb(Ish), of_x("vaae1"), dsb(Ish)];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbi-dsb+dsb-isb",
        ESOP,
        [&local, &settle],
        true,
    );
    let weak = [dsb(Ish), of_x("vaae1is"), dmb(Ish)];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dmb+dsb-isb",
        ESOP,
        [&weak, &settle],
        true,
    );
    let none = [of_x("vaae1is"), dsb(Ish)];
    suite.unmap_on_two("MP.RT.EL1+tlbiis-dsb+dsb-isb", ESOP, [&none, &settle], true);
    let near = [dsb(Ish), of_x("vaae1is"), dsb(Nsh)];
    suite.unmap_on_two(
        "MP.RT.EL1+dsb-tlbiis-dsbnsh+dsb-isb",
        HERD,
        [&near, &settle],
        true,
    );

    // Linux `local_flush_tlb_all`: of the own walker and TLB, and of another core's.
    let own = [dsb(Nshst), tlbi("vmalle1", 0), dsb(Nsh)];
    let early = [dsb(Nshst), of_x("vaae1is"), dsb(Ish)];
    for (name, between, allowed) in [
        (
            "CoWinvT+dsbnshst-tlbi-dsbnsh-isb",
            &[&own[..], &[ISB]].concat()[..],
            false,
        ),
        (
            "CoWinvT+dsbnshst-tlbiis-dsb-isb",
            &[&early[..], &[ISB]].concat(),
            false,
        ),
        ("CoWinvT+dsbnshst-tlbi-dsbnsh", &own, true),
        (
            "CoWinvT+tlbi-dsbnsh-isb",
            &[tlbi("vmalle1", 0), dsb(Nsh), ISB],
            true,
        ),
    ] {
        let core = [&[x(0)], between, &[read(Faults)]].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        let cores: [&[Do]; 2] = [&core, &[Do::Access(X, Read, None)]];
        suite.add(name, HERD, start(PAGE | RW), &cores, &bad, allowed, None);
    }
    for (name, between) in [
        ("MP.RT.EL1+dsbnshst-tlbi-dsbnsh+dsb-isb", &own),
        ("MP.RT.EL1+dsbnshst-tlbiis-dsb+dsb-isb", &early),
    ] {
        suite.unmap_on_two(name, HERD, [between, &settle], true);
    }

    // Core 1 invalidates for core 0, and sends core 2 a message.
    let third = |between: &[Do]| {
        let one = vec![x(0), dsb(Ish), SET];
        let two = [&[SEE], between, &[SET2]].concat();
        let three = vec![SEE2, dsb(Ish), ISB, read(Faults)];
        [one, two, three]
    };
    let bad = [Bad::Works(2, 3)];
    for (name, between, allowed) in [
        ("ISA2.RRT.EL1+dsb+dsb-tlbiis-dsb+dsb-isb", &whole[..], false),
        ("ISA2.RRT.EL1+dsb+dsb-tlbi-dsb+dsb-isb", &local, true),
    ] {
        let [one, two, three] = third(between);
        let cores: [&[Do]; 3] = [&one, &two, &three];
        suite.add(name, ESOP, start(PAGE | RW), &cores, &bad, allowed, None);
    }

    // The frame gets other data, and its old user must not see it.
    let reused = |second: &[Do]| {
        let head = [x(0), dsb(Ish), of_x("vaae1is")];
        [&head, second, &[Do::Free(PAGE), Do::Data(PAGE, NEW)]].concat()
    };
    let unaware = [Do::Access(X, Read, None)];
    let bad = [Bad::Sees(1, 0, NEW)];
    let strict = Some(Cause::FreeingCore);
    for (name, second, allowed, stricter) in [
        ("RBS+dsb-tlbiis-dsb", &[dsb(Ish)][..], false, strict),
        ("RBS+dsb-tlbiis-dsb-isb", &settle, false, None),
        ("RBS+dsb-tlbiis-po", &[], true, None),
    ] {
        let cores: [&[Do]; 2] = [&reused(second), &unaware];
        suite.add(
            name,
            ESOP,
            start(PAGE | RW),
            &cores,
            &bad,
            allowed,
            stricter,
        );
    }
    // A late write lands after the frame was read, and is read by nobody else.
    let taken = |second: &[Do]| {
        let head = [x(0), dsb(Ish), of_x("vaae1is")];
        [&head, second, &[Do::Free(PAGE), Do::Load(PAGE)]].concat()
    };
    let unaware = [Do::Access(X, Write, None)];
    for (name, second, allowed, stricter) in [
        ("WBM+dsb-tlbiis-dsb", &[dsb(Ish)][..], false, strict),
        ("WBM+dsb-tlbiis-dsb-isb", &settle, false, None),
        ("WBM+dsb-tlbiis-po", &[], true, None),
    ] {
        let one = taken(second);
        let bad = [Bad::Sees(0, one.len() - 1, OLD), Bad::Works(1, 0)];
        suite.add(
            name,
            ESOP,
            start(PAGE | RW),
            &[&one, &unaware],
            &bad,
            allowed,
            stricter,
        );
    }
}

pub fn breaking(suite: &mut Suite) {
    let make = x(OTHER | RW);
    let parts = [
        x(0),
        dsb(Ish),
        of_x("vaae1is"),
        dsb(Ish),
        make,
        dsb(Ish),
        SET,
    ];
    let user = [SEE, dsb(Ish), ISB, read(Works)];
    let bad = [Bad::SeesNot(1, 3, NEW)];
    let names = [
        "MP.BBM1-break",
        "MP.BBM1-dsb1",
        "MP.BBM1-tlbi",
        "MP.BBM1-dsb2",
    ];
    let full: [&[Do]; 2] = [&parts, &user];
    suite.add(
        "MP.BBM1+dsb-tlbiis-dsb-dsb+dsb-isb",
        ESOP,
        start(PAGE | RW),
        &full,
        &bad,
        false,
        None,
    );
    for (at, name) in names.into_iter().enumerate() {
        let mut less = parts.to_vec();
        less.remove(at);
        suite.add(
            name,
            ESOP,
            start(PAGE | RW),
            &[&less, &user],
            &bad,
            true,
            None,
        );
    }
    let mut local = parts;
    local[2] = of_x("vaae1");
    suite.add(
        "MP.BBM1+local",
        ESOP,
        start(PAGE | RW),
        &[&local, &user],
        &bad,
        true,
        None,
    );
    let mut unpublished = parts.to_vec();
    unpublished.remove(5);
    suite.add(
        "MP.BBM1-dsb3",
        ESOP,
        start(PAGE | RW),
        &[&unpublished, &user],
        &bad,
        true,
        None,
    );
    let unaware = [Do::Access(X, Read, None), Do::Access(X, Read, None)];
    let cleared = [
        x((PAGE | RW) & !AF),
        dsb(Ish),
        of_x("vaae1is"),
        dsb(Ish),
        x(OTHER | RW),
    ];
    let bad = [Bad::Sees(1, 0, NEW), Bad::Sees(1, 1, OLD)];
    suite.add(
        "BBM.AF0",
        HERD,
        start(PAGE | RW),
        &[&cleared, &unaware],
        &bad,
        false,
        None,
    );
    let replaced = [x(OTHER | RO)];
    suite.add(
        "CoRR+PteOA.DB0",
        HERD,
        start(PAGE | RO),
        &[&replaced, &unaware],
        &bad,
        true,
        None,
    );
}

pub fn permissions(suite: &mut Suite) {
    let (up, down) = (x(PAGE | RW), x(PAGE | RO));
    let write = |relied| access(X, Write, relied);
    let settle = [dsb(Ish), ISB];
    let whole = [dsb(Ish), of_x("vaae1is"), dsb(Ish)];
    let one = [&[up][..], &settle, &[write(Works)]].concat();
    let bad = [Bad::Faults(0, 3)];
    suite.add(
        "DBchange-UP",
        HERD,
        start(PAGE | RO),
        &[&one],
        &bad,
        true,
        None,
    );
    let one = [&[up][..], &settle, &[write(Retries)]].concat();
    suite.add(
        "DBchange-UP+retry",
        HERD,
        start(PAGE | RO),
        &[&one],
        &bad,
        true,
        None,
    );
    let sender = [&[up][..], &whole, &[SET]].concat();
    let user = [SEE, dmb(Ish), write(Works)];
    let bad = [Bad::Faults(1, 2)];
    suite.add(
        "permchange-M-shoot",
        HERD,
        start(PAGE | RO),
        &[&sender, &user],
        &bad,
        false,
        None,
    );
    let sender = [&[down][..], &whole, &[SET]].concat();
    let user = [SEE, dsb(Ish), ISB, write(Faults)];
    let bad = [Bad::Works(1, 3)];
    suite.add(
        "S.RT.ro+dsb-tlbiis-dsb+dsb-isb",
        ESOP,
        start(PAGE | RW),
        &[&sender, &user],
        &bad,
        false,
        None,
    );
    let sender = [down, dsb(Ish), SET];
    suite.add(
        "S.RT.ro+dsb+dsb-isb",
        ESOP,
        start(PAGE | RW),
        &[&sender, &user],
        &bad,
        true,
        None,
    );
    // Instructions.
    let fetch = |relied| access(X, Execute, relied);
    let sender = [&[x(0)][..], &whole, &[SET]].concat();
    let user = [SEE, ISB, fetch(Faults)];
    let bad = [Bad::Works(1, 2)];
    suite.add(
        "fetch+dsb-tlbiis-dsb+isb",
        HERD,
        start(PAGE | RX),
        &[&sender, &user],
        &bad,
        false,
        None,
    );
    let user = [SEE, dmb(Ishld), fetch(Faults)];
    suite.add(
        "fetch+dsb-tlbiis-dsb+dmbld",
        HERD,
        start(PAGE | RX),
        &[&sender, &user],
        &bad,
        true,
        None,
    );
}

/// An unlinked table gets a descriptor. A walk that has come by the link finds it if it goes on: the models order
/// each read of a walk by itself before the TLBI, and hold only other cores' accesses to the whole of it.
fn half_walked(suite: &mut Suite, linked: &[Do]) {
    let (unlink, map) = (
        Do::Store(LINK_Z, Z, 2, 0),
        Do::Store(SLOT_Z, Z, 3, PAGE | RW),
    );
    let probe = access(Z, Read, Faults);
    let (whole, leaves) = (of_z("vaae1is"), of_z("vaale1is"));
    let programs: [(&str, &[Do], bool); 6] = [
        ("unlink+dsb-tlbiis-dsb-map", &[whole, dsb(Ish), map], true),
        (
            "unlink+dsb-tlbiis-dsb-isb-map",
            &[whole, dsb(Ish), ISB, map],
            false,
        ),
        (
            "unlink+dsb-tlbiis-dsb-map-isb",
            &[whole, dsb(Ish), map, ISB],
            false,
        ),
        (
            "unlink+dsb-tlbiis-dsb-map-dsb",
            &[whole, dsb(Ish), map, dsb(Ish)],
            true,
        ),
        (
            "unlink+dsb-tlbiis.l-dsb-isb-map",
            &[leaves, dsb(Ish), ISB, map],
            true,
        ),
        (
            "unlink+dsb-tlbi-dsbnsh-map",
            &[of_z("vaae1"), dsb(Nsh), map],
            true,
        ),
    ];
    for (name, between, allowed) in programs {
        let core = [&[unlink, dsb(Ishst)], between, &[probe]].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        suite.add(name, ESOP, linked.into(), &[&core], &bad, allowed, None);
    }
    // It is emptied before the TLBI.
    let unmap = Do::Store(SLOT_Z, Z, 3, 0);
    let mut full = linked.to_vec();
    full.extend([map, dsb(Ish), ISB]);
    for (name, between, allowed, stricter) in [
        (
            "unlink+dsb-unmap-tlbiis-dsb-isb",
            &[unmap, whole][..],
            false,
            Some(Cause::Elsewhere),
        ),
        (
            "unlink+dsb-unmap-tlbiis.l-dsb-isb",
            &[unmap, leaves],
            true,
            None,
        ),
        (
            "unlink+dsb-unmap-dsb-tlbiis-dsb-isb",
            &[unmap, dsb(Ishst), whole],
            false,
            None,
        ),
    ] {
        let rest = [dsb(Ish), ISB, probe];
        let core = [&[unlink, dsb(Ishst)], between, &rest].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        suite.add(name, ESOP, full.clone(), &[&core], &bad, allowed, stricter);
    }
    let one = [unlink, dsb(Ishst), whole, dsb(Ish), map, SET];
    let two = [SEE, probe];
    let bad = [Bad::Works(1, 1)];
    let name = "unlink+dsb-tlbiis-dsb-map+po";
    suite.add(name, ESOP, linked.into(), &[&one, &two], &bad, false, None);
}

pub fn tables(suite: &mut Suite) {
    let linked = || {
        let mut steps = start(0);
        steps.extend([
            Do::Zero(SPARE),
            dsb(Ishst),
            Do::Store(LINK_Z, Z, 2, SPARE | 3),
            dsb(Ish),
            ISB,
        ]);
        steps
    };
    // Its next owner writes what walkers would take for descriptors.
    let reused = |tlbi: Do| {
        [
            Do::Store(LINK_Z, Z, 2, 0),
            dsb(Ishst),
            tlbi,
            dsb(Ish),
            ISB,
            Do::Free(SPARE),
            Do::Data(SLOT_Z, EVIL_FRAME | (EVIL & 0xfff) | RW),
            access(Z, Read, Faults),
        ]
    };
    let bad = [Bad::Works(0, 7)];
    for (name, tlbi, allowed) in [
        ("unlink+tlbiis.l+reuse", of_z("vaale1is"), true),
        ("unlink+tlbiis+reuse", of_z("vaae1is"), false),
        ("unlink+tlbiis.all+reuse", tlbi("vmalle1is", 0), false),
        ("unlink+tlbiis.other+reuse", of_x("vaae1is"), true),
    ] {
        suite.add(name, HERD, linked(), &[&reused(tlbi)], &bad, allowed, None);
    }
    half_walked(suite, &linked());
    // ASIDs.
    let low = |operand: u64, name| {
        [
            Do::Store(SLOT_LOW, LOW, 3, 0),
            dsb(Ish),
            tlbi(name, operand),
            dsb(Ish),
            ERET,
            access(LOW, Read, Faults),
        ]
    };
    let bad = [Bad::Works(0, 5)];
    for (name, operand, op, allowed) in [
        (
            "CoWinvTa1.1+dsb-aside1is-dsb-eret",
            1 << 48,
            "aside1is",
            false,
        ),
        (
            "CoWinvTa2.1+dsb-aside1is-dsb-eret",
            2 << 48,
            "aside1is",
            true,
        ),
        (
            "CoWinvTa1.1+dsb-vae1is-dsb-eret",
            1 << 48 | 1,
            "vae1is",
            false,
        ),
        (
            "CoWinvTa2.1+dsb-vae1is-dsb-eret",
            2 << 48 | 1,
            "vae1is",
            true,
        ),
    ] {
        suite.add(
            name,
            ESOP,
            lower(),
            &[&low(operand, op)],
            &bad,
            allowed,
            None,
        );
    }
    for_the_storing_core(suite);
}

/// Core 1 invalidates for core 0, whose own walker alone is sure to read the store.
fn for_the_storing_core(suite: &mut Suite) {
    let other = [SEE, dmb(Ishld), of_x("vaae1is"), dsb(Ish), SET2];
    let own = [SEE2, dmb(Ishld), ISB, read(Faults)];
    let seen = Some(Cause::StoringCore);
    for (name, between, allowed, stricter) in [
        (
            "ISA2.own+dsbnshst+tlbiis-dsb+isb",
            &[dsb(Nshst)][..],
            false,
            None,
        ),
        (
            "ISA2.own+dmbnshst+tlbiis-dsb+isb",
            &[dmb(Nshst)],
            false,
            seen,
        ),
        ("ISA2.own+po+tlbiis-dsb+isb", &[], true, None),
    ] {
        let core = [&[x(0)], between, &[SET], &own].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        let cores: [&[Do]; 2] = [&core, &other];
        let start = start(PAGE | RW);
        suite.add(name, ESOP, start, &cores, &bad, allowed, stricter);
    }
}
