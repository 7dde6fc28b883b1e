//! What the tables of a stopped kernel translate: gdb's command `tables` (`tools/gdb/lazy_mmu.py`), run and read.
//!
//! A boot stops twice, before and after the kernel leaves the tables that it was linked with ([`STOPS`]).

use std::fmt;
use std::iter::Peekable;
use std::net::TcpListener;
use std::process::Command;
use std::str::Lines;
use std::thread;
use std::time::Duration;

use stage1_paging::{Desc, Kind, Level};

use crate::{Boot, Verdict, gdb, process};

/// Where a boot stops, and what the tables are called there: before the move to the kernel's own tables, and when the run begins.
pub const STOPS: [(&str, &str); 2] = [
    ("before", "replace_ttbr1_in_idmap"),
    ("after", "lazy_mmu_kernel::run::main"),
];

/// How it is booted for the picture: on two cores, with the tables recorded as the run begins.
pub const ARGS: &str = "run=nesting check=on trace=on";
/// The number of cores.
pub const SMP: u32 = 2;

/// How long gdb may take.
const LIMIT: Duration = Duration::from_secs(120);

/// SCTLR_EL1.WXN: what is writable is not executable.
const WXN: u64 = 1 << 19;

/// Blocks or pages with the same attributes, each where the one before ends, in virtual and physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaves {
    /// The first address.
    pub va: u64,
    /// The level of the descriptors, hence the size of each.
    pub level: Level,
    /// How many.
    pub count: u64,
    /// The first descriptor.
    pub desc: Desc,
}

impl Leaves {
    /// How many bytes they map.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.count * self.level.size()
    }

    /// The first address behind them; wraps at the end of the address space.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.va.wrapping_add(self.bytes())
    }

    /// The first physical address.
    #[must_use]
    pub const fn pa(self) -> u64 {
        self.desc.frame(self.level).pa().raw()
    }

    /// The descriptor without its output address.
    #[must_use]
    pub const fn attributes(self) -> u64 {
        self.desc.bits() - self.pa()
    }

    /// Each by itself: its address, its level and its descriptor.
    pub fn singles(self) -> impl Iterator<Item = (u64, Level, u64)> {
        let size = self.level.size();
        (0..self.count).map(move |n| (self.va + n * size, self.level, self.desc.bits() + n * size))
    }
}

/// What both roots translate, and what it means.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tables {
    /// MAIR_EL1: the memory types.
    pub mair: u64,
    /// Whether nothing that is writable may be executed, whatever its descriptor says (SCTLR_EL1.WXN).
    pub wxn: bool,
    /// By address.
    pub leaves: Vec<Leaves>,
    /// Symbols of the linker, where parts of the image begin, by address.
    pub symbols: Vec<(u64, String)>,
}

/// A line that `tables` does not print.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine(String);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no line of gdb's `tables`: `{}`", self.0)
    }
}

impl std::error::Error for BadLine {}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

/// `ffff000040000000 L2 32 x 0060000040000705`, and what that is in words.
fn leaves(line: &str) -> Option<Leaves> {
    let mut words = line.split_whitespace();
    let va = hex(words.next()?)?;
    let level: usize = words.next()?.strip_prefix('L')?.parse().ok()?;
    let level = *Level::ALL.get(level)?;
    let count = words.next()?.parse().ok()?;
    let desc = Desc::from_bits(words.nth(1).and_then(hex)?);
    // Below 2^48, and in one half.
    let bytes = level.size().checked_mul(count)?;
    let last = va.checked_add(bytes.checked_sub(1)?)?;
    let is_whole = va >> 48 == last >> 48 && matches!(va >> 48, 0 | 0xFFFF);
    let is_leaf = matches!(desc.kind(level), Kind::Block(_) | Kind::Page(_)) && desc.is_cacheable();
    let leaves = Leaves {
        va,
        level,
        count,
        desc,
    };
    let is_right = is_whole && is_leaf && level.aligned(va) && leaves.pa() + bytes <= 1 << 48;
    is_right.then_some(leaves)
}

