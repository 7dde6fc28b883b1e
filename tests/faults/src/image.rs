//! The calls between the image that injects and its injector.

use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use lazy_mmu::{Call, Hook};
use stage1_hw::{Op, Why};
use stage1_paging::{Frame, Va};

/// When the image's function is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before an instruction.
    Execute(Op, Why),
    /// Before the mode pays a pair.
    Pay,
    /// Before a hook of the mode.
    Hook(Hook),
    /// Before the kernel hears of the end of a call of the mode.
    Called(Call),
    /// Before the kernel's tables report that they owe a pair.
    Owe,
    /// After it.
    Owed,
    /// Before a frame is allocated for a caller at this place, under [`Fault::AllocFails`](crate::Fault).
    Alloc(&'static Location<'static>),
    /// Before this frame is mapped in the linear map, under [`Fault::FrameOverwritten`](crate::Fault).
    MapLinear(Frame),
}

/// The image's function, or null.
static AT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has `call` called at every [`Moment`], whatever the fault. It says whether what is about to happen
/// is to happen; of an instruction, a pair, a hook, a call's end and an allocation.
///
/// It is called for what it executes itself, too, and on every core: it must know when not to go on.
pub fn at(call: fn(Moment) -> bool) {
    AT.store(call as *mut (), Relaxed);
}

/// Calls the image's function, if there is one.
pub(crate) fn reach(moment: Moment) -> bool {
    let call = AT.load(Relaxed);
    if call.is_null() {
        return true;
    }
    // SAFETY: 1. `at` stored it, from a function of this very type. 2. A function is code: it is there
    // for as long as anything runs, and every core sees the same.
    let call = unsafe { core::mem::transmute::<*mut (), fn(Moment) -> bool>(call) };
    call(moment)
}

/// Where in the address space the faults are made that change a descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// The vmap area.
    pub vmap: Range<Va>,
    /// The linear map.
    pub linear: Range<Va>,
}

/// The vmap area's start and end, then the linear map's.
static PLACES: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Says where the places are; before it there are none.
pub fn set_places(places: &Places) {
    let Places { vmap, linear } = places;
    let bounds = [vmap.start, vmap.end, linear.start, linear.end];
    for (place, bound) in PLACES.iter().zip(bounds) {
        place.store(bound.raw(), Relaxed);
    }
}

fn holds(first: usize, va: Va) -> bool {
    let bound = |n: usize| PLACES[n].load(Relaxed);
    (bound(first)..bound(first + 1)).contains(&va.raw())
}

pub(crate) fn in_vmap(va: Va) -> bool {
    holds(0, va)
}

pub(crate) fn in_linear(va: Va) -> bool {
    holds(2, va)
}
