//! Numbered things, whose numbers are used again.

use alloc::vec::Vec;

/// How many things lie together. A slab grows by so many and moves no more than those: where a kernel never pays, its heap has no room
/// for all that is owed twice.
const TOGETHER: usize = 512;

/// Numbered things. A number is used again, with another serial number.
pub(super) struct Slab<T> {
    /// All of them are full, but the last.
    parts: Vec<Vec<Entry<T>>>,
    count: usize,
    free: Vec<u32>,
    serial: u32,
}

/// What has a number, if anything, and the serial number of what had it last.
type Entry<T> = (u32, Option<T>);

/// One of them, at one time.
pub(super) type Ticket = (u32, u32);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            parts: Vec::new(),
            count: 0,
            free: Vec::new(),
            serial: 0,
        }
    }
}

impl<T> Slab<T> {
    pub fn add(&mut self, value: T) -> Ticket {
        self.serial = self.serial.wrapping_add(1);
        let id = self.free.pop().unwrap_or(self.count as u32);
        let entry = (self.serial, Some(value));
        match self.entry_mut(id) {
            Some(free) => *free = entry,
            None => self.push(entry),
        }
        (id, self.serial)
    }

    fn push(&mut self, entry: Entry<T>) {
        if self.count.is_multiple_of(TOGETHER) {
            // Most slabs stay small.
            let room = if self.count == 0 { 0 } else { TOGETHER };
            self.parts.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.parts.last_mut() {
            last.push(entry);
            self.count += 1;
        }
    }

    fn entry(&self, id: u32) -> Option<&Entry<T>> {
        let id = id as usize;
        self.parts.get(id / TOGETHER)?.get(id % TOGETHER)
    }

    fn entry_mut(&mut self, id: u32) -> Option<&mut Entry<T>> {
        let id = id as usize;
        self.parts.get_mut(id / TOGETHER)?.get_mut(id % TOGETHER)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count - self.free.len()
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        self.entry(id)?.1.as_ref()
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.entry_mut(id)?.1.as_mut()
    }

    /// If that is what it was then.
    pub fn at(&mut self, (id, serial): Ticket) -> Option<&mut T> {
        let (now, value) = self.entry_mut(id)?;
        value.as_mut().filter(|_| *now == serial)
    }

    pub fn ticket(&self, id: u32) -> Ticket {
        (id, self.entry(id).map_or(0, |entry| entry.0))
    }

    /// Whether that is still there.
    pub fn has(&self, (id, serial): Ticket) -> bool {
        let known = self.entry(id);
        known.is_some_and(|(now, value)| *now == serial && value.is_some())
    }

    pub fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.entry_mut(id)?.1.take()?;
        self.free.push(id);
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let entries = self.parts.iter().flatten();
        entries.filter_map(|(_, value)| value.as_ref())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let entries = self.parts.iter_mut().flatten();
        entries.filter_map(|(_, value)| value.as_mut())
    }
}
