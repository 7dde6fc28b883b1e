//! A bare kernel of a few instructions, for the tests of the boot runner and the plugin.
//!
//! It does what its command line says, word by word:
//!
//! | word | does |
//! |---|---|
//! | `print=TEXT` | prints it on the UART |
//! | `windows` | runs the windows of `windows.s` and writes their counts, made by hand, to `windows.txt` |
//! | `lie=N` | the same, but claims a TLBI that was not executed in window N of the file |
//! | `unfit` | windows that do not start or end as they should |
//! | `cores=N` | two cores with N barriers of each kind in one window (needs two) |
//! | `spin=N` | N turns of a loop of five instructions |
//! | `report=good`, `report=bad`, `report=begun` | writes a `report.json`: sound, unsound, sound and not complete |
//! | `hang` | stops without an end |
//! | `loud` | prints without an end |
//! | `exit=N` | ends with status N; without it, 0 |
//! | `mark=DIGITS` | the boot runner's, which a kernel writes to `mark.txt` with its status at its end |
//! | `unmarked` | does not write it |
//! | `marked=N` | writes N instead of the status |
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

use semihosting::experimental::env::args;
use semihosting::{c, fs, process};

global_asm!(include_str!("start.s"), options(raw));
global_asm!(include_str!("windows.s"), options(raw));

// SAFETY: these are the functions of windows.s. Each keeps to the calling convention and takes what is declared here.
// The `safe` ones read and write nothing but registers; `second_core` is never called, only its address is taken.
unsafe extern "C" {
    safe fn window_barriers();
    safe fn window_loop();
    safe fn window_tlbi();
    safe fn window_overlap();
    safe fn window_fault();
    safe fn window_branch();
    safe fn window_unfit();
    safe fn spin(turns: u64);
    fn window_two_cores(meeting: *mut Meeting);
    safe fn second_core();
}

/// What the windows hold, by hand: a line each, in the order in which they end.
const BY_HAND: [&str; 7] = [
    "ba 0 dsb-sy=1 dsb-st=1 dsb-ld=1 dsb-ish=1 dsb-ishst=1 dsb-ishld=1 dsb-nsh=1 dsb-nshst=1 dsb-osh=1 \
     dmb-sy=1 dmb-st=1 dmb-ld=1 dmb-ish=1 dmb-ishst=1 dmb-ishld=1 dmb-nsh=1 dmb-osh=1 isb=2",
    "100 7 dsb-ishst=1000 isb=1000",
    "7 1 tlbi-vmalle1=1 tlbi-vmalle1is=1 tlbi-vae1=1 tlbi-vae1is=1 tlbi-vaale1is=1 tlbi-aside1is=1 \
     tlbi-rvae1is=1 tlbi-rvale1=1 dsb-ish=1 isb=1",
    "d1 2 dsb-ish=2 isb=1",
    "d2 3 dsb-ish=1 isb=2",
    "f 4 dsb-ish=2",
    "c 5 dsb-ish=2 isb=1",
];

/// Where the two cores meet; `second_core` and `window_two_cores` know the layout.
#[repr(C)]
struct Meeting {
    go: u64,
    turns: u64,
    here: u64,
    done: u64,
}

struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the data register of QEMU's first PL011, which takes a byte at any time; the MMU is off.
            unsafe {
                core::ptr::with_exposed_provenance_mut::<u32>(0x0900_0000)
                    .write_volatile(u32::from(byte))
            };
        }
        Ok(())
    }
}

/// Text of bounded length, to be written to a file in one go.
struct Text {
    bytes: [u8; 1024],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self
            .bytes
            .get_mut(self.len..self.len + text.len())
            .ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// What the boot runner wants to read at the end.
struct Mark<'a> {
    digits: Option<&'a str>,
    /// Written instead of the status.
    instead: Option<i32>,
}

impl Mark<'_> {
    /// Ends the boot; the mark is the last thing before.
    fn exit(&self, status: i32) -> ! {
        if let Some(digits) = self.digits {
            let mut text = Text {
                bytes: [0; 1024],
                len: 0,
            };
            let status = self.instead.unwrap_or(status);
            // What is not written the runner misses.
            let _ = writeln!(text, "{digits} {status}");
            let _ = fs::write(c!("mark.txt"), &text.bytes[..text.len]);
        }
        process::exit(status)
    }
}

