//! The vocabulary: which token has which id.
//!
//! Ids are kept in a hash map, not in a list, so that a file that claims an id of four billion costs one entry.

use crate::hash::{Map, map};

/// Tokens by id and ids by token. Tokens are text as the file writes it: in byte-level models, in the
/// [byte alphabet](crate::byte_alphabet).
#[derive(Clone, Default)]
pub struct Vocab {
    ids: Map<Box<str>, u32>,
    tokens: Map<u32, Box<str>>,
}

impl std::fmt::Debug for Vocab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocab").field("len", &self.len()).finish()
    }
}

impl Vocab {
    /// An empty vocabulary with room for `capacity` tokens.
    pub fn with_capacity(capacity: usize) -> Vocab {
        Vocab { ids: map(capacity), tokens: map(capacity) }
    }

    /// Adds a token. Where a token comes twice, its last id counts, as in the reference; both ids have the token.
    pub fn insert(&mut self, token: impl Into<Box<str>>, id: u32) {
        let token = token.into();
        self.tokens.insert(id, token.clone());
        self.ids.insert(token, id);
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(&id).map(|token| &**token)
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The highest id.
    pub fn max_id(&self) -> Option<u32> {
        self.tokens.keys().copied().max()
    }

    /// All ids and their tokens, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &str)> {
        self.tokens.iter().map(|(&id, token)| (id, &**token))
    }

    /// All tokens in the order of their ids.
    pub fn sorted(&self) -> Vec<(u32, &str)> {
        let mut all: Vec<_> = self.ids.iter().map(|(token, &id)| (id, &**token)).collect();
        all.sort_unstable();
        all
    }
}
