//! What the mode needs from the kernel around it, and what it reports to it.

use core::fmt;

/// What a kernel provides: how debt is paid, and who hears about misuse.
///
/// It is named in the type of a task's [`TaskMmu`](crate::TaskMmu), so every call on the task uses this one and no
/// other. It stands for *the processor that the task runs on at that moment*: what its methods need of a core they
/// find anew each time (a register, a per-core record), for the task may have migrated since the last. A kernel's
/// has no fields: [`TaskMmu::new`](crate::TaskMmu::new) checks that its size is 0. What no check sees:
///
/// - whether [`publish`](Cpu::publish) pays;
/// - a core in the type itself. `struct Numbered<const N: u8>;` has size 0 and is one core all the same, as is
///   `struct Of<Core>(PhantomData<Core>);` with a type for each. A processor has no parameter, const or type, that stands
///   for a core; one that chooses among instructions, or decorates another processor, is fine.
///
/// The crate has arm64's arch layer built in: *enter* does nothing; *leave* and *flush* test and clear the
/// task's pending flag and call [`publish`](Cpu::publish) if it was set. In interrupt context they do
/// nothing. A kernel that wants more at these three places implements [`hook`](Cpu::hook).
///
/// On a host any of the four methods may unwind. A call that would have begun something, a section or a pause or a
/// re-entry, has then not begun it; the end of a section or of a pause has ended it, but for a `resume` and a
/// [bug](Misuse::is_bug) whose report unwinds, which do nothing; and what [`publish`](Cpu::publish) has not paid stays
/// noted. Only [`called`](Cpu::called) unwinds from a call that is complete: made by hand, that call has begun what it
/// begins, and a closure or a guard of this crate ends it.
///
/// All four methods run inside a call. None of them may end the task ([`end_of_task`](crate::TaskMmu::end_of_task)) or
/// change its policy ([`set_policy`](crate::TaskMmu::set_policy)): the call goes on afterwards, by the rules it has begun
/// with. Under [`Chosen`](crate::Chosen) both are refused where the call still has something to do; a type of one
/// contract, which has no policy to change, does not look.
pub trait Cpu {
    /// Pays: makes every store this core has made to a page table visible to the table walkers, and
    /// discards what this core has speculated from before. On AArch64 `dsb ishst; isb`, and it must be a
    /// compiler barrier for memory as well.
    fn publish(&self);

    /// Somebody broke the contract.
    ///
    /// A warning is reported and returns; the call goes on as the contract says. A bug
    /// ([`Misuse::is_bug`]) must stop the kernel and not return. If it returns all the same, the call ends
    /// there and leaves the state as it was; a [`section`](crate::TaskMmu::section) whose `enable` it was runs
    /// without a level of its own, and its end takes none away.
    ///
    /// A handler that ends on the wrong task is not reported here: [`irq_enter`](crate::TaskMmu::irq_enter)
    /// and [`irq_exit`](crate::TaskMmu::irq_exit) panic.
    fn misuse(&self, misuse: Misuse);

    /// Runs where the generic code calls the arch hook, in the contract's order relative to the changes of
    /// state: call [`in_lazy_mmu_mode`](crate::TaskMmu::in_lazy_mmu_mode) inside and see what an
    /// architecture would see. Under [`V3`](crate::V3) that is `false` inside enter and leave
    /// and `true` inside flush; under [`Linux7`](crate::Linux7) `true` inside enter and flush and
    /// `false` inside leave; under the baselines that have hooks, `false` inside enter and `true` inside leave at the
    /// outermost, while under [`Flat`](crate::baseline::Flat) an inner enter sees `true`, and a leave after an inner exit
    /// sees `false`.
    ///
    /// It runs before the built-in layer pays, so that what it stores is paid with the rest. It also runs
    /// in interrupt context where the contract does not return before its hooks; only the built-in layer
    /// stands still there. It must not make any of the four calls.
    ///
    /// Two things are paid without a hook: a store outside of the mode, and what is still pending when
    /// [`publish`](crate::TaskMmu::publish) or [`settle`](crate::Section::settle) has ended its section, under
    /// [`Reenter`](crate::baseline::Reenter) for one. [`end_of_task`](crate::TaskMmu::end_of_task) runs leave
    /// if the mode was on, and is then off under every policy.
    ///
    /// The default does nothing, and costs nothing.
    #[inline]
    fn hook(&self, hook: Hook) {
        let _ = hook;
    }

