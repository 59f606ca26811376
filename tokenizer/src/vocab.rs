//! The vocabulary: tokens and their ids.
//!
//! All tokens are in one string, and a hash table maps a token to its index: a vocabulary of 262,144 tokens takes 10 MB
//! and some milliseconds to build. The hash of a concatenation follows from the hashes of both tokens, so looking up
//! the concatenation of two tokens costs no more than any other lookup.
//!
//! Ids usually are the indices. If not, they are kept in a hash map instead of a list, so that an id of four billion in
//! a file costs one entry.

use std::sync::Arc;

use crate::concat_hash::ConcatHash;
use crate::hash::{Map, map};
use crate::token_list::TokenList;

/// Tokens by id and ids by token. Tokens are as in the file: in byte-level models, in the
/// [byte alphabet](crate::byte_alphabet).
///
/// A clone shares the tokens with the original until a token is inserted into one of them.
#[derive(Clone, Default)]
pub struct Vocab {
    table: Arc<Table>,
    ids: Ids,
    /// The number of distinct tokens.
    distinct: usize,
}

/// The ids of the tokens by index ("place") in the table.
#[derive(Clone, Default)]
enum Ids {
    #[default]
    Places,
    Listed {
        by_place: Vec<u32>,
        places: Map<u32, u32>,
    },
}

impl std::fmt::Debug for Vocab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocab").field("len", &self.len()).finish()
    }
}

impl Vocab {
    /// An empty vocabulary with capacity for `capacity` tokens.
    pub fn with_capacity(capacity: usize) -> Vocab {
        Vocab {
            table: Arc::new(Table::new(TokenList::with_capacity(capacity), capacity)),
            ..Vocab::default()
        }
    }

    /// The tokens of a list with their indices as ids, as if inserted in order.
    pub(crate) fn of_list(tokens: TokenList) -> Vocab {
        let count = tokens.len();
        let mut table = Table::new(tokens, count);
        let distinct = (0..count).filter(|&place| table.enter(place)).count();
        Vocab { table: Arc::new(table), ids: Ids::Places, distinct }
    }

    /// Adds a token. If a token is added twice, its id is the last one, as in the reference; both ids map to the token.
    pub fn insert(&mut self, token: impl AsRef<str>, id: u32) {
        let place = self.table.tokens.len();
        if matches!(self.ids, Ids::Places) && id as usize != place {
            let mut places = map(place + 1);
            places.extend((0..place as u32).map(|place| (place, place)));
            self.ids = Ids::Listed { by_place: (0..place as u32).collect(), places };
        }
        if let Ids::Listed { by_place, places } = &mut self.ids {
            by_place.push(id);
            places.insert(id, place as u32);
        }
        let table = Arc::make_mut(&mut self.table);
        table.tokens.push(token.as_ref());
        self.distinct += usize::from(table.enter(place));
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.id_at(self.table.find(token)?)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.table.tokens.get(self.place(id)?)
    }

    /// The hash and the number of bytes of each token, in the order of insertion.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = (u64, usize)> {
        self.table.hashes.iter().copied().zip(self.table.tokens.iter().map(str::len))
    }

    /// The hash of the concatenation of two tokens.
    #[inline]
    pub(crate) fn hash_of_joined(&self, left: u64, right: u64, right_bytes: usize) -> u64 {
        self.table.hash.joined(left, right, right_bytes)
    }

    /// The id of the token that is the concatenation of two tokens, whose hash is `hash`.
    #[inline]
    pub(crate) fn id_of_joined(&self, hash: u64, left: u32, right: u32) -> Option<u32> {
        let tokens = &self.table.tokens;
        let (left, right) = (tokens.bytes(self.place(left)?)?, tokens.bytes(self.place(right)?)?);
        let is_joined = |place| {
            tokens.bytes(place).and_then(|token| token.split_at_checked(left.len())) == Some((left, right))
        };
        self.id_at(self.table.found(self.table.search(hash, is_joined))?)
    }

    #[inline]
    fn place(&self, id: u32) -> Option<usize> {
        match &self.ids {
            Ids::Places => Some(id as usize),
            Ids::Listed { places, .. } => places.get(&id).map(|&place| place as usize),
        }
    }

    #[inline]
    fn id_at(&self, place: usize) -> Option<u32> {
        match &self.ids {
            Ids::Places => Some(place as u32),
            Ids::Listed { by_place, .. } => by_place.get(place).copied(),
        }
    }

    /// The number of distinct tokens.
    pub fn len(&self) -> usize {
        self.distinct
    }

    /// Whether the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.distinct == 0
    }

    /// The highest id.
    pub fn max_id(&self) -> Option<u32> {
        match &self.ids {
            Ids::Places => (self.table.tokens.len() as u32).checked_sub(1),
            Ids::Listed { places, .. } => places.keys().copied().max(),
        }
    }

    /// All ids and their tokens, in arbitrary order.
    pub(crate) fn all(&self) -> Box<dyn Iterator<Item = (u32, &str)> + '_> {
        match &self.ids {
            Ids::Places => Box::new((0..).zip(self.table.tokens.iter())),
            Ids::Listed { places, .. } => {
                let entry = |(&id, &place): (&u32, &u32)| Some((id, self.table.tokens.get(place as usize)?));
                Box::new(places.iter().filter_map(entry))
            }
        }
    }

    /// All tokens, sorted by id.
    pub fn sorted(&self) -> Vec<(u32, &str)> {
        let entry = |place| Some((self.id_at(place)?, self.table.tokens.get(place)?));
        let mut all: Vec<_> = self.table.found_places().filter_map(entry).collect();
        all.sort_unstable();
        all
    }
}

