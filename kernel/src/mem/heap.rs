//! The kernel heap: `linked_list_allocator`, of a size fixed at boot.
//!
//! It never grows from frames: the frame allocator keeps its own lists in this heap, and must not
//! wait for itself.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use crate::base::{Lock, layout};
use crate::machine::Region;
use linked_list_allocator::Heap;

struct KernelHeap(Lock<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(Lock::new(Heap::empty()));

/// How many bytes of heap a machine with this much RAM gets.
///
/// What must fit is the worst case of the frame lists: every other frame free, a set entry for each
/// (under 24 bytes with the tree's own), and ten bytes for the last owner of each. That is RAM / 341 and RAM / 410; the rest is for
/// tasks, reports and test code.
///
/// With `checking` the rules need memory too: a copy of every table, and an entry for whatever is owed.
pub(super) fn size_for(ram_bytes: u64, checking: bool) -> u64 {
    let for_rules = (ram_bytes / 64 + (12 << 20)) * u64::from(checking);
    let size = ram_bytes / 128 + ram_bytes / 400 + (2 << 20) + for_rules;
    size.min(32 << 20) & !(layout::PAGE_SIZE - 1)
}

/// How many bytes of the heap are free, in however many pieces.
pub fn free() -> usize {
    HEAP.0.lock().free()
}

/// Gives the heap its memory.
///
/// # Safety
/// 1. `memory` is RAM that the linear map reaches now and for ever, and is nobody else's.
/// 2. Called once.
pub(super) unsafe fn init(memory: Region) {
    let start = layout::linear(memory.start).raw() as *mut u8;
    // SAFETY: the caller's two points; `usize` is 64 bits here.
    unsafe { HEAP.0.lock().init(start, memory.bytes as usize) };
}

// SAFETY: the heap hands out disjoint blocks of its own memory that fit the layout, and the lock
// makes it one caller at a time.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.0.lock().allocate_first_fit(layout);
        block.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller of `dealloc` passes a block that `alloc` returned for this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}
