//! The contracts once more, from their tables: a row is a condition for a bug, one for a warning, and a
//! list of effects in order. Slow, literal, and without a line of the crate's code.

use super::{Act, Event, Log, Seen};
use crate::{Call, Hook, Misuse, Policy};

/// A task as the tables speak of it. What a contract does not have stays 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub policy: Policy,
    pub count: u8,
    /// Under `reenter` the re-entries under way.
    pub pause_count: u8,
    /// The flag of v3 and of the baselines. Linux 7 has none.
    pub enabled: bool,
    pub pending: bool,
    pub irqs: u8,
}

#[derive(Clone, Copy)]
enum Effect {
    /// `count += 1` and `count -= 1` of the task's memory, as it is by then: read, then written.
    Up,
    Down,
    Count(u8),
    PauseCount(u8),
    Enabled(bool),
    Hook(Hook),
}

impl Task {
    pub(super) fn in_lazy_mmu_mode(&self) -> bool {
        match self.policy {
            Policy::Linux7 => self.irqs == 0 && self.count > 0 && self.pause_count == 0,
            _ => self.enabled,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            in_lazy_mmu_mode: self.in_lazy_mmu_mode(),
            count: self.count,
            pause_count: self.pause_count,
            pending: self.pending,
            irqs: self.irqs,
        }
    }
}

