//! From events to rows.

use std::collections::BTreeMap;

use mmu_check::event::{Call, Expect};
use mmu_check::{Event, What};
use serde_json::{Value, json};
use stage1_paging::Desc;

use super::out::{Out, Track};
use super::rows::{Row, Slice};
use crate::events::{Debt, Effect, Tag};

/// A core, and what it has executed.
struct Core {
    row: Row,
    runs: bool,
    dsb: u64,
    isb: u64,
    tlbi: u64,
}

impl Core {
    fn new(core: u8) -> Self {
        Self {
            row: Row::new(Track::Core(core)),
            runs: false,
            dsb: 0,
            isb: 0,
            tlbi: 0,
        }
    }
}

/// A task.
struct Task {
    row: Row,
    debt: Debt,
    depth: u32,
    /// The exceptions that it is in: whether each has a slice.
    exceptions: Vec<bool>,
    /// It has taken an exception, and the next event says which kind: since when, and whether the access met a broken entry.
    taken: Option<(u64, bool)>,
    /// The access before the exception, and whether a fault is what it expects.
    access: Option<(u64, bool)>,
    /// The core that it left, and where in the file and when.
    left: Option<(u8, Option<(usize, u64)>)>,
    /// How many entries it has broken and not made again.
    broken: u32,
    breaks: Row,
}

impl Task {
    fn new(task: u16) -> Self {
        Self {
            row: Row::new(Track::Task(task)),
            debt: Debt::default(),
            depth: 0,
            exceptions: Vec::new(),
            taken: None,
            access: None,
            left: None,
            broken: 0,
            breaks: Row::new(Track::Broken(task)),
        }
    }
}

/// All rows.
pub struct Tracks {
    out: Out,
    cut: bool,
    begin: Option<u64>,
    /// The time of the last event, in nanoseconds.
    last: u64,
    clock: u64,
    cores: BTreeMap<u8, Core>,
    tasks: BTreeMap<u16, Task>,
    /// The entries that are broken, by their descriptor: the address that they translate, and who broke them.
    broken: BTreeMap<u64, (u64, u16)>,
    flows: u64,
}

