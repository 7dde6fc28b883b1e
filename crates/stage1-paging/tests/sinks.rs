//! Which mappings a sink is given, when it may free them, and that one with bounds is never given more than it takes.

mod common;

use common::*;
use stage1_paging::model::{Event, Model};
use stage1_paging::*;

const VA: u64 = 1 << 30;

/// Takes `bound` mappings, and no more until it is emptied.
struct Bounded<'m> {
    bound: usize,
    model: &'m Model,
    parked: Vec<Mapping>,
    /// What was freed on the way, in order, and how many each time.
    freed: Vec<Mapping>,
    batches: Vec<usize>,
    /// The same tables, for looking whether anybody can still get to what is freed.
    tables: Option<Space<'m, Model>>,
}

impl<'m> Bounded<'m> {
    fn new(bound: usize, model: &'m Model) -> Self {
        Bounded {
            bound,
            model,
            parked: Vec::new(),
            freed: Vec::new(),
            batches: Vec::new(),
            tables: None,
        }
    }

    /// For an operation that clears the descriptors of what it parks.
    fn looking_at(mut self, space: &Space<'m, Model>) -> Self {
        self.tables = Some(Space::new(self.model, space.root(), space.half()));
        self
    }
}

impl Sink for Bounded<'_> {
    fn park(&mut self, mapping: Mapping) {
        assert!(self.parked.len() < self.bound, "{} at once", self.bound + 1);
        self.parked.push(mapping);
    }

    fn room(&self) -> usize {
        self.bound - self.parked.len()
    }

    fn release(&mut self, _: &Done) {
        if let Some(tables) = &self.tables {
            for mapping in &self.parked {
                let all = seen(self.model, tables, mapping.va.raw()).concat();
                let frame = mapping.frame();
                let stale =
                    |seen: &model::Seen| matches!(seen, model::Seen::Page(at, _) if *at == frame);
                assert!(!all.iter().any(stale), "{mapping:?} is freed: {all:?}");
            }
        }
        self.batches.push(self.parked.len());
        self.freed.append(&mut self.parked);
    }
}

/// Maps `n` pages from `VA` on, uses each from both cores, and returns the mappings.
fn map_used(model: &Model, space: &Space<'_, Model>, n: u64) -> (Pages, Vec<Mapping>) {
    let area = pages(VA, n);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    area.iter()
        .for_each(|va| drop(seen(model, space, va.raw())));
    (area, space.mappings(area).unwrap().collect())
}

#[test]
fn unmap_empties_a_full_sink_after_paying_and_goes_on() {
    for (bound, batches) in [(1, 699), (7, 99), (512, 1), (700, 0), (1000, 0)] {
        let model = model();
        let space = model.space(TASK);
        let (area, mapped) = map_used(&model, &space, 700);
        let _ = model.events();
        let mut gather = space.gather(Bounded::new(bound, &model).looking_at(&space));
        assert_eq!(space.unmap(area, &mut gather), Ok(700), "{bound}");
        let (sink, done) = gather.finish();
        assert!(!done.is_of_all(TASK), "the ASID is still in use");
        assert_eq!(sink.batches, vec![bound; batches]);
        let all = [sink.freed, sink.parked].concat();
        assert_eq!(all, mapped, "{bound}");
        let counts = count(&model.events());
        assert_eq!(counts.isb, batches + 1, "one payment for each batch");
    }
}

/// One page after the other too, with a cursor and without.
#[test]
fn one_page_is_parked_when_there_is_room() {
    for by_cursor in [false, true] {
        let model = model();
        let space = model.space(TASK);
        let (area, mapped) = map_used(&model, &space, 20);
        let mut gather = space.gather(Bounded::new(3, &model).looking_at(&space));
        let mut cursor = space.cursor(area);
        for page in area.chunks(1) {
            if by_cursor {
                assert_eq!(cursor.unmap(page.start(), &mut gather), Ok(true));
            } else {
                assert_eq!(space.unmap(page, &mut gather), Ok(1));
            }
        }
        let (sink, _) = gather.finish();
        assert_eq!(sink.batches, [3; 6], "by cursor: {by_cursor}");
        assert_eq!([sink.freed, sink.parked].concat(), mapped);
    }
}

#[test]
fn destroy_works_with_a_sink_that_has_bounds() {
    for (bound, batches) in [(1, 699), (7, 99), (512, 1), (700, 0)] {
        let model = model();
        let space = model.space(TASK);
        let (_, mapped) = map_used(&model, &space, 700);
        let before = model.tables();
        assert!(before > 0);
        let _ = model.events();
        let (sink, done) = space.destroy(Bounded::new(bound, &model));
        assert_eq!(sink.batches, vec![bound; batches]);
        assert_eq!([sink.freed, sink.parked].concat(), mapped, "{bound}");
        assert!(done.is_of_all(TASK), "the ASID may be reused");
        let other = Half::Lower(Asid(77));
        assert!(!done.is_of_all(other) && !done.is_of_all(Half::Upper));
        assert_eq!(model.tables(), 0, "every table is freed");
        // Of the whole half, before the first frame goes and before the tables go; nothing is walked between.
        let tlbis = model.events().into_iter().filter_map(|event| match event {
            Event::Tlbi(tlbi) => Some(tlbi),
            _ => None,
        });
        assert!(
            tlbis.eq(vec![Tlbi::all(TASK); 1 + batches.min(1)]),
            "{bound}"
        );
        assert_eq!(model.conflicts(), []);
    }
}

