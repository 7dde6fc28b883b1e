//! Checks of one page, in three ways: by walking the tables, by an address translation of the MMU, and by a real access.

use stage1_paging::{Access, Frame, Level, Va};

use super::{Failure, failure, progress};
use crate::arch::{Fault, FaultKind, translate};
use crate::mem;
use crate::observe::access::{self, Expect};
use crate::observe::seam::HW;

/// Checks that the page is mapped to `frame` with `access`, and that its first word is `word`.
///
/// The store that is tried stores `word`, so it changes nothing. It must fault where `access` is read-only.
pub(super) fn mapped(va: Va, frame: Frame, access: Access, word: u64) -> Result<(), Failure> {
    progress::page_checked();
    let found = page(va)?;
    if found != Some((frame, access)) {
        return Err(failure!(
            "{va}: the tables say {found:?}, expected {frame:?} {access:?}"
        ));
    }
    match translate::read(HW, va) {
        Ok(pa) if pa == frame.pa() => {}
        other => {
            return Err(failure!(
                "{va}: AT S1E1R says {other:?}, expected {frame:?}"
            ));
        }
    }
    match (translate::write(HW, va), access.is_writable()) {
        (Ok(pa), true) if pa == frame.pa() => {}
        (Err(fault), false) if is_permission(fault) => {}
        (other, _) => {
            return Err(failure!(
                "{va}: AT S1E1W says {other:?}, expected {access:?}"
            ));
        }
    }
    touch(va, word)?;
    let expect = if access.is_writable() {
        Expect::Works
    } else {
        Expect::Faults
    };
    match (try_store(va, word, expect), expect) {
        (Ok(()), Expect::Works) => Ok(()),
        (Err(fault), Expect::Faults) if is_permission(fault) => Ok(()),
        (other, _) => Err(failure!(
            "{va}: a store gives {other:?}, expected {access:?}: is the old translation still in the TLB?"
        )),
    }
}

/// Checks that the page is not mapped: the tables have no leaf for it, its translation faults, and so does a load.
pub(super) fn unmapped(va: Va) -> Result<(), Failure> {
    progress::page_checked();
    if let Some(found) = page(va)? {
        return Err(failure!("{va}: the tables say {found:?}, expected none"));
    }
    match translate::read(HW, va) {
        Err(fault) if is_translation(fault) => {}
        other => {
            return Err(failure!(
                "{va}: AT S1E1R says {other:?}, expected a translation fault"
            ));
        }
    }
    unreachable(va)
}

/// What the tables say of a page, which no block maps: its frame and permissions, if it is mapped.
fn page(va: Va) -> Result<Option<(Frame, Access)>, Failure> {
    match mem::lookup(va) {
        None => Err(failure!("{va}: no tables translate it")),
        Some((Level::L3, desc)) if desc.is_valid() => {
            Ok(Some((desc.frame(Level::L3), desc.access())))
        }
        Some((level, desc)) if desc.is_valid() => {
            Err(failure!("{va}: the tables say a block of {level:?}"))
        }
        Some(_) => Ok(None),
    }
}

/// Checks that a load faults: no translation of the page is left in the TLB.
pub(super) fn unreachable(va: Va) -> Result<(), Failure> {
    match access::read(va, Expect::Faults) {
        Err(fault) if is_translation(fault) => Ok(()),
        other => Err(failure!(
            "{va}: a load gives {other:x?}, expected a translation fault: is the old translation still in the TLB?"
        )),
    }
}

/// Loads the page's first word and checks it. From then on its translation is in the TLB.
pub(super) fn touch(va: Va, word: u64) -> Result<(), Failure> {
    match access::read(va, Expect::Works) {
        Ok(found) if found == word => Ok(()),
        other => Err(failure!(
            "{va}: a load gives {other:x?}, expected {word:#x}"
        )),
    }
}

/// Stores to the page's first word, where that must work. Returns the fault if it does not.
pub(super) fn store(va: Va, word: u64) -> Result<(), Fault> {
    try_store(va, word, Expect::Works)
}

fn try_store(va: Va, word: u64, expect: Expect) -> Result<(), Fault> {
    // SAFETY: workloads call this with pages of an area or a task space of their own, which no Rust
    // object lies in.
    unsafe { access::write(va, word, expect) }
}

fn is_translation(fault: Fault) -> bool {
    matches!(fault.kind, FaultKind::Translation(_))
}

fn is_permission(fault: Fault) -> bool {
    matches!(fault.kind, FaultKind::Permission(_))
}
