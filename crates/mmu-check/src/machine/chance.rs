//! Who decides what the machine does where the architecture leaves it open: a seed, or all
//! possibilities in turn.

use alloc::vec::Vec;

/// A source of decisions.
#[derive(Clone, Debug)]
pub struct Chance(Source);

#[derive(Clone, Debug)]
enum Source {
    Random {
        state: u64,
        mood: Mood,
    },
    Tape {
        taken: Vec<(usize, usize)>,
        at: usize,
    },
}

/// How inclined one random run is to what, out of 16. Extremes matter: a store that never leaves
/// its buffer unless it must, a core that speculates all the time.
#[derive(Clone, Copy, Debug)]
struct Mood {
    drain: u64,
    speculate: u64,
    apply: u64,
}

/// What may happen by itself, for [`Chance::inclined`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urge {
    Drain,
    Speculate,
    Apply,
}

impl Chance {
    /// Decisions of a random run. The same seed makes the same run.
    pub fn seeded(seed: u64) -> Self {
        let mut chance = Chance(Source::Random {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            mood: Mood {
                drain: 0,
                speculate: 0,
                apply: 0,
            },
        });
        for _ in 0..4 {
            chance.random();
        }
        let mut level = || [0, 1, 4, 12][(chance.random() % 4) as usize];
        let drawn = Mood {
            drain: level(),
            speculate: level() + 1,
            apply: level(),
        };
        if let Source::Random { mood, .. } = &mut chance.0 {
            *mood = drawn;
        }
        chance
    }

    /// The first of all possible runs.
    pub fn exhaustive() -> Self {
        Chance(Source::Tape {
            taken: Vec::new(),
            at: 0,
        })
    }

    /// The next of all possible runs, after one that this has decided; `None` after the last.
    pub fn next_run(mut self) -> Option<Self> {
        let Source::Tape { taken, at } = &mut self.0 else {
            return None;
        };
        while let Some((choice, of)) = taken.pop() {
            if choice + 1 < of {
                taken.push((choice + 1, of));
                *at = 0;
                return Some(self);
            }
        }
        None
    }

    /// Whether every possibility is taken in turn, so that there must be few.
    pub(super) fn is_exhaustive(&self) -> bool {
        matches!(self.0, Source::Tape { .. })
    }

    /// One of `of` possibilities, at least one.
    pub(super) fn pick(&mut self, of: usize) -> usize {
        if of <= 1 {
            return 0;
        }
        match &mut self.0 {
            Source::Random { .. } => (self.random() % of as u64) as usize,
            Source::Tape { taken, at } => {
                if *at == taken.len() {
                    taken.push((0, of));
                }
                let choice = taken[*at].0;
                *at += 1;
                choice
            }
        }
    }

    /// Whether the random run is inclined to do this now.
    pub(super) fn inclined(&mut self, urge: Urge) -> bool {
        let Source::Random { mood, .. } = self.0 else {
            return false;
        };
        let weight = match urge {
            Urge::Drain => mood.drain,
            Urge::Speculate => mood.speculate,
            Urge::Apply => mood.apply,
        };
        self.random() % 16 < weight
    }

    /// xorshift64*: nothing depends on its quality.
    fn random(&mut self) -> u64 {
        let Source::Random { state, .. } = &mut self.0 else {
            return 0;
        };
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }
}
