//! `make debug`: a gdb that follows what is printed has symbols before the MMU is on, and commands that know this kernel.
//!
//! `make build` builds the kernel; `tools/setup.sh debug` installs a gdb.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lazy_mmu_tools::{gdb, places};

/// What gdb is told, once it is connected as the line says.
const COMMANDS: [&str; 19] = [
    "info symbol $pc",
    "walk 0x40200000",
    "task",
    "hbreak lazy_mmu_kernel::run::main",
    "continue",
    "walk 0xffffffff80200000",
    "walk 0xffff800000000000",
    "tables",
    "task",
    "task 70000",
    "delete",
    // Up to the first store that a section defers the pair of: the flag's byte changes.
    "python pending = linked(\"lazy_mmu_kernel::task::TASKS\")[0][\"mmu\"][\"mode\"][\"pending\"].address",
    "set language c",
    "python gdb.execute(\"watch *(unsigned char *) %d\" % int(pending))",
    "set language auto",
    "continue",
    "task",
    "events 6",
    "kill",
];

/// A boot that waits, ended with the test.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots as `make debug` does. Returns the line that says what to type.
fn wait_for_gdb(port: u16) -> (Waiting, String) {
    let mut boot = Command::new(env!("CARGO_BIN_EXE_boot"));
    boot.arg(places::kernel("lazy-mmu-kernel"))
        .args(["run=vmap", "policy=v3", "pages=32", "k=8", "trace=on"])
        .env("GDB", port.to_string())
        .env("KEEP", env!("CARGO_TARGET_TMPDIR"))
        .env_remove("LAZY_MMU_ENDS_WITH")
        .stdout(Stdio::piped());
    let mut boot = boot.spawn().unwrap();
    let mut said = BufReader::new(boot.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    // The console goes on, and somebody has to read it.
    std::thread::spawn(move || said.lines().for_each(drop));
    (Waiting(boot), line)
}

/// Runs gdb as the line says, with commands, for two minutes at most.
fn run(line: &str) -> String {
    let shell = line.trim().strip_prefix("waiting for gdb: ").unwrap();
    let commands = COMMANDS.map(|command| format!("-ex '{command}'")).join(" ");
    // In front of the kernel, the last word. A command that fails does not end it.
    let (gdb, kernel) = shell.rsplit_once(' ').unwrap();
    let (program, rest) = gdb.split_once(' ').unwrap();
    let mut gdb = Command::new("sh");
    gdb.args([
        "-c",
        &format!(
            "exec {program} -nx -iex 'set pagination off' {rest} {commands} -ex quit {kernel} 2>&1"
        ),
    ]);
    let mut gdb = gdb
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = gdb.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(output).unwrap());
    let began = Instant::now();
    while gdb.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(120) {
            gdb.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.join().unwrap()
}

#[test]
fn gdb_knows_the_kernel_from_the_first_instruction_on() {
    assert!(
        gdb::find().is_some(),
        "no gdb knows AArch64: `tools/setup.sh debug` installs one"
    );
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (_boot, line) = wait_for_gdb(port);
    let said = run(&line);
    let mut rest = said.as_str();
    for (words, what) in [
        ("_start in section .text", "a symbol before the MMU is on"),
        (
            "the MMU is off: 0x40200000 is a physical address",
            "walk before the MMU is on",
        ),
        ("no task runs yet", "task before there is one"),
        (
            "lazy_mmu_kernel::run::main (boot=",
            "a breakpoint in the upper half",
        ),
        (
            "0xffffffff80200000 by TTBR1_EL1, root 0x",
            "walk of the text",
        ),
        ("page at 0x40200000, r-x, attributes", "the text's page"),
        ("0xffffffff80200000 is at 0x40200000", "where it is"),
        (
            "0xffff800000000000 by TTBR1_EL1",
            "walk of what is not mapped yet",
        ),
        ("not valid", "the entry that is not there"),
        (
            "MAIR_EL1 0xff04, SCTLR_EL1 0x",
            "what decides what the tables mean",
        ),
        ("TTBR0_EL1, root 0x", "the root of the lower half"),
        ("ffff000040200000 L3", "the linear map"),
        ("ffffffff80200000 L3", "the text"),
        ("ffffffff80200000 __image_start", "its symbol"),
        (
            "task 0, v3: count=0 pause_count=0 enabled=0\n",
            "the task outside of sections",
        ),
        ("sections ", "its figures"),
        ("there are tasks 0 to ", "a task that there is not"),
        ("New value = 1", "a watchpoint"),
        ("task 0, v3: count=", "the task in its section"),
        ("enabled=1 pending: it owes a pair", "its debt"),
        ("core 0, the last 6 of ", "the last events"),
        (" task=0 owe\n", "the store that owes"),
    ] {
        let at = rest.find(words);
        let at = at.unwrap_or_else(|| panic!("{what}: no `{words}` in: {rest}\nof: {said}"));
        rest = &rest[at + words.len()..];
    }
}
