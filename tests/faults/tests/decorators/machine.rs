//! A machine that writes down what it executes, an observer that writes down what it sees, and the
//! page-table work that both are shown.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lazy_mmu_faults::{Above, Below, Fault, Places, Services, inject, set_places};
use stage1_hw::{
    Barrier, Hardware, Instructions, Op, Page, Slot, Slots, Upkeep, Why, publish, publish_root,
    ttbr,
};
use stage1_paging::{
    Asid, Desc, Edited, Features, Fit, Frame, Half, Pa, Pages, Prot, Space, Step, Va,
};

/// What reached the observer, the machine, or both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub what: What,
    pub seen: bool,
    pub executed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    Op(Op, Why),
    Store { va: u64, new: Desc },
    Zero(Why),
    Ttbr0,
}

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

fn see(what: What) {
    let (seen, executed) = (true, false);
    LINES.with_borrow_mut(|lines| {
        lines.push(Line {
            what,
            seen,
            executed,
        })
    });
}

/// The line that the observer has just written, where it has; a line of its own otherwise.
fn execute(what: What) {
    LINES.with_borrow_mut(|lines| match lines.last_mut() {
        Some(line) if line.what == what && line.seen && !line.executed => line.executed = true,
        _ => lines.push(Line {
            what,
            seen: false,
            executed: true,
        }),
    });
}

/// What has been written down.
pub fn lines() -> Vec<Line> {
    LINES.take()
}

#[derive(Clone, Copy)]
pub struct Machine;

impl Instructions for Machine {
    const NEW: Self = Machine;

    fn execute(self, op: Op, why: Why) {
        execute(What::Op(op, why));
    }

    fn store(self, slot: Slot<'_>, new: Desc, _: Why) {
        let va = slot.va.raw();
        execute(What::Store { va, new });
        slot.word.store(new.bits(), Relaxed);
    }

    fn edit(self, slots: Slots<'_>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let mut edited = Edited {
            passed: 0,
            skipped: 0,
        };
        while let Some(slot) = slots.get(edited.passed) {
            match f(self.load(slot.word)) {
                Step::Store(new) => self.store(slot, new, Why::Data),
                Step::Skip => edited.skipped += 1,
                Step::Stop => break,
            }
            edited.passed += 1;
        }
        edited
    }

    fn zero(self, page: &Page, _: Pa, why: Why) {
        execute(What::Zero(why));
        page.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    unsafe fn write_ttbr0(self, _: u64) {
        execute(What::Ttbr0);
    }
}

/// Sees all but loads.
#[derive(Clone, Copy)]
pub struct Observer<I>(I);

impl<I: Instructions> Instructions for Observer<I> {
    const NEW: Self = Observer(I::NEW);

    fn execute(self, op: Op, why: Why) {
        see(What::Op(op, why));
        self.0.execute(op, why);
    }

    fn store(self, slot: Slot<'_>, new: Desc, why: Why) {
        let va = slot.va.raw();
        see(What::Store { va, new });
        self.0.store(slot, new, why);
    }

    fn edit(self, slots: Slots<'_>, mut f: impl FnMut(Desc) -> Step) -> Edited {
        let mut at = 0;
        self.0.edit(slots, |old| {
            let step = f(old);
            if let (Step::Store(new), Some(slot)) = (step, slots.get(at)) {
                let va = slot.va.raw();
                see(What::Store { va, new });
            }
            at += 1;
            step
        })
    }

    fn zero(self, page: &Page, pa: Pa, why: Why) {
        see(What::Zero(why));
        self.0.zero(page, pa, why);
    }

    unsafe fn write_ttbr0(self, value: u64) {
        see(What::Ttbr0);
        // SAFETY: the caller's promise is this one's.
        unsafe { self.0.write_ttbr0(value) }
    }
}

/// The machine as the kernel with faults has it.
pub type Faulty = Above<Observer<Below<Machine>>, Machine>;

const ROOM: usize = 16;
const FIRST_FRAME: u64 = 0x4000_0000;

/// Frames, handed out in order and never again.
pub struct Memory {
    pages: &'static [Page],
    taken: Cell<usize>,
    pub owed: Cell<u32>,
    pub done: Cell<u32>,
    pub freed: Cell<u32>,
    /// For each time that the mode took what is pending: how many lines had been written before its barriers, and behind them.
    pub settled: RefCell<Vec<[usize; 2]>>,
}

impl Memory {
    pub fn new() -> Self {
        let page = |_| Page([const { AtomicU64::new(0) }; 512]);
        let pages: Vec<Page> = (0..ROOM).map(page).collect();
        Self {
            pages: pages.leak(),
            taken: Cell::new(0),
            owed: Cell::new(0),
            done: Cell::new(0),
            freed: Cell::new(0),
            settled: RefCell::default(),
        }
    }
}

