//! `nesting`: the patch's trace of six calls, made live on the current task.
//!
//! Each printed line shows what the call *did*: which hook ran, as reported from where the hook is called, and the
//! task's state afterwards. The table below is only what the patch expects, and is compared with it.

use lazy_mmu::{Call, Policy};
use mmu_check::What;
use mmu_check::event::Hook;

use super::{Failure, failure};
use crate::observe::ring;
use crate::{mode, println, task};

/// The patch's trace: the call, the hook that it runs, and `count` and `enabled` after it.
const TRACE: [(Call, Option<Hook>, u8, bool); 6] = [
    (Call::Enable, Some(Hook::Enter), 1, true),
    (Call::Enable, None, 2, true),
    (Call::Pause, Some(Hook::Leave), 2, false),
    (Call::Resume, Some(Hook::Enter), 2, true),
    (Call::Disable, Some(Hook::Flush), 1, true),
    (Call::Disable, Some(Hook::Leave), 0, false),
];

/// Makes the calls under `v3`, prints what each did, and checks it.
pub(super) fn run() -> Result<(), Failure> {
    let task = task::current();
    let before = task.mmu.policy();
    mode::set_policy(Policy::V3)?;
    println!("nesting, live on task {} (policy v3):", task.id);
    let mut indent = 0;
    let mut differs = None;
    for expected in TRACE {
        let call = expected.0;
        if call == Call::Disable {
            indent -= 4;
        }
        let hook = hook_of(call);
        let state = task.mmu.state();
        let shown = hook.map_or("\u{f8}", |hook| match hook {
            Hook::Enter => "arch_enter()",
            Hook::Leave => "arch_leave()",
            Hook::Flush => "arch_flush()",
        });
        println!(
            "{:indent$}{call}(){:fill$}-> {shown:<16}{state}",
            "",
            "",
            fill = 40 - indent - name_len(call)
        );
        if (call, hook, state.count, state.enabled) != expected {
            differs = differs.or(Some((call, hook, state)));
        }
        if call == Call::Enable {
            indent += 4;
        }
    }
    mode::set_policy(before)?;
    match differs {
        None => Ok(()),
        Some((call, hook, state)) => Err(failure!(
            "nesting: {call} ran {hook:?} and left {state}: not what the patch says"
        )),
    }
}

/// Makes the call, and returns the hook that was reported meanwhile.
fn hook_of(call: Call) -> Option<Hook> {
    let core = task::core().index;
    let recording = ring::set_recording(true);
    let before = ring::len(core);
    match call {
        Call::Enable => mode::lazy_mmu_mode_enable(),
        Call::Disable => mode::lazy_mmu_mode_disable(),
        Call::Pause => mode::lazy_mmu_mode_pause(),
        Call::Resume => mode::lazy_mmu_mode_resume(),
    }
    ring::set_recording(recording);
    let mut since = ring::last(core, (ring::len(core) - before) as usize);
    since.find_map(|event| match event.what {
        What::Hook(hook) => Some(hook),
        _ => None,
    })
}

fn name_len(call: Call) -> usize {
    match call {
        Call::Enable => "lazy_mmu_mode_enable()".len(),
        Call::Disable => "lazy_mmu_mode_disable()".len(),
        Call::Pause => "lazy_mmu_mode_pause()".len(),
        Call::Resume => "lazy_mmu_mode_resume()".len(),
    }
}
