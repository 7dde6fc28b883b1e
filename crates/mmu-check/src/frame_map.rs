//! What is known of frames, by their addresses: hashbrown's map, as `alloc` has no hash map and a tree costs several
//! times as much. Frames are looked up at every event, of which a map of our own made 6 % fewer instructions in a
//! kernel and 1 % fewer on a host (rustc 1.95, QEMU 7.2, `run=mixed`): not worth the code.

use hashbrown::HashMap;

/// A map of small values whose keys are the addresses of frames.
pub(crate) struct FrameMap<V>(HashMap<u64, V>);

impl<V> Default for FrameMap<V> {
    fn default() -> Self {
        FrameMap(HashMap::default())
    }
}

impl<V: Copy> FrameMap<V> {
    pub fn get(&self, frame: u64) -> Option<V> {
        self.0.get(&frame).copied()
    }

    pub fn get_mut(&mut self, frame: u64) -> Option<&mut V> {
        self.0.get_mut(&frame)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        self.0.iter().map(|(frame, value)| (*frame, *value))
    }

    /// Returns what was there before.
    pub fn insert(&mut self, frame: u64, value: V) -> Option<V> {
        self.0.insert(frame, value)
    }

    pub fn remove(&mut self, frame: u64) -> Option<V> {
        self.0.remove(&frame)
    }
}
