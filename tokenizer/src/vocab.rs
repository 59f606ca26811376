//! The vocabulary: tokens and their ids.
//!
//! All tokens lie in one text, and a table of their places finds them by their hash: a vocabulary of 262,144 tokens takes
//! 10 MB and some milliseconds to make. The hash of two tokens joined follows from theirs, so that asking for the token
//! that two tokens are together costs no more than any other look-up.
//!
//! Ids are mostly the places themselves. Where they are not, they are kept in a hash map, not in a list, so that a
//! file that claims an id of four billion costs one entry.

use std::sync::Arc;

use crate::concat_hash::ConcatHash;
use crate::hash::{Map, map};
use crate::token_list::TokenList;

/// Tokens by id and ids by token. Tokens are as in the file: in byte-level models, in the
/// [byte alphabet](crate::byte_alphabet).
///
/// A clone shares the tokens with the original until one of them gets another.
#[derive(Clone, Default)]
pub struct Vocab {
    table: Arc<Table>,
    ids: Ids,
    /// The number of different tokens.
    distinct: usize,
}

/// The ids of the places in the table.
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

    /// The tokens of a list with their places as ids, as if inserted one after the other.
    pub(crate) fn of_list(tokens: TokenList) -> Vocab {
        let count = tokens.len();
        let mut table = Table::new(tokens, count);
        let distinct = (0..count).filter(|&place| table.enter(place)).count();
        Vocab { table: Arc::new(table), ids: Ids::Places, distinct }
    }

    /// Adds a token. Where a token comes twice, its last id counts, as in the reference; both ids have the token.
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

    /// The number of bytes of the token of an id.
    #[inline]
    pub(crate) fn bytes_of(&self, id: u32) -> Option<usize> {
        self.table.tokens.bytes_at(self.place(id)?)
    }

    /// The id of the token that two tokens are together.
    #[inline]
    pub(crate) fn id_of_joined(&self, left: u32, right: u32) -> Option<u32> {
        self.id_at(self.table.find_joined(self.place(left)?, self.place(right)?)?)
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

    /// All ids and their tokens, in no order.
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

/// Tokens, and their places by their hash: open addressing with linear probing, at most half full.
#[derive(Clone, Default)]
struct Table {
    tokens: TokenList,
    hash: ConcatHash,
    /// The hash of each token.
    hashes: Vec<u64>,
    /// A power of two of them: half of a mixed hash, and the place plus 1; 0 where nothing is.
    slots: Vec<u64>,
}

impl Table {
    fn new(tokens: TokenList, capacity: usize) -> Table {
        let slots = vec![0; (capacity * 2).next_power_of_two()];
        Table { tokens, hash: ConcatHash::default(), hashes: Vec::with_capacity(capacity), slots }
    }

    /// Makes the token at a place the one that is found; whether there was none like it. Tokens are entered in order.
    fn enter(&mut self, place: usize) -> bool {
        let token = self.tokens.get(place).unwrap_or_default();
        let hash = self.hash.of(token.as_bytes());
        let known = self.search(hash, |other| self.tokens.get(other) == Some(token));
        self.hashes.push(hash);
        match known {
            Some((slot, _)) => self.slots[slot] = entry(hash, place),
            None => {
                if self.hashes.len() * 2 > self.slots.len() {
                    self.grow();
                }
                put(&mut self.slots, hash, place);
            }
        }
        known.is_none()
    }

    fn grow(&mut self) {
        let mut larger = vec![0; (self.slots.len() * 2).max(16)];
        for place in self.found_places() {
            put(&mut larger, self.hashes[place], place);
        }
        self.slots = larger;
    }

    fn found_places(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().filter(|&&slot| slot != 0).map(|&slot| place_of(slot))
    }

    fn find(&self, token: &str) -> Option<usize> {
        let hash = self.hash.of(token.as_bytes());
        Some(self.search(hash, |place| self.tokens.get(place) == Some(token))?.1)
    }

    #[inline]
    fn find_joined(&self, left: usize, right: usize) -> Option<usize> {
        let (&left_hash, &right_hash) = (self.hashes.get(left)?, self.hashes.get(right)?);
        let hash = self.hash.joined(left_hash, right_hash, self.tokens.bytes_at(right)?);
        let is_joined = |place| {
            let (left, right) = (self.tokens.get(left)?, self.tokens.get(right)?);
            Some(self.tokens.get(place)?.strip_prefix(left)? == right)
        };
        Some(self.search(hash, |place| is_joined(place) == Some(true))?.1)
    }

    /// The slot and the place of the token that has a hash and fulfils a condition.
    #[inline]
    fn search(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let wanted = entry(hash, 0) >> 32;
        let mut slot = first_slot(&self.slots, hash)?;
        loop {
            let found = self.slots[slot];
            if found == 0 {
                return None;
            }
            if found >> 32 == wanted && is_it(place_of(found)) {
                return Some((slot, place_of(found)));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

#[inline]
fn mixed(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where the search for a hash begins; `None` where there are no slots.
#[inline]
fn first_slot(slots: &[u64], hash: u64) -> Option<usize> {
    let bits = slots.len().checked_ilog2()?;
    Some((mixed(hash) >> 32 >> 32u32.saturating_sub(bits)) as usize)
}

/// The low half of a mixed hash says where a token is, the high half tells it from its neighbours.
#[inline]
fn entry(hash: u64, place: usize) -> u64 {
    mixed(hash) << 32 | (place as u64 + 1)
}

#[inline]
fn place_of(slot: u64) -> usize {
    (slot as u32).wrapping_sub(1) as usize
}

/// Puts a place into the first empty slot for its hash.
fn put(slots: &mut [u64], hash: u64, place: usize) {
    let Some(mut slot) = first_slot(slots, hash) else { return };
    while slots[slot] != 0 {
        slot = (slot + 1) & (slots.len() - 1);
    }
    slots[slot] = entry(hash, place);
}
