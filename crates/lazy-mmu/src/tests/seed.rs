//! The C once more, in miniature, line by line: the seed's `<linux/pgtable.h>`, what Linux 7.0 merged, and under
//! both arm64's hooks. Each place where the C calls out may change the state: a report of a warning, a hook, a pair.
//! What calls out *acts* here: it makes any of the four calls, or a store that owes, and its own calls call out
//! in turn. So it shows where the C reads its state a second time.
//!
//! What the crate differs in by intent is different here, too: a bug whose report returns ends its call,
//! warnings are not given once but each time, and an invalidation settles what is pending.

use super::Event;
use crate::{Call, Contract, Cpu, Hook, Linux7, Misuse, Policy, Slot, TaskMmu, V3};
use core::cell::{Cell, RefCell};
use core::mem::ManuallyDrop;
use std::vec::Vec;
use std::{println, vec};

/// Calls out of calls: deeper ones do not act.
const DEEPEST: u8 = 3;

/// What is done: one of the four calls, a store that owes, an invalidation, or nothing.
const ACTS: [Option<Act>; 7] = [
    None,
    Some(Act::Call(Call::Enable)),
    Some(Act::Call(Call::Disable)),
    Some(Act::Call(Call::Pause)),
    Some(Act::Call(Call::Resume)),
    Some(Act::Store),
    Some(Act::Invalidate),
];

const ACTS_LEN: u8 = 7;

#[derive(Clone, Copy, Debug)]
enum Act {
    Call(Call),
    Store,
    Invalidate,
}

/// `struct lazy_mmu_state` of either contract, and TIF_LAZY_MMU_PENDING.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    count: u8,
    /// The seed's.
    enabled: bool,
    /// Linux 7's.
    pause_count: u8,
    pending: bool,
}

/// What all sides do at a place where the C calls out: note what happens in which state, and do what comes next.
struct Script<'a> {
    acts: &'a [u8],
    next: Cell<usize>,
    depth: Cell<u8>,
    log: RefCell<Vec<(Event, State)>>,
}

impl<'a> Script<'a> {
    fn new(acts: &'a [u8]) -> Self {
        Script {
            acts,
            next: Cell::new(0),
            depth: Cell::new(0),
            log: RefCell::default(),
        }
    }

    fn call_out(&self, event: Event, state: State, act: impl FnOnce(Act)) {
        self.log.borrow_mut().push((event, state));
        if self.depth.get() == DEEPEST {
            return;
        }
        let next = self.next.replace(self.next.get() + 1);
        if let Some(&n) = self.acts.get(next)
            && let Some(does) = ACTS[usize::from(n)]
        {
            self.depth.set(self.depth.get() + 1);
            act(does);
            self.depth.set(self.depth.get() - 1);
        }
    }
}

/// The C.
struct C<'a> {
    linux7: bool,
    state: Cell<State>,
    script: Script<'a>,
}