/// A hash table of tokens: open addressing with linear probing, at most half full.
#[derive(Clone, Default)]
struct Table {
    tokens: TokenList,
    hash: ConcatHash,
    /// The hash of each token.
    hashes: Vec<u64>,
    /// For each slot, seven bits of its token's hash and a bit that marks it as occupied. The number of slots is a
    /// power of two. These bytes answer nearly all lookups, and stay in the CPU cache.
    tags: Vec<u8>,
    /// For each slot, the index of its token.
    places: Vec<u32>,
}

impl Table {
    fn new(tokens: TokenList, capacity: usize) -> Table {
        let slots = (capacity * 2).next_power_of_two();
        Table {
            tokens,
            hash: ConcatHash::default(),
            hashes: Vec::with_capacity(capacity),
            tags: vec![EMPTY; slots],
            places: vec![0; slots],
        }
    }

    /// Enters the token at an index, which replaces an equal token. Returns whether there was none. Tokens are entered
    /// in order.
    fn enter(&mut self, place: usize) -> bool {
        if (self.hashes.len() + 1) * 2 > self.tags.len() {
            self.grow();
        }
        let token = self.tokens.get(place).unwrap_or_default();
        let hash = self.hash.of(token.as_bytes());
        let slot = self.search(hash, |other| self.tokens.get(other) == Some(token));
        let is_new = self.tags[slot] == EMPTY;
        (self.tags[slot], self.places[slot]) = (tag(hash), place as u32);
        self.hashes.push(hash);
        is_new
    }

    fn grow(&mut self) {
        let found: Vec<usize> = self.found_places().collect();
        let slots = (self.tags.len() * 2).max(16);
        (self.tags, self.places) = (vec![EMPTY; slots], vec![0; slots]);
        for place in found {
            let hash = self.hashes[place];
            let slot = self.search(hash, |_| false); // all tokens here are distinct
            (self.tags[slot], self.places[slot]) = (tag(hash), place as u32);
        }
    }

    fn found_places(&self) -> impl Iterator<Item = usize> {
        let slots = self.tags.iter().zip(&self.places);
        slots.filter(|slot| *slot.0 != EMPTY).map(|slot| *slot.1 as usize)
    }

    fn find(&self, token: &str) -> Option<usize> {
        let hash = self.hash.of(token.as_bytes());
        self.found(self.search(hash, |place| self.tokens.get(place) == Some(token)))
    }

    /// The index in a slot; `None` if the slot is empty.
    #[inline]
    fn found(&self, slot: usize) -> Option<usize> {
        (*self.tags.get(slot)? != EMPTY).then(|| self.places[slot] as usize)
    }

    /// The slot of the token with this hash for which `is_it` holds, or else the empty slot for it.
    #[inline]
    fn search(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> usize {
        // The highest bits of the mixed hash are the first slot to probe.
        let bits = self.tags.len().checked_ilog2().unwrap_or(0);
        let mut slot = mixed(hash).checked_shr(u64::BITS - bits).unwrap_or(0) as usize;
        while let Some(&found) = self.tags.get(slot) {
            let is_found = || {
                let place = self.places[slot] as usize;
                self.hashes.get(place) == Some(&hash) && is_it(place)
            };
            if found == EMPTY || (found == tag(hash) && is_found()) {
                break;
            }
            slot = (slot + 1) & (self.tags.len() - 1);
        }
        slot
    }
}

const EMPTY: u8 = 0;

#[inline]
fn tag(hash: u64) -> u8 {
    mixed(hash) as u8 | 0x80
}

#[inline]
fn mixed(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
