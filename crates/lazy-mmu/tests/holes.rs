//! What safe code could once do and must not, each by its name. What must not compile is beside what it is about, as
//! a doctest: `Entered` (sent to another thread), `TaskMmu::new` (a processor with state).

mod common;

use common::{Core, Task, with};
use lazy_mmu::{Call, Chosen, Cpu, Hook, Leak, Misuse, Policy, PolicyInUse, State, TaskMmu, V3};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A lazy iterator stores while it is collected: nothing that it gives out is unpaid when the collection sees it.
#[test]
fn collect_pays_for_what_its_iterator_stores() {
    /// Looks at the debt whenever it takes a page.
    struct Pages(Vec<usize>);
    thread_local!(static SEEN: Cell<Option<&'static Task>> = const { Cell::new(None) });
    impl FromIterator<usize> for Pages {
        fn from_iter<I: IntoIterator<Item = usize>>(pages: I) -> Self {
            let task = SEEN.get().expect("set");
            let pages = pages.into_iter();
            Pages(
                pages
                    .inspect(|page| assert!(!task.is_pending(), "{page}"))
                    .collect(),
            )
        }
    }
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        let task: &'static Task = Box::leak(Box::new(task));
        SEEN.set(Some(task));
        let pages: Pages = task.section(|s| {
            let stores = task; // The section is lent to `collect`.
            s.owe();
            let held: Vec<_> = (0..3).map(|page| s.owes(page)).collect();
            s.collect(held.into_iter().inspect(|_| stores.owe()))
        });
        assert_eq!(pages.0, [0, 1, 2], "{policy}");
        assert!(!task.is_pending(), "{policy}");
        // One for what was held and one for each page; eager pays each store, and flat is out of the mode by then.
        let pairs = if policy == Policy::Eager { 7 } else { 4 };
        assert_eq!(cpu.pairs.get(), pairs, "{policy}");
    }
}

/// In a handler on top of a task in debt each store pays by itself, and the task's debt is not paid once a page.
#[test]
fn collect_in_a_handler_pays_for_each_store_once() {
    let (task, cpu) = with(Policy::V3);
    task.section(|s| {
        s.owe();
        task.irq_enter();
        let pages: Vec<usize> = task.section(|s| {
            let held: Vec<_> = (0..3).map(|page| s.hold(|| page)).collect();
            s.collect(held.into_iter().inspect(|_| task.owe()))
        });
        assert_eq!((pages.len(), cpu.pairs.get()), (3, 4));
        task.irq_exit();
        assert!(task.is_pending());
        // A handler that begins while the task collects, and is still there: misuse, and nothing is given out unpaid.
        let held = [s.owes(1)];
        let begins = held.into_iter().inspect(|_| {
            task.owe();
            task.irq_enter();
        });
        let before = cpu.pairs.get();
        assert_eq!(s.collect::<_, Vec<_>>(begins), [1]);
        assert_eq!(
            cpu.pairs.get() - before,
            2,
            "what was held, and what was stored meanwhile"
        );
        task.irq_exit();
    });
}

/// A collection that begins in a handler goes on after it: from there on the debt is the task's own and is paid before
/// the page that has made it is given out.
#[test]
fn collect_pays_after_the_handler_it_has_begun_in() {
    let (task, cpu) = with(Policy::V3);
    task.section(|s| {
        s.owe();
        task.irq_enter();
        let held = [s.hold(|| 1), s.hold(|| 2)];
        let ends = held.into_iter().inspect(|_| {
            if task.in_interrupt() {
                task.irq_exit();
            }
            task.owe();
            assert!(task.is_pending());
        });
        // One as the collection begins, whose debt stays noted, and one for each page.
        assert_eq!(s.collect::<_, Vec<_>>(ends), [1, 2]);
        assert_eq!((cpu.pairs.get(), task.is_pending()), (3, false));
    });
    assert_eq!(cpu.pairs.get(), 3);
}

fn refused(task: &Task, place: &str) {
    let state = task.state();
    for policy in Policy::ALL {
        assert_eq!(task.set_policy(policy), Err(PolicyInUse(state)), "{place}");
    }
    assert_eq!(task.state(), state, "{place}");
}

