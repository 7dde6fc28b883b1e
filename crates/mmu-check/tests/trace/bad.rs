//! Each kind of bad input, by its name: an error with its line, which says what was expected and what was found.

use std::io::{self, BufRead, BufReader, Read};

use mmu_check::trace::{self, Summary, TraceError};
use mmu_check::{Checker, Violation};

/// A trace of six lines; the access breaks R1.
const GOOD: &str = "\
mmu-check trace 1 clock=62500000
run first=7 stated=0 before=0
7 time=10 core=0 task=1 stores slot=0x3000 va=0x0 level=3 old=0x0 new=0x40000707 old-step=0x0 new-step=0x1000 count=3
10 time=20 core=0 task=1 access read works va=0x1000
11 time=15 core=1 task=2 isb
end events=5
";

fn check(from: impl BufRead) -> (Result<Summary, TraceError>, Vec<Violation>) {
    check_within(32 << 20, from)
}

fn check_within(
    memory: usize,
    from: impl BufRead,
) -> (Result<Summary, TraceError>, Vec<Violation>) {
    let mut found = Vec::new();
    let result = trace::check(&mut Checker::new(), from, memory, |violation| {
        found.push(violation)
    });
    (result, found)
}

/// Checks that the text is refused, in these words, the line's number among them.
#[track_caller]
fn refused(text: impl AsRef<[u8]>, words: &str) {
    let error = check(text.as_ref())
        .0
        .expect_err("it was taken")
        .to_string();
    assert!(error.starts_with(words), "{error}\nis not\n{words}");
}

/// The good one with its lines changed.
fn changed(change: impl FnOnce(&mut Vec<&str>)) -> String {
    let mut lines = GOOD.lines().collect();
    change(&mut lines);
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_good_one_is_none() {
    let (result, found) = check(GOOD.as_bytes());
    let summary = result.unwrap();
    assert_eq!(summary.header.unwrap().clock, 62_500_000);
    assert_eq!((summary.run.first, summary.run.before), (7, 0));
    assert_eq!((summary.violations, found.len()), (1, 1));
    assert_eq!(changed(|_| ()), GOOD);
    // Line ends of another system are blanks, and comments may stand anywhere.
    let other = GOOD.replace('\n', "\r\n#\r\n\r\n");
    assert_eq!(check(other.as_bytes()).0.unwrap().violations, 1);
}

#[test]
fn truncated() {
    // At the end of each line.
    for (at, words) in [
        (1, "line 2: the trace ends without its `end` line"),
        (2, "line 3: the trace ends without its `end` line"),
        (5, "line 6: the trace ends without its `end` line"),
    ] {
        refused(changed(|lines| lines.truncate(at)), words);
    }
    // Within each line, and right before its line feed.
    for (end, _) in GOOD.match_indices('\n') {
        for cut in [end - 3, end] {
            let line = GOOD[..cut].lines().count();
            let words = format!("line {line}: it has no end: the trace was cut here");
            refused(&GOOD[..cut], &words);
        }
    }
    refused(GOOD.trim_end(), "line 6: it has no end");
    // At its beginning.
    let tail = changed(|lines| _ = lines.drain(..2));
    refused(tail, "line 4: this line cannot be here");
    refused(
        changed(|lines| _ = lines.remove(0)),
        "line 1: this line cannot be here",
    );
    refused(
        changed(|lines| _ = lines.remove(1)),
        "line 2: event 7, and 0 is next",
    );
    refused(
        changed(|lines| _ = lines.remove(2)),
        "line 3: event 10, and 7 is next: 3 missing",
    );
}

/// What was found before it is found still.
#[test]
fn a_violation_before_the_bad_line_is_found() {
    let (result, found) = check(&GOOD.as_bytes()[..GOOD.len() - 2]);
    assert_eq!(result.unwrap_err().line, 6);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].rule.name(), "R1");
}

#[test]
fn reordered() {
    let words = "line 3: event 10, and 7 is next: 3 missing before it, or lines are out of order";
    refused(changed(|lines| lines.swap(2, 3)), words);
    refused(
        changed(|lines| lines.swap(3, 4)),
        "line 4: event 11, and 10 is next",
    );
    refused(
        changed(|lines| lines.swap(0, 1)),
        "line 1: this line cannot be here",
    );
    refused(
        changed(|lines| lines.swap(1, 2)),
        "line 2: event 7, and 0 is next",
    );
    refused(
        changed(|lines| lines.swap(4, 5)),
        "line 5: it counts 5 before it, and there were 4",
    );
    let back = GOOD.replace("10 time=20", "10 time=9");
    refused(back, "line 4: time 9 on core 0, which was at 10 before");
}

