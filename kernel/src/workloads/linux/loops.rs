//! The loops of [`entries`](super::entries), and what each must pay.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use lazy_mmu::Policy;
use stage1_paging::{Frame, Prot};

use crate::mem::PageRange;
use crate::mem::frames::{self, Owned};
use crate::mode;
use crate::observe::access;
use crate::workloads::pages::signature;
use crate::workloads::{Failure, failure};

/// What comes before an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inner {
    Nothing,
    /// A section of a callee's, with one entry of its own.
    Section,
    /// A frame from the allocator.
    Frame,
}

/// A loop over entries.
pub(super) struct Loop {
    pub name: &'static str,
    /// It is in a section.
    pub section: bool,
    inner: Inner,
    /// What is inside comes before each so many entries.
    pub every: usize,
    /// DSBs that Linux 6.12, 6.18 and 7.3 execute for 4096 entries and `k` = 16.
    pub linux: [u64; 3],
}

/// All of them, in the order of Linux's table.
pub(super) fn loops(pages: usize, k: usize) -> [Loop; 8] {
    use Inner::{Frame, Nothing, Section};
    let of = |name, inner, every, linux| Loop {
        name,
        section: true,
        inner,
        every,
        linux,
    };
    [
        Loop {
            section: false,
            ..of("no section", Nothing, pages, [4096; 3])
        },
        of("one section", Nothing, pages, [4096, 1, 1]),
        of(
            "a nested section before the loop",
            Section,
            pages,
            [4097, 4097, 2],
        ),
        of("a nested section every k", Section, k, [4352, 4352, 257]),
        of(
            "a nested section every entry",
            Section,
            1,
            [8192, 8192, 4097],
        ),
        of("an allocation every 512", Frame, 512, [4120, 4104, 9]),
        of("an allocation every k", Frame, k, [4864, 4352, 257]),
        of("an allocation every entry", Frame, 1, [16384, 8192, 4097]),
    ]
}

/// The frames that a loop has allocated.
pub(super) struct Taken(Vec<Owned>);

impl Taken {
    /// With room for as many, so that none is made inside the section.
    pub(super) fn with_capacity(frames: usize) -> Self {
        Self(Vec::with_capacity(frames))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        frames::free_all(core::mem::take(&mut self.0));
    }
}

impl Loop {
    /// Runs it once, inside whatever section its caller is in.
    pub(super) fn run(
        &self,
        (range, inner): (PageRange<'_>, PageRange<'_>),
        frame: Frame,
        taken: &mut Taken,
    ) -> Result<(), Failure> {
        let pages = range.pages().chunks(1).zip(inner.pages().chunks(1));
        for (index, (page, callee)) in pages.enumerate() {
            if index.is_multiple_of(self.every) {
                match self.inner {
                    Inner::Nothing => {}
                    Inner::Section => mode::reenter(|| {
                        mode::section(|| inner.map_page(callee.start(), frame, Prot::RW))
                    })?,
                    Inner::Frame => taken.0.push(allocate_and_use()?),
                }
            }
            range.map_page(page.start(), frame, Prot::RW)?;
        }
        Ok(())
    }

    /// The pairs of the policy's closed form, for `n` entries: what is inside comes first.
    pub(super) fn pairs(&self, policy: Policy, n: usize) -> u64 {
        let a = n.div_ceil(self.every) as u64;
        let n = n as u64;
        let owes = match self.inner {
            Inner::Nothing => false,
            Inner::Section => true,
            Inner::Frame => frames::is_debug(),
        };
        match (self.section, owes, policy) {
            (false, ..) | (true, false, Policy::Eager) => n,
            (true, false, _) => 1,
            (true, true, Policy::Eager | Policy::Flat) => n + a,
            (true, true, Policy::Reenter) => 2 * a,
            (true, true, Policy::V3 | Policy::Linux7) => a + 1,
        }
    }
}

fn allocate_and_use() -> Result<Owned, Failure> {
    let frame = frames::alloc().ok_or_else(|| failure!("no frame left inside the section"))?;
    access::fill(frame.frame());
    frame.words()[0].store(signature(0, 2), Relaxed);
    Ok(frame)
}
