//! A machine that executes nothing and records everything, and a kernel on the host for it.
//!
//! What is recorded is in one log per thread, as [`Instructions`] has no state of its own. So the
//! instructions, the stores and the calls of the kernel stand in one order.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stage1_hw::{Barrier, Hardware, Instructions, Op, Page, Services, Slot, Slots, Upkeep, Why};
use stage1_paging::{
    Asid, Batch, Debt, Desc, Edited, Features, Frame, Half, Level, Pa, Pages, Space, Step, Tlbi, Va,
};

/// What happened, in program order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Execute(Op, Why),
    Load,
    Store {
        pa: u64,
        level: Level,
        va: u64,
        new: Desc,
        why: Why,
    },
    /// A store by [`Instructions::edit`].
    Edit {
        pa: u64,
        level: Level,
        va: u64,
        new: Desc,
    },
    Zero(u64, Why),
    Ttbr0(u64),
    Alloc(u64),
    NoFrame,
    Free(u64),
    Lock,
    Unlock,
    Owe,
    MayBreak(Pages),
    /// The barriers of an invalidation are about to run, and have run: where the mode settles by them.
    Settle,
    Settled,
    /// The pages and whether tables go with them.
    Done(Pages, bool),
}

thread_local! {
    static LOG: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}

fn record(event: Event) {
    LOG.with_borrow_mut(|log| log.push(event));
}

/// What was recorded since the last call, loads included.
pub fn everything() -> Vec<Event> {
    LOG.take()
}

/// What was recorded since the last call, without loads: how often a descriptor is looked at is
/// nobody's business.
pub fn log() -> Vec<Event> {
    let mut log = everything();
    log.retain(|event| *event != Event::Load);
    log
}

/// The recording machine. Its memory is the host's: what is stored is there.
#[derive(Clone, Copy, Debug)]
pub struct Recorder;

impl Instructions for Recorder {
    const NEW: Self = Recorder;

    fn execute(self, op: Op, why: Why) {
        record(Event::Execute(op, why));
    }

    fn load(self, word: &AtomicU64) -> Desc {
        record(Event::Load);
        Desc::from_bits(word.load(Relaxed))
    }

    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        let Slot {
            word,
            pa,
            level,
            va,
        } = slot;
        let (pa, va) = (pa.raw(), va.raw());
        record(Event::Store {
            pa,
            level,
            va,
            new,
            why,
        });
        word.store(new.bits(), Relaxed);
    }

    fn edit(self, slots: Slots<'_>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let (mut passed, mut skipped) = (0, 0);
        while let Some(Slot {
            word,
            pa,
            level,
            va,
        }) = slots.get(passed)
        {
            match f(Desc::from_bits(word.load(Relaxed))) {
                Step::Store(new) => {
                    let (pa, va) = (pa.raw(), va.raw());
                    record(Event::Edit { pa, level, va, new });
                    word.store(new.bits(), Relaxed);
                }
                Step::Skip => skipped += 1,
                Step::Stop => break,
            }
            passed += 1;
        }
        Edited { passed, skipped }
    }

    fn zero(self, page: &Page, pa: Pa, why: Why) {
        record(Event::Zero(pa.raw(), why));
        page.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    unsafe fn write_ttbr0(self, value: u64) {
        record(Event::Ttbr0(value));
    }
}

/// Frames of the host's memory.
const FRAMES: usize = 64;
/// Where its physical address space begins: far from any host address.
pub const RAM: u64 = 0x12_3400_0000;

type Hook = Box<dyn FnOnce()>;

/// A kernel of its own for each test: some pages, of which the linear map is the host's addresses.
pub struct Kernel {
    pages: NonNull<Page>,
    free: RefCell<Vec<Frame>>,
    used: RefCell<BTreeSet<u64>>,
    pub may_break: Cell<bool>,
    pub settles: Cell<bool>,
    locked: Cell<bool>,
    /// Runs once, before the lock is taken: what another core does meanwhile.
    pub before_lock: RefCell<Option<Hook>>,
}

impl Kernel {
    /// All frames are filled with what looks like table descriptors, and are given out in ascending
    /// order.
    pub fn new() -> &'static Self {
        let garbage = |_| Page(std::array::from_fn(|_| AtomicU64::new(0x5555_5555_5557)));
        let pages: Vec<Page> = (0..FRAMES).map(garbage).collect();
        log();
        Box::leak(Box::new(Kernel {
            pages: NonNull::from(Vec::leak(pages)).cast(),
            free: RefCell::new((0..FRAMES as u64).rev().map(table).collect()),
            used: RefCell::default(),
            may_break: Cell::new(true),
            settles: Cell::new(false),
            locked: Cell::new(false),
            before_lock: RefCell::default(),
        }))
    }

    /// Frames that are allocated.
    pub fn used(&self) -> usize {
        self.used.borrow().len()
    }

    /// From now on there are `n` frames and no more.
    pub fn leave(&self, n: usize) {
        let mut free = self.free.borrow_mut();
        let taken = free.len().saturating_sub(n);
        free.drain(..taken);
    }

    /// The descriptor at `index` of the table in the `n`th frame, as it is in memory.
    pub fn word(&self, n: u64, index: usize) -> Desc {
        let page = Services::page(&self, table(n));
        // SAFETY: `page` checks its argument; the pages are never freed, and their words atomics.
        let word = unsafe { &page.as_ref().0[index] };
        Desc::from_bits(word.load(Relaxed))
    }

    /// Stores a descriptor, as another core would.
    pub fn poke(&self, n: u64, index: usize, desc: Desc) {
        let page = Services::page(&self, table(n));
        // SAFETY: as `word`.
        unsafe { page.as_ref().0[index].store(desc.bits(), Relaxed) }
    }
}

