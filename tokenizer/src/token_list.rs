//! A list of tokens in two allocations.

use std::ops::Range;

/// Tokens, concatenated in one string.
///
/// A vocabulary of 262,144 tokens takes 4 MB in this form. Separate `String`s would take four times as much, and time
/// to allocate.
///
/// ```
/// use glassbox_tokenizer::TokenList;
///
/// let tokens: TokenList = ["a", "b", "ab"].into_iter().collect();
/// assert_eq!((tokens.len(), tokens.get(2)), (3, Some("ab")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenList {
    text: String,
    /// The end of each token in `text`.
    ends: Vec<usize>,
}

impl TokenList {
    /// An empty list with capacity for `tokens` tokens.
    pub fn with_capacity(tokens: usize) -> TokenList {
        // Tokens of large vocabularies have slightly less than eight bytes on average.
        TokenList { text: String::with_capacity(tokens.saturating_mul(8)), ends: Vec::with_capacity(tokens) }
    }

    /// Appends a token.
    pub fn push(&mut self, token: &str) {
        self.text.push_str(token);
        self.ends.push(self.text.len());
    }

    /// The token at an index.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        Some(&self.text[self.start(place)..end])
    }

    /// The bytes of the token at an index.
    #[inline]
    pub(crate) fn bytes(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)?;
        Some(&self.text.as_bytes()[self.start(place)..end])
    }

    #[inline]
    fn start(&self, place: usize) -> usize {
        if place == 0 { 0 } else { self.ends[place - 1] }
    }

    /// Replaces the tokens at ascending indices.
    pub(crate) fn replace(&mut self, tokens: &[(usize, String)]) {
        if tokens.is_empty() {
            return;
        }
        let mut text =
            String::with_capacity(self.text.len() + tokens.iter().map(|new| new.1.len()).sum::<usize>());
        let mut ends = Vec::with_capacity(self.ends.len());
        let mut done = 0;
        for (place, token) in tokens {
            self.keep(done..*place, &mut text, &mut ends);
            text.push_str(token);
            ends.push(text.len());
            done = place + 1;
        }
        self.keep(done..self.len(), &mut text, &mut ends);
        *self = TokenList { text, ends };
    }

    /// Appends a range of the tokens to another list.
    fn keep(&self, places: Range<usize>, text: &mut String, ends: &mut Vec<usize>) {
        let Some(last) = places.clone().last() else { return };
        let (start, at) = (self.start(places.start), text.len());
        text.push_str(&self.text[start..self.ends[last]]);
        ends.extend(self.ends[places].iter().map(|end| end - start + at));
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The tokens in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.text[std::mem::replace(&mut start, end)..end])
    }
}

impl<T: AsRef<str>> FromIterator<T> for TokenList {
    fn from_iter<I: IntoIterator<Item = T>>(tokens: I) -> TokenList {
        let tokens = tokens.into_iter();
        let mut list = TokenList::with_capacity(tokens.size_hint().0);
        tokens.for_each(|token| list.push(token.as_ref()));
        list
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn replaced_tokens_are_those_of_a_list_of_strings(
            tokens in prop::collection::vec("[aé▁]{0,4}", 0..12),
            new in prop::collection::btree_map(0usize..12, "[bü ]{0,4}", 0..6),
        ) {
            let mut list: TokenList = tokens.iter().collect();
            let mut expected = tokens;
            let new: Vec<_> = new.into_iter().filter(|new| new.0 < expected.len()).collect();
            list.replace(&new);
            new.into_iter().for_each(|(place, token)| expected[place] = token);
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), &expected[..]);
            prop_assert!((0..=expected.len()).all(|place| list.get(place) == expected.get(place).map(|token| &**token)));
        }
    }
}
