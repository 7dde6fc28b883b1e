//! Prints what each call does, from live state: the table of `v3`, or another policy's.
//!
//! ```text
//! cargo run -p lazy-mmu --example table [eager|flat|reenter|v3|linux7]
//! ```

use lazy_mmu::{Call, Chosen, Cpu, Hook, Misuse, Policy, TaskMmu};
use std::cell::Cell;

/// A core that remembers which hook ran.
#[derive(Default)]
struct Core(Cell<Option<Hook>>);

impl Cpu for Core {
    fn publish(&self) {}

    fn misuse(&self, misuse: Misuse) {
        panic!("{misuse}");
    }

    fn hook(&self, hook: Hook) {
        self.0.set(Some(hook));
    }
}

fn main() -> Result<(), lazy_mmu::UnknownPolicy> {
    let policy = match std::env::args().nth(1) {
        Some(name) => name.parse()?,
        None => Policy::V3,
    };
    let core = Core::default();
    let task: TaskMmu<_, _> = TaskMmu::hosted(Chosen::new(policy), &core);
    for (depth, call) in [
        (0, Call::Enable),
        (1, Call::Enable),
        (2, Call::Pause),
        (2, Call::Resume),
        (1, Call::Disable),
        (0, Call::Disable),
    ] {
        task.call(call);
        let call = format!("{:indent$}{call}()", "", indent = 4 * depth);
        let hook = match core.0.take() {
            Some(hook) => format!("{hook}()"),
            None => "ø".into(),
        };
        println!("{call:32}-> {hook:17}{}", task.state());
    }
    Ok(())
}