impl C<'_> {
    fn count(&self) -> u8 {
        self.state.get().count
    }

    fn pause_count(&self) -> u8 {
        self.state.get().pause_count
    }

    fn enabled(&self) -> bool {
        self.state.get().enabled
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.get();
        change(&mut state);
        self.state.set(state);
    }

    fn call_out(&self, event: Event) {
        let act = |act| self.act(act);
        self.script.call_out(event, self.state.get(), act);
    }

    fn act(&self, act: Act) {
        match (act, self.linux7) {
            (Act::Store, _) => self.queue_pte_barriers(),
            (Act::Invalidate, _) => self.invalidate(),
            (Act::Call(Call::Enable), false) => self.enable(),
            (Act::Call(Call::Disable), false) => self.disable(),
            (Act::Call(Call::Pause), false) => self.pause(),
            (Act::Call(Call::Resume), false) => self.resume(),
            (Act::Call(Call::Enable), true) => self.enable_7(),
            (Act::Call(Call::Disable), true) => self.disable_7(),
            (Act::Call(Call::Pause), true) => self.pause_7(),
            (Act::Call(Call::Resume), true) => self.resume_7(),
        }
    }

    /// VM_BUG_ON: whether it was one, and its report has returned.
    fn bug(&self, condition: bool, misuse: Misuse) -> bool {
        if condition {
            self.call_out(Event::Misuse(misuse));
        }
        condition
    }

    /// VM_WARN_ON.
    fn warn(&self, condition: bool, misuse: Misuse) {
        if condition && cfg!(feature = "warnings") {
            self.call_out(Event::Misuse(misuse));
        }
    }

    fn enable(&self) {
        if self.bug(self.count() == u8::MAX, Misuse::TooDeep) {
            return;
        }
        let paused = self.count() > 0 && !self.enabled();
        self.warn(paused, Misuse::EnableWhilePaused);
        if self.count() == 0 {
            self.arch_enter();
            self.set(|state| state.enabled = true);
        }
        self.set(|state| state.count = state.count.wrapping_add(1));
    }

    fn disable(&self) {
        if self.bug(self.count() == 0, Misuse::NotOpen) {
            return;
        }
        self.warn(!self.enabled(), Misuse::DisableWhilePaused);
        self.set(|state| state.count = state.count.wrapping_sub(1));
        if self.count() == 0 {
            self.set(|state| state.enabled = false);
            self.arch_leave();
        } else {
            self.arch_flush();
        }
    }

    fn pause(&self) {
        let outside = self.count() == 0 || !self.enabled();
        self.warn(outside, Misuse::PauseOutside);
        self.set(|state| state.enabled = false);
        self.arch_leave();
    }

    fn resume(&self) {
        let unpaused = self.count() == 0 || self.enabled();
        self.warn(unpaused, Misuse::ResumeUnpaused);
        self.arch_enter();
        self.set(|state| state.enabled = true);
    }

    fn enable_7(&self) {
        if self.pause_count() > 0 {
            return;
        }
        self.warn(self.count() == u8::MAX, Misuse::EnableWraps);
        let before = self.count();
        self.set(|state| state.count = before.wrapping_add(1));
        if before == 0 {
            self.arch_enter();
        }
    }

    fn disable_7(&self) {
        if self.pause_count() > 0 {
            return;
        }
        self.warn(self.count() == 0, Misuse::DisableWraps);
        let after = self.count().wrapping_sub(1);
        self.set(|state| state.count = after);
        if after == 0 {
            self.arch_leave();
        } else {
            self.arch_flush();
        }
    }

    fn pause_7(&self) {
        self.warn(self.pause_count() == u8::MAX, Misuse::PauseWraps);
        let before = self.pause_count();
        self.set(|state| state.pause_count = before.wrapping_add(1));
        if before == 0 && self.count() > 0 {
            self.arch_leave();
        }
    }

    fn resume_7(&self) {
        self.warn(self.pause_count() == 0, Misuse::ResumeWraps);
        let after = self.pause_count().wrapping_sub(1);
        self.set(|state| state.pause_count = after);
        if after == 0 && self.count() > 0 {
            self.arch_enter();
        }
    }

    fn in_lazy_mmu_mode(&self) -> bool {
        match self.linux7 {
            true => self.count() > 0 && self.pause_count() == 0,
            false => self.enabled(),
        }
    }

    fn arch_enter(&self) {
        self.call_out(Event::Hook(Hook::Enter));
    }

    fn arch_leave(&self) {
        self.call_out(Event::Hook(Hook::Leave));
        self.emit_pending();
    }

    fn arch_flush(&self) {
        self.call_out(Event::Hook(Hook::Flush));
        self.emit_pending();
    }

    /// `if (test_and_clear_thread_flag(TIF_LAZY_MMU_PENDING)) emit_pte_barriers();`
    fn emit_pending(&self) {
        if self.state.get().pending {
            self.set(|state| state.pending = false);
            self.call_out(Event::Publish);
        }
    }

    /// `clear_thread_flag(TIF_LAZY_MMU_PENDING); flush_tlb_range();`, which no C does.
    fn invalidate(&self) {
        self.set(|state| state.pending = false);
        self.call_out(Event::Invalidate);
    }

    fn queue_pte_barriers(&self) {
        if self.in_lazy_mmu_mode() {
            self.set(|state| state.pending = true);
        } else {
            self.call_out(Event::Publish);
        }
    }
}

/// The crate, over bytes that a call and what it calls out to share.
struct World<'a, K> {
    contract: K,
    bytes: [Cell<u8>; 4],
    script: Script<'a>,
}

struct Byte<'w>(&'w Cell<u8>);

impl Slot for Byte<'_> {
    fn new(_: u8) -> Self {
        unreachable!("a byte of a world that exists")
    }

    fn get(&self) -> u8 {
        self.0.get()
    }

    fn set(&self, v: u8) {
        self.0.set(v);
    }
}

impl<K: Contract + Copy> Cpu for World<'_, K> {
    fn publish(&self) {
        self.call_out(Event::Publish);
    }

    fn misuse(&self, misuse: Misuse) {
        self.call_out(Event::Misuse(misuse));
    }

    fn hook(&self, hook: Hook) {
        self.call_out(Event::Hook(hook));
    }
}

impl<'a, K: Contract + Copy> World<'a, K> {
    fn new(contract: K, state: State, acts: &'a [u8]) -> Self {
        let on = match contract.policy() {
            Policy::Linux7 => state.count > 0 && state.pause_count == 0,
            _ => state.enabled,
        };
        let bytes = [
            u8::from(on),
            state.count,
            state.pause_count,
            u8::from(state.pending),
        ];
        World {
            contract,
            bytes: bytes.map(Cell::new),
            script: Script::new(acts),
        }
    }

