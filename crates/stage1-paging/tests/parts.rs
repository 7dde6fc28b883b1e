//! A part of a space: it does what the space does, on its own pages and on no others.

mod common;

use common::*;
use stage1_paging::model::{Model, Seen};
use stage1_paging::*;

const VA: u64 = 0x40_0000;
const LAST_PAGE: u64 = 0xFFFF_FFFF_FFFF_F000;

/// Tries every operation on `pages`, which is not all in `part`: each is refused and nothing is done.
fn refuses(model: &Model, part: Part<'_, Model>, pages: Pages) {
    let outside = Error {
        what: What::Outside,
        at: pages.start(),
        done: 0,
    };
    let list = vec![ram(9); pages.count() as usize];
    let mut gather = part.gather(());
    let _ = model.events();
    let own = part.pages().start();
    let mut results = vec![
        part.map(pages, ram(9), Prot::RO, Fit::Largest),
        part.map_frames(pages, list.iter().copied(), Prot::RO),
        part.reserve(pages),
        part.mappings(pages).map(drop),
        part.unmap(pages, &mut gather).map(drop),
        part.protect(pages, Access::ReadOnly, &mut gather).map(drop),
        part.replace(pages.start(), &list, Prot::RW, &mut gather),
        part.move_pages(pages, &part, own, &mut gather).map(drop),
    ];
    // The other way the part has to be as long.
    let from = part.pages().take(pages.count());
    if from.count() == pages.count() {
        let moved = part.move_pages(from, &part, pages.start(), &mut gather);
        results.push(moved.map(drop));
    }
    if pages.count() == 1 {
        let inside = Va::new(pages.start().raw() + 8);
        results.push(part.map_page(pages.start(), ram(9), Prot::RO));
        results.push(part.walk(inside).map(drop));
    }
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result, Err(outside), "operation {n} on {pages:?}");
    }
    assert_eq!(trace(&model.events()), "");
    assert!(gather.debt().is_empty());
}

#[test]
fn pages_outside_are_refused_and_nothing_is_done() {
    let model = Model::new(2, PLAIN);
    let space = model.space(Half::Upper);
    let first = 0xFFFF_8000_0000_0000;
    space
        .map(pages(first - 0x1000, 6), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    let part = space.part(pages(first, 4));
    assert_eq!(part.pages(), pages(first, 4));
    for (offset, count) in [(-1, 1), (-1, 2), (4, 1), (3, 2), (0, 5), (5, 0), (-1, 0)] {
        let start = first.wrapping_add_signed(offset * 0x1000);
        refuses(&model, part, pages(start, count));
    }
    for elsewhere in [0, VA, 0xFFFF_0000_0000_0000, LAST_PAGE] {
        refuses(&model, part, pages(elsewhere, 1));
    }
    // At both ends of the address space, where a sum would wrap.
    refuses(&model, space.part(pages(LAST_PAGE, 1)), pages(first, 1));
    refuses(&model, space.part(pages(LAST_PAGE, 1)), pages(0, 1));
    refuses(&model, space.part(pages(first, 0)), pages(first, 1));
}

#[test]
fn pages_inside_are_worked_on_as_by_the_space() {
    let model = Model::new(2, PLAIN);
    let space = model.space(TASK);
    let whole = space.part(Pages::whole(TASK));
    let (from, to) = (space.part(pages(VA, 4)), space.part(pages(VA + 0x8000, 4)));
    from.reserve(from.pages()).unwrap();
    from.reserve(pages(VA + 0x4000, 0)).unwrap();
    from.map(pages(VA, 2), ram(0), Prot::RW, Fit::Pages)
        .unwrap();
    from.map_page(Va::new(VA + 0x2000), ram(2), Prot::RW)
        .unwrap();
    from.map_frames(pages(VA + 0x3000, 1), [ram(3)], Prot::RW)
        .unwrap();
    for part in [from, whole] {
        let frames: Vec<_> = part
            .mappings(from.pages())
            .unwrap()
            .map(|m| m.frame())
            .collect();
        assert_eq!(frames, [0, 1, 2, 3].map(ram));
        let walk = part.walk(Va::new(VA + 0x3FFF)).unwrap();
        assert_eq!(walk.frame(), Some(ram(3)));
    }
    let mut gather = from.gather(());
    assert_eq!(
        from.protect(pages(VA, 1), Access::ReadOnly, &mut gather),
        Ok(1)
    );
    let moved = from.move_pages(from.pages(), &to, to.pages().start(), &mut gather);
    assert_eq!(moved, Ok(4));
    gather.pay();
    assert_eq!(seen(&model, &space, VA), only(Seen::Fault));
    assert_eq!(
        seen(&model, &space, VA + 0x8000),
        only(Seen::Page(ram(0), Prot::RO))
    );
    to.replace(Va::new(VA + 0xB000), &[ram(7)], Prot::RW, &mut gather)
        .unwrap();
    assert_eq!(
        seen(&model, &space, VA + 0xB000),
        only(Seen::Page(ram(7), Prot::RW))
    );
    assert_eq!(to.unmap(to.pages(), &mut gather), Ok(4));
    gather.finish();
    assert_eq!(whole.mappings(whole.pages()).unwrap().count(), 0);
}

/// Two lower halves have the same addresses, and one of the upper half is not in the other.
#[test]
fn pages_do_not_move_to_another_space() {
    let model = Model::new(2, PLAIN);
    let space = model.space(TASK);
    let others = [model.space(Half::Lower(Asid(6))), model.space(Half::Upper)];
    let part = space.part(pages(VA, 4));
    part.map_page(Va::new(VA), ram(0), Prot::RW).unwrap();
    for other in &others {
        let to = other.part(Pages::whole(other.half()));
        let start = Va::new(to.pages().start().raw() + VA + 0x1000);
        for mut gather in [part.gather(()), to.gather(())] {
            let moved = part.move_pages(pages(VA, 1), &to, start, &mut gather);
            assert_eq!(moved.unwrap_err().what, What::OtherGather);
        }
    }
    assert_eq!(seen(&model, &space, VA), only(Seen::Page(ram(0), Prot::RW)));
}