#[test]
fn no_policy_is_set_in_an_open_section() {
    for policy in Policy::ALL {
        let (task, _) = with(policy);
        task.section(|s| {
            refused(&task, "in a section");
            s.section(|_| refused(&task, "in an inner section"));
            refused(&task, "after an inner exit");
            task.irq_enter();
            task.section(|s| s.owe());
            refused(&task, "in a handler");
            task.irq_exit();
            refused(&task, "after a handler's section");
            s.pause(|| refused(&task, "in a pause"));
            task.reenter(|| refused(&task, "in a re-entry"));
            task.reenter(|| task.section(|_| task.reenter(|| refused(&task, "in two"))));
            refused(&task, "after them");
        });
        assert_eq!(task.set_policy(Policy::V3), Ok(()), "{policy}");
        // A handler's sections are its own.
        task.set_policy(policy).expect("idle");
        task.irq_enter();
        task.section(|s| s.owe());
        task.irq_exit();
        assert_eq!(task.set_policy(Policy::V3), Ok(()), "{policy}");
    }
}

#[test]
fn no_task_ends_in_an_open_section_unnoticed() {
    for policy in Policy::ALL {
        let places: [fn(&Task); 4] = [
            |task| std::mem::forget(task.enter()),
            |task| {
                std::mem::forget(task.enter());
                task.section(|_| ());
            },
            |task| {
                std::mem::forget(task.enter());
                task.lazy_mmu_mode_pause();
            },
            |task| {
                for _ in 0..255 {
                    std::mem::forget(task.enter());
                }
            },
        ];
        for place in places {
            let (task, _) = with(policy);
            place(&task);
            let state = task.state();
            assert_eq!(task.end_of_task(), Err(Leak(state)), "{policy}");
            assert_eq!(task.end_of_task(), Ok(()), "{policy}: as new");
        }
    }
}

/// More sections than the books of eager and flat can count: as many exits do not make the task idle.
#[test]
fn no_section_is_lost_where_a_count_ends() {
    for policy in [Policy::Eager, Policy::Flat] {
        let (task, _) = with(policy);
        (0..254).for_each(|_| task.lazy_mmu_mode_enable());
        (0..254).for_each(|_| task.lazy_mmu_mode_disable());
        assert_eq!(task.set_policy(policy), Ok(()), "{policy}: counted");
        (0..256).for_each(|_| task.lazy_mmu_mode_enable());
        (0..255).for_each(|_| task.lazy_mmu_mode_disable());
        refused(&task, "one is still open");
        assert_eq!(
            task.end_of_task(),
            Err(Leak(State {
                count: 255,
                ..with(policy).0.state()
            }))
        );
    }
}

/// A task that ends in an allocator's work has ended: the re-entry's own end opens nothing again.
#[test]
fn a_task_that_ends_in_a_reentry_is_noticed_and_stays_ended() {
    let (task, cpu) = with(Policy::Reenter);
    task.lazy_mmu_mode_enable();
    task.reenter(|| {
        let leak = task.end_of_task().unwrap_err();
        assert_eq!((leak.0.count, leak.0.pause_count), (0, 1));
        assert!(leak.to_string().contains("inside a re-entry"), "{leak}");
        assert!(leak.to_string().contains("reentries=1"), "{leak}");
    });
    assert_eq!(task.end_of_task(), Ok(()));
    assert_eq!(cpu.hooks.take(), [Hook::Enter, Hook::Leave]);
}

/// More re-entries than can be counted: a bug, and nothing of the task's is lost.
#[test]
fn a_reentry_too_many_is_a_bug() {
    fn deeper(task: &Task, levels: u32) {
        if levels > 0 {
            task.section(|_| task.reenter(|| deeper(task, levels - 1)));
        }
    }
    let (task, cpu) = common::on(Policy::Reenter, Core::whose_bugs_return());
    deeper(&task, 255);
    assert_eq!(cpu.take_misuse(), []);
    deeper(&task, 256);
    assert_eq!(cpu.take_misuse(), [Misuse::ReentryTooDeep]);
    assert_eq!(task.end_of_task(), Ok(()));
}

/// One call owes and wraps, and both on the section's own task.
#[test]
fn what_is_held_back_has_owed() {
    for policy in Policy::ALL {
        let ((task, cpu), (other, _)) = (with(policy), with(policy));
        let page = task.publish(|s| {
            other.section(|_| ());
            let page = s.owes(7);
            assert_eq!(task.is_pending(), policy != Policy::Eager, "{policy}");
            assert!(!other.is_pending());
            page
        });
        assert_eq!((page, cpu.pairs.get()), (7, 1), "{policy}");
        // Stores that owe deeper down are paid once, not once more.
        let page = task.publish(|s| {
            s.hold(|| {
                task.owe();
                8
            })
        });
        assert_eq!((page, cpu.pairs.get()), (8, 2), "{policy}");
    }
}

