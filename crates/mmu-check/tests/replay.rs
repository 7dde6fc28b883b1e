//! The replay: its automata agree with `lazy-mmu`, its closed form with both, and what it cannot predict it
//! refuses.
#![cfg(feature = "machine")]

#[path = "any/numbers.rs"]
mod numbers;

use std::cell::{Cell, RefCell};

use lazy_mmu::{Chosen, Cpu, Misuse, TaskMmu};
use mmu_check::event::{Barrier, Call, Policy, What};
use mmu_check::replay::{Replay, ReplayError};
use mmu_check::{Op, Operand};
use numbers::Numbers;

const BEGIN: What = What::Call(Call::Enable);
const END: What = What::Call(Call::Disable);
const OWE: What = What::Owe;
const REENTER: What = What::Reenter { begin: true };
const REENTERED: What = What::Reenter { begin: false };

const PAUSE: What = What::Call(Call::Pause);
const RESUME: What = What::Call(Call::Resume);

const ISHST: What = What::Dsb(Barrier::Ishst);
const ISH: What = What::Dsb(Barrier::Ish);

fn tlbi() -> What {
    What::tlbi(Op::VMALLE1IS, Operand::NONE)
}

/// What a task does, as a tree: sections and re-entries nest.
#[derive(Clone, Debug)]
enum Item {
    Owe,
    Invalidate,
    Section(Vec<Item>),
    Reenter(Vec<Item>),
    Pause(Vec<Item>),
}

/// A processor whose pairs are counted where they are executed; and what it would report.
#[derive(Default)]
struct Counted {
    pairs: Cell<u64>,
    events: RefCell<Vec<What>>,
}

impl Cpu for Counted {
    fn publish(&self) {
        self.pairs.set(self.pairs.get() + 1);
    }

    /// The exclusive contract reports a section inside a pause, which is no mistake of these.
    fn misuse(&self, misuse: Misuse) {
        let inside = [Misuse::EnableWhilePaused, Misuse::DisableWhilePaused];
        assert!(inside.contains(&misuse), "{misuse}");
    }

    fn called(&self, call: lazy_mmu::Call) {
        self.report(What::Call(call.into()));
    }
}

impl Counted {
    fn report(&self, what: What) {
        self.events.borrow_mut().push(what);
    }
}

/// The mode itself.
struct Real<'a> {
    mmu: TaskMmu<Chosen, &'a Counted>,
    cpu: &'a Counted,
    settles: bool,
}

impl Real<'_> {
    fn run(policy: lazy_mmu::Policy, settles: bool, items: &[Item]) -> (u64, Vec<What>) {
        let cpu = Counted::default();
        let real = Real {
            mmu: TaskMmu::hosted(Chosen::new(policy), &cpu),
            cpu: &cpu,
            settles,
        };
        real.make(items);
        assert_eq!(real.mmu.end_of_task(), Ok(()), "{items:?}");
        (cpu.pairs.get(), cpu.events.take())
    }

    fn make(&self, items: &[Item]) {
        for item in items {
            match item {
                Item::Owe => {
                    self.cpu.report(OWE);
                    self.mmu.owe();
                }
                Item::Invalidate => {
                    if self.settles {
                        self.mmu.settled_by(|| ());
                    }
                    for what in [ISHST, tlbi(), tlbi(), ISH] {
                        self.cpu.report(what);
                    }
                }
                Item::Section(items) => self.mmu.section(|_| self.make(items)),
                Item::Reenter(items) => {
                    self.cpu.report(REENTER);
                    self.mmu.reenter(|| self.make(items));
                    self.cpu.report(REENTERED);
                }
                Item::Pause(items) => {
                    self.mmu.lazy_mmu_mode_pause();
                    self.make(items);
                    self.mmu.lazy_mmu_mode_resume();
                }
            }
        }
    }
}

/// Of events that it takes.
fn replay(events: &[What]) -> Replay {
    replay_from(Replay::new(true), events)
}

fn replay_from(mut replay: Replay, events: &[What]) -> Replay {
    for what in events {
        assert!(Replay::takes(what));
        assert_eq!(replay.step(what), Ok(()), "{events:?}");
    }
    replay
}

/// Makes the calls under every policy, compares its pairs with those of its table, and returns the replay.
fn agree(items: &[Item]) -> Replay {
    agree_where(true, items)
}

/// In a kernel whose invalidations settle what is pending, or do not.
fn agree_where(settles: bool, items: &[Item]) -> Replay {
    let mut first: Option<Replay> = None;
    for policy in lazy_mmu::Policy::ALL {
        let (pairs, events) = Real::run(policy, settles, items);
        let replay = replay_from(Replay::new(settles), &events);
        assert_eq!(replay.pairs(policy), pairs, "{policy} {items:?}");
        let first = first.get_or_insert(replay.clone());
        assert_eq!(
            (first.calls(), first.hash()),
            (replay.calls(), replay.hash()),
            "{policy} makes other calls in {items:?}"
        );
    }
    first.unwrap()
}

