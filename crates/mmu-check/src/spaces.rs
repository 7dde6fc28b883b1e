//! The lower half's spaces: which roots TTBR0 has had under which ASIDs, and what TLBs may hold of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ledger::MAX_CORES;

/// A root under one ASID.
struct Use {
    root: u64,
    asid: u16,
    /// When each core last had it in TTBR0; 0 if never.
    left: [u64; MAX_CORES],
}

/// What TTBR0 of a core had before.
struct Leaving {
    root: u64,
    asid: u16,
    /// A context synchronisation was reported since. Until the core is heard of behind that, it may walk there.
    synchronised: bool,
}

/// A TLBI of everything, or of an ASID, that no DSB has completed yet.
struct Flush {
    asid: Option<u16>,
    at: u64,
    broadcast: bool,
}

/// All address spaces seen in TTBR0.
#[derive(Default)]
pub(crate) struct Spaces {
    uses: Vec<Use>,
    /// TTBR0 per core: root and ASID.
    ttbr0: [Option<(u64, u16)>; MAX_CORES],
    leaving: [Vec<Leaving>; MAX_CORES],
    /// When TTBR0 was last written, per core.
    written: [u64; MAX_CORES],
    flushing: [Vec<Flush>; MAX_CORES],
    /// When everything of an ASID was last invalidated, per core.
    flushed: BTreeMap<u16, [u64; MAX_CORES]>,
    flushed_all: [u64; MAX_CORES],
}

impl Spaces {
    /// About how many bytes it takes.
    pub fn memory(&self) -> usize {
        let leaving: usize = self.leaving.iter().map(Vec::len).sum();
        let flushing: usize = self.flushing.iter().map(Vec::len).sum();
        size_of::<Use>() * self.uses.len()
            + size_of::<Leaving>() * leaving
            + size_of::<Flush>() * flushing
    }

    /// TTBR0 of the core is written. Returns whether TLBs could hold nothing of this root under this ASID before.
    pub fn activate(&mut self, root: u64, asid: u16, core: usize, now: u64) -> bool {
        let new = !self.asids(root).any(|known| known == asid);
        let before = self.ttbr0[core].replace((root, asid));
        let leaving = &mut self.leaving[core];
        // Where it has what it had, there is nothing to wait for.
        if before != Some((root, asid)) || !leaving.is_empty() {
            self.written[core] = now;
            // It may be there more than once before an ISB: once is what there is to wait for.
            let is_new = |(root, asid)| !leaving.iter().any(|l| (l.root, l.asid) == (root, asid));
            if let Some((root, asid)) = before.filter(|before| is_new(*before)) {
                leaving.push(Leaving {
                    root,
                    asid,
                    synchronised: false,
                });
            }
        }
        let known = self
            .uses
            .iter_mut()
            .find(|u| (u.root, u.asid) == (root, asid));
        match known {
            Some(known) => known.left[core] = now,
            None => {
                let mut left = [0; MAX_CORES];
                left[core] = now;
                self.uses.push(Use { root, asid, left });
            }
        }
        new
    }

    /// Whether every core has left what TTBR0 has no more, and completed its TLBIs.
    pub fn are_settled(&self) -> bool {
        self.leaving.iter().all(Vec::is_empty) && self.flushing.iter().all(Vec::is_empty)
    }

    /// Whether TTBR0 was ever seen to have this root with this ASID, and it was not freed since.
    pub fn has(&self, space: (u64, u16)) -> bool {
        self.uses.iter().any(|u| (u.root, u.asid) == space)
    }

    /// Roots and ASIDs that TTBR0 of this core had before, and that its TLB may hold translations of.
    pub fn cached_before(&self, core: usize) -> impl Iterator<Item = (u64, u16)> {
        let current = self.ttbr0[core];
        let uses = self.uses.iter();
        let cached = uses.filter(move |known| self.is_cached(known, core));
        let all = cached.map(|known| (known.root, known.asid));
        all.filter(move |space| current != Some(*space))
    }

    fn is_cached(&self, known: &Use, core: usize) -> bool {
        let flushed = self.flushed.get(&known.asid).map_or(0, |times| times[core]);
        known.left[core] > flushed.max(self.flushed_all[core])
    }

