//! Streaming decoding: takes tokens one by one and returns complete characters.

use crate::decode::Decoding;
use crate::tokenizer::Tokenizer;

/// Decodes ids to text incrementally.
///
/// [`push`](StreamDecoder::push) never returns a partial character: bytes that may still become one are held back. All
/// output up to and including [`finish`](StreamDecoder::finish) equals [`Tokenizer::decode`] of all ids.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    decoding: Decoding<'t>,
    skip_special: bool,
}

impl<'t> StreamDecoder<'t> {
    pub(crate) fn new(
        tokenizer: &'t Tokenizer,
        decoding: Decoding<'t>,
        skip_special: bool,
    ) -> StreamDecoder<'t> {
        StreamDecoder { tokenizer, decoding, skip_special }
    }

    /// Takes an id and returns the text that it completes, which may be empty. Ids without a token are skipped.
    pub fn push(&mut self, id: u32) -> String {
        into_text(self.push_bytes(id))
    }

    /// Returns the text held back, with `�` for incomplete characters, and resets the stream.
    pub fn finish(&mut self) -> String {
        let rest = self.finish_bytes();
        self.decoding = self.tokenizer.decoding(false);
        into_text(rest)
    }

    pub(crate) fn push_bytes(&mut self, id: u32) -> Vec<u8> {
        let Some(token) = self.tokenizer.decoded_token(id) else { return Vec::new() };
        if self.skip_special && self.tokenizer.added_tokens().omits(token) {
            return Vec::new();
        }
        self.decoding.push(token)
    }

    pub(crate) fn finish_bytes(&mut self) -> Vec<u8> {
        self.decoding.finish()
    }
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
