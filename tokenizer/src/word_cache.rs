//! The words that were merged already: text repeats itself, and a look-up is many times faster than merging.
//!
//! Nearly all words have at most fifteen bytes and three tokens. They lie in a table, sixteen bytes for the
//! word itself, so that one comparison says whether it is there; two words share each place, and a third puts out
//! the one that came first. The table begins small and grows with the number of words. The few others are in a hash map.

use crate::hash::{Map, map};

/// A word of at most [`Key::LONGEST`] bytes as one number: its bytes, and its length in the highest of sixteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl Key {
    pub(crate) const LONGEST: usize = 15;

    /// The word at `text[start..end]`, which may be followed by anything.
    #[inline]
    pub(crate) fn new(text: &[u8], start: usize, end: usize) -> Key {
        let rest = &text[start..];
        let window = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut window = [0; 16];
            window[..rest.len().min(16)].copy_from_slice(&rest[..rest.len().min(16)]);
            window
        });
        let length = (end - start) & 15;
        Key(u128::from_le_bytes(window) & MASKS[length] | (length as u128) << 120)
    }

    /// The same bytes as a piece of a word: a whole word may be a token that merging does not give.
    #[inline]
    pub(crate) fn of_piece(self) -> Key {
        Key(self.0 | 1 << 127)
    }

    #[inline]
    fn hash(self) -> usize {
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        let wide = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd1b5_4a32_d192_ed03);
        (wide >> 64 ^ wide) as usize
    }
}

const MASKS: [u128; 16] = {
    let mut masks = [0; 16];
    let mut length = 0;
    while length < 16 {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};

#[inline]
fn code_point([first, second, third]: [u8; 3]) -> usize {
    usize::from(first & 0xf) << 12 | usize::from(second & 0x3f) << 6 | usize::from(third & 0x3f)
}

/// The tokens of a word, the first `count` of `ids`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Few {
    pub ids: [u32; Few::MOST],
    pub count: u32,
}

impl Few {
    pub(crate) const MOST: usize = 3;
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    tokens: Few,
}

/// No word has this key, for its length is 0.
const EMPTY: Entry = Entry { key: Key(0), tokens: Few { ids: [0; Few::MOST], count: 0 } };

/// Two entries, one line of the processor's cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Place([Entry; 2]);

type LongWords = Map<Box<[u8]>, Box<[u32]>>;

/// The words, and whether each is a piece of a word, with their tokens.
#[derive(Debug)]
pub(crate) struct WordCache {
    /// A power of two of them.
    places: Vec<Place>,
    /// How many words were entered, those counted again that the last growth moved.
    entered: usize,
    /// For characters of three bytes that are pieces of words: ids, and their number, 0 for unknown.
    characters: Vec<[u32; Few::MOST + 1]>,
    /// Whole words, and pieces of words.
    long: [LongWords; 2],
}

impl WordCache {
    /// Places for short words to begin with: 64 kilobytes.
    const FEWEST_PLACES: usize = 1 << 10;
    /// And at the end: four megabytes.
    const MOST_PLACES: usize = 1 << 16;
    /// Longer words hardly come twice.
    const LONGEST: usize = 64;
    /// Long words kept, so that memory stays bounded.
    const MOST: usize = 1 << 15;

    pub(crate) fn new() -> WordCache {
        let places = vec![Place([EMPTY; 2]); WordCache::FEWEST_PLACES];
        WordCache { places, entered: 0, characters: Vec::new(), long: [map(0), map(0)] }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Few> {
        let Place([first, second]) = &self.places[key.hash() & (self.places.len() - 1)];
        if first.key == key {
            return Some(&first.tokens);
        }
        (second.key == key).then_some(&second.tokens)
    }

    /// The tokens of a character of three bytes, none where they are not known.
    #[inline]
    pub(crate) fn character(&self, bytes: [u8; 3]) -> Few {
        let [first, second, third, count] =
            self.characters.get(code_point(bytes)).copied().unwrap_or_default();
        Few { ids: [first, second, third], count }
    }

    /// Keeps a character that is a piece of a word.
    pub(crate) fn insert_character(&mut self, bytes: [u8; 3], ids: &[u32]) {
        if self.characters.is_empty() {
            self.characters = vec![[0; Few::MOST + 1]; 1 << 16];
        }
        if let &[first, ref rest @ ..] = ids
            && rest.len() < Few::MOST
        {
            let id = |at: usize| rest.get(at).copied().unwrap_or_default();
            self.characters[code_point(bytes)] = [first, id(0), id(1), ids.len() as u32];
        }
    }

    /// Keeps a short word, if it has few tokens.
    pub(crate) fn insert(&mut self, key: Key, ids: &[u32]) {
        let mut tokens = Few { ids: [0; Few::MOST], count: ids.len() as u32 };
        if let Some(places) = tokens.ids.get_mut(..ids.len()) {
            places.copy_from_slice(ids);
            self.entered += 1;
            if self.entered > self.places.len() && self.places.len() < WordCache::MOST_PLACES {
                self.grow();
            }
            self.enter(Entry { key, tokens });
        }
    }

    fn enter(&mut self, entry: Entry) {
        let place = entry.key.hash() & (self.places.len() - 1);
        let Place([first, second]) = &mut self.places[place];
        *second = std::mem::replace(first, entry);
    }

    fn grow(&mut self) {
        let larger = vec![Place([EMPTY; 2]); self.places.len() * 4];
        let old = std::mem::replace(&mut self.places, larger);
        self.entered = 0;
        for Place([first, second]) in old {
            for entry in [second, first].into_iter().filter(|entry| entry.key != EMPTY.key) {
                self.enter(entry);
                self.entered += 1;
            }
        }
    }

    pub(crate) fn get_long(&self, word: &[u8], is_piece: bool) -> Option<&[u32]> {
        self.long[usize::from(is_piece)].get(word).map(|ids| &**ids)
    }

    /// Keeps a word that has too many bytes or tokens for the table.
    pub(crate) fn insert_long(&mut self, word: &[u8], is_piece: bool, ids: &[u32]) {
        let known = &mut self.long[usize::from(is_piece)];
        if word.len() <= WordCache::LONGEST && known.len() < WordCache::MOST {
            known.insert(word.into(), ids.into());
        }
    }
}
