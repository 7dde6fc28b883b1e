//! The mode's processor.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazy_mmu::{Call, Hook, Misuse};

use crate::image::{self, Moment};
use crate::{Fault, is};

/// The processor `C`, as the mode sees it, with the [`Fault`] that is injected.
#[derive(Clone, Copy, Debug)]
pub struct Cpu<C>(pub C);

/// Under [`Fault::InnerExitPaysNothing`]: the last hook was a flush, and nothing was paid since: what is paid now is an inner section's.
/// It is of all cores, so without that fault nothing looks at it: what another core does would decide which way a call goes.
static INNER: AtomicBool = AtomicBool::new(false);

impl<C: lazy_mmu::Cpu> lazy_mmu::Cpu for Cpu<C> {
    fn publish(&self) {
        let lost = is(Fault::InnerExitPaysNothing) && INNER.swap(false, Relaxed);
        if image::reach(Moment::Pay) && !lost {
            self.0.publish();
        }
    }

    fn misuse(&self, misuse: Misuse) {
        self.0.misuse(misuse);
    }

    fn hook(&self, hook: Hook) {
        if is(Fault::InnerExitPaysNothing) {
            INNER.store(hook == Hook::Flush, Relaxed);
        }
        if !image::reach(Moment::Hook(hook)) {
            return;
        }
        self.0.hook(match hook {
            Hook::Enter if is(Fault::HookWrong) => Hook::Leave,
            Hook::Leave | Hook::Flush if is(Fault::HookWrong) => Hook::Enter,
            _ => hook,
        });
    }

    fn called(&self, call: Call) {
        if image::reach(Moment::Called(call)) {
            self.0.called(call);
        }
    }
}