#[test]
fn a_task_dropped_or_replaced_in_use_is_noticed() {
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        task.section(|s| s.owe());
        drop(task);
        assert_eq!(cpu.take_misuse(), [], "{policy}: idle");

        let (mut task, cpu) = with(policy);
        task.lazy_mmu_mode_enable();
        task.owe();
        let before = cpu.pairs.get();
        task = with(policy).0;
        assert_eq!(cpu.take_misuse(), [Misuse::Dropped], "{policy}: replaced");
        let owed = u32::from(policy != Policy::Eager);
        assert_eq!(cpu.pairs.get() - before, owed, "{policy}: and paid");
        drop(task);

        let (task, cpu) = with(policy);
        task.irq_enter();
        drop(task);
        assert_eq!(cpu.take_misuse(), [Misuse::Dropped], "{policy}: dropped");
        let text = Misuse::Dropped.to_string();
        let places = "in a section, a pause, a re-entry, an interrupt or in debt";
        assert!(text.starts_with("TaskMmu dropped: "), "{text}");
        assert!(text.contains(places), "{text}");
        assert_eq!(
            (Misuse::Dropped.call(), Misuse::Dropped.is_bug()),
            (None, false)
        );
    }
}

/// The report comes first: what it looks at is the task as it was dropped, in debt.
#[test]
fn a_drop_is_reported_before_it_pays() {
    #[derive(Default)]
    struct Order(std::cell::RefCell<Vec<&'static str>>);
    impl Cpu for Order {
        fn publish(&self) {
            self.0.borrow_mut().push("pair");
        }
        fn misuse(&self, misuse: Misuse) {
            assert_eq!(misuse, Misuse::Dropped);
            self.0.borrow_mut().push("dropped");
        }
        fn hook(&self, hook: Hook) {
            if hook == Hook::Leave {
                self.0.borrow_mut().push("leave");
            }
        }
    }
    let cpu = Order::default();
    let task: TaskMmu<_, _> = TaskMmu::hosted(V3, &cpu);
    task.lazy_mmu_mode_enable();
    task.owe();
    drop(task);
    assert_eq!(cpu.0.take(), ["dropped", "leave", "pair"]);
}

/// A core on which every report unwinds.
#[derive(Default)]
struct Unwinds(Cell<u32>);

impl Cpu for Unwinds {
    fn publish(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn misuse(&self, misuse: Misuse) {
        std::panic::resume_unwind(Box::new(misuse));
    }
}

fn unwound(work: impl FnOnce()) -> Option<Misuse> {
    let caught = catch_unwind(AssertUnwindSafe(work)).err()?;
    caught.downcast_ref().copied()
}

#[test]
#[cfg(feature = "warnings")]
fn a_report_that_unwinds_leaves_no_level_open() {
    for by_hand in [false, true] {
        let cpu = Unwinds::default();
        let task: TaskMmu<_, _> = TaskMmu::hosted(V3, &cpu);
        let misuse = unwound(|| {
            if by_hand {
                task.lazy_mmu_mode_enable();
            }
            let guard = (!by_hand).then(|| task.enter());
            task.lazy_mmu_mode_pause();
            drop(guard);
            if by_hand {
                task.lazy_mmu_mode_disable();
            }
        });
        assert_eq!(misuse, Some(Misuse::DisableWhilePaused));
        assert_eq!(task.end_of_task(), Ok(()), "by hand: {by_hand}");
    }
    // An inner one: what is owed is paid, and the outer one is still open.
    let cpu = Unwinds::default();
    let task: TaskMmu<_, _> = TaskMmu::hosted(V3, &cpu);
    task.lazy_mmu_mode_enable();
    let misuse = unwound(|| {
        let _inner = task.enter();
        task.lazy_mmu_mode_pause();
    });
    assert_eq!(misuse, Some(Misuse::DisableWhilePaused));
    assert_eq!(task.state().count, 1);
    task.lazy_mmu_mode_resume();
    task.lazy_mmu_mode_disable();
    assert_eq!(task.end_of_task(), Ok(()));
}

/// The end of a re-entry with too many sections to count: those that it left are open again.
#[test]
fn a_report_that_unwinds_at_the_end_of_a_reentry_gives_its_sections_back() {
    let cpu = Unwinds::default();
    let task: TaskMmu<_, _> = TaskMmu::hosted(lazy_mmu::baseline::Reenter, &cpu);
    task.lazy_mmu_mode_enable();
    let misuse = unwound(|| task.reenter(|| (0..255).for_each(|_| task.lazy_mmu_mode_enable())));
    assert_eq!(misuse, Some(Misuse::ReentryLeft));
    let state = task.state();
    assert_eq!(
        (state.count, state.pause_count, state.enabled),
        (255, 0, true)
    );
    assert!(task.end_of_task().is_err());
}

/// A processor whose hooks look at the task that they are called for.
#[derive(Default)]
struct Looks {
    task: Cell<Option<&'static TaskMmu<lazy_mmu::baseline::Reenter, &'static Looks>>>,
    seen: RefCell<Vec<(Hook, u8, u8)>>,
}

impl Cpu for &'static Looks {
    fn publish(&self) {}

    fn misuse(&self, misuse: Misuse) {
        panic!("{misuse}");
    }

    fn hook(&self, hook: Hook) {
        if let Some(state) = self.task.get().map(TaskMmu::state) {
            let seen = (hook, state.count, state.pause_count);
            self.seen.borrow_mut().push(seen);
        }
    }
}

/// The re-entry is counted while its hooks run: a task that looked idle there could be given another policy.
#[test]
fn the_hooks_of_a_reentry_see_it_under_way() {
    let cpu: &'static Looks = Box::leak(Box::default());
    let task: &'static TaskMmu<_, _> =
        Box::leak(Box::new(TaskMmu::hosted(lazy_mmu::baseline::Reenter, cpu)));
    task.lazy_mmu_mode_enable();
    cpu.task.set(Some(task));
    task.reenter(|| ());
    assert_eq!(cpu.seen.take(), [(Hook::Leave, 0, 1), (Hook::Enter, 1, 1)]);
    task.lazy_mmu_mode_disable();
    assert_eq!(task.end_of_task(), Ok(()));
}

/// A task whose report of its drop unwinds has paid all the same.
#[test]
fn a_drop_whose_report_unwinds_has_paid() {
    let cpu = Unwinds::default();
    let task: TaskMmu<_, _> = TaskMmu::hosted(V3, &cpu);
    task.lazy_mmu_mode_enable();
    task.owe();
    assert_eq!(unwound(|| drop(task)), Some(Misuse::Dropped));
    assert_eq!(cpu.0.get(), 1);
}

#[test]
fn a_question_mark_works_where_a_value_is_published() {
    let frame = |there: bool| there.then_some(3).ok_or("no frame");
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        let map = |there| {
            task.try_publish(|s| {
                s.owe();
                let frame = frame(there)?;
                Ok(s.owes(frame * 2))
            })
        };
        assert_eq!((map(true), task.is_pending()), (Ok(6), false), "{policy}");
        let before = cpu.pairs.get();
        assert_eq!(map(false), Err("no frame"), "{policy}");
        // What was stored before the failure is paid.
        assert_eq!((cpu.pairs.get() - before, task.is_pending()), (1, false));
        task.section(|s| {
            let inner = |s: &mut lazy_mmu::Section<'_, '_, Task>, there| {
                s.try_publish(|s| Ok::<_, &str>(s.owes(frame(there)?)))
            };
            assert_eq!((inner(s, true), task.is_pending()), (Ok(3), false));
            assert_eq!(inner(s, false), Err("no frame"));
        });
        assert_eq!(task.end_of_task(), Ok(()));
    }
}

