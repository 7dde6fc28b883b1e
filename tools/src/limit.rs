//! How long a boot may take when nobody has said.
//!
//! The limit is there to end what hangs. It follows from what is run, and is generous: several times what two cores need
//! that have nothing else to do. `--timeout` or `TIMEOUT` say it otherwise.
//!
//! The words of the kernel's command line are only estimated here. What this does not know costs what is usual, and what the
//! kernel refuses ends at once anyway.

use std::thread;
use std::time::Duration;

use crate::boot::Boot;

/// The least: a boot that hangs early is ended after two minutes.
const LEAST: u64 = 120;
/// The most, a day: what needs longer has to say so.
const MOST: u64 = 86_400;

// What follows is in seconds on two cores, measured with the witness under QEMU 7.2, and rounded up.

/// One run under one policy, of one task.
const PLAIN: u64 = 1;
/// The same under the rules.
const PLAIN_CHECKED: u64 = 4;
/// `mixed` or `preempt` with 16 tasks on 4 cores, under one policy.
const TASKS: u64 = 8;
/// The same under the rules: 36 were measured.
const TASKS_CHECKED: u64 = 40;
/// `forced` under one policy: a run for each instruction of the four calls.
const FORCED: u64 = 40;
/// The same under the rules: 143 to 180 were measured.
const FORCED_CHECKED: u64 = 180;
/// How many hazards `hazards` stands for; each takes a fraction of a second.
const HAZARDS: u64 = 20;
/// How many of Linux's operations `linux` stands for.
const LINUX: u64 = 9;
/// A GiB of memory whose linear map is in pages.
const GIB: u64 = 8;
/// The same under the rules: 105 were measured for 4 GiB and all runs.
const GIB_CHECKED: u64 = 25;
/// How much more than was measured a boot may take: another machine, and other work on it.
const SLACK: u64 = 3;
/// A clock that counts instructions runs all cores on one of the host's.
const ICOUNT: u64 = 4;

/// The limit for this boot on this host.
#[must_use]
pub fn of(boot: &Boot) -> Duration {
    let host = thread::available_parallelism().map_or(1, usize::from);
    let host = u64::try_from(host).unwrap_or(u64::MAX);
    Duration::from_secs(seconds(boot, host))
}

fn seconds(boot: &Boot, host_cores: u64) -> u64 {
    let words = Words::of(&boot.args);
    let measured = words
        .runs()
        .saturating_add(words.memory(&boot.mem))
        // `seconds=` is of the kernel's clock, under each policy, and the tick of every task comes on top.
        .saturating_add(words.least().saturating_mul(2));
    let mut all = measured.saturating_mul(SLACK);
    // The figures are of two cores; a host with one takes twice as long. More cores than 4 are more waiting.
    if host_cores < 2 {
        all = all.saturating_mul(2);
    }
    all = all.saturating_mul(u64::from(boot.smp.div_ceil(4)));
    if boot.icount.is_some() {
        all = all.saturating_mul(ICOUNT);
    }
    if words.is_on("trace") {
        all = all.saturating_mul(2);
    }
    all.clamp(LEAST, MOST)
}

/// The kernel's words, as far as they cost time.
struct Words<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Words<'a> {
    fn of(args: &'a [String]) -> Self {
        // A word of `args` may hold several, as the kernel splits the line again.
        let words = args.iter().flat_map(|arg| arg.split_ascii_whitespace());
        Self(words.filter_map(|word| word.split_once('=')).collect())
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| *value)
    }

    fn number(&self, key: &str, without: u64) -> u64 {
        self.value(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(without)
    }

    fn is_on(&self, key: &str) -> bool {
        matches!(self.value(key), Some("on" | "all"))
    }

    /// How many names a list has, where `all` stands for `all` of them.
    fn names(&self, key: &str, all: u64) -> u64 {
        let list = self.value(key).unwrap_or("all");
        list.split(',')
            .map(|name| match name {
                "all" => all,
                "hazards" => HAZARDS,
                "linux" => LINUX,
                _ => 1,
            })
            .fold(0, u64::saturating_add)
    }

    fn policies(&self) -> u64 {
        self.names("policy", 5)
    }

    fn of_tasks(&self) -> impl Iterator<Item = &'a str> {
        self.value("run")
            .unwrap_or("all")
            .split(',')
            .filter(|name| matches!(*name, "mixed" | "preempt" | "forced"))
    }

    /// All runs under all policies.
    fn runs(&self) -> u64 {
        let checked = self.is_on("check");
        let pick = |plain, checked_too| if checked { checked_too } else { plain };
        // Work grows with the pages, but 512 of them are hardly more than starting.
        let pages = self.number("pages", 512).div_ceil(512);
        let tasks = self.number("tasks", 16).div_ceil(16);
        let with_tasks = self.of_tasks().map(|name| match name {
            "forced" => pick(FORCED, FORCED_CHECKED),
            _ => pick(TASKS, TASKS_CHECKED).saturating_mul(tasks),
        });
        let with_tasks = with_tasks.fold(0, u64::saturating_add);
        let number_with_tasks = u64::try_from(self.of_tasks().count()).unwrap_or(u64::MAX);
        let plain = self.names("run", 6).saturating_sub(number_with_tasks);
        plain
            .saturating_mul(pick(PLAIN, PLAIN_CHECKED))
            .saturating_add(with_tasks)
            .saturating_mul(pages)
            .saturating_mul(self.policies())
    }

    /// How long `seconds=` makes all runs with tasks under all policies.
    fn least(&self) -> u64 {
        let runs = u64::try_from(self.of_tasks().count()).unwrap_or(u64::MAX);
        self.number("seconds", 0)
            .saturating_mul(runs)
            .saturating_mul(self.policies())
    }

    /// What bringing up this much memory takes.
    fn memory(&self, mem: &str) -> u64 {
        let each = if self.is_on("check") {
            GIB_CHECKED
        } else {
            GIB
        };
        gib(mem).saturating_mul(each)
    }
}