/// One act, with an interrupt at one of its points.
pub(super) struct Run<'a> {
    pub task: Task,
    pub log: Log,
    /// Points passed so far.
    pub points: u32,
    /// The point at which the interrupt comes; one that is never reached means none.
    pub interrupt_at: u32,
    pub handler: &'a [Act],
    in_handler: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(task: Task, interrupt_at: u32, handler: &'a [Act]) -> Self {
        Run {
            task,
            log: Log::EMPTY,
            points: 0,
            interrupt_at,
            handler,
            in_handler: false,
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        self.point();
        match act {
            Act::Call(call) => self.call(call),
            Act::Store => self.store(),
            Act::Invalidate => self.invalidate(),
            Act::Reenter(acts) => self.beneath(acts),
        }
        self.point();
    }

    /// Between any two things an interrupt may come.
    fn point(&mut self) {
        if self.in_handler {
            return;
        }
        self.points += 1;
        if self.points == self.interrupt_at {
            self.in_handler = true;
            self.task.irqs += 1;
            for &act in self.handler {
                self.act(act);
            }
            self.task.irqs -= 1;
            self.in_handler = false;
        }
    }

    fn event(&mut self, event: Event) {
        self.point();
        self.log.push(self.in_handler, event, self.task.seen());
    }

    fn store(&mut self) {
        let deferred = self.task.irqs == 0 && self.task.in_lazy_mmu_mode();
        if deferred {
            self.point();
            self.task.pending = true;
        } else {
            self.event(Event::Publish);
        }
    }

    /// Test-and-clear, and then the barriers; in an interrupt the barriers alone.
    fn invalidate(&mut self) {
        if self.task.irqs == 0 && self.task.pending {
            self.point();
            self.task.pending = false;
        }
        self.event(Event::Invalidate);
    }

    fn call(&mut self, call: Call) {
        match self.task.policy {
            Policy::Eager => self.eager(call),
            Policy::Flat => self.flat(call),
            Policy::Reenter => self.reenter(call),
            Policy::V3 => self.v3(call),
            Policy::Linux7 => self.linux7(call),
        }
    }

    /// Exclusive pause. No question about interrupts: the generic code runs as written.
    fn v3(&mut self, call: Call) {
        let count = self.task.count;
        self.point();
        let enabled = self.task.enabled;
        let (bug, warning) = match call {
            Call::Enable => (
                (count == 255).then_some(Misuse::TooDeep),
                (count > 0 && !enabled).then_some(Misuse::EnableWhilePaused),
            ),
            Call::Disable => (
                (count == 0).then_some(Misuse::NotOpen),
                (!enabled).then_some(Misuse::DisableWhilePaused),
            ),
            Call::Pause => (
                None,
                (count == 0 || !enabled).then_some(Misuse::PauseOutside),
            ),
            Call::Resume => (
                None,
                (count == 0 || enabled).then_some(Misuse::ResumeUnpaused),
            ),
        };
        use Effect::{Down, Enabled, Hook as H, Up};
        match call {
            Call::Enable => {
                self.row(bug, warning, &[]);
                // Its warning calls out, so the count is looked at again behind it.
                let count = match warning {
                    Some(_) if cfg!(feature = "warnings") => {
                        self.point();
                        self.task.count
                    }
                    _ => count,
                };
                match (bug, count) {
                    (Some(_), _) => {}
                    (None, 0) => self.row(None, None, &[H(Hook::Enter), Enabled(true), Up]),
                    (None, _) => self.row(None, None, &[Up]),
                }
            }
            Call::Disable => {
                self.row(bug, warning, &[Down]);
                if bug.is_none() {
                    self.point();
                    match self.task.count {
                        0 => self.row(None, None, &[Enabled(false), H(Hook::Leave)]),
                        _ => self.row(None, None, &[H(Hook::Flush)]),
                    }
                }
            }
            Call::Pause => self.row(bug, warning, &[Enabled(false), H(Hook::Leave)]),
            Call::Resume => self.row(bug, warning, &[H(Hook::Enter), Enabled(true)]),
        }
    }

    /// Nesting pause. `x++ == 0` tests the value before, `--x == 0` the value after; both wrap.
    fn linux7(&mut self, call: Call) {
        let Task {
            count, pause_count, ..
        } = self.task;
        let section = matches!(call, Call::Enable | Call::Disable);
        if self.task.irqs > 0 || (section && pause_count > 0) {
            return;
        }
        use Effect::{Count, Hook as H, PauseCount};
        match call {
            Call::Enable => {
                let warning = (count == 255).then_some(Misuse::EnableWraps);
                let up = Count(count.wrapping_add(1));
                let all = [up, H(Hook::Enter)];
                self.row(None, warning, if count == 0 { &all } else { &all[..1] });
            }
            Call::Disable => {
                let warning = (count == 0).then_some(Misuse::DisableWraps);
                let last = count == 1;
                let hook = if last { Hook::Leave } else { Hook::Flush };
                self.row(None, warning, &[Count(count.wrapping_sub(1)), H(hook)]);
            }
            Call::Pause => {
                let warning = (pause_count == 255).then_some(Misuse::PauseWraps);
                let all = [PauseCount(pause_count.wrapping_add(1)), H(Hook::Leave)];
                let leaves = pause_count == 0 && count > 0;
                self.row(None, warning, if leaves { &all } else { &all[..1] });
            }
            Call::Resume => {
                let warning = (pause_count == 0).then_some(Misuse::ResumeWraps);
                let all = [PauseCount(pause_count.wrapping_sub(1)), H(Hook::Enter)];
                let enters = pause_count == 1 && count > 0;
                self.row(None, warning, if enters { &all } else { &all[..1] });
            }
        }
    }

    /// Sections are counted for the books, and that is all.
    fn eager(&mut self, call: Call) {
        if self.task.irqs == 0 {
            self.books(call);
        }
    }

    fn books(&mut self, call: Call) {
        let count = self.task.count;
        match call {
            Call::Enable => self.row(None, None, &[Effect::Count(count.saturating_add(1))]),
            // A count that has come to its end stays there.
            Call::Disable if count == 255 => {}
            Call::Disable => self.row(None, None, &[Effect::Count(count.saturating_sub(1))]),
            Call::Pause | Call::Resume => {}
        }
    }

    fn flat(&mut self, call: Call) {
        if self.task.irqs > 0 {
            return;
        }
        self.books(call);
        let (hook, on) = match call {
            Call::Enable | Call::Resume => (Hook::Enter, true),
            Call::Disable | Call::Pause => (Hook::Leave, false),
        };
        self.row(None, None, &[Effect::Hook(hook), Effect::Enabled(on)]);
    }

    fn reenter(&mut self, call: Call) {
        if self.task.irqs > 0 {
            return;
        }
        let count = self.task.count;
        let on = [
            Effect::Count(count.saturating_add(1)),
            Effect::Hook(Hook::Enter),
            Effect::Enabled(true),
        ];
        let off = [
            Effect::Count(count.saturating_sub(1)),
            Effect::Hook(Hook::Leave),
            Effect::Enabled(false),
        ];
        let full = (count == 255).then_some(Misuse::TooDeep);
        let empty = (count == 0).then_some(Misuse::NotOpen);
        match call {
            Call::Enable => self.row(full, None, if count == 0 { &on } else { &on[..1] }),
            Call::Disable => self.row(empty, None, if count == 1 { &off } else { &off[..1] }),
            Call::Pause => self.row(None, None, &off[1..]),
            Call::Resume if count > 0 => self.row(None, None, &on[1..]),
            Call::Resume => {}
        }
    }

    /// The allocator under `reenter`: out of the mode, its own acts, and back. What it leaves open stays open.
    fn beneath(&mut self, acts: &[Act]) {
        let Task {
            count,
            enabled,
            pause_count: under_way,
            ..
        } = self.task;
        let away = self.task.policy == Policy::Reenter && self.task.irqs == 0 && count > 0;
        let off = [Effect::Hook(Hook::Leave), Effect::Enabled(false)];
        let on = [Effect::Hook(Hook::Enter), Effect::Enabled(true)];
        if away {
            let begins = [Effect::PauseCount(under_way + 1), Effect::Count(0)];
            self.row(None, None, &begins);
            self.row(None, None, if enabled { &off } else { &[] });
        }
        acts.iter().for_each(|&act| self.act(act));
        if away {
            let open = u16::from(self.task.count) + u16::from(count);
            if open > 255 {
                self.event(Event::Misuse(Misuse::ReentryLeft));
            }
            let open = u8::try_from(open).unwrap_or(255);
            self.row(None, None, &[Effect::Count(open)]);
            match (self.task.enabled, enabled) {
                (false, true) => self.row(None, None, &on),
                (true, false) => self.row(None, None, &off),
                _ => {}
            }
            self.row(None, None, &[Effect::PauseCount(under_way)]);
        }
    }

    /// One row of a table: the bug stops, the warning goes on, the effects follow in order.
    fn row(&mut self, bug: Option<Misuse>, warning: Option<Misuse>, effects: &[Effect]) {
        if let Some(misuse) = bug {
            return self.event(Event::Misuse(misuse));
        }
        if let Some(misuse) = warning.filter(|_| cfg!(feature = "warnings")) {
            self.event(Event::Misuse(misuse));
        }
        for &effect in effects {
            self.point();
            match effect {
                Effect::Up | Effect::Down => {
                    let count = self.task.count;
                    self.point();
                    self.task.count = match effect {
                        Effect::Up => count.wrapping_add(1),
                        _ => count.wrapping_sub(1),
                    };
                }
                Effect::Count(to) => self.task.count = to,
                Effect::PauseCount(to) => self.task.pause_count = to,
                Effect::Enabled(to) => self.task.enabled = to,
                Effect::Hook(hook) => self.hook(hook),
            }
        }
    }

    /// The hook, then arm64's part of it: nothing in enter, test-and-clear and a pair in the others, and
    /// nothing at all in an interrupt.
    fn hook(&mut self, hook: Hook) {
        self.event(Event::Hook(hook));
        self.point();
        if hook != Hook::Enter && self.task.irqs == 0 && self.task.pending {
            self.point();
            self.task.pending = false;
            self.event(Event::Publish);
        }
    }
}
