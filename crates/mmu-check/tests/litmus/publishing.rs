//! Mappings that are made: whether an access sees them. And message passing, by translations and by data.

use mmu_check::What;
use mmu_check::event::AccessKind::Read;
use mmu_check::event::Barrier::{Ish, Ishld, Ishst, Nsh, Nshst};
use mmu_check::event::Expect::{Retries, Works};
use mmu_check::machine::program::Do;

use crate::suite::*;

const FORBIDDEN: (bool, Option<Cause>) = (false, None);
const ALLOWED: (bool, Option<Cause>) = (true, None);

pub fn publishing(suite: &mut Suite) {
    suite.map("CoWTf.inv+po", ESOP, &[], true);
    suite.map("CoWTf.inv+dmb", ESOP, &[dmb(Ish)], true);
    suite.map("CoWTf.inv+dsb", ESOP, &[dsb(Ish)], true);
    suite.map("CoWTf.inv+isb", HERD, &[ISB], true);
    suite.map("CoWTf.inv+isb-dsb", HERD, &[ISB, dsb(Ish)], true);
    suite.map("CoWTf.inv+dsb-isb", ESOP, &[dsb(Ish), ISB], false);
    suite.map("CoWTf.inv+dmb-isb", HERD, &[dmb(Ish), ISB], true);
    suite.map("I2V-W-DSB.LD-ISB-R", HERD, &[dsb(Ishld), ISB], true);
    suite.map("I2V-W-DSB.ST-ISB-R", HERD, &[dsb(Ishst), ISB], false);
    suite.map(
        "CoWTf.inv+dsb-svc",
        ESOP,
        &[dsb(Ish), Do::Synchronise(What::ExceptionEntry)],
        false,
    );
    suite.map("CoWTf.inv+dsb-eret", ESOP, &[dsb(Ish), ERET], false);
    let shoot = [dsb(Ish), of_x("vaae1is"), dsb(Ish)];
    suite.map("load-shoot", HERD, &shoot, true);
    suite.map(
        "load-shoot-isb",
        HERD,
        &[&shoot[..], &[ISB]].concat(),
        false,
    );
    let settle = [dsb(Ish), ISB];
    suite.map_on_two(
        "M-load-DSB+DSB-ISB",
        HERD,
        [&[dsb(Ish)], &settle],
        Works,
        FORBIDDEN,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+ctrl",
        ESOP,
        [&[dsb(Ish)], &[]],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+ctrl-isb",
        ESOP,
        [&[dsb(Ish)], &[ISB]],
        Works,
        FORBIDDEN,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+dmb",
        HERD,
        [&[dsb(Ish)], &[dmb(Ish)]],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+dsb",
        HERD,
        [&[dsb(Ish)], &[dsb(Ish)]],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+po+dsb-isb",
        ESOP,
        [&[], &settle],
        Works,
        ALLOWED,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsb+retry",
        HERD,
        [&[dsb(Ish)], &[]],
        Retries,
        FORBIDDEN,
    );
    suite.map_on_two("MP.RTf.inv+po+retry", HERD, [&[], &[]], Retries, ALLOWED);
    let strict = (false, Some(Cause::StoringCore));
    suite.map_on_two(
        "MP.RTf.inv+dmb+dsb-isb",
        ESOP,
        [&[dmb(Ish)], &settle],
        Works,
        strict,
    );
    suite.map_on_two(
        "MP.RTf.inv+dmbst+dsb-isb",
        HERD,
        [&[dmb(Ishst)], &settle],
        Works,
        strict,
    );
    suite.map_on_two(
        "MP.RTf.inv+dsbld+dsb-isb",
        HERD,
        [&[dsb(Ishld)], &settle],
        Works,
        ALLOWED,
    );
    own_walker(suite);
    let strict = (false, Some(Cause::TlbiAfterMap));
    suite.map_on_two("M-load-shoot", HERD, [&shoot, &[dsb(Ish)]], Works, strict);
    // Another core has seen the descriptor itself.
    let seen = [Do::Await(SLOT_X, PAGE | RW), dsb(Ish), ISB, read(Works)];
    let (one, bad) = ([x(PAGE | RW)], [Bad::Faults(1, 3)]);
    let strict = Some(Cause::StoringCore);
    suite.add(
        "CoRpteTf.inv+dsb-isb",
        ESOP,
        start(0),
        &[&one, &seen],
        &bad,
        false,
        strict,
    );
    let unsynchronised = [Do::Await(SLOT_X, PAGE | RW), read(Works)];
    let bad = [Bad::Faults(1, 1)];
    suite.add(
        "CoRpteTf.inv+po",
        ESOP,
        start(0),
        &[&one, &unsynchronised],
        &bad,
        true,
        None,
    );
    let relay = [Do::Await(SLOT_X, PAGE | RW), dmb(Ish), SET2];
    let last = [SEE2, dsb(Ish), ISB, read(Works)];
    let bad = [Bad::Faults(2, 3)];
    let three: [&[Do]; 3] = [&one, &relay, &last];
    suite.add(
        "WRC.RRTf.inv+dmb+dsb-isb",
        ESOP,
        start(0),
        &three,
        &bad,
        false,
        strict,
    );
    let three: [&[Do]; 3] = [
        &[x(PAGE | RW), dsb(Ish), SET],
        &[SEE, dmb(Ish), SET2],
        &last,
    ];
    suite.add(
        "ISA2.RRTf.inv+dsb+dmb+dsb-isb",
        ESOP,
        start(0),
        &three,
        &bad,
        false,
        None,
    );
}