    /// One of the four calls is about to return: its effects are complete, and what it had to pay is paid.
    ///
    /// For a kernel that records or checks what its tasks do, whichever way they do it: the calls of
    /// [`section`](crate::TaskMmu::section), of its guards and of pauses end here as well. It runs also where
    /// the contract ignores the call, and after a bug whose report returned. It must not make any of the four
    /// calls.
    ///
    /// The default does nothing, and costs nothing.
    #[inline]
    fn called(&self, call: Call) {
        let _ = call;
    }
}

/// For a host, whose processors may be values that are looked at later.
impl<C: Cpu + ?Sized> Cpu for &C {
    fn publish(&self) {
        (**self).publish();
    }

    fn misuse(&self, misuse: Misuse) {
        (**self).misuse(misuse);
    }

    fn hook(&self, hook: Hook) {
        (**self).hook(hook);
    }

    fn called(&self, call: Call) {
        (**self).called(call);
    }
}

/// One of the four calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `lazy_mmu_mode_enable`: a section begins.
    Enable,
    /// `lazy_mmu_mode_disable`: a section ends, and what is pending is paid.
    Disable,
    /// `lazy_mmu_mode_pause`: the mode is left, at any depth.
    Pause,
    /// `lazy_mmu_mode_resume`: the mode is entered again, at the same depth.
    Resume,
}

impl Call {
    /// All four calls.
    pub const ALL: [Call; 4] = [Call::Enable, Call::Disable, Call::Pause, Call::Resume];
}

/// Upstream's full name, such as `lazy_mmu_mode_enable`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Call::Enable => "lazy_mmu_mode_enable",
            Call::Disable => "lazy_mmu_mode_disable",
            Call::Pause => "lazy_mmu_mode_pause",
            Call::Resume => "lazy_mmu_mode_resume",
        })
    }
}

/// One of the three places where the generic code calls the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `arch_enter_lazy_mmu_mode`: deferring begins.
    Enter,
    /// `arch_leave_lazy_mmu_mode`: deferring ends, and what is pending is paid.
    Leave,
    /// `arch_flush_lazy_mmu_mode`: what is pending is paid, and deferring goes on.
    Flush,
}

/// The short form of the patch's table, such as `arch_enter`.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Hook::Enter => "arch_enter",
            Hook::Leave => "arch_leave",
            Hook::Flush => "arch_flush",
        })
    }
}

/// A breach of the contract that a call has noticed, or the end of a task.
///
/// Each is reported *before* the call has any effect. Its text says what happened and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Misuse {
    /// Bug (v3, reenter): `enable` with 255 sections open. One more cannot be counted.
    TooDeep,
    /// Bug (v3, reenter): `disable` with no section open.
    NotOpen,
    /// Bug (reenter): a [re-entry](crate::TaskMmu::reenter) begins with 255 under way. One more cannot be counted.
    ReentryTooDeep,
    /// Bug (reenter): a [re-entry](crate::TaskMmu::reenter) ends, and the sections that it has left open and those around
    /// it are more than 255.
    ReentryLeft,
    /// Warning (v3): `enable` inside a section that is paused.
    EnableWhilePaused,
    /// Warning (v3): `disable` of a section that is paused, or whose mode was otherwise lost.
    DisableWhilePaused,
    /// Warning (v3): `pause` outside of a section, or inside a paused stretch.
    PauseOutside,
    /// Warning (v3): `resume` outside of a section, or of one that is not paused.
    ResumeUnpaused,
    /// Warning (linux7): `enable` with 255 sections open; the count wraps to 0.
    EnableWraps,
    /// Warning (linux7): `disable` with no section open; the count wraps to 255.
    DisableWraps,
    /// Warning (linux7): `pause` with 255 pauses open; the count wraps to 0.
    PauseWraps,
    /// Warning (linux7): `resume` with no pause open; the count wraps to 255.
    ResumeWraps,
    /// Warning (all): a guard of a section, or a closure that pauses, ends elsewhere than it has begun: the one in an
    /// interrupt handler and the other beneath it; or, under linux7, in a pause that it was not begun in, or behind the
    /// one that it was; or with the task's end between. The contract would ignore this exit, or take away a level that
    /// is another's. Reported also without the feature `warnings`; then its own level is taken away, if it has one, and
    /// what is pending is paid.
    GuardOutOfPlace,
    /// Warning (all): a task's state is dropped, or replaced by another, inside a section, a pause, a re-entry or an
    /// interrupt, or in debt. Reported also without the feature `warnings`; what is pending is paid afterwards.
    Dropped,
}

