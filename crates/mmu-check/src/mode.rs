//! What [`lazy_mmu`] reports, as events: its calls, its hooks and its policies.

use crate::event::{Call, Contract, Hook, Policy};

impl From<lazy_mmu::Call> for Call {
    fn from(call: lazy_mmu::Call) -> Self {
        match call {
            lazy_mmu::Call::Enable => Call::Enable,
            lazy_mmu::Call::Disable => Call::Disable,
            lazy_mmu::Call::Pause => Call::Pause,
            lazy_mmu::Call::Resume => Call::Resume,
        }
    }
}

impl From<lazy_mmu::Hook> for Hook {
    fn from(hook: lazy_mmu::Hook) -> Self {
        match hook {
            lazy_mmu::Hook::Enter => Hook::Enter,
            lazy_mmu::Hook::Leave => Hook::Leave,
            lazy_mmu::Hook::Flush => Hook::Flush,
        }
    }
}

impl From<lazy_mmu::Policy> for Policy {
    fn from(policy: lazy_mmu::Policy) -> Self {
        match policy {
            lazy_mmu::Policy::Eager => Policy::Eager,
            lazy_mmu::Policy::Flat => Policy::Flat,
            lazy_mmu::Policy::Reenter => Policy::Reenter,
            lazy_mmu::Policy::V3 => Policy::V3,
            lazy_mmu::Policy::Linux7 => Policy::Linux7,
        }
    }
}

/// What a section's end promises under a policy.
impl From<lazy_mmu::Policy> for Contract {
    fn from(policy: lazy_mmu::Policy) -> Self {
        match policy {
            lazy_mmu::Policy::Reenter => Contract::OutermostExit,
            _ => Contract::EveryExit,
        }
    }
}
