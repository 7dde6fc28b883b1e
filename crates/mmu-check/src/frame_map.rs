//! A map from frames to small values: open addressing, as frames are looked up at every event and are spread
//! well by a multiplication. `alloc` has no hash map, and a tree costs several times as much.

use alloc::vec::Vec;

/// A key that is no frame's address.
const FREE: u64 = u64::MAX;

/// What is known of frames, by their addresses.
pub(crate) struct FrameMap<V> {
    /// A power of two of places, at most three quarters of them in use.
    places: Vec<(u64, V)>,
    used: usize,
}

impl<V> Default for FrameMap<V> {
    fn default() -> Self {
        FrameMap {
            places: Vec::new(),
            used: 0,
        }
    }
}

impl<V: Copy + Default> FrameMap<V> {
    /// Where a search for `frame` begins.
    fn home(&self, frame: u64) -> usize {
        let hash = (frame >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        hash as usize & (self.places.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    fn find(&self, frame: u64) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(frame);
        loop {
            match self.places[place].0 {
                FREE => return None,
                key if key == frame => return Some(place),
                _ => place = self.after(place),
            }
        }
    }

    pub fn get(&self, frame: u64) -> Option<V> {
        self.find(frame).map(|place| self.places[place].1)
    }

    pub fn get_mut(&mut self, frame: u64) -> Option<&mut V> {
        let place = self.find(frame)?;
        Some(&mut self.places[place].1)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        let known = self.places.iter().filter(|(frame, _)| *frame != FREE);
        known.copied()
    }

    /// Returns what was there before.
    pub fn insert(&mut self, frame: u64, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(frame) {
            return Some(core::mem::replace(known, value));
        }
        if 4 * (self.used + 1) > 3 * self.places.len() {
            self.grow();
        }
        let place = self.free_place(frame);
        self.places[place] = (frame, value);
        self.used += 1;
        None
    }

    fn free_place(&self, frame: u64) -> usize {
        let mut place = self.home(frame);
        while self.places[place].0 != FREE {
            place = self.after(place);
        }
        place
    }

    fn grow(&mut self) {
        let larger = (2 * self.places.len()).max(64);
        let before =
            core::mem::replace(&mut self.places, alloc::vec![(FREE, V::default()); larger]);
        for (frame, value) in before.into_iter().filter(|(frame, _)| *frame != FREE) {
            let place = self.free_place(frame);
            self.places[place] = (frame, value);
        }
    }

    pub fn remove(&mut self, frame: u64) -> Option<V> {
        let mut hole = self.find(frame)?;
        let removed = self.places[hole].1;
        // What a search would no longer find behind the hole moves into it.
        let mut place = self.after(hole);
        while self.places[place].0 != FREE {
            let mask = self.places.len() - 1;
            let from_home = place.wrapping_sub(self.home(self.places[place].0)) & mask;
            if from_home >= place.wrapping_sub(hole) & mask {
                self.places[hole] = self.places[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.places[hole].0 = FREE;
        self.used -= 1;
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::FrameMap;
    use alloc::collections::BTreeMap;

    /// The same as a tree, over many insertions and removals that collide.
    #[test]
    fn as_a_tree() {
        let (mut map, mut tree) = (FrameMap::default(), BTreeMap::new());
        let mut seed = 1_u64;
        for n in 0..20_000_u32 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            let frame = (seed >> 40 & 0xff) << 12;
            if seed >> 60 < 8 {
                assert_eq!(map.insert(frame, n), tree.insert(frame, n));
            } else {
                assert_eq!(map.remove(frame), tree.remove(&frame));
            }
            let other = (seed >> 50 & 0xff) << 12;
            assert_eq!(map.get(other), tree.get(&other).copied());
        }
    }
}
