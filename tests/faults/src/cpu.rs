//! The mode's processor.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazy_mmu::{Call, Hook, Misuse};

use crate::image::{self, Moment};
use crate::{Fault, is};

/// The processor `C`, as the mode sees it, with the [`Fault`] that is injected.
#[derive(Clone, Copy, Debug)]
pub struct Cpu<C>(pub C);

/// The last hook was a flush, and nothing was paid since: what is paid now is an inner section's.
static INNER: AtomicBool = AtomicBool::new(false);

impl<C: lazy_mmu::Cpu> lazy_mmu::Cpu for Cpu<C> {
    fn publish(&self) {
        let lost = INNER.swap(false, Relaxed) && is(Fault::InnerExitPaysNothing);
        if image::reach(Moment::Pay) && !lost {
            self.0.publish();
        }
    }

    fn misuse(&self, misuse: Misuse) {
        self.0.misuse(misuse);
    }

    fn hook(&self, hook: Hook) {
        INNER.store(hook == Hook::Flush, Relaxed);
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
