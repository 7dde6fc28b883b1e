//! The rows of the display: what is open on each, and times that do not go back.

use serde_json::{Value, json};

use super::out::{Out, Track};

/// A slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slice {
    /// A task on a core.
    Runs(u16),
    /// An interrupt's handler.
    Interrupt,
    /// A measured window.
    Window(String),
    /// A section of the mode, and how many are open with it.
    Section(u32),
    /// The mode is paused.
    Pause,
    /// The allocator's work beneath a section.
    Reentry,
    /// An exception that no probe expected: `true` where it waits for the make of what is broken.
    Exception(bool),
    /// Entries are broken, and not made again.
    Broken,
}

impl Slice {
    fn name(&self) -> String {
        match self {
            Slice::Runs(task) => format!("task {task}"),
            Slice::Interrupt => "interrupt".to_owned(),
            Slice::Window(name) => format!("window {name}"),
            Slice::Section(depth) => format!("section, depth {depth}"),
            Slice::Pause => "pause".to_owned(),
            Slice::Reentry => "allocator".to_owned(),
            Slice::Exception(false) => "exception".to_owned(),
            Slice::Exception(true) => "break-before-make wait".to_owned(),
            Slice::Broken => "broken, not made".to_owned(),
        }
    }

    fn is_as(&self, other: &Slice) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// A row: its slices are nested, as the display wants it.
pub struct Row {
    /// Which.
    pub track: Track,
    now: u64,
    used: bool,
    open: Vec<Slice>,
}

impl Row {
    /// A row with nothing on it.
    pub fn new(track: Track) -> Self {
        Self {
            track,
            now: 0,
            used: false,
            open: Vec::new(),
        }
    }

    /// Whether anything has been on it.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// The time of this row. Those of two cores may cross, and a task's events are of several.
    fn at(&mut self, time: u64) -> u64 {
        self.now = self.now.max(time);
        self.now
    }

    /// A slice begins. Without `out` nothing is written, here and below.
    pub fn begin(&mut self, out: Option<&mut Out>, time: u64, slice: Slice) {
        let now = self.at(time);
        self.used = true;
        if let Some(out) = out {
            out.event("B", self.track, now, &slice.name(), Value::Null);
        }
        self.open.push(slice);
    }

    /// The innermost slice of this kind ends, and what is open in it. If there is none, it began before the trace.
    pub fn end(&mut self, out: Option<&mut Out>, time: u64, slice: &Slice) {
        let Some(from) = self.open.iter().rposition(|open| open.is_as(slice)) else {
            return;
        };
        self.end_from(out, time, from);
    }

    /// All slices end.
    pub fn end_all(&mut self, out: Option<&mut Out>, time: u64) {
        self.end_from(out, time, 0);
    }

    fn end_from(&mut self, mut out: Option<&mut Out>, time: u64, from: usize) {
        let now = self.at(time);
        for _ in self.open.drain(from..) {
            if let Some(out) = out.as_deref_mut() {
                out.event("E", self.track, now, "", Value::Null);
            }
        }
    }

    /// All slices end for the display: it is left out from here on.
    pub fn cut(&mut self, out: &mut Out, time: u64) {
        let now = self.at(time);
        for _ in &self.open {
            out.event("E", self.track, now, "", Value::Null);
        }
    }

    /// All slices that are open begin for the display.
    pub fn resume(&mut self, out: &mut Out, time: u64) {
        let now = self.at(time);
        for slice in &self.open {
            out.event("B", self.track, now, &slice.name(), Value::Null);
        }
    }

    /// Something happens.
    pub fn instant(&mut self, out: Option<&mut Out>, time: u64, name: &str, args: Value) {
        let now = self.at(time);
        self.used = true;
        if let Some(out) = out {
            out.event("i", self.track, now, name, json!({"s":"t","args":args}));
        }
    }

    /// A counter of this row has these values now.
    pub fn counter(&mut self, out: Option<&mut Out>, time: u64, name: &str, args: Value) {
        let now = self.at(time);
        if let Some(out) = out {
            out.event("C", self.track, now, name, json!({"args":args}));
        }
    }

    /// The end of a flow: in the slice that has just begun.
    pub fn arrive(&mut self, out: &mut Out, time: u64, id: u64) {
        let now = self.at(time);
        let more = json!({"cat":"migration","id":id,"bp":"e"});
        out.event("f", self.track, now, "migrates", more);
    }

    /// A place for the begin of a flow, and its time.
    pub fn leave(&mut self, out: Option<&mut Out>, time: u64) -> Option<(usize, u64)> {
        let now = self.at(time);
        out.map(|out| (out.place(), now))
    }
}