#[test]
fn duplicated() {
    for (at, words) in [
        (0, "line 2: this line cannot be here"),
        (1, "line 3: this line cannot be here"),
        (2, "line 4: event 7, and 10 is next: it is there twice"),
        (3, "line 5: event 10, and 11 is next: it is there twice"),
        (5, "line 7: it stands behind the `end` line"),
    ] {
        refused(changed(|lines| lines.insert(at, lines[at])), words);
    }
    // Two traces in one file, and one that an editor has marked.
    refused(
        format!("{GOOD}{GOOD}"),
        "line 7: it stands behind the `end` line",
    );
    refused(
        format!("\u{feff}{GOOD}"),
        "line 1: the file begins with a byte order mark",
    );
}

#[test]
fn missing() {
    refused(
        changed(|lines| _ = lines.remove(3)),
        "line 4: event 11, and 10 is next: 1 missing",
    );
    refused(
        changed(|lines| _ = lines.remove(4)),
        "line 5: it counts 5 before it, and there were 4",
    );
    let short = GOOD.replace("count=3", "count=2");
    refused(short, "line 4: event 10, and 9 is next: 1 missing");
}

/// A trace without a first line begins with any number, and goes on from there.
#[test]
fn missing_where_nothing_says_how_many_there_are() {
    let tail = |text: &str| -> String {
        text.lines()
            .skip(2)
            .take(3)
            .map(|line| format!("{line}\n"))
            .collect()
    };
    assert_eq!(check(tail(GOOD).as_bytes()).1.len(), 1);
    let lines = tail(GOOD);
    let lines: Vec<&str> = lines.lines().collect();
    refused(
        format!("{}\n{}\n", lines[0], lines[2]),
        "line 2: event 11, and 10 is next",
    );
    refused(
        format!("{}\n{}\n", lines[1], lines[1]),
        "line 2: event 10, and 11 is next",
    );
    refused(
        format!("{}\n{}", lines[0], lines[1]),
        "line 2: it has no end",
    );
}

#[test]
fn numbers_wrap() {
    let wraps = "4294967295 core=0 task=0 isb\n0 core=0 task=0 isb\n";
    assert!(check(wraps.as_bytes()).0.is_ok());
    let run = "4294967294 core=0 task=1 stores slot=0x3000 va=0x0 level=3 old=0x0 new=0x0 old-step=0x0 new-step=0x0 count=3\n";
    assert!(
        check(format!("{run}1 core=0 task=0 isb\n").as_bytes())
            .0
            .is_ok()
    );
    refused(
        format!("{run}2 core=0 task=0 isb\n"),
        "line 2: event 2, and 1 is next",
    );
}

#[test]
fn binary() {
    let with =
        |at: usize, bytes: &[u8]| [&GOOD.as_bytes()[..at], bytes, &GOOD.as_bytes()[at..]].concat();
    let line_4 = GOOD.find("10 time").unwrap();
    refused(with(line_4 + 3, &[0xff]), "line 4: byte 4 is not UTF-8");
    // A character that is cut by the line's end, and one in a comment.
    refused(with(line_4, b"# \xe2\x82\n"), "line 4: byte 3 is not UTF-8");
    refused(with(line_4 + 3, &[0]), "line 4: no event: ");
    refused(
        with(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]),
        "line 1: no event: a sequence number",
    );
    refused(vec![0; 5000], "line 1: it has more than 4096 bytes");
    refused(vec![0; 50], "line 1: it has no end");
    refused([0xff; 50], "line 1: it has no end");
}

/// So many times the same bytes.
struct Endless(&'static [u8], usize);

impl Read for Endless {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.1 += to.len();
        for (at, byte) in to.iter_mut().enumerate() {
            *byte = self.0[at % self.0.len()];
        }
        Ok(to.len())
    }
}

#[test]
fn huge() {
    // A line without an end is not read to its end.
    let mut endless = Endless(b"0", 0);
    let result = check(BufReader::new(&mut endless)).0;
    assert_eq!(
        result.unwrap_err().to_string(),
        "line 1: it has more than 4096 bytes: this is no trace, or line ends are lost"
    );
    assert!(endless.1 < 100_000, "{}", endless.1);
    // One that is as long as it may be, is.
    let most = format!("#{}\n{GOOD}", "-".repeat(4094));
    assert!(check(most.as_bytes()).0.is_ok());
    refused(format!("#-{most}"), "line 1: it has more than 4096 bytes");
}