#[test]
fn a_question_mark_works_on_an_option_where_a_value_is_published() {
    let frame = |there: bool| there.then_some(3);
    for policy in Policy::ALL {
        let (task, cpu) = with(policy);
        let map = |there| {
            task.publish_option(|s| {
                s.owe();
                let frame = frame(there)?;
                Some(s.owes(frame * 2))
            })
        };
        assert_eq!((map(true), task.is_pending()), (Some(6), false), "{policy}");
        let before = cpu.pairs.get();
        assert_eq!((map(false), task.is_pending()), (None, false), "{policy}");
        assert_eq!(
            cpu.pairs.get() - before,
            1,
            "{policy}: what was stored is paid"
        );
        task.section(|s| {
            let mut inner = |there| s.publish_option(|s| Some(s.owes(frame(there)?)));
            assert_eq!((inner(true), inner(false)), (Some(3), None));
            assert!(!task.is_pending(), "{policy}");
        });
    }
}

#[test]
fn an_option_converts() {
    let (task, _) = with(Policy::V3);
    let some: Option<u8> = task.publish(|s| Some(s.owes(1)).into());
    let none: Option<u8> = task.publish(|_| None.into());
    assert_eq!((some, none), (Some(1), None));
}

/// A core whose reports and hooks try to change the policy of their task, and to end it.
#[derive(Default)]
struct Meddles {
    task: Cell<Option<&'static TaskMmu<Chosen, &'static Meddles>>>,
    at: Cell<Option<At>>,
    inside: Cell<bool>,
    tried: Cell<u32>,
}

