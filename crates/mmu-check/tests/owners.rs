//! Who had a frame last, and which frames cannot be freed.

use std::panic::Location;

use mmu_check::owners::{Misfreed, Owner, Owners};

const RAM: u64 = 0x4000_0000;

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn the_last_owner_is_known_by_task_and_place() {
    let mut owners = Owners::new(RAM, 0x4000);
    let (first, second) = (here(), here());
    assert_eq!(owners.of(RAM), None);
    owners.allocated(RAM, 7, first);
    let allocated = Owner {
        freed: false,
        task: 7,
        site: first,
    };
    // By any address in it, and of no other.
    assert_eq!(owners.of(RAM + 0xFFF), Some(allocated));
    assert_eq!(owners.of(RAM + 0x1000), None);
    assert_eq!(owners.freed(RAM, 8, second), Ok(()));
    let text = owners.of(RAM).unwrap().to_string();
    assert_eq!(text, format!("freed by task 8 at {second}"));
    owners.allocated(RAM, 9, first);
    assert_eq!(owners.of(RAM).map(|owner| owner.freed), Some(false));
}

#[test]
fn a_second_free_names_the_first() {
    let mut owners = Owners::new(RAM, 0x4000);
    let (first, second) = (here(), here());
    owners.allocated(RAM + 0x3000, 1, first);
    assert_eq!(owners.freed(RAM + 0x3000, 2, first), Ok(()));
    let twice = owners.freed(RAM + 0x3000, 3, second).unwrap_err();
    assert_eq!(
        twice.to_string(),
        format!("is freed twice: it was freed by task 2 at {first}")
    );
    // It stays the first one's.
    assert_eq!(owners.of(RAM + 0x3000).map(|owner| owner.task), Some(2));
}

#[test]
fn what_was_never_allocated_is_not_freed() {
    let mut owners = Owners::new(RAM, 0x4000);
    for frame in [RAM, RAM - 0x1000, RAM + 0x4000, 0, u64::MAX] {
        let freed = owners.freed(frame, 1, here());
        assert_eq!(freed, Err(Misfreed::NotAllocated), "{frame:#x}");
        // And outside of the stretch nothing is remembered.
        owners.allocated(frame, 1, here());
        assert_eq!(owners.of(frame).is_some(), frame == RAM, "{frame:#x}");
    }
}
