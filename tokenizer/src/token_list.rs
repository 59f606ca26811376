//! A list of tokens in two allocations, whatever their number.

/// Tokens one behind the other in one text.
///
/// A vocabulary of 262,144 tokens takes 4 MB like this; as many `String`s take four times that, and the time to make
/// them.
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
    /// Where each token ends in `text`.
    ends: Vec<usize>,
}

impl TokenList {
    /// An empty list with room for `tokens` tokens.
    pub fn with_capacity(tokens: usize) -> TokenList {
        // Eight bytes are somewhat more than the tokens of large vocabularies have.
        TokenList { text: String::with_capacity(tokens.saturating_mul(8)), ends: Vec::with_capacity(tokens) }
    }

    /// Appends a token.
    pub fn push(&mut self, token: &str) {
        self.text.push_str(token);
        self.ends.push(self.text.len());
    }

    /// The token at a place, counted from 0.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        Some(&self.text[self.start(place)..end])
    }

    /// The number of bytes of the token at a place.
    #[inline]
    pub(crate) fn bytes_at(&self, place: usize) -> Option<usize> {
        Some(*self.ends.get(place)? - self.start(place))
    }

    #[inline]
    fn start(&self, place: usize) -> usize {
        if place == 0 { 0 } else { self.ends[place - 1] }
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no token.
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
