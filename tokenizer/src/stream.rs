//! Decoding as a stream: tokens go in one by one, whole characters come out.

use crate::decode::Decoding;
use crate::tokenizer::Tokenizer;

/// Turns ids into text as they come.
///
/// What [`push`](StreamDecoder::push) gives is never half a character: bytes that may still become one are held back.
/// All that comes out, up to and including [`finish`](StreamDecoder::finish), is what
/// [`Tokenizer::decode`] gives for all ids together.
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

    /// Takes an id in and gives the text that it completes, often empty. Ids without a token say nothing.
    pub fn push(&mut self, id: u32) -> String {
        into_text(self.push_bytes(id))
    }

    /// Gives what was held back, `�` for bytes that never became a character. The stream is then at its start again.
    pub fn finish(&mut self) -> String {
        let rest = self.finish_bytes();
        self.decoding = self.tokenizer.decoding(false);
        into_text(rest)
    }

    pub(crate) fn push_bytes(&mut self, id: u32) -> Vec<u8> {
        if self.skip_special && self.tokenizer.is_special(id) {
            return Vec::new();
        }
        self.tokenizer.id_to_token(id).map_or_else(Vec::new, |token| self.decoding.push(token))
    }

    pub(crate) fn finish_bytes(&mut self) -> Vec<u8> {
        self.decoding.finish()
    }
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
