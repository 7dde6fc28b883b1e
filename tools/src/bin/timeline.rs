//! Draws the debt time line of a trace; `timeline --help` says how.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use lazy_mmu_tools::events::NoPicture;
use lazy_mmu_tools::say;
use lazy_mmu_tools::timeline::{TimeLine, svg};

const HELP: &str = "\
timeline RUN TRACE PICTURE

Draws what each policy does with the calls of RUN (vmap, zap, ...), from the events in TRACE (target/events.trace, which a
boot with check=on trace=on writes), as PICTURE, an SVG file.";

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let [run, trace, picture] = words.as_slice() else {
        say::error(HELP);
        return ExitCode::from(2);
    };
    let picture = PathBuf::from(picture);
    let drawn = TimeLine::read(trace.as_ref(), &run.to_string_lossy()).and_then(|line| {
        let svg = svg::draw(&line);
        fs::write(&picture, svg).map_err(|why| NoPicture::Write(picture.clone(), why))
    });
    match drawn {
        Ok(()) => {
            say::line(format_args!("written: {}", picture.display()));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say::error(format_args!("timeline: {why}"));
            ExitCode::FAILURE
        }
    }
}
