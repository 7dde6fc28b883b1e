//! What a program costs: pairs counted on the crate, against the closed forms of the reference, and against
//! a replay that knows the policies only by what is pending when.

use crate::{Chosen, Cpu, Misuse, Policy, TaskMmu};
use core::cell::Cell;
use std::vec::Vec;

/// Inside one outer section: an owing store, or an inner section with that many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Store,
    Reentry(u8),
}

#[derive(Default)]
struct Counter(Cell<u32>);

impl Cpu for Counter {
    fn publish(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn misuse(&self, misuse: Misuse) {
        panic!("{misuse}");
    }
}

/// On the crate, the way a kernel writes it.
fn counted(policy: Policy, program: &[Item]) -> u32 {
    let cpu = Counter::default();
    let task: TaskMmu<_, _> = TaskMmu::hosted(Chosen::new(policy), &cpu);
    task.section(|s| {
        for &item in program {
            match item {
                Item::Store => s.owe(),
                Item::Reentry(stores) => task.reenter(|| {
                    task.section(|inner| (0..stores).for_each(|_| inner.owe()));
                }),
            }
        }
    });
    assert_eq!(task.end_of_task(), Ok(()));
    cpu.0.get()
}

/// By the closed forms. S, R, F, G and T are what the reference calls them.
fn by_formula(policy: Policy, program: &[Item]) -> u32 {
    let count = |items: &[Item]| items.iter().filter(|i| **i == Item::Store).count();
    let groups: Vec<&[Item]> = program.split(|i| matches!(i, Item::Reentry(_))).collect();
    let owing_reentries = program
        .iter()
        .filter(|i| matches!(i, Item::Reentry(n) if *n > 0));
    let s = count(program);
    let r = owing_reentries.clone().count();
    let inner: u32 = owing_reentries
        .map(|i| match i {
            Item::Reentry(n) => u32::from(*n),
            Item::Store => 0,
        })
        .sum();
    let g = groups.iter().filter(|group| count(group) > 0).count();
    let t = usize::from(groups.last().is_some_and(|group| count(group) > 0));
    let reentries = groups.len() - 1;
    let pairs = match policy {
        // Every owing call pays, inner ones too.
        Policy::Eager => return u32::try_from(s).unwrap() + inner,
        // An inner section pays its own stores once, and what is pending before it with them, for it is
        // what ends the mode. From then on the outer stores are on their own.
        Policy::Flat if reentries == 0 => s.min(1),
        Policy::Flat => {
            let f = count(groups[0]);
            let first_owes = matches!(program[f], Item::Reentry(n) if n > 0);
            r + s - f + usize::from(!first_owes && f > 0)
        }
        Policy::Reenter => r + g,
        Policy::V3 | Policy::Linux7 => {
            // A re-entry counts also if it owes nothing but finds something pending.
            let paying = program.iter().enumerate().filter(|(i, item)| match item {
                Item::Reentry(0) => *i > 0 && program[i - 1] == Item::Store,
                Item::Reentry(_) => true,
                Item::Store => false,
            });
            paying.count() + t
        }
    };
    u32::try_from(pairs).unwrap()
}

/// By what is pending when: a policy is who defers, and what an inner entry and exit do with the outer debt.
fn by_replay(policy: Policy, program: &[Item]) -> u32 {
    let mut pairs = 0;
    let mut pay = |pending: &mut bool| pairs += u32::from(core::mem::take(pending));
    let (mut deferring, mut pending) = (policy != Policy::Eager, false);
    for &item in program {
        match item {
            Item::Store if deferring => pending = true,
            Item::Store => pay(&mut true.clone()),
            Item::Reentry(stores) => {
                match policy {
                    Policy::Eager => (0..stores).for_each(|_| pay(&mut true.clone())),
                    // The mode is left before; what follows is a section of its own.
                    Policy::Reenter => {
                        pay(&mut pending);
                        pay(&mut (stores > 0));
                    }
                    // One flag: whoever exits pays all and turns it off for good.
                    Policy::Flat => {
                        pending |= stores > 0;
                        pay(&mut pending);
                        deferring = false;
                    }
                    // The exit pays all and the mode goes on.
                    Policy::V3 | Policy::Linux7 => {
                        pending |= stores > 0;
                        pay(&mut pending);
                    }
                }
            }
        }
    }
    pay(&mut pending);
    pairs
}

/// The generator of the shapes: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn program(&mut self) -> Vec<Item> {
        let len = self.below(24);
        let reentries = self.below(4);
        (0..len)
            .map(|_| match self.below(4) < reentries {
                true => Item::Reentry(u8::try_from(self.below(4)).unwrap()),
                false => Item::Store,
            })
            .collect()
    }
}

#[test]
fn random_shapes_cost_what_the_formulas_say() {
    let mut random = Random(0x1a2b_3c4d_5e6f_7081);
    for _ in 0..20_000 {
        let program = random.program();
        for policy in Policy::ALL {
            let pairs = counted(policy, &program);
            assert_eq!(pairs, by_replay(policy, &program), "{policy} {program:?}");
            assert_eq!(pairs, by_formula(policy, &program), "{policy} {program:?}");
        }
    }
}

/// N stores, a re-entry with one owing call after every k of them: the last column of the reference.
#[test]
fn the_published_shape_costs_what_is_published() {
    for (n, k) in [(4096, 16), (4096, 1), (4096, 512), (512, 512), (60, 5)] {
        let a = n / k;
        let mut after = Vec::new();
        let mut before = Vec::new();
        for _ in 0..a {
            after.extend((0..k).map(|_| Item::Store));
            after.push(Item::Reentry(1));
            before.push(Item::Reentry(1));
            before.extend((0..k).map(|_| Item::Store));
        }
        let pairs = |program: &[Item]| Policy::ALL.map(|policy| counted(policy, program));
        assert_eq!(pairs(&after), [n + a, n - k + a, 2 * a, a, a]);
        assert_eq!(pairs(&before), [n + a, n + a, 2 * a, a + 1, a + 1]);
    }
}
