//! Invalidations that are held back, to be made when it is too late.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use stage1_paging::{Batch, Tlbi};

/// A debt has four runs, and a run below 8 GiB takes five range operations: with room to spare.
const ROOM: usize = 64;

/// Form, operand, count and step of each.
static BATCHES: [[AtomicU64; 4]; ROOM] = [const { [const { AtomicU64::new(0) }; 4] }; ROOM];
static USED: AtomicUsize = AtomicUsize::new(0);

/// Whether something is held back.
pub(crate) fn any() -> bool {
    USED.load(Relaxed) > 0
}

/// Keeps one. Says whether there was room for it.
pub(crate) fn hold(batch: Batch) -> bool {
    let used = USED.load(Relaxed);
    let Some(place) = BATCHES.get(used) else {
        return false;
    };
    let (form, operand) = taken_apart(batch.first);
    let words = [form, operand, batch.count, batch.step];
    for (place, word) in place.iter().zip(words) {
        place.store(word, Relaxed);
    }
    USED.store(used + 1, Relaxed);
    true
}

/// Gives out all that were kept, in their order.
pub(crate) fn release(mut give: impl FnMut(Batch)) {
    for place in BATCHES.iter().take(USED.swap(0, Relaxed)) {
        let [form, operand, count, step] = [0, 1, 2, 3].map(|n: usize| place[n].load(Relaxed));
        give(Batch {
            first: put_together(form, operand),
            count,
            step,
        });
    }
}

/// Those with an operand, by number.
const FORMS: [fn(u64) -> Tlbi; 9] = [
    Tlbi::Vae1is,
    Tlbi::Vale1is,
    Tlbi::Vaae1is,
    Tlbi::Vaale1is,
    Tlbi::Rvae1is,
    Tlbi::Rvale1is,
    Tlbi::Rvaae1is,
    Tlbi::Rvaale1is,
    Tlbi::Aside1is,
];

fn taken_apart(tlbi: Tlbi) -> (u64, u64) {
    match tlbi {
        Tlbi::Vae1is(operand) => (0, operand),
        Tlbi::Vale1is(operand) => (1, operand),
        Tlbi::Vaae1is(operand) => (2, operand),
        Tlbi::Vaale1is(operand) => (3, operand),
        Tlbi::Rvae1is(operand) => (4, operand),
        Tlbi::Rvale1is(operand) => (5, operand),
        Tlbi::Rvaae1is(operand) => (6, operand),
        Tlbi::Rvaale1is(operand) => (7, operand),
        Tlbi::Aside1is(operand) => (8, operand),
        Tlbi::Vmalle1is => (FORMS.len() as u64, 0),
    }
}

fn put_together(form: u64, operand: u64) -> Tlbi {
    let form = FORMS.get(form as usize);
    form.map_or(Tlbi::Vmalle1is, |form| form(operand))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_back_as_it_was() {
        let all = FORMS.iter().map(|form| form(0xABCD_0000_1234));
        for tlbi in all.chain([Tlbi::Vmalle1is]) {
            let (form, operand) = taken_apart(tlbi);
            assert_eq!(put_together(form, operand), tlbi);
        }
    }
}
