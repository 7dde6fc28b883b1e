//! What a section costs and saves: H20.

use core::sync::atomic::Ordering::Relaxed;

use super::place::Place;
use super::scene::Scene;
use crate::arch::window::Window;
use crate::observe::replay;
use crate::report::{self, Run};
use crate::workloads::counts::{check_pairs, check_replay};
use crate::workloads::measure::quiesce;
use crate::workloads::{Failure, failure};
use crate::{mem, mode, println, task};

/// Entries in a section.
const SIZES: [u8; 4] = [1, 2, 4, 16];

/// H20.
pub(super) fn break_even(scene: &mut Scene) -> Result<(), Failure> {
    println!("  entries  pairs without a section  pairs in one  calls of the mode");
    for (index, entries) in (0..).zip(SIZES) {
        let without = measure(scene, [index, 0], entries, |map| map())?;
        let within = measure(scene, [index, 1], entries, |map| mode::section(map))?;
        println!("  {entries:>7}  {without:>23}  {within:>12}  {:>17}", 2);
        if (without, within) != (entries.into(), 1) {
            return Err(failure!(
                "{entries} entries pay {without} pairs, and {within} in a section"
            ));
        }
    }
    let what = "one pair with a section around one entry, and one without: it saves from two on, and costs two calls";
    scene.must_see("replay", true, what)?;
    // The boot runner compares the windows when the boot has ended, and a difference fails it.
    scene.saw("plugin");
    Ok(())
}

/// Maps `entries` pages one by one, in a window, in whatever `around` puts around it. Returns the pairs that were paid, which must be
/// those of the replay.
fn measure(
    scene: &Scene,
    which: [u8; 2],
    entries: u8,
    around: impl FnOnce(&mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let place = Place::new(entries.into())?;
    quiesce()?;
    let task = task::current();
    let tag = [
        Run::Hazard(20).number(),
        scene.policy as u8,
        which[0],
        which[1],
    ];
    replay::start(mem::SETTLES.load(Relaxed));
    let (result, counted) = report::in_window(
        &tag,
        || task.counts.tally(),
        || {
            replay::set_active(true);
            let result = around(&mut || (0..entries.into()).try_for_each(|index| place.map(index)));
            replay::set_active(false);
            result
        },
    );
    report::note_window(&tag, Window::Work, counted);
    result?;
    let recorded = replay::finish().ok_or_else(|| failure!("the recording is gone"))?;
    check_pairs("the window", counted)?;
    check_replay(counted.pairs, scene.policy, &recorded)?;
    place.unmap()?;
    place.give_back();
    Ok(counted.pairs)
}