/// QEMU's size in GiB, rounded up: a number of MiB, or with a suffix. What QEMU will not understand either is 1.
fn gib(mem: &str) -> u64 {
    let digits = mem.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let Ok(number) = digits.parse::<u64>() else {
        return 1;
    };
    match mem[digits.len()..]
        .chars()
        .next()
        .map(|c| c.to_ascii_uppercase())
    {
        None | Some('M') => number.div_ceil(1 << 10),
        Some('G') => number,
        Some('T') => number.saturating_mul(1 << 10),
        Some('K') => number.div_ceil(1 << 20),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(args: &str, change: impl Fn(&mut Boot)) -> u64 {
        let mut boot = Boot::new("k");
        boot.args = args.split_whitespace().map(str::to_owned).collect();
        change(&mut boot);
        seconds(&boot, 2)
    }

    const ONE: fn(&mut Boot) = |_| {};
    const FOUR: fn(&mut Boot) = |boot| boot.smp = 4;

    #[test]
    fn what_was_measured_has_twice_the_time_at_least() {
        assert!(limit("run=mixed tasks=16 check=on", FOUR) >= 2 * 180);
        assert!(limit("check=on", |boot| boot.mem = "4G".to_owned()) >= 2 * 105);
        assert!(limit("run=forced policy=v3 check=on", FOUR) >= 2 * 180);
        assert!(limit("run=forced check=on", FOUR) >= 2 * 5 * 180);
    }

    #[test]
    fn what_is_asked_for_lasts_as_long_as_it_says() {
        let soak = |args: &str| limit(args, FOUR);
        assert!(soak("run=mixed policy=linux7 check=on seconds=600") > 2 * 600);
        assert!(soak("run=mixed,preempt seconds=600") > 2 * 2 * 5 * 600);
        // It is no key of the others.
        assert_eq!(soak("run=zap seconds=600"), soak("run=zap"));
    }

    #[test]
    fn a_hang_is_ended_soon_where_little_was_asked() {
        assert_eq!(limit("", ONE), LEAST);
        assert_eq!(limit("run=vmap pages=64", ONE), LEAST);
        assert_eq!(limit("banana pages=x run= =", ONE), LEAST);
    }

    #[test]
    fn more_work_has_more_time() {
        let base = limit("run=mixed check=on", FOUR);
        for args in [
            "run=mixed check=on tasks=62",
            "run=mixed,preempt check=on",
            "run=mixed check=on trace=on",
            "run=mixed check=on trace=all",
            "run=mixed check=on pages=4096",
        ] {
            assert!(limit(args, FOUR) > base, "{args}");
        }
        assert!(limit("run=mixed check=on", |boot| boot.smp = 8) > base);
        assert!(
            limit("run=mixed check=on", |boot| boot.icount =
                Some("shift=0".into()))
                > base
        );
        assert!(limit("run=mixed check=on policy=v3", FOUR) < base);
        assert!(limit("run=mixed", FOUR) < base);
        let mut one_core = Boot::new("k");
        one_core.args = vec!["run=mixed check=on".to_owned()];
        assert!(seconds(&one_core, 1) > seconds(&one_core, 2));
    }

    #[test]
    fn nothing_overflows() {
        let most = u64::MAX.to_string();
        let args = format!("run=mixed,forced pages={most} tasks={most} seconds={most} check=on");
        let huge = |boot: &mut Boot| {
            boot.smp = 512;
            boot.mem = format!("{most}T");
        };
        assert_eq!(limit(&args, huge), MOST);
    }

    #[test]
    fn sizes_of_memory() {
        let sizes = [
            "256M", "64", "4G", "4096M", "1T", "1048577K", "x", "", "9B", "ü", "4Gü",
        ];
        assert_eq!(sizes.map(gib), [1, 1, 4, 4, 1024, 2, 1, 1, 1, 1, 1]);
    }
}