/// A core's walker is in its own non-shareable domain, other cores' are not.
fn own_walker(suite: &mut Suite) {
    let unaware = [Do::Access(X, Read, None)];
    for (name, between, allowed) in [
        ("CoWTf.inv+dsbnsh-isb", &[dsb(Nsh), ISB][..], false),
        ("CoWTf.inv+dsbnshst-isb", &[dsb(Nshst), ISB], false),
        ("CoWTf.inv+dsbnsh", &[dsb(Nsh)], true),
        ("CoWTf.inv+dmbnsh-isb", &[dmb(Nsh), ISB], true),
    ] {
        let core = [&[x(PAGE | RW)], between, &[read(Works)]].concat();
        let bad = [Bad::Faults(0, core.len() - 1)];
        let cores: [&[Do]; 2] = [&core, &unaware];
        suite.add(name, HERD, start(0), &cores, &bad, allowed, None);
    }
    let settle = [dsb(Ish), ISB];
    let own = [dsb(Nsh), ISB];
    suite.map_on_two(
        "MP.RTf.inv+dsbnsh-isb+dsb-isb",
        HERD,
        [&own, &settle],
        Works,
        ALLOWED,
    );
    // The table's zeroes, before it is linked.
    let z = Do::Store(SLOT_Z, Z, 3, PAGE | RW);
    let link = Do::Store(LINK_Z, Z, 2, SPARE | 3);
    let filled = [Do::Zero(SPARE), z, dmb(Nshst), link];
    let mut stale = start(0);
    stale.push(Do::Data(SLOT_Z, OTHER | RW));
    let walk = [Do::Access(Z, Read, None)];
    let one = [&filled[..], &walk].concat();
    let bad = [Bad::Sees(0, 4, NEW)];
    suite.add(
        "ROT.own+dmbnshst",
        HERD,
        stale.clone(),
        &[&one],
        &bad,
        false,
        None,
    );
    let bad = [Bad::Sees(1, 0, NEW)];
    suite.add(
        "ROT.inv+dmbnshst",
        HERD,
        stale,
        &[&filled, &walk],
        &bad,
        true,
        None,
    );
}

