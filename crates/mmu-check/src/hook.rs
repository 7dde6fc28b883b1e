#![doc = include_str!("../HOOK-UP.md")]

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use spin::mutex::SpinMutex;
use spin::relax::Loop;

use crate::checker::Checker;
use crate::coverage::Coverage;
use crate::event::{Event, What};
use crate::ledger::MAX_CORES;
use crate::violation::Violation;

/// Who hears events: [`Checked`], or a listener of the kernel's own: a ring, a file, several at once.
///
/// It knows on which core and in which task it is called, and makes an [`Event`] of what it hears.
pub trait Listener: Copy {
    /// The value: it has no state of its own.
    const NEW: Self;

    /// Runs `f`, a report and its instruction, with interrupts masked where anybody listens: the task does not go on
    /// elsewhere between the two, and no handler's report comes between.
    fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R;

    /// Runs `act` and hears what it says it has done, as one: no event of another core comes
    /// between. Under the lock that puts the events in order, with interrupts masked.
    ///
    /// `act` loads and stores memory and takes no lock. Run it once, also where nobody wants to hear of it:
    /// it is the kernel's store.
    fn hear_with(self, act: impl FnOnce() -> What);

    /// Hears that something is about to happen, or has happened.
    #[inline]
    fn hear(self, what: What) {
        self.hear_with(|| what);
    }
}

/// What [`Checked`] needs of a kernel.
pub trait Kernel {
    /// The rules, the same for all cores.
    const RULES: &'static Shared;

    /// Runs `f` with interrupts masked on this core, and says where that is. Calls nest: an inner one leaves
    /// interrupts masked.
    fn masked<R>(f: impl FnOnce(Here) -> R) -> R;

    /// A rule was broken. The rules' lock is free again, interrupts are still masked; what returns goes on.
    fn broken(violation: &Violation) {
        panic!("{violation}");
    }
}

/// Where an event happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Here {
    /// The core, below [`MAX_CORES`].
    pub core: u8,
    /// The task that runs there, or on top of which a handler runs.
    pub task: u16,
}

impl Here {
    /// On this core, in this task.
    pub const fn at(core: u8, task: u16) -> Self {
        Here { core, task }
    }
}

/// A [`Checker`] that all cores share, as a static.
///
/// Until it is [started](Self::start) it is off: a report, and what runs undisturbed around it, cost a load and a branch
/// each, and interrupts stay as they are. Its lock is the last one that is
/// taken. Under it the rules allocate: where the heap grows by page-table work of its own, that work is executed
/// and not [heard](Self::unheard), so let the heap grow beforehand.
pub struct Shared {
    on: AtomicBool,
    /// The core that holds the lock, counted from 1; 0 for none.
    holder: AtomicU8,
    unheard: AtomicU32,
    /// spin's, waiting in a plain loop: `core::hint::spin_loop` is an ISB on this architecture, which would
    /// stand in for one that the kernel has forgotten.
    rules: SpinMutex<Option<Rules>, Loop>,
}

struct Rules {
    checker: Checker,
    sequence: u32,
}

impl Shared {
    /// Off.
    pub const fn new() -> Self {
        Shared {
            on: AtomicBool::new(false),
            holder: AtomicU8::new(0),
            unheard: AtomicU32::new(0),
            rules: SpinMutex::new(None),
        }
    }

    /// Starts with empty books: when there is a heap, and before the kernel's own tables are built. Does
    /// nothing when it is on.
    pub fn start(&self) {
        if !self.is_on() {
            *self.rules.lock() = Some(Rules {
                checker: Checker::new(),
                sequence: 0,
            });
            self.on.store(true, Relaxed);
        }
    }

    /// Whether it hears events.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// How many events were not heard: reported while this core held the rules' lock (by an exception, or by a heap
    /// that grew under it), or by a core that is not below [`MAX_CORES`]. Where it is not 0 the rules
    /// may miss something, or accuse wrongly.
    pub fn unheard(&self) -> u32 {
        self.unheard.load(Relaxed)
    }

    /// Runs `act` and takes its event, as one. Interrupts are masked.
    fn hear_with(&self, here: Here, act: impl FnOnce() -> What) -> Result<(), Box<Violation>> {
        let inside = here.core.wrapping_add(1);
        if self.holder.load(Relaxed) == inside || usize::from(here.core) >= MAX_CORES {
            act();
            self.unheard.fetch_add(1, Relaxed);
            return Ok(());
        }
        let mut rules = self.rules.lock();
        self.holder.store(inside, Relaxed);
        let what = act();
        let result = rules.as_mut().map_or(Ok(()), |rules| {
            let event = Event {
                sequence: rules.sequence,
                time: 0,
                core: here.core,
                task: here.task,
                what,
            };
            rules.sequence = rules.sequence.wrapping_add(event.count() as u32);
            rules.checker.step(&event)
        });
        self.holder.store(0, Relaxed);
        result
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("on", &self.is_on())
            .field("unheard", &self.unheard())
            .finish_non_exhaustive()
    }
}

/// The [`Listener`] that gives everything to the rules of the kernel `K`.
pub struct Checked<K>(PhantomData<fn() -> K>);

impl<K> Clone for Checked<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Checked<K> {}

impl<K> fmt::Debug for Checked<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}

impl<K: Kernel> Checked<K> {
    /// The value.
    pub const NEW: Self = Checked(PhantomData);

    /// Hears that something is about to happen, or has happened.
    pub fn hear(self, what: What) {
        self.hear_with(|| what);
    }

    /// Runs `act`, a store, and hears what it says it has done, as one.
    pub fn hear_with(self, act: impl FnOnce() -> What) {
        if !K::RULES.is_on() {
            act();
            return;
        }
        K::masked(|here| {
            if let Err(violation) = K::RULES.hear_with(here, act) {
                K::broken(&violation);
            }
        });
    }

    /// Runs `f`, a report and its instruction, with interrupts masked; where the rules are off, `f` and nothing else.
    #[inline]
    pub fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R {
        if !K::RULES.is_on() {
            return f();
        }
        K::masked(|_| f())
    }

    /// What there was to check so far; `None` where nothing is checked.
    pub fn coverage(self) -> Option<Coverage> {
        K::masked(|_| {
            let rules = K::RULES.rules.lock();
            rules.as_ref().map(|rules| *rules.checker.coverage())
        })
    }

    /// Ends checking and forgets what is known. Returns what there was to check.
    pub fn stop(self) -> Option<Coverage> {
        K::RULES.on.store(false, Relaxed);
        let rules = K::masked(|_| K::RULES.rules.lock().take());
        rules.map(|rules| *rules.checker.coverage())
    }
}

impl<K: Kernel> Listener for Checked<K> {
    const NEW: Self = Self::NEW;

    fn undisturbed<R>(self, f: impl FnOnce() -> R) -> R {
        self.undisturbed(f)
    }

    fn hear_with(self, act: impl FnOnce() -> What) {
        self.hear_with(act);
    }
}
