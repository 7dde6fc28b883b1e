//! A core's TLB and walk caches, and what a TLBI does to them, from the bits of its operand.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::Stale;
use crate::addr::{Asid, Frame, Level, Va};
use crate::desc::{Desc, needs_break};
use crate::tlbi::{Features, Tlbi};

/// Page numbers, VA\[55:12\]: what operands carry.
const PAGE_BITS: u64 = (1 << 44) - 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    /// Named by a TLBI that is under way.
    Named,
    /// The TLBI is complete, but this core, which issued it, has not synchronized.
    Completed,
}

struct Entry {
    /// `None` matches every ASID.
    tag: Option<Asid>,
    desc: Desc,
    /// The word it was loaded from.
    word: (Frame, usize),
    fate: Fate,
}

/// Entries by level and first page number.
type Cache = BTreeMap<(Level, u64), Vec<Entry>>;

/// What one core remembers.
#[derive(Default)]
pub(super) struct Core {
    leaves: Cache,
    walks: Cache,
}

fn key(va: Va, level: Level) -> (Level, u64) {
    (level, (level.floor(va).raw() >> 12) & PAGE_BITS)
}

fn hits(cache: &Cache, va: Va, tag: Option<Asid>) -> impl Iterator<Item = (Level, Desc)> {
    let at = Level::ALL
        .into_iter()
        .filter_map(move |level| Some((level, cache.get(&key(va, level))?)));
    at.flat_map(move |(level, entries)| {
        let mine = entries
            .iter()
            .filter(move |e| e.tag.is_none() || e.tag == tag);
        mine.map(move |e| (level, e.desc))
    })
}

fn load(
    cache: &mut Cache,
    va: Va,
    tag: Option<Asid>,
    level: Level,
    word: (Frame, usize),
    desc: Desc,
) {
    let entries = cache.entry(key(va, level)).or_default();
    match entries
        .iter_mut()
        .find(|e| (e.tag, e.desc, e.word) == (tag, desc, word))
    {
        // Loaded again after the TLBI named it: that one does not count any more.
        Some(entry) => entry.fate = Fate::Held,
        None => entries.push(Entry {
            tag,
            desc,
            word,
            fate: Fate::Held,
        }),
    }
}

/// Whether one of two leaves is writable and the other executable.
pub(super) fn excludes(one: Desc, other: Desc) -> bool {
    let (one, other) = (one.access(), other.access());
    (one.is_writable() && other.is_executable()) || (one.is_executable() && other.is_writable())
}

impl Core {
    pub(super) fn leaves(&self, va: Va, tag: Option<Asid>) -> Vec<(Level, Desc)> {
        hits(&self.leaves, va, tag).collect()
    }

    /// The tables that walk caches lead to, and their levels.
    pub(super) fn tables(&self, va: Va, tag: Option<Asid>) -> Vec<(Frame, Level)> {
        hits(&self.walks, va, tag)
            .filter_map(|(level, desc)| Some((desc.next_table(level)?, level.next()?)))
            .collect()
    }

    pub(super) fn load_leaf(
        &mut self,
        va: Va,
        tag: Option<Asid>,
        level: Level,
        word: (Frame, usize),
        desc: Desc,
    ) {
        let tag = tag.filter(|_| !desc.is_global());
        load(&mut self.leaves, va, tag, level, word, desc);
    }

    pub(super) fn load_table(
        &mut self,
        va: Va,
        tag: Option<Asid>,
        level: Level,
        word: (Frame, usize),
        desc: Desc,
    ) {
        load(&mut self.walks, va, tag, level, word, desc);
    }

    /// Whether the TLB holds something for `va` that needs a break before `desc` may stand there, or that
    /// is writable where `desc` is executable or the reverse. A global entry and one of the half's ASID stand for the same address only within the same
    /// half, so tags are not compared.
    pub(super) fn contradicts(&self, desc: Desc, level: Level, va: Va) -> bool {
        let here = |cache: &Cache| {
            let entries = cache.get(&key(va, level)).into_iter().flatten();
            entries
                .filter(|e| e.desc.is_global() == desc.is_global())
                .any(|e| needs_break(level, e.desc, desc) || excludes(e.desc, desc))
        };
        if desc.is_table(level) {
            return self.leaves.contains_key(&key(va, level));
        }
        here(&self.leaves) || self.walks.contains_key(&key(va, level))
    }

    pub(super) fn invalidate(
        &mut self,
        op: Tlbi,
        features: Features,
        stale: &Stale,
        leaf_only: bool,
    ) {
        let Some(scope) = Scope::decode(op, features) else {
            return;
        };
        let name = |cache: &mut Cache, tables: bool| {
            for ((level, page), entries) in cache.iter_mut() {
                let hinted = scope.hints(*level, tables);
                let named = |e: &&mut Entry| hinted && scope.covers(*level, *page, e.tag);
                for entry in entries.iter_mut().filter(named) {
                    // The walker may not have seen the store yet: then it loads the old descriptor
                    // again.
                    let again = stale
                        .get(&entry.word)
                        .is_some_and(|old| old.contains(&entry.desc.bits()));
                    entry.fate = if again { Fate::Held } else { Fate::Named };
                }
            }
        };
        name(&mut self.leaves, false);
        if !scope.leaf_only && !leaf_only {
            name(&mut self.walks, true);
        }
    }

