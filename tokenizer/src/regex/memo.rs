//! What is known of states: pairs of an instruction and a position.
//!
//! A backtracking matcher can come to the same state by many paths, and takes exponential time if it explores it each
//! time. If nothing but the state decides what follows, once is enough. Memory is two bits for each branching
//! instruction and position, in pages that exist only where the matcher has been.

use std::collections::HashMap;

/// Positions of one page.
const PAGE: usize = 1024;
/// Maximum memory of all pages in bytes. Beyond it, everything is forgotten.
const MAX_BYTES: usize = 256 << 20;

/// What is known of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    /// It fails, or is being explored.
    Fails,
    /// The nested match that it belongs to ends there.
    Ends(usize),
}

/// The states.
#[derive(Debug, Default)]
pub(super) struct Memo {
    per_position: usize,
    pages: Vec<Option<Box<[u64]>>>,
    bytes: usize,
    ends: HashMap<(usize, usize), usize>,
}

impl Memo {
    pub(super) fn new(per_position: usize) -> Memo {
        Memo { per_position, ..Memo::default() }
    }

    /// The word and the shift of a state's two bits.
    fn place(&self, state: usize, position: usize) -> (usize, usize, usize) {
        let bit = 2 * ((position % PAGE) * self.per_position + state);
        (position / PAGE, bit / 64, bit % 64)
    }

    pub(super) fn get(&self, state: usize, position: usize) -> Known {
        let (page, word, shift) = self.place(state, position);
        let Some(Some(page)) = self.pages.get(page) else { return Known::Nothing };
        match page[word] >> shift & 3 {
            0 => Known::Nothing,
            1 => Known::Fails,
            _ => self.ends.get(&(state, position)).map_or(Known::Nothing, |&end| Known::Ends(end)),
        }
    }

    pub(super) fn set(&mut self, state: usize, position: usize, known: Known) {
        let (page, word, shift) = self.place(state, position);
        let words = (2 * PAGE * self.per_position).div_ceil(64);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        if self.pages[page].is_none() {
            if self.bytes + self.ends.len() * 48 > MAX_BYTES {
                self.clear();
                self.pages.resize_with(page + 1, || None);
            }
            self.bytes += words * 8;
        }
        let page = self.pages[page].get_or_insert_with(|| vec![0; words].into_boxed_slice());
        let value = match known {
            Known::Nothing => 0,
            Known::Fails => 1,
            Known::Ends(end) => {
                self.ends.insert((state, position), end);
                2
            }
        };
        page[word] = page[word] & !(3 << shift) | value << shift;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.ends.clear();
        self.bytes = 0;
    }
}
