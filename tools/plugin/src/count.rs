//! Counting, core by core, and the windows over it.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::decode::{KINDS, Kind, name};

/// As many cores as QEMU's virt machine can have.
const CORES: usize = 512;

/// A number that one thread changes, and that others may read at any time.
///
/// Only the thread of its core adds, so a load and a store suffice: no atomic addition in front of every instruction.
/// Relaxed, because a guest that orders its cores makes QEMU order its threads, and these stores with them.
struct Own(AtomicU64);

impl Own {
    const fn zero() -> Self {
        Self(AtomicU64::new(0))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn add_one(&self) {
        self.set(self.get() + 1);
    }
}

/// What one core has executed. Cache lines of its own, so that cores do not slow each other.
#[repr(align(64))]
struct Core {
    /// Barriers and TLBIs, by their kind.
    kinds: [Own; KINDS],
    instructions: Own,
    /// The nibbles pushed since the last start of a window.
    tag: Own,
}

impl Core {
    const fn new() -> Self {
        Self {
            kinds: [const { Own::zero() }; KINDS],
            instructions: Own::zero(),
            tag: Own::zero(),
        }
    }
}

/// Sums over all cores.
struct Sums {
    kinds: [u64; KINDS],
    instructions: u64,
}

struct Open {
    tag: u64,
    since: Sums,
}

struct Windows {
    open: [Option<Open>; 8],
    out: Option<Box<dyn Write + Send>>,
}

impl Windows {
    fn write(&mut self, line: &str) {
        if let Some(out) = &mut self.out {
            // Line by line: the machine may end at any instruction. A file that cannot be written is a file with lines
            // missing, and that is what the runner then says.
            let _ = out.write_all(line.as_bytes());
        }
    }
}

/// All the counting there is. One exists per QEMU; tests make their own.
pub struct Witness {
    cores: [Core; CORES],
    windows: Mutex<Windows>,
}

impl Witness {
    /// Counts nothing yet and writes nowhere.
    pub const fn new() -> Self {
        let windows = Windows {
            open: [const { None }; 8],
            out: None,
        };
        Self {
            cores: [const { Core::new() }; CORES],
            windows: Mutex::new(windows),
        }
    }

    /// Says where the lines go.
    pub fn write_to(&self, out: impl Write + Send + 'static) {
        self.windows().out = Some(Box::new(out));
    }

    /// An instruction like any other begins on core `core`.
    #[inline]
    pub fn plain(&self, core: usize) {
        if let Some(core) = self.cores.get(core) {
            core.instructions.add_one();
        }
    }

    /// An instruction of kind `kind` begins on core `core`.
    pub fn begins(&self, core: usize, kind: Kind) {
        let Some(own) = self.cores.get(core) else {
            return;
        };
        match kind {
            Kind::Plain => {}
            Kind::Counted(kind) => own.kinds[usize::from(kind)].add_one(),
            Kind::Nibble(n) => own.tag.set(own.tag.get() << 4 | u64::from(n)),
            Kind::End(w) => self.end(w),
            // Counted before the window starts, as the end is after it has ended: neither is in it.
            Kind::Start(_) => {}
        }
        own.instructions.add_one();
        if let Kind::Start(w) = kind {
            self.start(w, own.tag.get());
            own.tag.set(0);
        }
    }

    /// QEMU ends: says which windows are still open.
    pub fn finish(&self) {
        let mut windows = self.windows();
        for w in 0..windows.open.len() {
            if let Some(open) = windows.open[w].take() {
                windows.write(&format!(
                    "! window {w}, tag {:#x}, was started and never ended\n",
                    open.tag
                ));
            }
        }
    }

    fn start(&self, w: u8, tag: u64) {
        let mut windows = self.windows();
        let since = self.sums();
        if let Some(open) = windows.open[usize::from(w)].replace(Open { tag, since }) {
            windows.write(&format!(
                "! window {w} was started with tag {tag:#x} while open with tag {:#x}\n",
                open.tag
            ));
        }
    }

