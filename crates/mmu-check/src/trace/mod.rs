//! Traces: what a kernel writes, and a host checks again. This page is the format, version 1.
//!
//! # A trace
//!
//! It is text, in lines that each end with a line feed and have at most 4096 bytes. Empty lines and lines that
//! begin with `#` are passed over. The others are, in this order:
//!
//! ```text
//! mmu-check trace 1 clock=COUNTS              the first line
//! EVENT ...                                   how things stood, if anything was before; numbered from 0
//! run first=SEQUENCE stated=LINES before=N    the run begins
//! EVENT ...                                   what happened, every event of it; numbered from SEQUENCE
//! end events=N                                the last line
//! ```
//!
//! | field | what it is |
//! |---|---|
//! | `1` | the version. Another one is refused |
//! | `clock=` | how many counts of `time=` are a second: CNTFRQ_EL0; 0 where that is not known |
//! | `first=` | the number of the first event of the run |
//! | `stated=` | how many events before the `run` line say how things stood, each store of `stores` counted |
//! | `before=` | how many events the rules had been given before the run: what is left out |
//! | `events=` | how many events the run had, each store of `stores` counted |
//!
//! A trace without a first line is of version 0: events alone, numbered from anywhere, and nothing says whether
//! it is cut at a line's end.
//!
//! # An event
//!
//! ```text
//! SEQUENCE [time=T] core=C task=N WHAT
//! ```
//!
//! | field | what it is |
//! |---|---|
//! | `SEQUENCE` | its place in the order of all cores: the number of the event before, plus 1, and 0 after 2^32 - 1. Of `stores` it is that of the first store, and each store has one: the next line has `count` more |
//! | `time=` | when, in counts of the clock; left out where that is not known. A core's times do not go back; those of two cores may cross. `stores` have that of the first |
//! | `core=` | 0 to 7 |
//! | `task=` | the task, or the one below in an interrupt handler: 0 to 65535 |
//!
//! A number that is missing, there twice or out of order is an error: the rules need every event, in the order in
//! which it was reported. Numbers are decimal, or hexadecimal after `0x`. `WHAT` is one of:
//!
//! ```text
//! store slot=PA va=VA level=L old=D new=D
//! stores slot=PA va=VA level=L old=D new=D old-step=S new-step=S count=N
//! zero frame=PA       alloc frame=PA      free frame=PA
//! dsb KIND            dmb KIND            isb         (ish ishst ishld nsh nshst sy st)
//! tlbi NAME OPERAND   ttbr0 root=PA asid=A            switch to=N
//! exception-entry     exception-return    irq-enter   irq-exit
//! core-start          task-end
//! contract KIND       (every-exit outermost-exit)
//! policy NAME         (eager flat reenter v3 linux7)
//! call NAME           (enable disable pause resume)
//! hook NAME           (enter leave flush)
//! owe                 reenter begin=0|1   window tag=T open=0|1
//! done va=VA pages=N asid=A tables=0|1
//! access HOW EXPECTATION va=ANY           (read write execute; works retries faults)
//! ```
//!
//! What each means, and when it is reported, is with [`What`](crate::What).
//!
//! | field | what it is |
//! |---|---|
//! | `PA` | a physical address of 48 bits; a slot's is a multiple of 8, a frame's and a root's of 4096 |
//! | `VA` | a virtual address of either half: bits 63 to 48 are all equal |
//! | `ANY` | any address: a probe may be of one that is in no half |
//! | `L` | the level of the table: 0 to 3 |
//! | `D` | a descriptor, 64 bits |
//! | `S` | what the next one's descriptor is larger by, modulo 2^64 |
//! | `count=` | how many stores: from 1 to what the table has from `slot` on |
//! | `NAME OPERAND` | the instruction in lower case, and its register; 0 where it has none |
//! | `A` | an ASID: 0 to 65535 |
//! | `pages=` | how many pages, up to 2^36: a half of the address space |
//! | `tag=` | the name of a window: any number |
//!
//! # What was before
//!
//! A kernel does most of its page-table work while it boots, and the run is what one wants to see. So a trace
//! may begin at the run. [`Writer::state`] writes what the rules know by then as events, such as would leave a new
//! [`Checker`](crate::Checker) knowing the same: the tables with what is in them, links and roots, the frames in
//! use, ASIDs and what each core's TTBR0 has, sections that are open, and what each core has synchronised with.
//! They are believed and not judged ([`Checker::assume`](crate::Checker::assume)).
//!
//! It can begin only where nothing is owed ([`Checker::owed`](crate::Checker::owed)): no store that a
//! walker may have missed, no invalidation that is not complete. What is published and a core has not synchronised
//! its context for, is stated as that. A trace whose statements leave anything owed is refused.
//!
//! Such a trace cannot know what broke a rule before it. A store of before that is named in a violation has the
//! number it has among the statements. Which mappings were used before is left out: the first use in the
//! run counts as the first.
//!
//! # Writing and reading
//!
//! A kernel writes with a [`Writer`], in which a run of stores is one line. The feature `machine` adds
//! what reads and checks a trace on a host, and the example `check_trace` does that from a command line.

mod buffered;
#[cfg(feature = "machine")]
mod error;
mod header;
#[cfg(feature = "machine")]
mod host;
#[cfg(feature = "machine")]
mod reader;
mod recorder;
mod writer;

pub use buffered::Buffered;
pub use header::{End, Header, HeaderError, Run, VERSION};
pub use recorder::{Extent, Recorder, Unwritten};
pub use writer::Writer;

#[cfg(feature = "machine")]
pub use error::{TraceError, Wrong};
#[cfg(feature = "machine")]
pub use host::{MEMORY_MAX, Summary, check};
#[cfg(feature = "machine")]
pub use reader::{Entry, Reader};