/// Where it tries: there the task looks idle, and the call goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Hook(Hook),
    Report(Misuse),
}

impl Meddles {
    fn meddle(&self, here: At) {
        let task = self.task.get().expect("set");
        if self.inside.get() {
            // Of a call on top of the first, which is under way all the same.
            assert!(task.set_policy(Policy::Eager).is_err(), "{here:?}");
            return;
        }
        if self.at.get() != Some(here) {
            return;
        }
        self.at.set(None);
        let state = task.state();
        for policy in Policy::ALL {
            assert_eq!(task.set_policy(policy), Err(PolicyInUse(state)), "{here:?}");
        }
        let leak = task.end_of_task().unwrap_err();
        assert_eq!(leak, Leak(state), "{here:?}");
        let text = leak.to_string();
        assert!(text.contains("inside a call of the mode"), "{text}");
        self.tried.set(self.tried.get() + 1);
        // What it calls, as a handler may, follows the same rules.
        let (twin, _) = with(task.policy());
        self.inside.set(true);
        for call in [Call::Enable, Call::Pause, Call::Resume, Call::Disable] {
            task.call(call);
            twin.call(call);
            assert_eq!(task.state(), twin.state(), "{here:?} {call}");
        }
        assert!(task.set_policy(Policy::Eager).is_err(), "{here:?}");
        self.inside.set(false);
    }
}

impl Cpu for Meddles {
    fn publish(&self) {}

    fn misuse(&self, misuse: Misuse) {
        self.meddle(At::Report(misuse));
    }

    fn hook(&self, hook: Hook) {
        self.meddle(At::Hook(hook));
    }
}

#[test]
fn no_policy_is_set_and_no_task_ends_while_a_call_is_under_way() {
    use Call::{Disable, Enable, Pause, Resume};
    let report = At::Report;
    let warnings = cfg!(feature = "warnings");
    for (policy, call, at, tries) in [
        (Policy::V3, Enable, At::Hook(Hook::Enter), true),
        (Policy::V3, Resume, At::Hook(Hook::Enter), true),
        (Policy::V3, Resume, report(Misuse::ResumeUnpaused), warnings),
        (Policy::V3, Pause, report(Misuse::PauseOutside), warnings),
        (Policy::V3, Disable, report(Misuse::NotOpen), true),
        (Policy::Flat, Resume, At::Hook(Hook::Enter), true),
        (Policy::Reenter, Disable, report(Misuse::NotOpen), true),
        (
            Policy::Linux7,
            Disable,
            report(Misuse::DisableWraps),
            warnings,
        ),
        (
            Policy::Linux7,
            Resume,
            report(Misuse::ResumeWraps),
            warnings,
        ),
    ] {
        let cpu: &'static Meddles = Box::leak(Box::default());
        let task: &'static TaskMmu<_, _> =
            Box::leak(Box::new(TaskMmu::hosted(Chosen::new(policy), cpu)));
        cpu.task.set(Some(task));
        cpu.at.set(Some(at));
        task.call(call);
        let place = format!("{policy} {call} {at:?}");
        assert_eq!(cpu.tried.get(), u32::from(tries), "{place}");
        // The call has had its effects, by its own rules, and is under way no more.
        let (twin, _) = common::on(policy, Core::whose_bugs_return());
        twin.call(call);
        assert_eq!(task.state(), twin.state(), "{place}");
        assert_eq!(task.end_of_task(), twin.end_of_task(), "{place}");
        assert_eq!(task.set_policy(Policy::Eager), Ok(()), "{place}");
    }
}

