//! Boots a kernel, and writes its events as `trace.json` for Perfetto: `make trace`.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use lazy_mmu_tools::options::{self, Request};
use lazy_mmu_tools::{Verdict, events, front, perfetto, say};

/// What a kernel must be given to write a trace.
const WORDS: [&str; 2] = ["check=on", "trace=on"];

const HELP: &str = "\
trace TRACE          writes TRACE, a file whose name ends in .trace, as trace.json beside it
trace [options] KERNEL [words of the kernel's command line]
                     boots as `boot` does, with check=on trace=on, and writes what comes of it as trace.json

trace.json is for https://ui.perfetto.dev. The options:
";

fn main() -> ExitCode {
    if let [only] = env::args_os().skip(1).collect::<Vec<_>>().as_slice()
        && Path::new(only)
            .extension()
            .is_some_and(|end| end == "trace")
    {
        let verdict = convert(Path::new(only), Verdict::Good);
        return ExitCode::from(verdict.code());
    }
    let request = options::parse_with(env::args_os().skip(1), front::variable, &WORDS);
    let verdict = match request {
        Ok(Request::Help) => {
            say::line(format_args!("{HELP}\n{}", options::HELP.trim_end()));
            return ExitCode::SUCCESS;
        }
        Ok(Request::Boot(boot)) => {
            let (verdict, outcome) = front::run("trace", *boot);
            let kept = outcome.and_then(|outcome| outcome.kept);
            let trace = kept.map(|dir| dir.join(events::FILE));
            // A boot that failed early has none, and has said why.
            let trace = trace.filter(|trace| verdict == Verdict::Good || trace.exists());
            trace.map_or(verdict, |trace| convert(&trace, verdict))
        }
        Err(bad) => {
            say::error(format_args!("trace: {bad}"));
            Verdict::BadArguments
        }
    };
    say::line(verdict);
    ExitCode::from(verdict.code())
}

/// Writes `trace.json` beside the trace. Of a boot that failed too: it shows why. What cannot be written makes a good boot a failed
/// check.
fn convert(trace: &Path, verdict: Verdict) -> Verdict {
    let file = trace.with_file_name(perfetto::FILE);
    let failed = match perfetto::write(trace, &file, perfetto::BYTES_MAX) {
        Ok(written) => {
            say::line(format_args!(
                "written: {} ({:.1} MB): open it at https://ui.perfetto.dev",
                file.display(),
                written.bytes as f64 / 1e6
            ));
            if written.left_out > 0 {
                say::line(format_args!(
                    "{} of {} events are left out, from where each window's share of the file is used up: \
                     fewer policies, tasks or pages leave more room for each",
                    written.left_out, written.events
                ));
            }
            written.cut
        }
        Err(why) => Some(why),
    };
    match failed {
        None => verdict,
        Some(why) => {
            say::line(format_args!("trace: {why}"));
            match verdict {
                Verdict::Good => Verdict::CheckFailed,
                worse => worse,
            }
        }
    }
}
