//! Cores that go from one space of the lower half to another: what they have of the one that they have left.

use mmu_check::event::AccessKind::Read;
use mmu_check::event::Barrier::{Ish, Ishld, Ishst, Nshst};
use mmu_check::event::Expect::Faults;
use mmu_check::machine::EVIL_FRAME;
use mmu_check::machine::program::Do;

use crate::suite::*;

const SECOND: u64 = 0x12_0000;
const LEAVE: Do = Do::Ttbr0(SECOND, 2);
const BACK: Do = Do::Ttbr0(LOWER[0], 1);
const UNMAP: Do = Do::Store(SLOT_LOW, LOW, 3, 0);

pub fn spaces(suite: &mut Suite) {
    unmapped_by_who_has_left(suite);
    unmapped_for_who_has_left(suite);
    roots(suite);
}

/// The page is mapped, and there is a second root that maps nothing.
fn two_spaces() -> Vec<Do> {
    let mut start = lower();
    start.extend([Do::Zero(SECOND), dsb(Ish), ISB]);
    start
}

fn of_low() -> Do {
    tlbi("vae1is", 1 << 48 | 1)
}

/// A core unmaps a page of a space that it has left: its walker comes to the tables again when the core comes back.
fn unmapped_by_who_has_left(suite: &mut Suite) {
    let drop = of_low();
    for (name, between, allowed, stricter) in [
        (
            "CoWinvTa1.1+elsewhere-vae1is-dsb-isb",
            &[drop, dsb(Ish), BACK, ISB][..],
            false,
            Some(Cause::Elsewhere),
        ),
        (
            "CoWinvTa1.1+elsewhere-dsb-vae1is-dsb-isb",
            &[dsb(Ishst), drop, dsb(Ish), BACK, ISB],
            false,
            None,
        ),
        (
            "CoWinvTa1.1+elsewhere-vae1is-isb",
            &[drop, BACK, ISB, dsb(Ish), ISB],
            true,
            None,
        ),
    ] {
        let unmap = [LEAVE, ISB, UNMAP];
        let core = [&unmap, between, &[access(LOW, Read, Faults)]].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        let cores: [&[Do]; 2] = [&core, &[ISB]];
        suite.add(name, ESOP, two_spaces(), &cores, &bad, allowed, stricter);
    }
}

/// Core 0 unmaps a page of the space that core 1 has left. Core 1 comes back behind that.
fn unmapped_for_who_has_left(suite: &mut Suite) {
    let drop = of_low();
    let away = &[LEAVE, ISB][..];
    let stricter = Some(Cause::Elsewhere);
    for (name, leaves, unmap, allowed, stricter) in [
        (
            "MP.RTa1.1+tlbiis-dsb+away",
            away,
            &[UNMAP, drop, dsb(Ish)][..],
            false,
            stricter,
        ),
        (
            "MP.RTa1.1+tlbiis-W-dsb+away",
            away,
            &[drop, UNMAP, dsb(Ish)],
            false,
            stricter,
        ),
        (
            "MP.RTa1.1+dsb-tlbiis-dsb+away",
            away,
            &[UNMAP, dsb(Ishst), drop, dsb(Ish)],
            false,
            None,
        ),
        (
            "MP.RTa1.1+tlbiis-dmb+away",
            away,
            &[UNMAP, drop, dmb(Ish)],
            true,
            None,
        ),
        (
            "MP.RTa1.1+tlbi-dsb+away",
            away,
            &[UNMAP, tlbi("vae1", 1 << 48 | 1), dsb(Ish)],
            true,
            None,
        ),
        (
            "MP.RTa1.1+tlbiis-dsb+po",
            &[LEAVE],
            &[UNMAP, drop, dsb(Ish)],
            true,
            None,
        ),
        (
            "MP.RTa1.1+tlbiis-W-dsb+po",
            &[LEAVE],
            &[drop, UNMAP, dsb(Ish)],
            true,
            None,
        ),
    ] {
        let one = [&[SEE, dmb(Ishld)], unmap, &[SET2]].concat();
        let back = [SET, SEE2, dmb(Ishld), BACK, ISB, access(LOW, Read, Faults)];
        let two = [leaves, &back].concat();
        let bad = [Bad::Works(1, two.len() - 1)];
        let cores: [&[Do]; 2] = [&one, &two];
        suite.add(name, ESOP, two_spaces(), &cores, &bad, allowed, stricter);
    }
}

/// A core makes a root and takes it.
fn roots(suite: &mut Suite) {
    // Core 1 runs too.
    const NEW_ROOT: u64 = 0x12_0000;
    let mut start = lower();
    start.extend([
        Do::Data(NEW_ROOT, EVIL_FRAME | 3),
        Do::Data(NEW_ROOT + 8, EVIL_FRAME | 3),
        dsb(Ish),
    ]);
    for (name, between, allowed, stricter) in [
        ("ROOT.own+po", &[][..], true, None),
        ("ROOT.own+dmbst", &[dmb(Ishst)], true, None),
        ("ROOT.own+dsbst", &[dsb(Ishst)], false, None),
        (
            "ROOT.own+dsbnshst",
            &[dsb(Nshst)],
            false,
            Some(Cause::WholeTable),
        ),
    ] {
        let put = [Do::Ttbr0(NEW_ROOT, 2), ISB, access(LOW, Read, Faults)];
        let core = [&[Do::Zero(NEW_ROOT)], between, &put].concat();
        let bad = [Bad::Works(0, core.len() - 1)];
        let cores: [&[Do]; 2] = [&core, &[ISB]];
        suite.add(name, ESOP, start.clone(), &cores, &bad, allowed, stricter);
    }
}