/// Programs that rely on no access: the rules judge their stores alone.
pub fn two_translations(suite: &mut Suite) {
    let nothing = |va| Do::Access(va, Read, None);
    let map: &[Do] = &[x(PAGE | RW)];
    let again = [nothing(X), nothing(X)];
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 1)];
    suite.add(
        "CoTTf.inv+po",
        ESOP,
        start(0),
        &[map, &again],
        &bad,
        true,
        None,
    );
    let settled = [nothing(X), dsb(Ish), ISB, nothing(X)];
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 3)];
    suite.add(
        "CoTTf.inv+dsb-isb",
        ESOP,
        start(0),
        &[map, &settled],
        &bad,
        false,
        None,
    );
    // A table that is linked: its old contents are whatever the frame held.
    let link = Do::Store(LINK_Z, Z, 2, SPARE | 3);
    let z = Do::Store(SLOT_Z, Z, 3, PAGE | RW);
    let filled = |barrier: &[Do]| [&[Do::Zero(SPARE), z][..], barrier, &[link]].concat();
    let mut stale = start(0);
    stale.push(Do::Data(SLOT_Z, OTHER | RW));
    let bad = [Bad::Sees(1, 0, NEW)];
    let walk = [nothing(Z)];
    suite.add(
        "ROT.inv+po",
        ESOP,
        stale.clone(),
        &[&filled(&[]), &walk],
        &bad,
        true,
        None,
    );
    let ordered = filled(&[dmb(Ishst)]);
    suite.add(
        "ROT.inv+dmbst",
        ESOP,
        stale.clone(),
        &[&ordered, &walk],
        &bad,
        false,
        None,
    );
    let ordered = filled(&[dsb(Ish)]);
    suite.add(
        "ROT.inv+dsb",
        ESOP,
        stale.clone(),
        &[&ordered, &walk],
        &bad,
        false,
        None,
    );
    // The zeroes are in order, and what is stored into them is not.
    let late = [Do::Zero(SPARE), dmb(Ishst), z, link];
    let strict = Some(Cause::WholeTable);
    suite.add(
        "ROT.zeroes+po",
        ESOP,
        stale,
        &[&late, &walk],
        &bad,
        false,
        strict,
    );
    // Message passing by translations alone.
    let maps = |barrier: &[Do]| {
        let y = Do::Store(SLOT_Y, Y, 3, PAGE | RW);
        [&[x(PAGE | RW)], barrier, &[y]].concat()
    };
    let reads = |between: &[Do]| [&[nothing(Y)], between, &[nothing(X)]].concat();
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 1)];
    suite.add(
        "MP.TTf.inv+po+po",
        ESOP,
        start(0),
        &[&maps(&[]), &reads(&[])],
        &bad,
        true,
        None,
    );
    let bad = [Bad::Works(1, 0), Bad::Faults(1, 3)];
    let (written, seen) = (maps(&[dmb(Ish)]), reads(&[dsb(Ish), ISB]));
    suite.add(
        "MP.TTf.inv+dmb+dsb-isb",
        ESOP,
        start(0),
        &[&written, &seen],
        &bad,
        false,
        None,
    );
    // Ordinary memory.
    let buffered = |mine, theirs, between: &[Do]| {
        [&[Do::Data(mine, 1)], between, &[Do::Load(theirs)]].concat()
    };
    let both = |between: &[Do]| {
        let end = between.len() + 1;
        let cores = [
            buffered(FLAG, FLAG2, between),
            buffered(FLAG2, FLAG, between),
        ];
        (cores, [Bad::Sees(0, end, 0), Bad::Sees(1, end, 0)])
    };
    for (name, between, allowed) in [
        ("SB", &[][..], true),
        ("SB+dmbs", &[dmb(Ish)], false),
        ("SB+dmbsts", &[dmb(Ishst)], true),
        ("SB+dsbs", &[dsb(Ish)], false),
    ] {
        let ([one, two], bad) = both(between);
        suite.add(name, HERD, start(0), &[&one, &two], &bad, allowed, None);
    }
    let written = |between: &[Do]| [&[SET], between, &[SET2]].concat();
    let seen = |between: &[Do]| [&[Do::Load(FLAG2)], between, &[Do::Load(FLAG)]].concat();
    for (name, there, here, allowed) in [
        ("MP", &[][..], &[][..], true),
        ("MP+dmbst+po", &[dmb(Ishst)], &[], true),
        ("MP+po+dmbld", &[], &[dmb(Ishld)], true),
        ("MP+dmbst+dmbld", &[dmb(Ishst)], &[dmb(Ishld)], false),
        ("MP+dmbst+dsbst", &[dmb(Ishst)], &[dsb(Ishst)], true),
        ("MP+dmb+dsb", &[dmb(Ish)], &[dsb(Ish)], false),
    ] {
        let (one, two) = (written(there), seen(here));
        let bad = [Bad::Sees(1, 0, 1), Bad::Sees(1, two.len() - 1, 0)];
        suite.add(name, HERD, start(0), &[&one, &two], &bad, allowed, None);
    }
}