/// Where an item stands: what decides whether the mode may be paused there.
#[derive(Clone, Copy)]
struct Place {
    depth: u32,
    /// In a section that was begun since the last re-entry.
    in_section: bool,
    paused: bool,
}

impl Place {
    const OUTSIDE: Self = Self {
        depth: 5,
        in_section: false,
        paused: false,
    };

    fn inside(self) -> Self {
        Self {
            depth: self.depth - 1,
            ..self
        }
    }
}

fn items(numbers: &mut Numbers, at: Place) -> Vec<Item> {
    let count = numbers.below(5);
    (0..count).map(|_| item(numbers, at)).collect()
}

fn item(numbers: &mut Numbers, at: Place) -> Item {
    match numbers.below(6) {
        0 | 1 => Item::Owe,
        5 => Item::Invalidate,
        _ if at.depth == 0 => Item::Owe,
        2 => {
            let in_section = true;
            Item::Section(items(
                numbers,
                Place {
                    in_section,
                    ..at.inside()
                },
            ))
        }
        3 if at.in_section && !at.paused => {
            let paused = true;
            Item::Pause(items(
                numbers,
                Place {
                    paused,
                    ..at.inside()
                },
            ))
        }
        _ => {
            let in_section = false;
            Item::Reenter(items(
                numbers,
                Place {
                    in_section,
                    ..at.inside()
                },
            ))
        }
    }
}

#[test]
fn every_table_says_what_the_mode_does() {
    let mut numbers = Numbers(1);
    let (mut deepest, mut pairs) = (0, [0; 5]);
    for n in 0..20_000 {
        let items = items(&mut numbers, Place::OUTSIDE);
        let replay = agree(&items);
        if n % 4 == 0 {
            agree_where(false, &items);
        }
        deepest = deepest.max(replay.shape().depth);
        for (sum, &policy) in pairs.iter_mut().zip(Policy::ALL) {
            *sum += replay.pairs(policy);
        }
    }
    assert!(deepest >= 4, "{deepest}");
    // Under each policy the sum is another, but for the two contracts: no table stands in for another.
    let [eager, flat, reenter, v3, linux7] = pairs;
    assert!(eager > reenter && reenter > flat && flat > v3, "{pairs:?}");
    assert_eq!(v3, linux7);
}

/// What the workloads make: an outer section of stores, of invalidations, of the allocator's sections and of pauses with such a
/// section, and stores outside.
#[test]
fn the_closed_form_says_what_the_tables_say() {
    const LENGTH: u32 = 5;
    let inner = |items| Item::Reenter(vec![Item::Section(items)]);
    for choices in 0..11_u32.pow(LENGTH) {
        let (mut items, mut outer) = (Vec::new(), Vec::new());
        for n in 0..LENGTH {
            match choices / 11_u32.pow(n) % 11 {
                0 => outer.push(Item::Owe),
                1 => outer.push(Item::Invalidate),
                8 => outer.push(inner(vec![Item::Invalidate])),
                9 => outer.push(inner(vec![Item::Owe, Item::Invalidate])),
                10 => outer.push(inner(vec![Item::Invalidate, Item::Owe])),
                2 => outer.push(inner(vec![Item::Owe])),
                3 => outer.push(inner(Vec::new())),
                4 => outer.push(Item::Pause(vec![inner(vec![Item::Owe])])),
                5 => outer.push(Item::Pause(vec![Item::Owe])),
                6 => outer.push(Item::Pause(Vec::new())),
                _ => items.extend([Item::Section(std::mem::take(&mut outer)), Item::Owe]),
            }
        }
        items.push(Item::Section(outer));
        for replay in [agree(&items), agree_where(false, &items)] {
            form_is_as_tables(&replay, &items);
        }
    }
}

fn form_is_as_tables(replay: &Replay, items: &[Item]) {
    for &policy in Policy::ALL {
        let form = replay.shape().pairs(policy);
        assert_eq!(form, replay.pairs(policy), "{policy:?} {items:?}");
    }
}

/// By hand, from the policies' definitions: a store, an inner section of the allocator's with a store, a store.
#[test]
fn one_recording_has_other_pairs_under_each_policy() {
    let replay = replay(&[
        BEGIN, OWE, OWE, REENTER, BEGIN, OWE, OWE, END, REENTERED, OWE, OWE, END, OWE,
    ]);
    let pairs = Policy::ALL.iter().map(|&policy| replay.pairs(policy));
    // Flat: the inner end, two stores behind it, one outside. Reenter: before the allocator's, at its end, at
    // the end, and one outside. The contracts: the inner end, the end, and one outside.
    assert_eq!(pairs.collect::<Vec<_>>(), [7, 4, 4, 3, 3]);
}

#[test]
fn a_shape_says_what_was_done() {
    let replay = replay(&[
        OWE, BEGIN, OWE, OWE, BEGIN, END, OWE, BEGIN, OWE, END, END, BEGIN, OWE, END,
    ]);
    let shape = replay.shape();
    assert_eq!((shape.outside, shape.outer, shape.before_first), (1, 4, 3));
    assert_eq!((shape.idle, shape.idle_first, shape.reentries), (1, 1, 1));
    assert_eq!((shape.groups, shape.tails, shape.unbroken), (3, 1, 1));
    assert_eq!(shape.depth, 2);
}

