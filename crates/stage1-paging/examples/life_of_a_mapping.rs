//! The life of a mapping on the host model, with every store, barrier and invalidation it takes:
//! mapped in a lazy section, write-protected, moved, replaced, unmapped, its tables freed.
//!
//! `cargo run --features model --example life_of_a_mapping`

use stage1_paging::model::{Event, Model};
use stage1_paging::{Access, Asid, Error, Features, Fit, Frame, Half, Pa, Pages, Prot, Va};

fn main() -> Result<(), Error> {
    let machine = Model::new(
        2,
        Features {
            range: true,
            ttl: true,
        },
    );
    let mut space = machine.space(Half::Lower(Asid(1)));
    let pages = Pages::new(Va::new(0x40_0000), 4)?;
    let frame = Frame::containing(Pa::new(0x8000_0000).unwrap_or_default());
    let _ = machine.events();

    machine.defer(true);
    space.map(pages, frame, Prot::RW, Fit::Pages)?;
    space.map(pages.skip(4), frame, Prot::RW, Fit::Pages)?;
    show(
        &machine,
        "map, in a section: zeroes before links, and a pair that is owed",
    );
    machine.flush();
    show(&machine, "the end of the section: one pair");
    machine.defer(false);
    print!("{space:?}\n{space:#?}\n");

    let mut gather = space.gather(());
    space.protect(pages, Access::ReadOnly, &mut gather)?;
    gather.finish();
    show(&machine, "protect: one invalidation");

    let mut gather = space.gather(());
    space.move_pages(pages, Va::new(0x40_2000), &mut gather)?;
    gather.finish();
    show(
        &machine,
        "move by two pages: break all, invalidate, make all",
    );

    let mut gather = space.gather(());
    space.replace(Va::new(0x40_2000), &[frame; 2], Prot::RO, &mut gather)?;
    gather.finish();
    show(&machine, "replace two: the first has this frame already");

    let mut gather = space.gather(());
    space.unmap(Pages::new(Va::new(0), 0x1000)?, &mut gather)?;
    space.free_tables(pages, &mut gather)?;
    gather.finish();
    show(
        &machine,
        "unmap and free the tables: walk caches too, and only then the frames",
    );
    let error = space.replace(
        Va::new(0x40_2000),
        &[frame],
        Prot::RO,
        &mut space.gather(()),
    );
    println!(
        "{}",
        error.map_or_else(|e| e.to_string(), |()| "replaced".into())
    );
    Ok(())
}

fn show(machine: &Model, what: &str) {
    println!("{what}");
    for event in machine.events() {
        match event {
            Event::Store {
                level,
                va,
                old,
                new,
            } => {
                println!("    {va} {level:?}: {} → {}", old.at(level), new.at(level));
            }
            other => println!("    {other:x?}"),
        }
    }
}
