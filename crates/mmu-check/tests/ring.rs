//! The ring of the last events: which it keeps, and how many stores are one.

use mmu_check::event::{Event, Ring, What};

fn event(sequence: u32, what: What) -> Event {
    Event {
        sequence,
        time: u64::from(sequence),
        core: 1,
        task: 2,
        what,
    }
}

fn store(sequence: u32, index: u64) -> Event {
    let what = What::Store {
        slot: 0x4000_0000 + 8 * index,
        va: 0xFFFF_8000_0000_0000 + 0x1000 * index,
        level: 3,
        old: 0,
        new: 0x5000_0703 + 0x1000 * index,
    };
    event(sequence, what)
}

#[test]
fn the_last_are_kept_oldest_first() {
    let ring: Ring<3> = Ring::new();
    assert_eq!((ring.count(), ring.last(3).count()), (0, 0));
    for sequence in 0..5 {
        ring.push(event(sequence, What::Isb));
    }
    let last = |count| ring.last(count).map(|e| e.sequence).collect::<Vec<_>>();
    assert_eq!(ring.count(), 5);
    assert_eq!(last(100), [2, 3, 4]);
    assert_eq!(last(2), [3, 4]);
    assert_eq!(last(0), [0; 0]);
}

#[test]
fn a_run_of_stores_is_one_event() {
    let ring: Ring<4> = Ring::new();
    for n in 0..100 {
        ring.push(store(n, n.into()));
    }
    ring.push(event(100, What::Isb));
    // Not the neighbour of the one before.
    ring.push(store(101, 7));
    let last: Vec<_> = ring.last(4).collect();
    assert_eq!(ring.count(), 3);
    assert!(
        matches!(last[0].what, What::Stores { count: 100, .. }),
        "{last:?}"
    );
    assert_eq!(last[1..], [event(100, What::Isb), store(101, 7)]);
}