#[unsafe(no_mangle)]
extern "C" fn guest() -> ! {
    // Twice, because going through the words uses them up.
    let (Ok(all), Ok(words)) = (args::<1024>(), args::<1024>()) else {
        process::exit(2)
    };
    // The runner's word is the last, and needed at any end.
    let digits = (&all).flatten().find_map(|word| word.strip_prefix("mark="));
    let mut mark = Mark {
        digits,
        instead: None,
    };
    // The first word is the kernel's own name.
    for word in (&words).skip(1) {
        let Ok(word) = word else { mark.exit(2) };
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let done = match name {
            "print" => writeln!(Uart, "{value}").ok(),
            "windows" => windows(None),
            "lie" => number(value).and_then(|line| windows(Some(line))),
            "unfit" => {
                window_unfit();
                Some(())
            }
            "cores" => number(value).and_then(two_cores),
            "spin" => number(value).map(|turns| spin(turns)),
            "report" => report(value),
            "hang" => hang(),
            "loud" => loud(),
            "exit" => status(value).map(|status| mark.exit(status)),
            "mark" => Some(()),
            "unmarked" => {
                mark.digits = None;
                Some(())
            }
            "marked" => status(value).map(|status| mark.instead = Some(status)),
            _ => None,
        };
        if done.is_none() {
            let _ = writeln!(Uart, "cannot do `{word}`");
            mark.exit(2);
        }
    }
    mark.exit(0)
}

fn status(value: &str) -> Option<i32> {
    number(value).and_then(|n| i32::try_from(n).ok())
}

fn number(value: &str) -> Option<u64> {
    value.parse().ok()
}

fn windows(lie: Option<u64>) -> Option<()> {
    window_barriers();
    window_loop();
    window_tlbi();
    window_overlap();
    window_fault();
    window_branch();
    let mut text = Text {
        bytes: [0; 1024],
        len: 0,
    };
    for (i, line) in (0..).zip(BY_HAND) {
        let more = if lie == Some(i) { " tlbi-vae1os=1" } else { "" };
        writeln!(text, "{line}{more}").ok()?;
    }
    fs::write(c!("windows.txt"), &text.bytes[..text.len]).ok()
}

fn two_cores(turns: u64) -> Option<()> {
    let mut meeting = Meeting {
        go: 0,
        turns,
        here: 0,
        done: 0,
    };
    let meeting = &raw mut meeting;
    let status: i64;
    // SAFETY: PSCI's CPU_ON for core 1, by HVC as on QEMU's virt entered at EL1. The core runs `second_core` alone, which
    // touches no memory but `meeting`, and that lives until `second_core` has said that it is done and sleeps.
    unsafe {
        asm!(
            "hvc #0",
            inout("x0") 0xc400_0003_u64 => status,
            in("x1") 1,
            in("x2") second_core as *const (),
            in("x3") meeting,
            clobber_abi("C"),
        );
    }
    if status != 0 {
        return None;
    }
    // SAFETY: it points to a meeting that outlives the call, and only the two cores' assembly touches it meanwhile.
    unsafe { window_two_cores(meeting) };
    let mut text = Text {
        bytes: [0; 1024],
        len: 0,
    };
    let n = 2 * turns;
    writeln!(
        text,
        "2c 6 dsb-ish={n} isb={n} dmb-ish={n} tlbi-vmalle1={n}"
    )
    .ok()?;
    fs::write(c!("windows.txt"), &text.bytes[..text.len]).ok()
}

fn report(kind: &str) -> Option<()> {
    let text = match kind {
        "good" => {
            r#"{"schema":2,"complete":true,"rows":[{"run":"zap","policy":"flat","pages":1,"k":1,"seed":1,"stores":1,"pairs":1,
            "dsb":1,"isb":1,"dmb":0,"tlbi":1,"reach":null,"depth":1,"replay":null,"tasks":[],"others":{}}]}"#
        }
        "begun" => {
            r#"{"schema":2,"complete":false,"rows":[{"run":"zap","policy":"flat","pages":1,"k":1,"seed":1,"stores":1,"pairs":1,
            "dsb":1,"isb":1,"dmb":0,"tlbi":1,"reach":null,"depth":1,"replay":null,"tasks":[],"others":{}}]}"#
        }
        "bad" => r#"{"schema":2,"complete":true,"rows":[{"run":"zap"}]}"#,
        _ => return None,
    };
    fs::write(c!("report.json"), text).ok()
}

fn hang() -> ! {
    loop {
        // SAFETY: waits for an interrupt, which never comes: none is enabled.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

fn loud() -> ! {
    loop {
        // The UART takes what it is given.
        let _ = writeln!(
            Uart,
            "and on and on and on and on and on and on and on and on"
        );
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // A failure needs no mark.
    process::exit(3)
}