impl Tables {
    /// Reads what `tables` prints, up to the next line that is indented as little and is no symbol.
    fn read(lines: &mut Peekable<Lines<'_>>) -> Result<Self, BadLine> {
        let bad = |line: &str| BadLine(line.to_owned());
        let first = lines.next().unwrap_or("");
        let registers = first.strip_prefix("MAIR_EL1 ");
        let registers = registers.and_then(|rest| rest.split_once(", SCTLR_EL1 "));
        let registers = registers.and_then(|(mair, sctlr)| Some((hex(mair)?, hex(sctlr)?)));
        let (mair, sctlr) = registers.ok_or_else(|| bad(first))?;
        let mut tables = Tables {
            mair,
            wxn: sctlr & WXN != 0,
            ..Tables::default()
        };
        for root in ["TTBR0_EL1, root ", "TTBR1_EL1, root "] {
            let line = lines.next().unwrap_or("");
            if !line.starts_with(root) {
                return Err(bad(line));
            }
            while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                let next = leaves(line).filter(|next| tables.ends_before(next));
                tables.leaves.push(next.ok_or_else(|| bad(line))?);
            }
        }
        while let Some(symbol) = lines.peek().and_then(|line| line.split_once(" __")) {
            let (at, name) = symbol;
            let at = hex(at).ok_or_else(|| bad(at))?;
            tables.symbols.push((at, format!("__{name}")));
            lines.next();
        }
        Ok(tables)
    }

    /// Whether all leaves so far lie below `next`.
    fn ends_before(&self, next: &Leaves) -> bool {
        let last = self.leaves.last();
        last.is_none_or(|last| last.va < next.va && last.bytes() <= next.va - last.va)
    }
}

/// Reads what [`stop`] has returned: the tables of each of [`STOPS`].
///
/// # Errors
/// The first line that is wrong.
pub fn parse(text: &str) -> Result<[Tables; 2], BadLine> {
    let mut lines = text.lines().peekable();
    let mut read = |name: &str| match lines.next() {
        Some(line) if line == name => Tables::read(&mut lines),
        line => Err(BadLine(line.unwrap_or("").to_owned())),
    };
    let tables = [read(STOPS[0].0)?, read(STOPS[1].0)?];
    match lines.next() {
        Some(line) => Err(BadLine(line.to_owned())),
        None => Ok(tables),
    }
}

/// Boots, stops at each of [`STOPS`], and has gdb print the tables; the boot goes on then, and must end well. Returns the lines for
/// [`parse`].
///
/// # Errors
/// In words: there is no gdb, or a boot that is not all good, or gdb has not come by both.
pub fn stop(boot: &Boot) -> Result<String, String> {
    let gdb = gdb::find().ok_or("no gdb knows AArch64: `sh tools/setup.sh debug` installs one")?;
    // Nobody has it, and nobody is likely to take it until QEMU does.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port
        .map_err(|why| format!("no port for gdb: {why}"))?
        .port();
    let mut command = Command::new(gdb);
    command.args(["-nx", "-batch"]);
    let mut add = |option: &str, words: &str| {
        command.args([option, words]);
    };
    add("-iex", "set pagination off");
    add("-ex", &format!("target remote 127.0.0.1:{port}"));
    add("-x", &gdb::script().to_string_lossy());
    for (name, place) in STOPS {
        add("-ex", &format!("thbreak {place}"));
        add("-ex", "continue");
        add("-ex", &format!("echo {FROM}\\n{name}\\n"));
        add("-ex", "tables");
        add("-ex", &format!("echo {TO}\\n"));
    }
    add("-ex", "delete");
    add("-ex", "detach");
    command.arg(&boot.kernel);

    let boot = Boot {
        debug: Some(port),
        ..boot.clone()
    };
    let (outcome, said) = thread::scope(|scope| {
        let booted = scope.spawn(|| boot.run());
        let said = process::run(&mut command, Some(LIMIT), false);
        (booted.join(), said)
    });
    let said = said.map_err(|why| format!("cannot run {gdb}: {why}"))?;
    let outcome = outcome.map_err(|_| "the boot's thread panicked".to_owned())?;
    let outcome = outcome.map_err(|why| why.to_string())?;
    if outcome.verdict != Verdict::Good {
        return Err(format!("{}: {}", outcome.verdict, outcome.notes.join("; ")));
    }
    let text = between(&said.stdout);
    parse(&text).map_err(|why| format!("{why}; {gdb} said: {}", said.stderr.trim_end()))?;
    Ok(text)
}

/// What stands around the lines of interest in what gdb says.
const FROM: &str = "== from here";
const TO: &str = "== to here";

