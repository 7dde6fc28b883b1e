//! Who may run: the state of every task, and the one queue of those that are ready.
//!
//! All of it is behind one lock, held for the length of one method, so a decision and what it was
//! made from are never apart.

use crate::base::{MAX_CORES, MAX_TASKS};

/// What a task that leaves its core waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Nothing: it is ready.
    Ready,
    /// The counter reaches this.
    Time(u64),
    /// The end of this task.
    End(u16),
    /// Nothing ever: it has ended.
    Never,
}

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Its number is free.
    Free,
    /// It has been created, and has not been started yet.
    Held,
    /// It runs, or is in the queue.
    Active,
    /// It is leaving its core: still on its stack, and nobody else's to run.
    Leaving(Until),
    /// It waits; for [`Until::Never`], when it has ended and nobody has joined it yet.
    Waiting(Until),
}

/// The run queue and the states.
pub struct Queue {
    states: [State; MAX_TASKS],
    /// The numbers of the tasks that are ready, first in first out, around the end of the array.
    ready: [u16; MAX_TASKS],
    first: usize,
    len: usize,
    /// A bit for each core that found nothing to run.
    idle: u8,
    /// A bit for each core whose timer was set for a sleeper when it last found nothing.
    timed: u8,
}

impl Queue {
    /// The task that boots runs; there is no other.
    pub const fn new() -> Self {
        let mut states = [State::Free; MAX_TASKS];
        states[0] = State::Active;
        Self {
            states,
            ready: [0; MAX_TASKS],
            first: 0,
            len: 0,
            idle: 0,
            timed: 0,
        }
    }

    /// Takes a free number for a task that is being created.
    pub fn reserve(&mut self) -> Option<u16> {
        let id = self.states.iter().position(|&s| s == State::Free)?;
        self.states[id] = State::Held;
        u16::try_from(id).ok()
    }

    /// Gives the number of a task back that was never started, or that has ended and was joined.
    pub fn release(&mut self, id: u16) {
        self.states[usize::from(id)] = State::Free;
    }

    /// Lets a created task run. Does nothing to one that was started before: in the queue twice, it would run on two cores.
    pub fn start(&mut self, id: u16) {
        if self.states[usize::from(id)] == State::Held {
            self.push(id);
        }
    }

    /// The next task for a core that idles; if there is none, the core is noted as one to wake, and sets
    /// its timer for [`next_wake`](Self::next_wake) before it gives the lock back.
    ///
    /// Only from the idle loop: a core that is noted executes nothing of any task's any more, the
    /// barriers of its last switch included.
    pub fn next_or_idle(&mut self, core: u8) -> Option<u16> {
        let next = self.pop();
        let (idle, timed) = (next.is_none(), self.next_wake().is_some());
        for (bits, set) in [(&mut self.idle, idle), (&mut self.timed, timed)] {
            *bits = *bits & !(1 << core) | u8::from(set) << core;
        }
        next
    }

    /// The core is not idle, and looks for itself.
    pub fn awake(&mut self, core: u8) {
        self.idle &= !(1 << core);
    }

    /// The current task is about to leave its core.
    pub fn leaving(&mut self, id: u16, until: Until) {
        self.states[usize::from(id)] = State::Leaving(until);
    }

    /// The task has left: its registers are in its context, and its stack is free of the core.
    pub fn left(&mut self, id: u16) {
        let State::Leaving(until) = self.states[usize::from(id)] else {
            unreachable!("task {id} has left without leaving");
        };
        match until {
            Until::Ready => self.push(id),
            Until::End(other) if self.has_ended(other) => self.push(id),
            _ => self.states[usize::from(id)] = State::Waiting(until),
        }
        if until == Until::Never {
            self.wake(|until| until == Until::End(id));
        }
    }

    /// Wakes those who sleep until `now` or earlier.
    pub fn wake_sleepers(&mut self, now: u64) {
        self.wake(|until| matches!(until, Until::Time(time) if time <= now));
    }

    /// When the next sleeper is to wake.
    pub fn next_wake(&self) -> Option<u64> {
        let times = self.states.iter().filter_map(|state| match state {
            State::Waiting(Until::Time(time)) => Some(*time),
            _ => None,
        });
        times.min()
    }

    /// Whether the task has ended.
    pub fn has_ended(&self, id: u16) -> bool {
        self.states[usize::from(id)] == State::Waiting(Until::Never)
    }

    /// Somebody is ready to run.
    pub fn any_ready(&self) -> bool {
        self.len > 0
    }

    /// As many idle cores as there are ready tasks, a bit each, which are not idle from here on:
    /// the caller wakes them.
    pub fn cores_to_wake(&mut self) -> u8 {
        let idle = (0..MAX_CORES).filter(|core| self.idle >> core & 1 != 0);
        let cores = idle.take(self.len).fold(0, |bits, core| bits | 1 << core);
        self.idle &= !cores;
        cores
    }

    /// The idle cores whose timer is set for a sleeper who does not sleep any more, a bit each. They are not
    /// idle from here on: the caller wakes them, so that they stop it.
    pub fn cores_to_rest(&mut self) -> u8 {
        if self.next_wake().is_some() {
            return 0;
        }
        let cores = self.idle & self.timed;
        self.idle &= !cores;
        cores
    }

    /// The cores that found nothing to run and whose timer is stopped, a bit each.
    pub fn at_rest(&self) -> u8 {
        self.idle & !self.timed
    }

    fn wake(&mut self, is_over: impl Fn(Until) -> bool) {
        for id in 0..MAX_TASKS {
            if let State::Waiting(until) = self.states[id]
                && is_over(until)
            {
                self.push(id as u16);
            }
        }
    }

    fn push(&mut self, id: u16) {
        self.states[usize::from(id)] = State::Active;
        // A task is in the queue once, so it never overflows.
        self.ready[(self.first + self.len) % MAX_TASKS] = id;
        self.len += 1;
    }

    /// The next task.
    pub fn pop(&mut self) -> Option<u16> {
        if self.len == 0 {
            return None;
        }
        let id = self.ready[self.first];
        self.first = (self.first + 1) % MAX_TASKS;
        self.len -= 1;
        Some(id)
    }
}