/// Events that each make the rules remember something: of each kind as many as it takes.
#[test]
fn huge_in_what_it_says() {
    let stored = "store slot=0x3000 va=0xffff000000000000 level=3";
    let other = |n: u64| format!("new={:#x}", n << 12 | 0x703);
    let kinds: [(bool, &dyn Fn(u64) -> String); 8] = [
        (true, &|n| format!("zero frame={:#x}", n << 12)),
        (true, &|n| format!("alloc frame={:#x}", n << 12)),
        (true, &|n| format!("ttbr0 root={:#x} asid=1", n << 12)),
        // What waits already is remembered once.
        (false, &|n| {
            format!("ttbr0 root={:#x} asid=1", (n % 2) << 12)
        }),
        (false, &|_| "tlbi vmalle1is 0x0".into()),
        // Another stale translation each time.
        (true, &|n| format!("{stored} old=0x0 {}", other(n))),
        // The same one.
        (false, &|n| {
            format!("{stored} old=0x0 new={:#x}", (n % 2) << 12 | 0x703)
        }),
        // Two tables, in turns.
        (false, &|n| {
            format!(
                "store slot={:#x} va=0xffff000000000000 level=3 old=0x0 new=0x0",
                (n % 2) << 12
            )
        }),
    ];
    for (grows, kind) in kinds {
        let count = if grows { 3_000_000 } else { 100_000 };
        let mut lines = (0..count).map(|n| format!("{n} core=0 task=0 {}\n", kind(n)));
        let (mut line, mut at) = (String::new(), 0);
        let from = BufReader::new(Lines(|to: &mut [u8]| {
            if at == line.len() {
                (line, at) = (lines.next().unwrap_or_default(), 0);
            }
            let count = to.len().min(line.len() - at);
            to[..count].copy_from_slice(&line.as_bytes()[at..at + count]);
            at += count;
            count
        }));
        let result = check_within(1 << 20, from).0;
        if !grows {
            assert!(result.is_ok(), "{}: {result:?}", kind(1));
            continue;
        }
        let error = result.expect_err(&kind(1));
        let words = "the rules would need more than 1 MiB";
        assert!(error.wrong.to_string().starts_with(words), "{error}");
    }
}

struct Lines<F>(F);

impl<F: FnMut(&mut [u8]) -> usize> Read for Lines<F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Ok(self.0(to))
    }
}

#[test]
fn empty() {
    refused("", "line 1: there is no event in it");
    refused("\n\n# nothing\n", "line 4: there is no event in it");
    let no_event = "mmu-check trace 1 clock=1\nrun first=0 stated=0 before=0\nend events=0\n";
    refused(no_event, "line 4: there is no event in it");
}

#[test]
fn first_lines_of_others() {
    let with = |line: &'static str| changed(move |lines| lines[0] = line);
    let form = "line 1: no line of the form `mmu-check trace VERSION clock=COUNTS`";
    refused(with("mmu-check trace 1"), form);
    refused(with("mmu-check trace one clock=1"), form);
    refused(with("mmu-check trace 1 clock=+1"), form);
    refused(with("mmu-check trace 1 clock="), form);
    refused(with("mmu-check trace 1 clock=1 more=2"), form);
    refused(with("mmu-check"), form);
    refused(
        with("mmu-check trace 2 clock=1 new=2"),
        "line 1: the trace is of version 2, and this reads 1 and what has no first line",
    );
    let form = "no line of the form";
    for (at, line) in [
        (1, "run"),
        (1, "run first=7 stated=0"),
        (1, "run first=4294967296 stated=0 before=0"),
        (1, "run first=7 stated=0 before=0 after=0"),
        (5, "end"),
        (5, "end events=5 events=5"),
        (5, "end events=99999999999999999999"),
    ] {
        let words = format!("line {}: {form}", at + 1);
        refused(changed(|lines| lines[at] = line), &words);
    }
}

#[test]
fn out_of_range() {
    let event = |event: &'static str| changed(move |lines| lines[3] = event);
    let core = "line 4: no event: core= below 8 expected at word 2";
    refused(event("10 core=8 task=1 isb"), core);
    refused(event("10 core=255 task=1 isb"), core);
    // `event.rs` has each field.
    refused(
        event("10 core=256 task=1 isb"),
        "line 4: no event: core= expected at word 2",
    );
}

/// A reader that fails in its third line.
#[test]
fn unreadable() {
    struct Failing(bool);
    impl Read for Failing {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::other("the disk is gone"));
            }
            let begin = b"0 core=0 task=0 isb\n1 core=0 task=0 isb\n2 co";
            to[..begin.len()].copy_from_slice(begin);
            Ok(begin.len())
        }
    }
    let error = check(BufReader::new(Failing(false))).0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: it cannot be read: the disk is gone"
    );
}
