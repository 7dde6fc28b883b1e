//! Frames: where they are, and which are free.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use stage1_paging::{Frame, Pa, Pages, Va};

/// The first frame, the upper half's root.
pub(super) const FIRST: u64 = 0x4010_0000;
/// How many there are.
pub(super) const COUNT: u64 = 32;
/// Where the linear map begins: the address of physical address 0.
const LINEAR: u64 = 0xffff_0000_0000_0000;

pub(super) struct Frames {
    pub free: RefCell<Vec<u64>>,
    /// Which core last released the lock around the list.
    pub lock: Cell<usize>,
    /// Free frames are not mapped.
    pub debug: Cell<bool>,
}

impl Frames {
    pub fn new() -> Self {
        Frames {
            free: RefCell::new((1..COUNT).rev().map(|n| FIRST + n * 4096).collect()),
            lock: Cell::new(0),
            debug: Cell::new(false),
        }
    }
}

/// The linear address of a frame.
pub(super) fn linear(frame: u64) -> Va {
    Va::new(LINEAR + frame)
}

/// The frame at this address.
pub(super) fn frame_at(pa: u64) -> Frame {
    Pa::new(pa).map_or(Frame::ZERO, Frame::containing)
}

/// Its page in the linear map.
pub(super) fn linear_page(frame: u64) -> Option<Pages> {
    Pages::one(linear(frame)).ok()
}