impl Tracks {
    pub fn new() -> Self {
        Self {
            out: Out::default(),
            cut: false,
            begin: None,
            last: 0,
            clock: 0,
            cores: BTreeMap::new(),
            tasks: BTreeMap::new(),
            broken: BTreeMap::new(),
            flows: 0,
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.out.bytes()
    }

    /// Whether what comes is left out.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// A time as nanoseconds since the first. Without a clock each count is one.
    fn nanoseconds(&self, time: u64) -> u64 {
        let counts = u128::from(time.saturating_sub(self.begin.unwrap_or(time)));
        match u128::from(self.clock) {
            0 => counts as u64,
            clock => (counts * 1_000_000_000 / clock) as u64,
        }
    }

    fn rows(&mut self) -> impl Iterator<Item = &mut Row> {
        let cores = self.cores.values_mut().map(|core| &mut core.row);
        let tasks = self.tasks.values_mut();
        cores.chain(tasks.flat_map(|task| [&mut task.row, &mut task.breaks]))
    }

    /// What comes is left out, up to [`resume`](Self::resume).
    pub fn cut(&mut self, time: u64) {
        if !std::mem::replace(&mut self.cut, true) {
            let now = self.nanoseconds(time);
            let mut out = std::mem::take(&mut self.out);
            self.rows().for_each(|row| row.cut(&mut out, now));
            self.out = out;
        }
    }

    /// Nothing is left out any more.
    pub fn resume(&mut self, time: u64) {
        if std::mem::replace(&mut self.cut, false) {
            let now = self.nanoseconds(time);
            let mut out = std::mem::take(&mut self.out);
            self.rows().for_each(|row| row.resume(&mut out, now));
            self.out = out;
        }
    }

    /// The file. What is still open ends with the last event.
    pub fn finish(mut self, about: &Value) -> String {
        if !self.cut {
            let mut out = std::mem::take(&mut self.out);
            let last = self.last;
            self.rows().for_each(|row| row.cut(&mut out, last));
            self.out = out;
        }
        let out = std::mem::take(&mut self.out);
        let used = self.rows().filter(|row| row.is_used());
        let tracks: Vec<Track> = used.map(|row| row.track).collect();
        out.finish(about, tracks.into_iter())
    }

    /// The next event; `clock` is how many counts of its time are a second.
    pub fn add(&mut self, event: &Event, clock: u64) {
        self.clock = clock;
        self.begin.get_or_insert(event.time);
        let now = self.nanoseconds(event.time);
        self.last = self.last.max(now);
        let core = self
            .cores
            .entry(event.core)
            .or_insert_with(|| Core::new(event.core));
        let out = (!self.cut).then_some(&mut self.out);
        if !std::mem::replace(&mut core.runs, true) {
            core.row.begin(out, now, Slice::Runs(event.task));
        }
        self.tasks
            .entry(event.task)
            .or_insert_with(|| Task::new(event.task));
        self.core(event, now);
        self.exception(event, now);
        self.task(event, now);
        for single in event.singles() {
            self.breaks(&single, now);
        }
    }

    fn core(&mut self, event: &Event, now: u64) {
        let Some(core) = self.cores.get_mut(&event.core) else {
            return;
        };
        let mut out = (!self.cut).then_some(&mut self.out);
        match event.what {
            What::IrqEnter => core.row.begin(out, now, Slice::Interrupt),
            What::IrqExit => core.row.end(out, now, &Slice::Interrupt),
            What::Isb => core.isb += 1,
            What::Dsb(_) | What::Tlbi { .. } => {
                let dsb = matches!(event.what, What::Dsb(_));
                core.dsb += u64::from(dsb);
                core.tlbi += u64::from(!dsb);
                let counts = json!({"dsb": core.dsb, "isb": core.isb, "tlbi": core.tlbi});
                let name = format!("barriers, core {}", event.core);
                core.row.counter(out, now, &name, counts);
            }
            What::Switch { to } => {
                let place = core.row.leave(out.as_deref_mut(), now);
                core.row
                    .end(out.as_deref_mut(), now, &Slice::Runs(event.task));
                core.row.begin(out, now, Slice::Runs(to));
                if let Some(from) = self.tasks.get_mut(&event.task) {
                    from.left = Some((event.core, place));
                }
                self.arrive(to, event.core, now);
            }
            _ => {}
        }
    }

    /// A task goes on: with an arrow, if it ran on another core before.
    fn arrive(&mut self, to: u16, core: u8, now: u64) {
        let left = self.tasks.get_mut(&to).and_then(|task| task.left.take());
        let Some((from, Some((place, then)))) = left.filter(|(from, _)| *from != core) else {
            return;
        };
        let Some(core) = self.cores.get_mut(&core).filter(|_| !self.cut) else {
            return;
        };
        self.flows += 1;
        let more = json!({"cat":"migration","id":self.flows});
        self.out.fill(place, "s", Track::Core(from), then, more);
        core.row.arrive(&mut self.out, now, self.flows);
    }

    /// An exception's slice. An interrupt is its core's, and what a probe expects is no news.
    fn exception(&mut self, event: &Event, now: u64) {
        let Some(task) = self.tasks.get_mut(&event.task) else {
            return;
        };
        let mut out = (!self.cut).then_some(&mut self.out);
        if let Some((since, waits)) = task.taken.take() {
            let access = task.access.take();
            let shown = event.what != What::IrqEnter && access.is_none_or(|(_, faults)| !faults);
            if shown {
                task.row
                    .begin(out.as_deref_mut(), since, Slice::Exception(waits));
            }
            task.exceptions.push(shown);
        }
        match event.what {
            What::ExceptionEntry => {
                let page = task.access.map(|(va, _)| va >> 12);
                let waits = self.broken.values().any(|(va, _)| Some(va >> 12) == page);
                task.taken = Some((now, waits));
            }
            What::ExceptionReturn if task.exceptions.pop() == Some(true) => {
                task.row.end(out, now, &Slice::Exception(false));
            }
            What::Access { va, expect, .. } => {
                task.access = Some((va, expect == Expect::Faults));
            }
            _ => task.access = None,
        }
    }

    fn task(&mut self, event: &Event, now: u64) {
        let Some(task) = self.tasks.get_mut(&event.task) else {
            return;
        };
        let mut out = (!self.cut).then_some(&mut self.out);
        let row = &mut task.row;
        match event.what {
            What::Window { tag, open } => {
                let slice = Slice::Window(Tag(tag).to_string());
                match open {
                    true => row.begin(out.as_deref_mut(), now, slice),
                    false => row.end(out.as_deref_mut(), now, &slice),
                }
            }
            What::Call(Call::Enable) => {
                task.depth += 1;
                row.begin(out.as_deref_mut(), now, Slice::Section(task.depth));
            }
            What::Call(Call::Disable) => {
                task.depth = task.depth.saturating_sub(1);
                row.end(out.as_deref_mut(), now, &Slice::Section(0));
            }
            What::Call(Call::Pause) => row.begin(out.as_deref_mut(), now, Slice::Pause),
            What::Call(Call::Resume) => row.end(out.as_deref_mut(), now, &Slice::Pause),
            What::Reenter { begin: true } => row.begin(out.as_deref_mut(), now, Slice::Reentry),
            What::Reenter { begin: false } => row.end(out.as_deref_mut(), now, &Slice::Reentry),
            What::Tlbi { op, operand } => {
                let name = format!("tlbi {op}");
                let args = json!({"operand": format!("{operand:#x}")});
                row.instant(out.as_deref_mut(), now, &name, args);
            }
            What::Store {
                va,
                level,
                old,
                new,
                ..
            } => {
                row.instant(
                    out.as_deref_mut(),
                    now,
                    "store",
                    store(va, level, old, new, 1),
                );
            }
            What::Stores {
                va,
                level,
                old,
                new,
                count,
                ..
            } => {
                row.instant(
                    out.as_deref_mut(),
                    now,
                    "stores",
                    store(va, level, old, new, count),
                );
            }
            What::TaskEnd => {
                task.depth = 0;
                row.end_all(out.as_deref_mut(), now);
            }
            _ => {}
        }
        let owed = task.debt.owed();
        match task.debt.step(&event.what) {
            Effect::Pair(paid) => {
                row.instant(out.as_deref_mut(), now, "pair", json!({"paid": paid}))
            }
            Effect::Invalidated(paid) => {
                row.instant(
                    out.as_deref_mut(),
                    now,
                    "paid by an invalidation",
                    json!({"paid": paid}),
                );
            }
            Effect::Owes | Effect::None => {}
        }
        if task.debt.owed() != owed {
            let name = format!("owed, task {}", event.task);
            row.counter(out, now, &name, json!({"stores": task.debt.owed()}));
        }
    }

    /// Break-before-make: an entry without its valid bit and otherwise as it was is broken, until it is stored again.
    fn breaks(&mut self, event: &Event, now: u64) {
        let What::Store {
            slot, va, old, new, ..
        } = event.what
        else {
            return;
        };
        let old = Desc::from_bits(old);
        let broke = old.is_valid() && new == old.broken().bits() && new != 0;
        let by = match self.broken.remove(&slot) {
            Some((_, by)) => by,
            None if broke => event.task,
            None => return,
        };
        let Some(task) = self.tasks.get_mut(&by) else {
            return;
        };
        let out = (!self.cut).then_some(&mut self.out);
        if broke {
            self.broken.insert(slot, (va, by));
            task.broken += 1;
            if task.broken == 1 {
                task.breaks.begin(out, now, Slice::Broken);
            }
        } else {
            task.broken -= 1;
            if task.broken == 0 {
                task.breaks.end(out, now, &Slice::Broken);
            }
        }
    }
}

fn store(va: u64, level: u8, old: u64, new: u64, count: u16) -> Value {
    let mut args = json!({"va": format!("{va:#x}"), "level": level, "old": format!("{old:#x}"), "new": format!("{new:#x}")});
    if count > 1 {
        args["count"] = count.into();
    }
    args
}
