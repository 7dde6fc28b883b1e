//! Where the tests get their random programs from.
#![allow(dead_code, reason = "each test binary uses a part")]

/// Numbers that are the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Small ones and the largest come up more often than by chance.
    pub fn any(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(4),
            1 => u64::MAX - self.below(4),
            _ => self.next(),
        }
    }

    /// A physical address, a multiple of `size`.
    pub fn pa(&mut self, size: u64) -> u64 {
        (self.any() & 0xffff_ffff_ffff) / size * size
    }

    /// An address of either half.
    pub fn va(&mut self) -> u64 {
        self.any() << 16 >> 16 | self.of(&[0, 0xffff << 48])
    }

    pub fn u16(&mut self) -> u16 {
        self.any() as u16
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) != 0
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}