#[test]
fn replace_empties_a_full_sink_and_goes_on() {
    for bound in [1, 5, 512, 600] {
        let model = model();
        let space = model.space(TASK);
        let (area, mapped) = map_used(&model, &space, 600);
        let new: Vec<Frame> = (0..600).map(|n| ram(5000 + n)).collect();
        let mut gather = space.gather(Bounded::new(bound, &model).looking_at(&space));
        space
            .replace(area.start(), &new, Prot::RW, &mut gather)
            .unwrap();
        let (sink, _done) = gather.finish();
        assert_eq!([sink.freed, sink.parked].concat(), mapped, "{bound}");
        let found = list(&space, area).into_iter().map(|(_, frame, _)| frame);
        assert!(found.eq(new.iter().map(|frame| frame.pa().raw() >> 12)));
    }
}

/// Makes no room: it is given one mapping after the other all the same, and each is paid for first.
#[test]
fn a_sink_that_makes_no_room_is_given_more_all_the_same() {
    struct Stubborn(Vec<Mapping>, usize);
    impl Sink for Stubborn {
        fn park(&mut self, mapping: Mapping) {
            self.0.push(mapping);
        }
        fn room(&self) -> usize {
            0
        }
        fn release(&mut self, _: &Done) {
            self.1 += 1;
        }
    }
    let model = model();
    let space = model.space(TASK);
    let (area, mapped) = map_used(&model, &space, 5);
    let mut gather = space.gather(Stubborn(Vec::new(), 0));
    assert_eq!(space.unmap(area, &mut gather), Ok(5));
    let (Stubborn(parked, releases), _done) = gather.finish();
    assert_eq!((parked, releases), (mapped, 5));
}

/// The frames that `replace` parks where pages had those of `old` and get those of `new`.
fn parked_by_replace(old: &[Frame], new: &[Frame]) -> Vec<Frame> {
    let model = model();
    let space = model.space(TASK);
    let area = pages(VA, old.len() as u64);
    space
        .map_frames(area, old.iter().copied(), Prot::RW)
        .unwrap();
    let mut gather = space.gather(Parked::default());
    space
        .replace(area.start(), new, Prot::RW, &mut gather)
        .unwrap();
    let (parked, _done) = gather.finish();
    let found: Vec<Frame> = space.mappings(area).unwrap().map(Mapping::frame).collect();
    assert_eq!(found, new);
    parked.0.into_iter().map(Mapping::frame).collect()
}

#[test]
fn replace_parks_no_frame_that_stays_mapped() {
    let [a, b, c, d] = [ram(0), ram(1), ram(2), ram(3)];
    assert_eq!(parked_by_replace(&[a, b], &[b, a]), []);
    assert_eq!(parked_by_replace(&[a, b, c], &[b, c, a]), []);
    assert_eq!(parked_by_replace(&[a, b, c], &[b, c, d]), [a]);
    assert_eq!(parked_by_replace(&[a, b], &[a, a]), [b]);
    assert_eq!(parked_by_replace(&[a, a], &[a, b]), []);
    assert_eq!(parked_by_replace(&[b, b], &[a, c]), [b, b]);
    // Over more than a table, and by frames that share what the search looks at first: some 16 MiB apart, or between others.
    let run = |first: u64, step: usize| {
        (first..first + 9000)
            .step_by(step)
            .map(ram)
            .collect::<Vec<_>>()
    };
    let (even, odd) = (run(0, 2), run(1, 2));
    assert_eq!(parked_by_replace(&even, &odd), even);
    let turned = [&even[1..], &even[..1]].concat();
    assert_eq!(parked_by_replace(&even, &turned), []);
    let apart = |n: u64| ram(n * 4096);
    let (some, others): (Vec<_>, Vec<_>) = (0..40).map(|n| (apart(n), apart(n + 20))).unzip();
    assert_eq!(parked_by_replace(&some, &others), &some[..20]);
}

#[test]
fn replace_gives_nothing_to_a_sink_that_does_not_collect() {
    struct Deaf;
    impl Sink for Deaf {
        const COLLECTS: bool = false;
        fn park(&mut self, mapping: Mapping) {
            panic!("{mapping:?}");
        }
    }
    let model = model();
    let space = model.space(TASK);
    let area = pages(VA, 3);
    space.map(area, ram(0), Prot::RW, Fit::Pages).unwrap();
    let mut gather = space.gather(Deaf);
    // New, the same, and another page's.
    let new = [ram(9), ram(1), ram(0)];
    space
        .replace(area.start(), &new, Prot::RW, &mut gather)
        .unwrap();
    gather.finish();
    for (page, frame) in area.chunks(1).zip(new) {
        let replaced = only(model::Seen::Page(frame, Prot::RW));
        assert_eq!(seen(&model, &space, page.start().raw()), replaced);
    }
}
