//! Tasks from their creation to their end.

use core::any::Any;
use core::marker::PhantomData;

use alloc::boxed::Box;
use lazy_mmu::{Leak, Policy};
use mmu_check::What;
use thiserror::Error;

use super::queue::Until;
use super::{QUEUE, arrive, leave, send};
use crate::arch::registers;
use crate::base::{Lock, MAX_TASKS};
use crate::mem::stacks::{Stack, StackError};
use crate::mem::ttbr0;
use crate::mode;
use crate::observe;
use crate::task::{self, Figures, Tally, Task};

/// Why there is no new task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SpawnError {
    /// All numbers are in use.
    #[error("{MAX_TASKS} tasks are there already: join one first")]
    TooMany,
    /// No stack for it.
    #[error(transparent)]
    Stack(#[from] StackError),
}

/// What a task begins with.
type Work = Box<dyn FnOnce() -> Value + Send>;
/// What a task returns; of the type that its [`Join`] says.
type Value = Box<dyn Any + Send>;

/// What is left of a task: what it returned, and what it left open.
type End = (Value, Option<Leak>);

/// The work of each task that has not begun.
static WORK: [Lock<Option<Work>>; MAX_TASKS] = [const { Lock::new(None) }; MAX_TASKS];
/// The end of each task that has ended and was not joined yet. Not shared with it by an `Arc`: that ends in a DMB, which
/// is no barrier of this kernel's and would be in somebody's window.
static ENDS: [Lock<Option<End>>; MAX_TASKS] = [const { Lock::new(None) }; MAX_TASKS];

/// A task that was created: the right, and the duty, to wait for its end.
#[must_use = "a task that nobody joins keeps its number and its stack"]
pub struct Join<T> {
    id: u16,
    stack: Stack,
    before: (Tally, Figures),
    value: PhantomData<T>,
}

/// What is left of a task.
#[derive(Clone, Debug)]
pub struct Ended<T> {
    /// Its number. It may be another task's by now.
    pub id: u16,
    /// What it returned.
    pub value: T,
    /// The section that it left open, or the debt that it left over.
    pub leak: Option<Leak>,
    /// What it made the machine do.
    pub tally: Tally,
    /// What happened to it.
    pub figures: Figures,
}

/// Creates a task that does `work` under `policy`, on a stack of its own, and lets it run.
///
/// # Errors
/// [`SpawnError`].
pub fn spawn<T: Send + 'static>(
    policy: Policy,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Join<T>, SpawnError> {
    let join = spawn_held(policy, work)?;
    join.start();
    Ok(join)
}

/// As [`spawn`], but the task waits for [`Join::start`].
///
/// # Errors
/// [`SpawnError`].
pub fn spawn_held<T: Send + 'static>(
    policy: Policy,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Join<T>, SpawnError> {
    let id = QUEUE.lock().reserve().ok_or(SpawnError::TooMany)?;
    let stack = Stack::map(usize::from(id)).inspect_err(|_| QUEUE.lock().release(id))?;
    let task = task::by_id(id);
    *WORK[usize::from(id)].lock() = Some(Box::new(move || Box::new(work())));
    let new = task.mmu.set_policy(policy);
    assert!(
        new.is_ok(),
        "the end of task {id} has left its state as new: {new:?}"
    );
    task.stats.deepest.set(0);
    // SAFETY: 1. The number was just reserved: nobody runs the task or has it in a queue. 2. The stack is its own,
    // and is unmapped by `join`, after its end.
    unsafe { task.context.begin(begin, stack.top()) };
    Ok(Join {
        id,
        stack,
        value: PhantomData,
        before: (task.counts.tally(), task.stats.figures()),
    })
}

/// The first function of every task. Interrupts are masked.
extern "C" fn begin(left: &'static Task) -> ! {
    arrive(left);
    let me = task::current();
    mode::report_contract();
    registers::unmask_interrupts();
    let Some(work) = WORK[usize::from(me.id)].lock().take() else {
        unreachable!("task {} has nothing to do", me.id);
    };
    let value = work();
    if me.ttbr0.get() != 0 {
        ttbr0::clear();
    }
    observe::report(|| What::TaskEnd);
    let leak = me.mmu.end_of_task().err();
    me.stats.depth.set(0);
    *ENDS[usize::from(me.id)].lock() = Some((value, leak));
    registers::mask_interrupts();
    leave(Until::Never);
    unreachable!("task {} goes on after its end", me.id)
}

impl<T: 'static> Join<T> {
    /// The task's number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Lets a task run that was created by [`spawn_held`]; does nothing the second time.
    pub fn start(&self) {
        let mut queue = QUEUE.lock();
        queue.start(self.id);
        send(queue.cores_to_wake());
    }

    /// What has happened to it so far.
    pub fn figures(&self) -> Figures {
        task::by_id(self.id).stats.figures() - self.before.1
    }

    /// Whether it has ended: [`Join::join`] would not wait.
    pub fn has_ended(&self) -> bool {
        QUEUE.lock().has_ended(self.id)
    }

    /// Waits for the task's end, and returns what is left of it. Stack and number are free then.
    pub fn join(self) -> Ended<T> {
        mode::may_sleep();
        // Once: nothing but the task's end makes this one ready.
        registers::without_interrupts(|| leave(Until::End(self.id)));
        let end = ENDS[usize::from(self.id)].lock().take();
        let task = task::by_id(self.id);
        let (tally, figures) = (task.counts.tally(), task.stats.figures());
        // SAFETY: the task has ended, and the core that ran it has left its stack: `Queue::left` said so.
        unsafe { self.stack.unmap() };
        QUEUE.lock().release(self.id);
        let Some((Ok(value), leak)) = end.map(|(value, leak)| (value.downcast(), leak)) else {
            unreachable!("task {} has ended without its value", self.id);
        };
        Ended {
            id: self.id,
            value: *value,
            leak,
            tally: tally - self.before.0,
            figures: figures - self.before.1,
        }
    }
}
