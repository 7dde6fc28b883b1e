//! Which frames are in a list.

use crate::addr::{Frame, PAGE_SHIFT};

/// A list of frames, to be looked in often and without memory of its own.
///
/// Where the list and what is looked for are frames of different regions, two comparisons suffice. Frames of one
/// region take a bit each, which decides while the region has no more than [`BITS`] frames. Beyond, what has its bit
/// set is searched for.
pub(crate) struct Listed<'f> {
    frames: &'f [Frame],
    low: Frame,
    high: Frame,
    /// A bit for each frame's number modulo [`BITS`]; made when it is needed.
    bits: Option<[u64; BITS / 64]>,
}

/// 512 bytes on the stack, for 16 MiB of frames.
const BITS: usize = 4096;

impl<'f> Listed<'f> {
    pub(crate) fn new(frames: &'f [Frame]) -> Self {
        let low = frames.iter().copied().min().unwrap_or(Frame::ZERO);
        let high = frames.iter().copied().max().unwrap_or(Frame::ZERO);
        Self {
            frames,
            low,
            high,
            bits: None,
        }
    }

    #[inline]
    pub(crate) fn contains(&mut self, frame: Frame) -> bool {
        self.low <= frame && frame <= self.high && self.search(frame)
    }

    #[cold]
    fn search(&mut self, frame: Frame) -> bool {
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = [0; BITS / 64];
            for frame in self.frames {
                let (word, bit) = place(*frame);
                bits[word] |= bit;
            }
            bits
        });
        let (word, bit) = place(frame);
        let exact = self.high.pa().raw() - self.low.pa().raw() < (BITS as u64) << PAGE_SHIFT;
        bits[word] & bit != 0 && (exact || self.frames.contains(&frame))
    }
}

/// The word of a frame's bit, and the bit.
fn place(frame: Frame) -> (usize, u64) {
    let number = frame.pa().raw() >> PAGE_SHIFT;
    ((number / 64) as usize % (BITS / 64), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pa;

    fn frame(number: u64) -> Frame {
        Frame::containing(Pa::new(number << PAGE_SHIFT).unwrap())
    }

    /// In regions that the bits decide for, up to the last size, and in larger ones.
    #[test]
    fn a_frame_is_in_a_list_if_it_is_one_of_it() {
        for step in [1, 2, 63, 64, 65, 585, 1024, 1365, 4096] {
            let frames: [_; 8] = core::array::from_fn(|n| frame(1000 + (7 - n as u64) * step));
            let mut listed = Listed::new(&frames);
            for number in 990..1010 + 7 * step {
                let frame = frame(number);
                assert_eq!(listed.contains(frame), frames.contains(&frame), "{number}");
            }
        }
        assert!(!Listed::new(&[]).contains(Frame::ZERO));
    }
}
