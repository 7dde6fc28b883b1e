//! Numbered things, whose numbers are used again.

use alloc::vec::Vec;

/// Numbered things. A number is used again, with another serial number.
pub(super) struct Slab<T> {
    pub all: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    serial: u32,
}

/// One of them, at one time.
pub(super) type Ticket = (u32, u32);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            all: Vec::new(),
            free: Vec::new(),
            serial: 0,
        }
    }
}

impl<T> Slab<T> {
    pub fn add(&mut self, value: T) -> Ticket {
        self.serial = self.serial.wrapping_add(1);
        let id = self.free.pop().unwrap_or(self.all.len() as u32);
        let entry = (self.serial, Some(value));
        match self.all.get_mut(id as usize) {
            Some(free) => *free = entry,
            None => self.all.push(entry),
        }
        (id, self.serial)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        self.all.get(id as usize)?.1.as_ref()
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.all.get_mut(id as usize)?.1.as_mut()
    }

    /// If that is what it was then.
    pub fn at(&mut self, (id, serial): Ticket) -> Option<&mut T> {
        let (now, value) = self.all.get_mut(id as usize)?;
        value.as_mut().filter(|_| *now == serial)
    }

    pub fn ticket(&self, id: u32) -> Ticket {
        (id, self.all.get(id as usize).map_or(0, |entry| entry.0))
    }

    /// Whether that is still there.
    pub fn has(&self, (id, serial): Ticket) -> bool {
        let known = self.all.get(id as usize);
        known.is_some_and(|(now, value)| *now == serial && value.is_some())
    }

    pub fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.all.get_mut(id as usize)?.1.take()?;
        self.free.push(id);
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().filter_map(|(_, value)| value.as_ref())
    }
}