impl Misuse {
    /// Whether the contract stops the kernel here (`VM_BUG_ON`), rather than warn (`VM_WARN_ON`).
    #[must_use]
    pub const fn is_bug(self) -> bool {
        matches!(
            self,
            Misuse::TooDeep | Misuse::NotOpen | Misuse::ReentryTooDeep | Misuse::ReentryLeft
        )
    }

    /// Which of the four calls noticed it; none has, if it was a re-entry, a [guard](Misuse::GuardOutOfPlace) or the
    /// [drop](Misuse::Dropped) of the task.
    #[must_use]
    pub const fn call(self) -> Option<Call> {
        Some(match self {
            Misuse::TooDeep | Misuse::EnableWhilePaused | Misuse::EnableWraps => Call::Enable,
            Misuse::NotOpen | Misuse::DisableWhilePaused | Misuse::DisableWraps => Call::Disable,
            Misuse::PauseOutside | Misuse::PauseWraps => Call::Pause,
            Misuse::ResumeUnpaused | Misuse::ResumeWraps => Call::Resume,
            Misuse::ReentryTooDeep
            | Misuse::ReentryLeft
            | Misuse::GuardOutOfPlace
            | Misuse::Dropped => return None,
        })
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, to_do) = match self {
            Misuse::TooDeep | Misuse::EnableWraps => (
                "255 sections are open",
                "look for sections that are not closed",
            ),
            Misuse::NotOpen | Misuse::DisableWraps => (
                "no section is open",
                "look for the exit that was taken twice",
            ),
            Misuse::ReentryTooDeep => (
                "255 re-entries are under way",
                "look for an allocator that calls itself",
            ),
            Misuse::ReentryLeft => (
                "the sections left open in it and those around it are more than 255",
                "look for sections that are not closed",
            ),
            Misuse::EnableWhilePaused => (
                "the section is paused",
                "move the inner section out of the paused stretch, or use the nesting contract",
            ),
            Misuse::DisableWhilePaused => ("the section is paused", "resume it first"),
            Misuse::PauseOutside => (
                "no section is open, or it is paused already",
                "pause only a section that is enabled",
            ),
            Misuse::ResumeUnpaused => (
                "no section is open, or it is not paused",
                "resume only what was paused",
            ),
            Misuse::PauseWraps => ("255 pauses are open", "look for pauses without a resume"),
            Misuse::ResumeWraps => (
                "no pause is open",
                "look for the resume that was made twice",
            ),
            Misuse::GuardOutOfPlace => (
                "it was made on the other side of a pause, an interrupt or the task's end",
                "drop it where it was made",
            ),
            Misuse::Dropped => (
                "its task is in a section, a pause, a re-entry, an interrupt or in debt",
                "end what is open and call end_of_task first",
            ),
        };
        match (self.call(), self) {
            (Some(call), _) => write!(f, "{call}: {what}; {to_do}"),
            (None, Misuse::Dropped) => write!(f, "TaskMmu dropped: {what}; {to_do}"),
            (None, Misuse::GuardOutOfPlace) => write!(f, "end of a guard: {what}; {to_do}"),
            (None, _) => write!(f, "TaskMmu::reenter: {what}; {to_do}"),
        }
    }
}