fn between(said: &str) -> String {
    let mut text = String::new();
    let mut is_within = false;
    for line in said.lines() {
        match line {
            FROM => is_within = true,
            TO => is_within = false,
            line if is_within => text += &format!("{line}\n"),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A stop after the other, as gdb prints it.
    pub const CUT: &str = "\
before
MAIR_EL1 0xff04, SCTLR_EL1 0x30d0180d
TTBR0_EL1, root 0x4030b000
  0000000040200000 L2     1 x 0040000040200785 2 MiB block at 0x40200000, r-x, attributes 1, AF
TTBR1_EL1, root 0x4030e000
  ffff000040000000 L2    32 x 0060000040000705 2 MiB block at 0x40000000, rw-, attributes 1, AF
  ffffc00000000000 L1     1 x 0060000000000401 1 GiB block at 0x0, rw-, attributes 0, AF
ffffffff80200000 __image_start
after
MAIR_EL1 0xff04, SCTLR_EL1 0x30d8180d
TTBR0_EL1, root 0x40314000
TTBR1_EL1, root 0x41900000
  ffff000040200000 L3   255 x 01e0000040200787 page at 0x40200000, r--, attributes 1, AF
  ffffa00000408000 L3     8 x 00e00000419a0707 page at 0x419a0000, rw-, attributes 1, AF
  ffffa00000418000 L3     8 x 00e00000419ab707 page at 0x419ab000, rw-, attributes 1, AF
  ffffffff80200000 L3   224 x 0140000040200787 page at 0x40200000, r-x, attributes 1, AF
ffffffff80200000 __image_start
";

    #[test]
    fn what_gdb_prints_is_read() {
        let [before, after] = parse(CUT).unwrap();
        assert_eq!((before.mair, before.wxn, after.wxn), (0xff04, false, true));
        let [identity, window, devices] = before.leaves[..] else {
            panic!("{before:?}");
        };
        assert_eq!((identity.va, identity.pa()), (0x4020_0000, 0x4020_0000));
        assert_eq!((window.count, window.bytes()), (32, 64 << 20));
        assert_eq!((devices.level, devices.pa()), (Level::L1, 0));
        assert_eq!(after.leaves.len(), 4);
        assert_eq!(after.leaves[1].end(), 0xffff_a000_0041_0000);
        assert_eq!(
            window.singles().nth(1),
            Some((0xffff_0000_4020_0000, Level::L2, 0x60_0000_4020_0705))
        );
        let image = (0xffff_ffff_8020_0000, "__image_start".to_owned());
        assert_eq!(after.symbols, [image]);
    }

    #[test]
    fn what_gdb_does_not_print_is_refused() {
        for (there, not_there, named) in [
            ("before", "", ""),
            ("after", "later", "later"),
            ("MAIR_EL1 0xff04", "MAIR_EL1 ff04?", "MAIR_EL1 ff04?"),
            ("TTBR0_EL1,", "TTBR2_EL1,", "TTBR2_EL1,"),
            // No such level; nothing; not aligned to the level; not valid; a table; the Access flag is clear.
            ("L2     1", "L4     1", "L4"),
            ("L2     1", "L2     0", "L2     0"),
            (
                "  0000000040200000",
                "  0000000040201000",
                "0000000040201000",
            ),
            ("0040000040200785", "0040000040200784", "0040000040200784"),
            ("0040000040200785", "0040000040200787", "0040000040200787"),
            ("0040000040200785", "0040000040200385", "0040000040200385"),
            ("0040000040200785", "nothing", "nothing"),
            // In both halves, in neither; beyond physical addresses; in front of what was before, and within it.
            ("L2     1 x", "L2 134217728 x", "L2 134217728"),
            (
                "  0000000040200000",
                "  0001000000000000",
                "0001000000000000",
            ),
            (
                "L2    32 x 0060000040000705",
                "L2    32 x 0060ffffffe00705",
                "0060ffffffe00705",
            ),
            (
                "  ffffc00000000000",
                "  ffff000000000000",
                "ffff000000000000",
            ),
            (
                "  ffffc00000000000",
                "  ffff000040000000",
                "ffff000040000000",
            ),
            (
                "ffffffff80200000 __",
                "?ffffff80200000 __",
                "?ffffff80200000",
            ),
        ] {
            let text = CUT.replacen(there, not_there, 1);
            let refused = parse(&text).unwrap_err();
            assert!(refused.to_string().contains(named), "{there}: {refused}");
        }
        let longer = format!("{CUT}more\n");
        assert_eq!(parse(&longer), Err(BadLine("more".to_owned())));
        assert!(parse(CUT.split("after").next().unwrap()).is_err());
    }

    #[test]
    fn what_gdb_says_besides_is_left_out() {
        let said = format!(
            "Breakpoint 1\n{FROM}\nbefore\n{TO}\nBreakpoint 2\n{FROM}\nafter\n{TO}\nDetached\n"
        );
        assert_eq!(between(&said), "before\nafter\n");
    }
}
