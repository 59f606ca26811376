//! Small changes to a file, the same in every run, of the kinds that accidents and malice make.

/// Steele, Lea and Flood's SplitMix64: the same mutations in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A few changes of the kinds that accidents and malice make: bits, sizes, digits, pieces moved, cut or repeated.
pub(crate) fn mutate(random: &mut Random, bytes: &mut Vec<u8>, header_len: usize) {
    const LIES: [u64; 10] =
        [0, 1, 31, 0xff, 0xffff, 1 << 31, u32::MAX as u64, 1 << 61, i64::MAX as u64, u64::MAX];
    for _ in 0..1 + random.below(3) {
        let len = bytes.len().min(header_len).max(9);
        if bytes.len() < 9 {
            return;
        }
        let at = random.below(len - 8);
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at..at + 8].copy_from_slice(&LIES[random.below(LIES.len())].to_le_bytes()),
            3 => bytes[at..at + 4].copy_from_slice(&(LIES[random.below(LIES.len())] as u32).to_le_bytes()),
            4 => {
                let from = random.below(len - 8);
                bytes.copy_within(from..from + 8, at);
            }
            5 => {
                if let Some(digit) = bytes[at..len].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + random.below(10) as u8;
                }
            }
            6 => drop(bytes.drain(at..at + 1 + random.below(8))),
            _ => {
                let piece = bytes[at..at + 1 + random.below(8)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