    /// The core synchronises its context, or is about to.
    pub fn synchronise(&mut self, core: usize) {
        self.leaving[core]
            .iter_mut()
            .for_each(|left| left.synchronised = true);
    }

    /// The core is heard of: a synchronisation that it was about to do is done.
    pub fn settle(&mut self, core: usize, now: u64) {
        let uses = &mut self.uses;
        self.leaving[core].retain(|left| {
            let same = |u: &&mut Use| (u.root, u.asid) == (left.root, left.asid);
            if left.synchronised
                && let Some(known) = uses.iter_mut().find(same)
            {
                known.left[core] = now;
            }
            !left.synchronised
        });
    }

    /// When TTBR0 of the core was last written; 0 if never.
    pub fn written(&self, core: usize) -> u64 {
        self.written[core]
    }

    /// What TTBR0 of the core has: root and ASID.
    pub fn current(&self, core: usize) -> Option<(u64, u16)> {
        self.ttbr0[core]
    }

    /// A TLBI of everything, or of everything of an ASID.
    pub fn flush(&mut self, core: usize, asid: Option<u16>, broadcast: bool, at: u64) {
        let flushing = &mut self.flushing[core];
        // Of the same ones without a DSB between them the last does for all.
        flushing.retain(|f| (f.asid, f.broadcast) != (asid, broadcast));
        flushing.push(Flush {
            asid,
            at,
            broadcast,
        });
    }

    /// A DSB that completes the core's TLBIs; one for this core alone its local ones.
    pub fn complete(&mut self, core: usize, everywhere: bool) {
        let flushing = core::mem::take(&mut self.flushing[core]);
        for flush in flushing {
            let times = match flush.asid {
                Some(asid) => self.flushed.entry(asid).or_default(),
                None => &mut self.flushed_all,
            };
            if flush.broadcast && everywhere {
                times.iter_mut().for_each(|time| *time = flush.at);
            } else if !flush.broadcast {
                times[core] = flush.at;
            } else {
                self.flushing[core].push(flush);
            }
        }
    }

    /// Whether a core's TTBR0 has it, or may have it still, or TLBs may hold what it translated.
    fn may_be_cached(&self, known: &Use) -> bool {
        let (root, asid) = (known.root, known.asid);
        let mut leaving = self.leaving.iter().flatten();
        self.ttbr0.contains(&Some((root, asid)))
            || leaving.any(|left| (left.root, left.asid) == (root, asid))
            || (0..MAX_CORES).any(|core| self.is_cached(known, core))
    }

    /// The ASIDs under which TLBs may hold translations of this root.
    pub fn asids(&self, root: u64) -> impl Iterator<Item = u16> {
        let uses = self.uses.iter().filter(move |u| u.root == root);
        uses.filter(|u| self.may_be_cached(u)).map(|u| u.asid)
    }

    /// Whether TLBs may hold what `root` translated, or TTBR0 may have it.
    pub fn is_in_use(&self, root: u64) -> bool {
        self.asids(root).next().is_some()
    }

    /// Roots that TTBR0 was seen to have, and that TLBs hold nothing of any more.
    pub fn unused(&self) -> impl Iterator<Item = u64> {
        let unused = self.uses.iter().filter(|u| !self.is_in_use(u.root));
        unused.map(|u| u.root)
    }

    /// Whether TTBR0 was ever seen to have it.
    pub fn is_known(&self, root: u64) -> bool {
        self.uses.iter().any(|u| u.root == root)
    }

    /// Another root, the lowest, that has this ASID and that TLBs may hold translations of.
    pub fn other_with(&self, asid: u16, root: u64) -> Option<u64> {
        let uses = self.uses.iter();
        let others = uses.filter(|u| u.asid == asid && u.root != root);
        let cached = others.filter(|u| self.may_be_cached(u));
        cached.map(|u| u.root).min()
    }

    /// The frame is no root any more.
    pub fn forget(&mut self, frame: u64) {
        self.uses.retain(|u| u.root != frame);
    }
}
