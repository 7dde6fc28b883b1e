//! The replay of the calls that a measured workload makes: [`mmu_check::replay`] says what each policy owes
//! for them, a second opinion on the counts.

use mmu_check::What;
use mmu_check::replay::Replay;

use super::Listening;
use crate::base::Lock;

static RECORDING: Lock<Option<Replay>> = Lock::new(None);

/// Starts a recording, which [`set_active`] turns on. `settles`: invalidations pay for what is pending.
pub fn start(settles: bool) {
    *RECORDING.lock() = Some(Replay::new(settles));
}

/// Goes on recording, or pauses it: only what is measured belongs in it.
pub fn set_active(on: bool) {
    Listening::Replay.set(on);
}

/// Ends the recording and returns what it gave; nothing if there was none.
pub fn finish() -> Option<Replay> {
    set_active(false);
    RECORDING.lock().take()
}

/// Records a call, while a recording is being made.
///
/// # Panics
/// At what no workload does: sections or pauses that are not balanced.
pub(super) fn hear(what: &What) {
    // Before the lock: most events are no call, and need not wait for it.
    if Replay::takes(what)
        && let Some(replay) = RECORDING.lock().as_mut()
        && let Err(error) = replay.step(what)
    {
        panic!("the replay of a workload: {error}");
    }
}
