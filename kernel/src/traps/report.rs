//! The report of an exception that nothing expected: all there is to know, then the end of the boot
//! with status 4.
//!
//! It relies on as little as it can: the console, this core's stack or overflow stack, and the
//! linear map where the MMU says it is there. It never takes a lock, allocates, or executes a
//! counted barrier. What is most wanted comes first.

use core::fmt::{self, Display, Write};

use stage1_hw::Plain;
use stage1_paging::Va;

use super::last::LastWords;
use super::walk;
use crate::arch::{Esr, TrapFrame, Vector};
use crate::arch::{probe, registers, translate};
use crate::base::Verdict;
use crate::base::layout;
use crate::mem::frames;
use crate::observe::ring;
use crate::task;

/// How many of the core's last events are shown.
const EVENTS: usize = 8;

/// Reports, and ends the boot.
pub(super) fn unexpected(frame: &TrapFrame, vector: Vector) -> ! {
    let what = format_args!(
        "{vector}, ESR {:x}, FAR {:x}, ELR {:x}",
        frame.esr, frame.far, frame.elr
    );
    let mut out = LastWords::claim(Verdict::Exception, what);
    // The console does not report errors, so there is none to act on.
    let _ = write(&mut out, frame, vector);
    out.exit()
}

fn write(out: &mut LastWords, frame: &TrapFrame, vector: Vector) -> fmt::Result {
    writeln!(out, "\nunexpected {vector}")?;
    if vector.overflowed() {
        let sp = frame.sp;
        writeln!(
            out,
            "SP   {sp:016x} is outside its stack, or too close to the end"
        )?;
        if in_vectors(frame.elr) {
            writeln!(
                out,
                "  the vectors themselves faulted: SP was wild before, and ELR is lost; x30 may show where"
            )?;
        }
    }
    let esr = Esr(frame.esr);
    if vector.has_syndrome() {
        writeln!(out, "ESR  {:016x} {esr}", frame.esr)?;
    }
    let valid = vector.has_syndrome() && esr.has_address();
    let whose = if valid {
        ""
    } else {
        " (not of this exception)"
    };
    writeln!(out, "FAR  {:016x}{whose}", frame.far)?;
    writeln!(out, "ELR  {:016x} {}", frame.elr, Place(frame.elr))?;
    writeln!(out, "SPSR {:016x} {}", frame.spsr, State(frame.spsr))?;
    who(out)?;
    general_registers(out, frame)?;
    if valid {
        translation(out, Va::new(frame.far))?;
    }
    events(out)
}

/// The exception was taken while another one's frame was being saved.
fn in_vectors(elr: u64) -> bool {
    unsafe extern "C" {
        static exception_vectors: u8;
    }
    elr.wrapping_sub(&raw const exception_vectors as u64) < 0x800
}

/// x0 to x30 and SP, four in a line.
fn general_registers(out: &mut LastWords, frame: &TrapFrame) -> fmt::Result {
    for (n, value) in frame.x.iter().enumerate() {
        let end = if n % 4 == 3 { "\n" } else { "  " };
        write!(out, "x{n:<2} {value:016x}{end}")?;
    }
    writeln!(out, "sp  {:016x}", frame.sp)
}

/// What the MMU says of the address, and the tables that it says so from. By the plain machine: neither counted nor reported,
/// as the task that it would be counted for may be what is broken, and the events are about to be printed.
fn translation(out: &mut LastWords, va: Va) -> fmt::Result {
    match translate::read(Plain, va) {
        Ok(pa) => writeln!(out, "AT S1E1R: {pa}")?,
        Err(fault) => writeln!(out, "AT S1E1R: {}", fault.kind)?,
    }
    // SAFETY: there are `LastWords`: this core does not go on, and the others wait.
    if let Some(owner) = unsafe { frames::last_owner(va) } {
        writeln!(out, "its frame was {owner}")?;
    }
    walk::write(out, va)
}

/// The current task and core, or that there is none yet.
///
/// The registers that lead to them may hold anything after a failure, so the records are probed
/// before they are used.
pub(super) fn who(out: &mut LastWords) -> fmt::Result {
    match registers::current_task() {
        0 => write!(out, "no current task")?,
        record if readable(record) => write!(out, "task {}", task::current().id)?,
        record => write!(out, "task record at {record:#x}, not readable")?,
    }
    match registers::core_record() {
        0 => write!(out, ", no core record")?,
        record if readable(record) => write!(out, ", core {}", task::core().index)?,
        record => write!(out, ", core record at {record:#x}, not readable")?,
    }
    writeln!(out, ", MPIDR affinity {:#x}", registers::affinity())
}

fn readable(record: u64) -> bool {
    record != 0 && record.is_multiple_of(8) && probe::read_u64(Va::new(record)).is_ok()
}

/// The last events of this core, oldest first; nothing if it has no record, or recording was off.
fn events(out: &mut LastWords) -> fmt::Result {
    if !readable(registers::core_record()) {
        return Ok(());
    }
    for (n, event) in ring::last(task::core().index, EVENTS).enumerate() {
        if n == 0 {
            writeln!(out, "last events of this core:")?;
        }
        writeln!(out, "  {event}")?;
    }
    Ok(())
}

/// Where an address of code lies.
struct Place(u64);

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (image, address) = (layout::image(), Va::new(self.0));
        let part = match address {
            _ if address < image.start || address >= image.end => {
                return f.write_str("outside the image");
            }
            _ if address < image.text_end => "text",
            _ if address < image.rodata_end => "rodata, which is not executable",
            _ => "data, which is not executable",
        };
        let offset = self.0 - image.start.raw();
        // The image is linked where it runs, so the address itself is what addr2line wants.
        write!(
            f,
            "image + {offset:#x} ({part}); addr2line -fie KERNEL {:#x}",
            self.0
        )
    }
}

/// SPSR_EL1 by the names of the Arm ARM: the mode, and the fields of one bit that are set.
struct State(u64);

impl Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BITS: [u32; 15] = [31, 30, 29, 28, 25, 24, 23, 22, 21, 20, 12, 9, 8, 7, 6];
        const NAMES: [&str; 15] = [
            "N", "Z", "C", "V", "TCO", "DIT", "UAO", "PAN", "SS", "IL", "SSBS", "D", "A", "I", "F",
        ];
        f.write_str(match self.0 & 0x1F {
            0b0_0000 => "EL0t",
            0b0_0100 => "EL1t",
            0b0_0101 => "EL1h",
            0b1_0000.. => "AArch32",
            _ => "illegal mode",
        })?;
        for (bit, name) in BITS.into_iter().zip(NAMES) {
            if self.0 >> bit & 1 != 0 {
                write!(f, " {name}")?;
            }
        }
        match self.0 >> 10 & 3 {
            0 => Ok(()),
            kind => write!(f, " BTYPE={kind}"),
        }
    }
}