    /// `dsb ish`: invalidations under way are complete; on the issuing core, `own`, only after its
    /// ISB.
    pub(super) fn complete(&mut self, own: bool) {
        for cache in [&mut self.leaves, &mut self.walks] {
            retain(cache, |e| {
                if own && e.fate == Fate::Named {
                    e.fate = Fate::Completed;
                }
                e.fate != Fate::Named
            });
        }
    }

    /// `isb`.
    pub(super) fn synchronize(&mut self) {
        retain(&mut self.leaves, |e| e.fate != Fate::Completed);
        retain(&mut self.walks, |e| e.fate != Fate::Completed);
    }
}

fn retain(cache: &mut Cache, keep: impl Fn(&mut Entry) -> bool) {
    cache.retain(|_, entries| {
        entries.retain_mut(&keep);
        !entries.is_empty()
    });
}

/// What a TLBI names.
struct Scope {
    first: u64,
    pages: u64,
    /// `None`: every ASID, and global entries.
    asid: Option<Asid>,
    /// Only non-global entries.
    tagged_only: bool,
    level: Option<u8>,
    leaf_only: bool,
}

impl Scope {
    /// `None` for an operand that need not have any effect.
    fn decode(op: Tlbi, features: Features) -> Option<Scope> {
        let everything = Scope {
            first: 0,
            pages: PAGE_BITS + 1,
            asid: None,
            tagged_only: false,
            level: None,
            leaf_only: false,
        };
        let asid = |x: u64| Some(Asid(u16::try_from(x >> 48).unwrap_or(0)));
        match op {
            Tlbi::Vmalle1is => Some(everything),
            Tlbi::Aside1is(x) => (x << 16 == 0).then_some(Scope {
                asid: asid(x),
                tagged_only: true,
                ..everything
            }),
            Tlbi::Vae1is(x) => Self::page(x, features, asid(x), false),
            Tlbi::Vale1is(x) => Self::page(x, features, asid(x), true),
            Tlbi::Vaae1is(x) if x >> 48 == 0 => Self::page(x, features, None, false),
            Tlbi::Vaale1is(x) if x >> 48 == 0 => Self::page(x, features, None, true),
            Tlbi::Rvae1is(x) => Self::range(x, features, asid(x), false),
            Tlbi::Rvale1is(x) => Self::range(x, features, asid(x), true),
            Tlbi::Rvaae1is(x) if x >> 48 == 0 => Self::range(x, features, None, false),
            Tlbi::Rvaale1is(x) if x >> 48 == 0 => Self::range(x, features, None, true),
            _ => None, // RES0 bits are set
        }
    }

    fn page(x: u64, features: Features, asid: Option<Asid>, leaf_only: bool) -> Option<Scope> {
        let level = match (x >> 44) & 0xf {
            0 => None,
            0b0101 if features.ttl => Some(1),
            0b0110 if features.ttl => Some(2),
            0b0111 if features.ttl => Some(3),
            _ => return None, // another granule, reserved, or RES0
        };
        Some(Scope {
            first: x & PAGE_BITS,
            pages: 1,
            asid,
            tagged_only: false,
            level,
            leaf_only,
        })
    }

    fn range(x: u64, features: Features, asid: Option<Asid>, leaf_only: bool) -> Option<Scope> {
        let (granule, scale, num) = ((x >> 46) & 0b11, (x >> 44) & 0b11, (x >> 39) & 0x1f);
        let level = [None, Some(1), Some(2), Some(3)][((x >> 37) & 0b11) as usize];
        let base = x & ((1 << 37) - 1);
        let aligned = match level {
            Some(1) => base.is_multiple_of(1 << 18),
            Some(2) => base.is_multiple_of(1 << 9),
            _ => true,
        };
        let sign = if base >> 36 == 0 {
            0
        } else {
            PAGE_BITS & !((1 << 37) - 1)
        };
        let pages = (num + 1) << (5 * scale + 1);
        let scope = Scope {
            first: base | sign,
            pages,
            asid,
            tagged_only: false,
            level,
            leaf_only,
        };
        (features.range && granule == 0b01 && aligned).then_some(scope)
    }

    fn covers(&self, level: Level, page: u64, tag: Option<Asid>) -> bool {
        let matches = match (self.asid, tag) {
            (None, _) => true,
            (Some(_), None) => !self.tagged_only,
            (Some(asid), Some(tag)) => asid == tag,
        };
        let here =
            self.first < page + level.pages() && page < self.first.saturating_add(self.pages);
        matches && here
    }

    /// Whether the TTL hint lets the operation reach leaves, or `tables`, at `level`. The hint is
    /// the level of the leaf: a table there is on no walk that ends at that level.
    fn hints(&self, level: Level, tables: bool) -> bool {
        let level = level.number();
        self.level
            .is_none_or(|leaf| if tables { level < leaf } else { level == leaf })
    }
}