impl Services for &Kernel {
    type Instructions = Recorder;

    fn alloc(&self) -> Option<Frame> {
        assert!(!self.locked.get(), "an allocation under the lock");
        let Some(frame) = self.free.borrow_mut().pop() else {
            record(Event::NoFrame);
            return None;
        };
        record(Event::Alloc(frame.pa().raw()));
        assert!(self.used.borrow_mut().insert(frame.pa().raw()));
        Some(frame)
    }

    unsafe fn free(&self, frame: Frame) {
        assert!(!self.locked.get(), "a frame freed under the lock");
        record(Event::Free(frame.pa().raw()));
        let was_used = self.used.borrow_mut().remove(&frame.pa().raw());
        assert!(was_used, "{frame:?} is freed, which is not allocated");
        self.free.borrow_mut().push(frame);
    }

    fn page(&self, frame: Frame) -> NonNull<Page> {
        let index = (frame.pa().raw() - RAM) / 4096;
        let index = usize::try_from(index).expect("64-bit host");
        assert!(index < FRAMES, "{frame:?} is no memory");
        // SAFETY: within the allocation, as just checked.
        unsafe { self.pages.add(index) }
    }

    fn frame(&self, page: NonNull<Page>) -> Frame {
        let offset = page.as_ptr() as u64 - self.pages.as_ptr() as u64;
        assert!(offset < 4096 * FRAMES as u64, "{page:?} is no memory");
        Frame::containing(Pa::new(RAM + offset).unwrap())
    }

    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        if let Some(hook) = self.before_lock.take() {
            hook();
        }
        assert!(!self.locked.replace(true), "the lock is taken twice");
        record(Event::Lock);
        let result = f();
        record(Event::Unlock);
        self.locked.set(false);
        result
    }

    fn owe(&self) {
        assert!(!self.locked.get());
        record(Event::Owe);
    }

    fn settled_by(&self, barriers: impl FnOnce()) {
        if !self.settles.get() {
            return barriers();
        }
        record(Event::Settle);
        barriers();
        record(Event::Settled);
    }

    fn may_break(&self, pages: Pages) -> bool {
        record(Event::MayBreak(pages));
        self.may_break.get()
    }

    fn done(&self, debt: &Debt) {
        let pages = debt.pages().next().expect("a debt that is paid has pages");
        record(Event::Done(pages, debt.frees_tables()));
    }
}

pub type Machine = Hardware<&'static Kernel>;

pub fn machine(kernel: &'static Kernel, upkeep: Upkeep) -> Machine {
    // SAFETY: 1. The kernel gives each frame to one owner, and its pages live for ever. 2. Nothing
    // reads the tables but the tests, so no instruction is needed. 3. Roots come from `new_root`.
    // 4. Nothing is translated. 5. There are no cores.
    unsafe { Hardware::new(kernel, upkeep) }
}

/// A kernel and its machine without features, and a space of `half` whose root is frame 0.
pub fn space(half: Half) -> (&'static Kernel, Space<'static, Machine>) {
    let kernel = Kernel::new();
    let machine = Box::leak(Box::new(machine(kernel, Upkeep::default())));
    let root = machine.new_root().unwrap();
    log();
    (kernel, Space::new(machine, root, half))
}

/// The `n`th frame of the host's memory.
pub fn table(n: u64) -> Frame {
    Frame::new(Pa::new(RAM + 4096 * n).unwrap()).unwrap()
}

/// A frame to map, which is not in the host's memory.
pub fn data(n: u64) -> Frame {
    Frame::new(Pa::new(0x8000_0000 + 4096 * n).unwrap()).unwrap()
}

pub fn pages(va: u64, n: u64) -> Pages {
    Pages::new(Va::new(va), n).unwrap()
}

pub const TASK: Half = Half::Lower(Asid(5));
pub const PLAIN: Features = Features {
    range: false,
    ttl: false,
};
pub const FULL: Features = Features {
    range: true,
    ttl: true,
};

// The events that the tests expect, in a short form.

pub const fn dsb(barrier: Barrier, why: Why) -> Event {
    Event::Execute(Op::Dsb(barrier), why)
}

pub const fn isb(why: Why) -> Event {
    Event::Execute(Op::Isb, why)
}

/// `count` TLBIs from `first` on, `step` apart.
pub const fn tlbi(first: Tlbi, count: u64, step: u64) -> Event {
    Event::Execute(Op::Tlbi(Batch { first, count, step }), Why::Invalidate)
}

pub const BEFORE_TLBI: Event = dsb(Barrier::Ishst, Why::BeforeTlbi);
pub const AFTER_TLBI: [Event; 2] = [dsb(Barrier::Ish, Why::AfterTlbi), isb(Why::AfterTlbi)];

/// `dsb ishst`, these, `dsb ish; isb`.
pub fn invalidation(tlbis: &[Event]) -> Vec<Event> {
    [&[BEFORE_TLBI], tlbis, &AFTER_TLBI].concat()
}
