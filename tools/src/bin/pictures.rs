//! `make pictures`: draws the pictures in `docs/pictures` anew, each from a boot; `pictures --help` says how.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lazy_mmu_tools::pictures::{self, Find, matrix, migration, space, tables, wait};
use lazy_mmu_tools::timeline::{TimeLine, svg};
use lazy_mmu_tools::{Boot, Verdict, events, faults, interrupt, limit, places, say};
use mmu_check::Event;

const HELP: &str = "\
pictures DIR [NAME...]

Boots the product's kernel, and the test kernel 52_replace_live, and draws the pictures of docs/pictures in DIR: all of them, or
those that are named (faults, debt-time-line, address-space, migration, break-before-make). The address space is read by gdb.";

/// Stories of two cores: the picture, the kernel and its words, and who finds them.
const STORIES: [(&str, &str, &str, Find); 2] = [
    (
        "migration",
        "lazy-mmu-kernel",
        "run=preempt policy=v3 tasks=3 pages=16 k=4 check=on trace=on",
        migration::find,
    ),
    (
        "break-before-make",
        "52_replace_live",
        "check=on trace=on",
        wait::find,
    ),
];

/// What several cores do together is chance.
const BOOTS: u32 = 4;

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let [dir, names @ ..] = words.as_slice() else {
        say::error(HELP);
        return ExitCode::from(2);
    };
    let drawn = interrupt::heed()
        .map_err(|why| why.to_string())
        .and_then(|()| {
            draw(dir.as_ref(), &|name| {
                names.is_empty() || names.iter().any(|given| given == name)
            })
        });
    match drawn {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say::error(format_args!("pictures: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn draw(dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<(), String> {
    if is_wanted("faults") {
        write(dir, "faults.svg", &matrix::draw(&faults::all()?))?;
    }
    if is_wanted("debt-time-line") {
        let trace = boot(
            "lazy-mmu-kernel",
            1,
            "run=vmap pages=12 k=4 check=on trace=on",
        )?;
        let line = TimeLine::read(&trace, "vmap").map_err(|why| why.to_string())?;
        write(dir, "debt-time-line.svg", &svg::draw(&line))?;
    }
    if is_wanted("address-space") {
        let cut = tables::stop(&of("lazy-mmu-kernel", tables::SMP, tables::ARGS))?;
        let read = tables::parse(&cut).map_err(|why| why.to_string())?;
        write(dir, "address-space.cut", &cut)?;
        write(dir, "address-space.svg", &space::draw(&read))?;
    }
    for (name, kernel, words, find) in STORIES.into_iter().filter(|story| is_wanted(story.0)) {
        let cut = found(kernel, words, find)?
            .ok_or_else(|| format!("{name}: it did not happen in {BOOTS} boots: try again"))?;
        // Of the cut, as the test draws it.
        let (_, story) = find(&cut).ok_or_else(|| format!("{name}: it is not in its cut"))?;
        write(dir, &format!("{name}.cut"), &pictures::cut(&cut))?;
        write(dir, &format!("{name}.svg"), &story.draw())?;
    }
    Ok(())
}

/// The events of a story, from the first boot in which it happens and can be drawn.
fn found(kernel: &str, words: &str, find: Find) -> Result<Option<Vec<Event>>, String> {
    for _ in 0..BOOTS {
        let trace = boot(kernel, 2, words)?;
        let mut events = pictures::events(&trace).map_err(|why| why.to_string())?;
        if let Some((range, _)) = find(&events) {
            return Ok(Some(events.drain(range).collect()));
        }
    }
    Ok(None)
}

/// A boot that leaves its files in `target/pictures`.
///
/// With two cores on a clock that counts instructions: they take turns, so that what one does stands between what the other does, and
/// not hundreds of events further on.
fn of(kernel: &str, smp: u32, words: &str) -> Boot {
    let mut boot = Boot {
        args: words.split(' ').map(str::to_owned).collect(),
        smp,
        icount: (smp > 1).then(|| "shift=0".to_owned()),
        keep: Some(places::target_dir().join("pictures")),
        ..Boot::new(places::kernel(kernel))
    };
    boot.timeout = Some(limit::of(&boot));
    boot
}

/// Boots a kernel, and returns where its trace is.
fn boot(kernel: &str, smp: u32, words: &str) -> Result<PathBuf, String> {
    let boot = of(kernel, smp, words);
    let outcome = boot.run().map_err(|why| why.to_string())?;
    if outcome.verdict != Verdict::Good {
        return Err(format!(
            "{kernel} {words}: {}: {}",
            outcome.verdict,
            outcome.notes.join("; ")
        ));
    }
    let kept = outcome.kept.or(boot.keep).unwrap_or_default();
    Ok(kept.join(events::FILE))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), String> {
    let file = dir.join(name);
    fs::write(&file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
    say::line(format_args!("written: {}", file.display()));
    Ok(())
}