/// A core one of whose hooks, ends of calls and payments unwinds: the one that this many come before.
#[derive(Default)]
struct UnwindsOnce {
    before: Cell<u32>,
    /// Which one it was.
    unwound: Cell<Option<&'static str>>,
    /// Stores that no pair has come after.
    unpaid: Cell<u32>,
}

impl UnwindsOnce {
    fn at(&self, place: &'static str) {
        match self.before.get().checked_sub(1) {
            Some(before) => self.before.set(before),
            None if self.unwound.get().is_none() => {
                self.unwound.set(Some(place));
                std::panic::resume_unwind(Box::new(place));
            }
            None => {}
        }
    }

    /// One that owes; who makes it knows of it, if it is to be paid at once and that unwinds.
    fn store(&self, task: &UnwindingTask<'_>) {
        let before = self.unpaid.replace(self.unpaid.get() + 1);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task.owe())) {
            self.unpaid.set(before);
            std::panic::resume_unwind(payload);
        }
    }
}

impl Cpu for UnwindsOnce {
    fn publish(&self) {
        self.at("publish");
        self.unpaid.set(0);
    }

    fn misuse(&self, misuse: Misuse) {
        panic!("{misuse}");
    }

    fn hook(&self, hook: Hook) {
        self.at(match hook {
            Hook::Enter => "enter",
            Hook::Leave => "leave",
            Hook::Flush => "flush",
        });
    }

    fn called(&self, _: Call) {
        self.at("called");
    }
}

type UnwindingTask<'a> = TaskMmu<Chosen, &'a UnwindsOnce>;

/// Every hook, end of a call and payment of a program unwinds once: no level stays open, nothing is misuse on the way
/// out, and what has not been paid is noted.
#[test]
fn nothing_that_unwinds_leaves_a_level_open_or_forgets_a_debt() {
    for policy in Policy::ALL {
        let mut places = Vec::new();
        for before in 0.. {
            let cpu = UnwindsOnce::default();
            cpu.before.set(before);
            let task: UnwindingTask<'_> = TaskMmu::hosted(Chosen::new(policy), &cpu);
            let store = || cpu.store(&task);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                task.section(|s| {
                    store();
                    s.section(|_| store());
                    store();
                    s.pause(store);
                    store();
                    task.reenter(|| task.section(|_| store()));
                    s.pause(|| task.reenter(store));
                    store();
                });
            }));
            let Some(place) = cpu.unwound.get() else {
                assert!(outcome.is_ok(), "{policy}");
                break;
            };
            let here = format!("{policy}: {place}, after {before}");
            assert_eq!(task.is_pending(), cpu.unpaid.get() > 0, "{here}");
            let State { count, enabled, .. } = task.state();
            assert_eq!((count, enabled), (0, false), "{here}");
            // Noted is only the debt whose own payment has unwound at the outermost exit.
            let ended = task.end_of_task();
            assert!(ended.is_ok() || place == "publish", "{here}: {ended:?}");
            assert_eq!(cpu.unpaid.get(), 0, "{here}: paid at the end");
            places.push(place);
        }
        let has = |place| places.contains(&place);
        let hooks = policy != Policy::Eager;
        assert!(has("called") && has("publish"), "{policy}");
        assert_eq!((has("enter"), has("leave")), (hooks, hooks), "{policy}");
    }
}

/// By hand there is nothing that could end what a complete call has begun; one whose hook unwinds has begun nothing.
#[test]
fn a_call_by_hand_has_begun_something_if_its_end_unwinds() {
    for policy in [Policy::Flat, Policy::Reenter, Policy::V3, Policy::Linux7] {
        for (before, place, begun) in [(0, "enter", false), (1, "called", true)] {
            let cpu = UnwindsOnce::default();
            cpu.before.set(before);
            let task: UnwindingTask<'_> = TaskMmu::hosted(Chosen::new(policy), &cpu);
            let call = || task.lazy_mmu_mode_enable();
            assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "{policy}");
            assert_eq!(cpu.unwound.get(), Some(place), "{policy}");
            let State { count, enabled, .. } = task.state();
            assert_eq!((count, enabled), (u8::from(begun), begun), "{policy}");
            assert_eq!(task.end_of_task().is_err(), begun, "{policy}");
        }
    }
}
