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
#[cfg_attr(test, derive(PartialEq, Eq, Debug))]
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

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Features = Features {
        range: false,
        ttl: false,
    };
    const BOTH: Features = Features {
        range: true,
        ttl: true,
    };

    fn pages(first: u64, pages: u64, asid: Option<u16>, leaf_only: bool) -> Scope {
        Scope {
            first,
            pages,
            asid: asid.map(Asid),
            tagged_only: false,
            level: None,
            leaf_only,
        }
    }

    #[test]
    fn operands_of_page_operations_are_decoded_bit_by_bit() {
        let (page, asid) = (0xfff_8001_2345, 0x8005_u64 << 48);
        let decode = |op| Scope::decode(op, NONE);
        let one = |asid, leaf_only| Some(pages(page, 1, asid, leaf_only));
        assert_eq!(decode(Tlbi::Vae1is(asid | page)), one(Some(0x8005), false));
        assert_eq!(decode(Tlbi::Vale1is(asid | page)), one(Some(0x8005), true));
        assert_eq!(decode(Tlbi::Vaae1is(page)), one(None, false));
        assert_eq!(decode(Tlbi::Vaale1is(page)), one(None, true));
        // An operation on every ASID has no field for one.
        assert_eq!(decode(Tlbi::Vaae1is(1 << 48 | page)), None);
        assert_eq!(decode(Tlbi::Vaale1is(1 << 63 | page)), None);
    }

    #[test]
    fn a_ttl_without_the_feature_or_of_another_granule_has_no_effect() {
        for ttl in 0..16 {
            let decode = |features| Scope::decode(Tlbi::Vale1is(ttl << 44 | 7), features);
            let level = match ttl {
                0 => Some(None),
                0b0101 => Some(Some(1)),
                0b0110 => Some(Some(2)),
                0b0111 => Some(Some(3)),
                _ => None,
            };
            let hinted = level.map(|level| Scope {
                level,
                ..pages(7, 1, Some(0), true)
            });
            assert_eq!(decode(BOTH), hinted, "{ttl:#b}");
            let plain = (ttl == 0).then(|| pages(7, 1, Some(0), true));
            assert_eq!(decode(NONE), plain, "{ttl:#b}");
        }
    }

    #[test]
    fn operands_of_whole_asids_are_decoded_bit_by_bit() {
        let all = Scope {
            first: 0,
            pages: 1 << 44,
            asid: None,
            tagged_only: false,
            level: None,
            leaf_only: false,
        };
        assert_eq!(Scope::decode(Tlbi::Vmalle1is, NONE), Some(all));
        let tagged = Scope {
            tagged_only: true,
            ..pages(0, 1 << 44, Some(0x8005), false)
        };
        let decode = |operand| Scope::decode(Tlbi::Aside1is(operand), NONE);
        assert_eq!(decode(0x8005 << 48), Some(tagged));
        assert_eq!(decode(0x8005 << 48 | 1), None);
        assert_eq!(decode(0x8005 << 48 | 1 << 47), None);
    }

    #[test]
    fn operands_of_range_operations_are_decoded_bit_by_bit() {
        let (asid, granule) = (0x8005_u64 << 48, 0b01 << 46);
        let decode = |op| Scope::decode(op, BOTH);
        // Every SCALE and NUM; BaseADDR in the lower half, and in the upper, which VA[48] extends.
        for (scale, num) in (0..4).flat_map(|scale| (0..32).map(move |num| (scale, num))) {
            let field = granule | scale << 44 | num << 39;
            let count = (num + 1) << (5 * scale + 1);
            let op = Tlbi::Rvae1is(asid | field | 0xf_1234_5678);
            let scope = pages(0xf_1234_5678, count, Some(0x8005), false);
            assert_eq!(decode(op), Some(scope));
            let op = Tlbi::Rvaale1is(field | 0x18_1234_5678);
            let scope = pages(0xff8_1234_5678, count, None, true);
            assert_eq!(decode(op), Some(scope));
        }
        let two = |asid, leaf_only| Some(pages(8, 2, asid, leaf_only));
        let operand = granule | 8;
        assert_eq!(
            decode(Tlbi::Rvale1is(asid | operand)),
            two(Some(0x8005), true)
        );
        assert_eq!(decode(Tlbi::Rvaae1is(operand)), two(None, false));
        // An ASID where none belongs, another granule, or no such feature.
        assert_eq!(decode(Tlbi::Rvaae1is(1 << 48 | operand)), None);
        assert_eq!(decode(Tlbi::Rvaale1is(1 << 63 | operand)), None);
        for granule in [0b00, 0b10, 0b11] {
            assert_eq!(decode(Tlbi::Rvae1is(granule << 46 | 8)), None);
        }
        let ttl_alone = Features {
            range: false,
            ttl: true,
        };
        assert_eq!(Scope::decode(Tlbi::Rvae1is(operand), ttl_alone), None);
    }

    #[test]
    fn a_range_with_a_ttl_has_no_effect_where_its_base_is_not_aligned() {
        for (ttl, pages) in [(1, 1 << 18), (2, 1 << 9), (3, 1)] {
            let decode = |base| Scope::decode(Tlbi::Rvaae1is(0b01 << 46 | ttl << 37 | base), BOTH);
            let hinted = decode(3 * pages).expect("aligned");
            assert_eq!(
                (hinted.level.map(u64::from), hinted.first),
                (Some(ttl), 3 * pages)
            );
            assert_eq!(decode(3 * pages + 1).is_some(), ttl == 3);
            assert_eq!(decode(3 * pages + pages / 2).is_some(), ttl == 3);
        }
    }

    #[test]
    fn a_scope_reaches_what_it_overlaps_and_whose_tag_it_names() {
        let scope = pages(0x400, 0x10, Some(5), false);
        let tagged = |level, page| scope.covers(level, page, Some(Asid(5)));
        let covered = |page| tagged(Level::L3, page);
        let edges = [0x3ff, 0x400, 0x40f, 0x410];
        assert_eq!(edges.map(covered), [false, true, true, false]);
        // A block is reached from any page inside it.
        let block = |page| tagged(Level::L2, page);
        assert_eq!([0x200, 0x400, 0x600].map(block), [false, true, false]);
        assert!(pages(0x5ff, 1, None, false).covers(Level::L2, 0x400, None));
        assert!(!pages(0x600, 1, None, false).covers(Level::L2, 0x400, None));
        // Another ASID is not named; a global entry is, but by an operation for tagged ones alone.
        assert!(!scope.covers(Level::L3, 0x400, Some(Asid(6))));
        assert!(scope.covers(Level::L3, 0x400, None));
        assert!(pages(0x400, 1, None, false).covers(Level::L3, 0x400, Some(Asid(6))));
        let tagged_only = Scope {
            tagged_only: true,
            ..scope
        };
        assert!(tagged_only.covers(Level::L3, 0x400, Some(Asid(5))));
        assert!(!tagged_only.covers(Level::L3, 0x400, None));
    }

    #[test]
    fn a_hint_reaches_leaves_of_its_level_and_the_tables_above() {
        let reached = |level, tables| {
            let scope = Scope {
                level,
                ..pages(0, 1, None, false)
            };
            Level::ALL.map(|at| scope.hints(at, tables))
        };
        assert_eq!(reached(None, false), [true; 4]);
        assert_eq!(reached(None, true), [true; 4]);
        assert_eq!(reached(Some(2), false), [false, false, true, false]);
        assert_eq!(reached(Some(2), true), [true, true, false, false]);
    }
}