fn frame(number: u64) -> Frame {
    Frame::containing(Pa::new(FIRST_FRAME + 4096 * number).unwrap())
}

impl stage1_hw::Services for &Memory {
    type Instructions = Faulty;

    fn alloc(&self) -> Option<Frame> {
        let taken = self.taken.get();
        self.taken.set(taken + 1);
        (taken < ROOM).then(|| frame(taken as u64))
    }

    unsafe fn free(&self, _: Frame) {
        self.freed.set(self.freed.get() + 1);
    }

    fn page(&self, frame: Frame) -> NonNull<Page> {
        NonNull::from(&self.pages[((frame.pa().raw() - FIRST_FRAME) / 4096) as usize])
    }

    fn frame(&self, page: NonNull<Page>) -> Frame {
        let bytes = page.as_ptr() as u64 - self.pages.as_ptr() as u64;
        frame(bytes / 4096)
    }

    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    fn owe(&self) {
        self.owed.set(self.owed.get() + 1);
        publish(Faulty::NEW);
    }

    fn settled_by(&self, barriers: impl FnOnce()) {
        let written = || LINES.with_borrow(Vec::len);
        let before = written();
        barriers();
        self.settled.borrow_mut().push([before, written()]);
    }

    fn may_break(&self, _: Pages) -> bool {
        true
    }

    fn done(&self, _: &stage1_paging::Debt) {
        self.done.set(self.done.get() + 1);
    }
}

pub const VMAP: u64 = 0xFFFF_8000_0000_0000;
pub const LINEAR: u64 = 0xFFFF_0000_0000_0000;

pub fn pages(start: u64, count: u64) -> Pages {
    Pages::new(Va::new(start), count).unwrap()
}

/// A frame that holds data.
pub fn data(n: u64) -> Frame {
    frame(0x1000 + n)
}

/// One of everything: a root, its register, tables, four pages mapped one by one in the vmap area and
/// unmapped, one in the linear map likewise, a probe, a switch, a kick, an
/// interrupt.
pub fn work(memory: &Memory, range: bool) -> Result<(), stage1_paging::Error> {
    let tlb = Features { range, ttl: false };
    let upkeep = Upkeep {
        tlb,
        repeat_tlbi: false,
    };
    // SAFETY: the machine is memory of this test's, and nothing is translated by it.
    let hardware = unsafe { Hardware::new(Services(memory), upkeep) };
    let machine = Faulty::NEW;
    let root = hardware.new_root().expect("there is memory for a root");
    publish_root(machine);
    // SAFETY: this machine has no such register.
    unsafe { machine.write_ttbr0(ttbr(hardware.address(root), Asid(0))) };
    machine.execute(Op::Isb, Why::Ttbr0);

    let space = Space::new(&hardware, root, Half::Upper);
    let area = pages(VMAP, 4);
    space.reserve(area)?;
    for (n, page) in area.chunks(1).enumerate() {
        space.map(page, data(n as u64), Prot::RW, Fit::Pages)?;
    }
    let linear = pages(LINEAR, 1);
    space.map(linear, data(9), Prot::RW, Fit::Pages)?;
    for pages in [area, linear] {
        let mut gather = space.gather(());
        space.unmap(pages, &mut gather)?;
        let _ = gather.finish();
        machine.execute(Op::Isb, Why::Translate);
    }
    machine.execute(Op::Dsb(Barrier::Ish), Why::Switch);
    machine.execute(Op::Isb, Why::Switch);
    machine.execute(Op::Dsb(Barrier::Ishst), Why::Kick);
    machine.execute(Op::Isb, Why::Send);
    machine.execute(Op::Dsb(Barrier::Sy), Why::Acknowledge);
    machine.execute(Op::Dmb(Barrier::Ishld), Why::Acknowledge);
    machine.execute(Op::Isb, Why::Acknowledge);
    machine.execute(Op::Isb, Why::Idle);
    Ok(())
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A fault is in force for as long as this lives, and no other test's is.
pub struct Injected(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Drop for Injected {
    fn drop(&mut self) {
        inject(Fault::None);
    }
}

pub fn injected(fault: Fault) -> Injected {
    // A test that failed has left nothing behind: `Injected` clears up when it unwinds, too.
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = |start: u64, pages: u64| Va::new(start)..Va::new(start + 4096 * pages);
    set_places(&Places {
        vmap: place(VMAP, 512),
        linear: place(LINEAR, 512),
    });
    inject(fault);
    let _ = lines();
    Injected(guard)
}

/// What [`work`] does with this fault.
pub fn with(fault: Fault, range: bool) -> Vec<Line> {
    let _injected = injected(fault);
    let memory = Memory::new();
    work(&memory, range).expect("the fault is none of those that fail");
    lines()
}
