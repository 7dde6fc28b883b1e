//! Trace events in the JSON form that Perfetto and chrome://tracing read ("Trace Event Format", Google 2016).

use serde_json::{Value, json};

/// A row of the display, and its number there: no two rows have the same `thread`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Track {
    /// What a core runs.
    Core(u8),
    /// What a task does.
    Task(u16),
    /// What a task has broken and not made again.
    Broken(u16),
}

impl Track {
    /// The groups of rows, and their numbers.
    const GROUPS: [(u32, &'static str); 3] = [(1, "cores"), (2, "tasks"), (3, "break-before-make")];

    fn process(self) -> u32 {
        match self {
            Track::Core(_) => 1,
            Track::Task(_) => 2,
            Track::Broken(_) => 3,
        }
    }

    fn thread(self) -> u32 {
        match self {
            Track::Core(core) => 1 + u32::from(core),
            Track::Task(task) => 0x100 + u32::from(task),
            Track::Broken(task) => 0x2_0000 + u32::from(task),
        }
    }

    fn name(self) -> String {
        match self {
            Track::Core(core) => format!("core {core}"),
            Track::Task(task) | Track::Broken(task) => format!("task {task}"),
        }
    }
}

/// The events so far, each as text, in the order in which they are written.
#[derive(Default)]
pub struct Out {
    events: Vec<Option<String>>,
    bytes: usize,
}

impl Out {
    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An event of this kind (`ph`); `more` is what only this kind has.
    pub fn event(&mut self, kind: &str, track: Track, nanoseconds: u64, name: &str, more: Value) {
        let text = text(kind, track, nanoseconds, name, more);
        self.bytes += text.len() + 2;
        self.events.push(Some(text));
    }

    /// A place among the events for one that is known later.
    pub fn place(&mut self) -> usize {
        self.events.push(None);
        self.events.len() - 1
    }

    /// The event of a place.
    pub fn fill(&mut self, place: usize, kind: &str, track: Track, nanoseconds: u64, more: Value) {
        let text = text(kind, track, nanoseconds, "migrates", more);
        self.bytes += text.len() + 2;
        self.events[place] = Some(text);
    }

    /// The whole file. `about` is for those who read it; `tracks` are all that have events.
    pub fn finish(self, about: &Value, tracks: impl Iterator<Item = Track>) -> String {
        let mut text = String::with_capacity(self.bytes + (1 << 16));
        text.push_str("{\"displayTimeUnit\":\"ns\",\"otherData\":");
        text.push_str(&about.to_string());
        text.push_str(",\"traceEvents\":[\n");
        let groups = Track::GROUPS.map(|(process, name)| {
            json!({"ph":"M","pid":process,"name":"process_name","args":{"name":name}}).to_string()
        });
        let names = tracks.map(|track| {
            json!({"ph":"M","pid":track.process(),"tid":track.thread(),"name":"thread_name",
                "args":{"name":track.name()}})
            .to_string()
        });
        let events = self.events.into_iter().flatten();
        for (index, event) in groups.into_iter().chain(names).chain(events).enumerate() {
            if index > 0 {
                text.push_str(",\n");
            }
            text.push_str(&event);
        }
        text.push_str("\n]}\n");
        text
    }
}

fn text(kind: &str, track: Track, nanoseconds: u64, name: &str, more: Value) -> String {
    // In microseconds.
    let time = nanoseconds as f64 / 1000.0;
    let mut event = json!({"ph":kind,"pid":track.process(),"tid":track.thread(),"ts":time});
    if let Value::Object(event) = &mut event {
        if !name.is_empty() {
            event.insert("name".to_owned(), name.into());
        }
        if let Value::Object(more) = more {
            event.extend(more);
        }
    }
    event.to_string()
}