    fn task(&self) -> ManuallyDrop<TaskMmu<K, &Self, Byte<'_>>> {
        TaskMmu::over(self.contract, self, self.bytes.each_ref().map(Byte))
    }

    fn state(&self) -> State {
        let state = self.task().state();
        State {
            count: state.count,
            enabled: state.enabled,
            pause_count: state.pause_count,
            pending: state.pending,
        }
    }

    fn call_out(&self, event: Event) {
        let act = |act| self.act(act);
        self.script.call_out(event, self.state(), act);
    }

    fn act(&self, act: Act) {
        match act {
            Act::Call(call) => self.task().call(call),
            Act::Store => self.task().owe(),
            Act::Invalidate => self.task().settled_by(|| self.call_out(Event::Invalidate)),
        }
    }
}

/// Linux 7 has no flag of its own: what it answers for one.
fn seen(linux7: bool, mut state: State) -> State {
    if linux7 {
        state.enabled = state.count > 0 && state.pause_count == 0;
    }
    state
}

/// Does `acts` from `state` on both sides; what calls out does what `outs` say, one after the other. Returns how often
/// something called out.
fn compare(contract: impl Contract + Copy, state: State, acts: &[u8], outs: &[u8]) -> usize {
    let policy = contract.policy();
    let linux7 = policy == Policy::Linux7;
    let c = C {
        linux7,
        state: Cell::new(state),
        script: Script::new(outs),
    };
    let world = World::new(contract, state, outs);
    for act in acts.iter().filter_map(|&n| ACTS[usize::from(n)]) {
        c.act(act);
        world.act(act);
        let theirs = seen(linux7, c.state.get());
        assert_eq!(
            world.state(),
            theirs,
            "{policy} from {state:?}: {acts:?}, and where it calls out {outs:?}"
        );
    }
    let mut theirs = c.script.log.take();
    theirs
        .iter_mut()
        .for_each(|(_, state)| *state = seen(linux7, *state));
    let ours = world.script.log.take();
    assert_eq!(
        ours, theirs,
        "{policy} from {state:?}: {acts:?}, and where it calls out {outs:?}"
    );
    ours.len()
}

/// Numbers with `len` digits to the base `digits`.
fn each(len: u32, digits: u8, mut f: impl FnMut(&[u8])) {
    let mut word = vec![0; len as usize];
    for n in 0..u32::from(digits).pow(len) {
        let mut rest = n;
        for digit in &mut word {
            *digit = u8::try_from(rest % u32::from(digits)).expect("a digit");
            rest /= u32::from(digits);
        }
        f(&word);
    }
}

/// The states at the ends of the counts, and a few between.
fn starts(policy: Policy) -> Vec<State> {
    let mut all = Vec::new();
    for count in [0, 1, 2, 254, 255] {
        for pending in [false, true] {
            let rest = match policy {
                Policy::Linux7 => [0, 1, 255].map(|pauses| (false, pauses)).to_vec(),
                _ => [false, true].map(|enabled| (enabled, 0)).to_vec(),
            };
            all.extend(rest.into_iter().map(|(enabled, pause_count)| State {
                count,
                enabled,
                pause_count,
                pending,
            }));
        }
    }
    all
}

/// The two that found it: the first, where a report ends the section that `enable` was called in, the other, where a
/// report pauses what `enable` of the merged contract is about to count.
#[test]
fn enable_reads_its_count_again_after_its_warning() {
    let paused = State {
        count: 1,
        ..State::default()
    };
    // `enable; pause; enable`, and the second enable's warning makes an unbalanced disable.
    compare(V3, paused, &[1], &[2]);
    let full = State {
        count: 255,
        ..State::default()
    };
    compare(Linux7, full, &[1], &[3]);
    compare(Linux7, full, &[1], &[2]);
}

/// Every two acts from each start, with every four acts where they call out.
fn short(contract: impl Contract + Copy) {
    let (mut runs, mut outs_seen) = (0, 0);
    for state in starts(contract.policy()) {
        each(2, ACTS_LEN, |acts| {
            each(4, ACTS_LEN, |outs| {
                outs_seen += compare(contract, state, acts, outs);
                runs += 1;
            });
        });
    }
    let policy = contract.policy();
    println!("seed {policy:8}{runs:>9} short runs, {outs_seen:>9} times called out");
    // Without warnings the bugs alone call out.
    if cfg!(feature = "warnings") {
        assert!(outs_seen > runs, "it does call out");
    }
}

#[test]
fn every_short_sequence_does_what_the_c_does() {
    short(V3);
    short(Linux7);
}

fn long(contract: impl Contract + Copy) {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        usize::try_from(word >> 33).expect("31 bits") % n
    };
    let starts = starts(contract.policy());
    let mut outs_seen = 0;
    for _ in 0..20_000 {
        let state = starts[below(starts.len())];
        let mut digits = |n| -> Vec<u8> {
            let digits = (0..n).map(|_| u8::try_from(below(ACTS.len())).expect("a digit"));
            digits.collect()
        };
        let (acts, outs) = (digits(24), digits(60));
        outs_seen += compare(contract, state, &acts, &outs);
    }
    let policy = contract.policy();
    println!("seed {policy:8}    20000 long runs, {outs_seen:>9} times called out");
}

#[test]
fn long_random_sequences_do_what_the_c_does() {
    long(V3);
    long(Linux7);
}
