//! What the tests share.
#![allow(dead_code, reason = "each test binary uses a part")]

use stage1_paging::model::{Event, Model, Seen};
use stage1_paging::*;

pub const PLAIN: Features = Features {
    range: false,
    ttl: false,
};
pub const FULL: Features = Features {
    range: true,
    ttl: true,
};

pub const TASK: Half = Half::Lower(Asid(5));

pub fn frame(number: u64) -> Frame {
    Frame::containing(Pa::new(number << 12).unwrap())
}

/// Frames far from the model's tables.
pub fn ram(n: u64) -> Frame {
    frame(0x8_0000 + n)
}

pub fn pages(va: u64, n: u64) -> Pages {
    Pages::new(Va::new(va), n).unwrap()
}

/// What every core may see at `va`.
pub fn seen(model: &Model, space: &Space<'_, Model>, va: u64) -> Vec<Vec<Seen>> {
    (0..2)
        .map(|core| model.access(core, space, Va::new(va)))
        .collect()
}

/// That both cores see this and nothing else.
pub fn only(seen: Seen) -> Vec<Vec<Seen>> {
    vec![vec![seen]; 2]
}

/// Two cores that have everything.
pub fn model() -> Model {
    Model::new(2, FULL)
}

/// What went wrong, where, and how many pages were done.
pub fn failure<T: std::fmt::Debug>(result: Result<T, Error>) -> (What, u64, u64) {
    let e = result.unwrap_err();
    (e.what, e.at.raw(), e.done)
}

/// Address, first frame and level of every mapping.
pub fn list(space: &Space<'_, Model>, pages: Pages) -> Vec<(u64, u64, Level)> {
    let each = |m: Mapping| (m.va.raw(), m.frame().pa().raw() >> 12, m.level);
    space.mappings(pages).unwrap().map(each).collect()
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Counts {
    pub stores: usize,
    pub dmb: usize,
    pub dsb: usize,
    pub isb: usize,
    pub tlbi: usize,
}

pub fn count(events: &[Event]) -> Counts {
    let n = |f: fn(&Event) -> bool| events.iter().filter(|e| f(e)).count();
    Counts {
        stores: n(|e| matches!(e, Event::Store { .. })),
        dmb: n(|e| matches!(e, Event::Dmb)),
        dsb: n(|e| matches!(e, Event::DsbIshst | Event::DsbIsh)),
        isb: n(|e| matches!(e, Event::Isb)),
        tlbi: n(|e| matches!(e, Event::Tlbi(_))),
    }
}

/// The events in one letter each: `s` a valid store, `c` a clearing one, `m` DMB, `d` `dsb ishst`,
/// `D` `dsb ish`, `i` ISB, `t` TLBI, `a` and `f` a table allocated and freed.
pub fn trace(events: &[Event]) -> String {
    let letter = |e: &Event| match e {
        Event::Store { new, .. } if new.is_valid() => 's',
        Event::Store { .. } => 'c',
        Event::Dmb => 'm',
        Event::DsbIshst => 'd',
        Event::DsbIsh => 'D',
        Event::Isb => 'i',
        Event::Tlbi(_) => 't',
        Event::Alloc(_) => 'a',
        Event::Free(_) => 'f',
    };
    events.iter().map(letter).collect()
}

/// A sink that remembers.
#[derive(Default, Debug)]
pub struct Parked(pub Vec<Mapping>);

impl Sink for Parked {
    fn park(&mut self, mapping: Mapping) {
        self.0.push(mapping);
    }
}
