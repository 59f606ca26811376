//! A cache of merged words: text repeats, and a lookup is many times faster than merging.
//!
//! Nearly all words have at most fifteen bytes and three tokens. They are in a two-way set-associative table with the
//! word itself in sixteen bytes, so a lookup is one comparison per entry; a third word in a bucket evicts the oldest.
//! The table starts small and grows with the number of words. The few other words are in a hash map.

use crate::hash::{Map, map};

/// A word of at most [`Key::MAX_BYTES`] bytes as one number: its bytes, and its length in the highest of sixteen bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl Key {
    pub(crate) const MAX_BYTES: usize = 15;

    /// The key of the word `text[start..end]`.
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

    /// The key of the same bytes as a piece of a word, whose tokens may differ: a whole word may be one token
    /// regardless of the merges.
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

/// The tokens of a short word: the first `count` of `ids`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortIds {
    pub ids: [u32; ShortIds::MAX],
    pub count: u32,
}

impl ShortIds {
    pub(crate) const MAX: usize = 3;
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    tokens: ShortIds,
}

/// An empty entry: no word has this key, since its length is 0.
const EMPTY: Entry = Entry { key: Key(0), tokens: ShortIds { ids: [0; ShortIds::MAX], count: 0 } };

/// Two entries, in one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket([Entry; 2]);

type LongWords = Map<Box<[u8]>, Box<[u32]>>;

/// Words and pieces of words with their tokens.
#[derive(Debug)]
pub(crate) struct WordCache {
    /// Their number is a power of two.
    buckets: Vec<Bucket>,
    /// The number of insertions since the last growth, including the entries moved by it.
    insertions: usize,
    /// For characters of three bytes that are pieces of words: the ids and their number, 0 if unknown.
    characters: Vec<[u32; ShortIds::MAX + 1]>,
    /// Whole words, and pieces of words.
    long: [LongWords; 2],
}

impl WordCache {
    /// Initial number of buckets: 64 KiB.
    const MIN_BUCKETS: usize = 1 << 10;
    /// Maximum number of buckets: 4 MiB.
    const MAX_BUCKETS: usize = 1 << 16;
    /// Maximum length of a long word in bytes; longer words rarely repeat.
    const MAX_LONG_BYTES: usize = 64;
    /// Maximum number of long words, so that memory is bounded.
    const MAX_LONG_WORDS: usize = 1 << 15;

    pub(crate) fn new() -> WordCache {
        let buckets = vec![Bucket([EMPTY; 2]); WordCache::MIN_BUCKETS];
        WordCache { buckets, insertions: 0, characters: Vec::new(), long: [map(0), map(0)] }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&ShortIds> {
        let Bucket([first, second]) = &self.buckets[key.hash() & (self.buckets.len() - 1)];
        if first.key == key {
            return Some(&first.tokens);
        }
        (second.key == key).then_some(&second.tokens)
    }

    /// The tokens of a character of three bytes; none if they are unknown.
    #[inline]
    pub(crate) fn character(&self, bytes: [u8; 3]) -> ShortIds {
        let [first, second, third, count] =
            self.characters.get(code_point(bytes)).copied().unwrap_or_default();
        ShortIds { ids: [first, second, third], count }
    }

    /// Inserts a character that is a piece of a word.
    pub(crate) fn insert_character(&mut self, bytes: [u8; 3], ids: &[u32]) {
        if self.characters.is_empty() {
            self.characters = vec![[0; ShortIds::MAX + 1]; 1 << 16];
        }
        if let &[first, ref rest @ ..] = ids
            && rest.len() < ShortIds::MAX
        {
            let id = |at: usize| rest.get(at).copied().unwrap_or_default();
            self.characters[code_point(bytes)] = [first, id(0), id(1), ids.len() as u32];
        }
    }

    /// Inserts a short word, if it has few enough tokens.
    pub(crate) fn insert(&mut self, key: Key, ids: &[u32]) {
        let mut tokens = ShortIds { ids: [0; ShortIds::MAX], count: ids.len() as u32 };
        if let Some(slots) = tokens.ids.get_mut(..ids.len()) {
            slots.copy_from_slice(ids);
            self.insertions += 1;
            if self.insertions > self.buckets.len() && self.buckets.len() < WordCache::MAX_BUCKETS {
                self.grow();
            }
            self.enter(Entry { key, tokens });
        }
    }

    fn enter(&mut self, entry: Entry) {
        let index = entry.key.hash() & (self.buckets.len() - 1);
        let Bucket([first, second]) = &mut self.buckets[index];
        *second = std::mem::replace(first, entry);
    }

    fn grow(&mut self) {
        let larger = vec![Bucket([EMPTY; 2]); self.buckets.len() * 4];
        let old = std::mem::replace(&mut self.buckets, larger);
        self.insertions = 0;
        for Bucket([first, second]) in old {
            for entry in [second, first].into_iter().filter(|entry| entry.key != EMPTY.key) {
                self.enter(entry);
                self.insertions += 1;
            }
        }
    }

    pub(crate) fn get_long(&self, word: &[u8], is_piece: bool) -> Option<&[u32]> {
        self.long[usize::from(is_piece)].get(word).map(|ids| &**ids)
    }

    /// Inserts a word with too many bytes or tokens for the table.
    pub(crate) fn insert_long(&mut self, word: &[u8], is_piece: bool, ids: &[u32]) {
        let known = &mut self.long[usize::from(is_piece)];
        if word.len() <= WordCache::MAX_LONG_BYTES && known.len() < WordCache::MAX_LONG_WORDS {
            known.insert(word.into(), ids.into());
        }
    }
}