/// By hand: a store that an invalidation settles, one that it does not, and an allocator that settles before its end.
#[test]
fn an_invalidation_settles_what_is_pending() {
    let events = [
        BEGIN,
        OWE,
        ISHST,
        tlbi(),
        tlbi(),
        ISH,
        OWE,
        REENTER,
        BEGIN,
        OWE,
        tlbi(),
        ISH,
        END,
        REENTERED,
        END,
    ];
    let pairs = |replay: Replay| {
        Policy::ALL
            .iter()
            .map(|&policy| replay.pairs(policy))
            .collect::<Vec<_>>()
    };
    // Reenter leaves the mode before the allocator's section.
    assert_eq!(pairs(replay(&events)), [3, 0, 1, 0, 0]);
    assert_eq!(
        pairs(replay_from(Replay::new(false), &events)),
        [3, 1, 2, 1, 1]
    );
    let shape = *replay(&events).shape();
    assert_eq!((shape.outer, shape.settled, shape.reentries), (2, 1, 0));
    assert_eq!((shape.groups, shape.tails, shape.idle), (1, 0, 0));
}

/// A handler's invalidation is none of the task's. Nor is a DSB without a TLBI, or one that completes none; and a TLBI alone
/// settles nothing.
#[test]
fn what_is_no_whole_invalidation_settles_nothing() {
    let irq = [What::IrqEnter, tlbi(), ISH, What::IrqExit];
    let others: [&[What]; 4] = [&irq, &[ISH], &[tlbi(), ISHST], &[tlbi()]];
    let calls = replay(&[BEGIN, OWE, END]).calls();
    for between in others {
        let replay = replay(&[&[BEGIN, OWE], between, &[END]].concat());
        assert_eq!(replay.pairs(Policy::V3), 1, "{between:?}");
        assert_eq!(replay.calls(), calls, "{between:?}");
    }
    // The task's own, which a handler comes in between of.
    let own = [&[BEGIN, OWE, tlbi()], &irq[..], &[ISH, END]].concat();
    assert_eq!(replay(&own).pairs(Policy::V3), 0);
}

/// The same number of calls, and the same pairs under most policies; but not the same work.
#[test]
fn another_order_has_another_hash() {
    let orders = [
        [BEGIN, OWE, BEGIN, OWE, END, END],
        [BEGIN, BEGIN, OWE, OWE, END, END],
        [BEGIN, OWE, END, BEGIN, OWE, END],
        [BEGIN, OWE, REENTER, OWE, REENTERED, END],
    ];
    let mut hashes = orders.map(|order| {
        let replay = replay(&order);
        assert_eq!(replay.calls(), 6);
        replay.hash()
    });
    hashes.sort_unstable();
    assert!(hashes.windows(2).all(|two| two[0] != two[1]), "{hashes:?}");
    assert_eq!(replay(&orders[0]).hash(), replay(&orders[0]).hash());
}

/// An event that it refuses leaves the recording as it was.
#[test]
fn what_cannot_be_predicted_is_refused() {
    use ReplayError::{Pause, Reentry, Section};
    let refused: [(&[What], What, ReplayError); 12] = [
        (&[], END, Section),
        (&[BEGIN, END], END, Section),
        // Of a section that its caller has begun.
        (&[BEGIN, OWE, REENTER], END, Section),
        (&[], REENTERED, Reentry),
        (&[REENTER, BEGIN], REENTERED, Reentry),
        (&[BEGIN, OWE], RESUME, Pause),
        (&[OWE], PAUSE, Pause),
        (&[BEGIN, PAUSE], PAUSE, Pause),
        (&[BEGIN, REENTER], PAUSE, Pause),
        (&[BEGIN, PAUSE, BEGIN], RESUME, Pause),
        // What was begun before the pause ends behind it.
        (&[BEGIN, PAUSE], END, Section),
        (
            &[BEGIN, REENTER, BEGIN, PAUSE, BEGIN, END],
            REENTERED,
            Reentry,
        ),
    ];
    for (before, what, error) in refused {
        let mut replay = replay(before);
        let (calls, hash) = (replay.calls(), replay.hash());
        assert!(Replay::takes(&what));
        assert_eq!(replay.step(&what), Err(error), "{before:?}");
        assert_eq!((replay.calls(), replay.hash()), (calls, hash));
        // It goes on.
        assert_eq!(replay.step(&OWE), Ok(()));
        assert_eq!(replay.calls(), calls + 1);
    }
}

#[test]
fn what_is_no_call_is_passed_over() {
    let mut replay = replay(&[BEGIN, OWE]);
    let hash = replay.hash();
    for what in [
        What::Isb,
        What::Free { frame: 0x1000 },
        What::Policy(Policy::V3),
    ] {
        assert!(!Replay::takes(&what));
        assert_eq!(replay.step(&what), Ok(()));
    }
    assert_eq!((replay.calls(), replay.hash()), (2, hash));
}