    fn end(&self, w: u8) {
        let now = self.sums();
        let mut windows = self.windows();
        let Some(open) = windows.open[usize::from(w)].take() else {
            return windows.write(&format!("! window {w} was ended without a start\n"));
        };
        let instructions = now.instructions - open.since.instructions;
        let mut line = format!("{:x} {w} {instructions}", open.tag);
        for (kind, (now, since)) in (0..).zip(now.kinds.iter().zip(open.since.kinds)) {
            if *now > since {
                // Writing to a String does not fail.
                let _ = write!(line, " {}={}", name(kind), now - since);
            }
        }
        line.push('\n');
        windows.write(&line);
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums {
            kinds: [0; KINDS],
            instructions: 0,
        };
        // Most of the cores are not there.
        let cores = self.cores.iter().filter(|core| core.instructions.get() > 0);
        for core in cores {
            sums.instructions += core.instructions.get();
            for (sum, count) in sums.kinds.iter_mut().zip(&core.kinds) {
                *sum += count.get();
            }
        }
        sums
    }

    fn windows(&self) -> std::sync::MutexGuard<'_, Windows> {
        // Nothing in here panics halfway through a change.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The kind of an instruction.
    fn word(word: u32) -> Kind {
        crate::decode::decode(word)
    }

    const DSB_ISH: u32 = 0xd503_3b9f;
    const DSB_ISHST: u32 = 0xd503_3a9f;
    const DMB_ISH: u32 = 0xd503_3bbf;
    const ISB: u32 = 0xd503_3fdf;
    const TLBI_VAE1IS: u32 = 0xd508_8328;

    fn written(run: impl FnOnce(&Witness)) -> String {
        let lines = Lines::default();
        let witness = Witness::new();
        witness.write_to(lines.clone());
        run(&witness);
        witness.finish();
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_window_holds_what_is_between_its_marks() {
        let written = written(|witness| {
            let run = [
                word(DSB_ISH),
                Kind::Nibble(0xa),
                Kind::Nibble(1),
                Kind::Start(3),
                word(DSB_ISH),
                word(ISB),
                word(DSB_ISHST),
                word(ISB),
                word(DMB_ISH),
                word(TLBI_VAE1IS),
                Kind::End(3),
                word(DSB_ISH),
                Kind::Start(0),
                Kind::End(0),
            ];
            run.into_iter().for_each(|kind| witness.begins(0, kind));
        });
        assert_eq!(
            written,
            "a1 3 6 dsb-ishst=1 dsb-ish=1 dmb-ish=1 isb=2 tlbi-vae1is=1\n0 0 0\n"
        );
    }

    #[test]
    fn marks_that_do_not_fit() {
        let written = written(|witness| {
            let run = [
                Kind::Nibble(5),
                Kind::Start(0),
                Kind::End(1),
                Kind::Start(2),
                Kind::Start(2),
                Kind::End(2),
            ];
            run.into_iter().for_each(|kind| witness.begins(0, kind));
        });
        assert_eq!(
            written,
            "! window 1 was ended without a start\n\
             ! window 2 was started with tag 0x0 while open with tag 0x0\n\
             0 2 0\n\
             ! window 0, tag 0x5, was started and never ended\n"
        );
    }

    #[test]
    fn tags_are_the_cores_own_and_counts_are_everybodys() {
        let written = written(|witness| {
            witness.begins(0, Kind::Nibble(1));
            witness.begins(1, Kind::Nibble(2));
            witness.begins(0, Kind::Start(0));
            thread::scope(|scope| {
                for core in 1..4 {
                    scope
                        .spawn(move || (0..1000).for_each(|_| witness.begins(core, word(DSB_ISH))));
                }
            });
            witness.plain(7);
            witness.begins(0, Kind::End(0));
        });
        assert_eq!(written, "1 0 3001 dsb-ish=3000\n");
    }
}
