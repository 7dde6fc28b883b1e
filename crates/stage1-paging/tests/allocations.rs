//! The n-th allocation of a table fails, for every n, in every operation that allocates: what is done is what the error says, nothing
//! is lost or owed, and with memory again the operation goes on from there.

mod common;

use common::*;
use stage1_paging::model::{Model, Seen};
use stage1_paging::*;

const GIB: u64 = 1 << 30;

/// Pages on both sides of a boundary of 1 GiB: two last-level tables, each under a table of its own.
fn across() -> Pages {
    pages(3 * GIB - 4 * PAGE_SIZE, 8)
}

/// Where moves come from: beside the boundary of a table.
fn source() -> Pages {
    pages(2 * GIB - 8 * PAGE_SIZE, 8)
}

fn map_source(space: &Space<'_, Model>) {
    space.map(source(), ram(0), Prot::RW, Fit::Pages).unwrap();
}

fn move_to(space: &Space<'_, Model>, skip: u64, to: Pages) -> Result<u64, Error> {
    let mut gather = space.gather(());
    let moved = space.move_pages(source().skip(skip), to.skip(skip).start(), &mut gather);
    gather.finish();
    moved
}

/// An operation on what `prepare` has made, from page `skip` on: it returns the error of a table that it cannot have.
struct Operation {
    name: &'static str,
    prepare: fn(&Space<'_, Model>),
    run: fn(&mut Space<'_, Model>, u64) -> Result<(), Error>,
    /// It stops part of the way, behind the pages that the error names; or else leaves every mapping as it was.
    part_of_the_way: bool,
}

const OPERATIONS: [Operation; 7] = [
    Operation {
        name: "map",
        prepare: |_| (),
        run: |space, skip| space.map(across().skip(skip), ram(skip), Prot::RW, Fit::Pages),
        part_of_the_way: true,
    },
    Operation {
        name: "map_frames",
        prepare: |_| (),
        run: |space, skip| space.map_frames(across().skip(skip), (skip..8).map(ram), Prot::RW),
        part_of_the_way: true,
    },
    Operation {
        name: "map_page",
        prepare: |_| (),
        run: |space, _| space.map_page(across().start(), ram(0), Prot::RW),
        part_of_the_way: false,
    },
    Operation {
        name: "reserve",
        prepare: |_| (),
        run: |space, _| space.reserve(across()),
        part_of_the_way: false,
    },
    Operation {
        name: "move_pages",
        prepare: map_source,
        run: |space, skip| move_to(space, skip, across()).map(drop),
        part_of_the_way: true,
    },
    Operation {
        name: "move_pages, overlapping",
        prepare: map_source,
        run: |space, _| move_to(space, 0, pages(2 * GIB - 4 * PAGE_SIZE, 8)).map(drop),
        part_of_the_way: false,
    },
    Operation {
        name: "split",
        prepare: |space| {
            let gib = pages(GIB, 512 * 512);
            space
                .map(gib, ram(0x4_0000), Prot::RW, Fit::Largest)
                .unwrap();
        },
        run: |space, _| space.split(Va::new(GIB + 5 * PAGE_SIZE)),
        part_of_the_way: false,
    },
];

/// Every mapping. Both cores must see of each what the tables say, and nothing else: nothing is owed.
fn picture(model: &Model, space: &Space<'_, Model>, when: &str) -> Vec<(u64, u64, Level)> {
    for mapping in space.mappings(Pages::whole(TASK)).unwrap() {
        let expected = only(Seen::Page(mapping.frame(), mapping.prot()));
        let found = seen(model, space, mapping.va.raw());
        assert_eq!(found, expected, "{when}: {mapping:?}");
    }
    list(space, Pages::whole(TASK))
}

/// What these mappings translate, whatever their levels: stretches of address, frame and pages.
fn translated(list: &[(u64, u64, Level)]) -> Vec<(u64, u64, u64)> {
    let mut stretches: Vec<(u64, u64, u64)> = Vec::new();
    for &(va, frame, level) in list {
        match stretches.last_mut() {
            Some((start, first, count))
                if *start + *count * PAGE_SIZE == va && *first + *count == frame =>
            {
                *count += level.pages();
            }
            _ => stretches.push((va, frame, level.pages())),
        }
    }
    stretches
}

/// A space on which everything but the operation is done.
fn prepared<'m>(model: &'m Model, operation: &Operation) -> Space<'m, Model> {
    let space = model.space(TASK);
    (operation.prepare)(&space);
    space
}

/// What the operation leaves when nothing fails.
fn complete(operation: &Operation) -> Vec<(u64, u64, Level)> {
    let model = model();
    let mut space = prepared(&model, operation);
    (operation.run)(&mut space, 0).unwrap();
    picture(&model, &space, operation.name)
}

/// Allocation `nth` is the first to fail, and all behind it. Says whether one failed.
fn fails(operation: &Operation, nth: usize, complete: &[(u64, u64, Level)]) -> bool {
    let when = format!("{}, allocation {nth}", operation.name);
    let model = model();
    let mut space = prepared(&model, operation);
    let (before, tables) = (picture(&model, &space, &when), model.tables());
    model.limit_tables(nth - 1);
    let result = (operation.run)(&mut space, 0);
    let after = picture(&model, &space, &when);
    let failed = result.is_err();
    if let Err(error) = result {
        assert_eq!(error.what, What::OutOfFrames, "{when}");
        assert!(model.tables() < tables + nth, "{when}: tables are lost");
        let done = if operation.part_of_the_way {
            let made = |list: &[(u64, u64, Level)]| {
                complete.iter().filter(|page| list.contains(page)).count() as u64
            };
            assert_eq!(made(&after), made(&before) + error.done, "{when}: {error}");
            error.done
        } else {
            assert_eq!(translated(&after), translated(&before), "{when}");
            0
        };
        model.limit_tables(usize::MAX);
        assert_eq!((operation.run)(&mut space, done), Ok(()), "{when}, again");
    }
    assert_eq!(picture(&model, &space, &when), complete, "{when}");
    let ((), _done) = space.destroy(());
    assert_eq!(model.tables(), 0, "{when}: tables are left");
    failed
}

#[test]
fn every_allocation_of_every_operation_may_fail() {
    for operation in &OPERATIONS {
        let complete = complete(operation);
        let failed = (1..).take_while(|&nth| fails(operation, nth, &complete));
        let failed = failed.count();
        println!("{}: {failed} allocations", operation.name);
        // Of two levels at least, and of both sides of the boundary where there is one.
        assert!(failed >= 2, "{}: only {failed} allocations", operation.name);
    }
}
