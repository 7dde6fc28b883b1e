//! Boots a kernel, and then at other sizes, and shows what was counted on one page, `report.html`: `make report`.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::process::ExitCode;

use lazy_mmu_tools::options::{self, Request};
use lazy_mmu_tools::page::{self, Counted, Page, runs};
use lazy_mmu_tools::{Boot, Verdict, front, places, report, say};

fn main() -> ExitCode {
    let request = options::parse(env::args_os().skip(1), front::variable);
    let verdict = match request {
        Ok(Request::Help) => {
            say::line(format_args!(
                "report: boots as `boot` does, and at other sizes; writes {} in the directory of the first boot's files\n\n{}",
                page::FILE,
                options::HELP.trim_end()
            ));
            return ExitCode::SUCCESS;
        }
        Ok(Request::Boot(boot)) => match write(*boot) {
            Ok(()) => Verdict::Good,
            Err((why, verdict)) => {
                say::error(format_args!("report: no page: {why}"));
                verdict
            }
        },
        Err(bad) => {
            say::error(format_args!("report: {bad}"));
            Verdict::BadArguments
        }
    };
    say::line(verdict);
    ExitCode::from(verdict.code())
}

fn write(boot: Boot) -> Result<(), (String, Verdict)> {
    let failed = |why: String| (why, Verdict::CheckFailed);
    let (verdict, outcome) = front::run("report", boot.clone());
    // That of an earlier boot would be taken for this one's.
    if let Some(dir) = outcome.as_ref().and_then(|outcome| outcome.kept.as_deref())
        && let Err(why) = fs::remove_file(dir.join(page::FILE))
        && why.kind() != ErrorKind::NotFound
    {
        return Err(failed(format!(
            "cannot remove the last {}: {why}",
            page::FILE
        )));
    }
    let Some(outcome) = outcome.filter(|_| verdict == Verdict::Good) else {
        return Err(("the boot failed".to_owned(), verdict));
    };
    let dir = outcome.kept.unwrap_or_else(places::target_dir);
    let report = runs::read(&dir.join(report::FILE)).map_err(failed)?;
    // `make bench` leaves its figures where Cargo builds, wherever this boot's files go.
    let bench = runs::bench(&places::target_dir()).map_err(failed)?;
    let others = runs::Runs {
        boot: &boot,
        variable: &front::variable,
        dir: &dir.join("report-runs"),
    };
    say::line("report: boots at other sizes, for the plots and the time lines");
    let pictures = others.pictures(&runs::drawable(&report))?;
    let growth = others.growth()?;
    let command = others.command(&boot.args);
    let page = Page {
        run: Counted {
            command,
            report,
            witnessed: outcome.windows.is_some(),
        },
        pictures,
        growth,
        bench,
    };
    let file = dir.join(page::FILE);
    fs::write(&file, page::html(&page))
        .map_err(|why| failed(format!("cannot write {}: {why}", file.display())))?;
    say::line(format_args!("written: {}", file.display()));
    Ok(())
}
