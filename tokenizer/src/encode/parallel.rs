//! Encoding a text on several threads, with the same ids as on one.
//!
//! Added tokens are matched in the whole text first. The text is then split at seams, where this does not change its
//! words ([`next_seam`]), and free threads take the next chunk.

use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::EncodeOptions;
use super::raw::{Part, Words};
use crate::error::Result;
use crate::pretokenize::raw::Cut;
use crate::pretokenize::seams::next_seam;
use crate::tokenizer::Tokenizer;

/// Chunk size in bytes: small enough that all threads end at about the same time, large enough to amortise the
/// overhead.
const CHUNK: usize = 1 << 16;

impl Tokenizer {
    /// The ids of [`Tokenizer::encode`], computed on up to `threads` threads.
    ///
    /// One thread is used for short texts, and if the tokenizer rewrites the text or splits it by a pattern that is not
    /// in [`patterns`](crate::patterns).
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_on(
        &self,
        threads: NonZero<usize>,
        text: &str,
        options: &EncodeOptions,
    ) -> Result<Vec<u32>> {
        match self.raw().cuts() {
            Some(cuts) if threads.get() > 1 => {
                let ids = self.ids_by_chunks(threads.get(), CHUNK, cuts, text, options);
                Ok(self.with_template(ids, options))
            }
            _ => self.encode(text, options),
        }
    }

    /// As [`Tokenizer::encode_on`], for bytes that need not be UTF-8; invalid UTF-8 is encoded on one thread.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_bytes`].
    pub fn encode_bytes_on(
        &self,
        threads: NonZero<usize>,
        bytes: &[u8],
        options: &EncodeOptions,
    ) -> Result<Vec<u32>> {
        match str::from_utf8(bytes) {
            Ok(text) => self.encode_on(threads, text, options),
            Err(_) => self.encode_bytes(bytes, options),
        }
    }

    fn ids_by_chunks(
        &self,
        threads: usize,
        chunk: usize,
        cuts: &[Cut],
        text: &str,
        options: &EncodeOptions,
    ) -> Vec<u32> {
        let parts = in_chunks(self.raw_parts(text, options), cuts, text, chunk);
        let next = AtomicUsize::new(0);
        let work = || self.encode_chunks(cuts, text, &parts, &next);
        let helpers = threads.min(parts.len()).saturating_sub(1);
        let mut done = std::thread::scope(|scope| {
            // If the system refuses a thread, the others do its work.
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (0..helpers).filter_map(start).collect();
            let mut done = vec![work()];
            for helper in helpers {
                done.push(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        if let ([one], 0) = (&mut done[..], helpers) {
            return std::mem::take(&mut one.ids);
        }
        let mut by_part: Vec<(usize, &[u32])> = Vec::with_capacity(parts.len());
        for Done { ids, ends } in &done {
            let starts = std::iter::once(0).chain(ends.iter().map(|end| end.1));
            by_part.extend(starts.zip(ends).map(|(start, &(part, end))| (part, &ids[start..end])));
        }
        by_part.sort_unstable_by_key(|part| part.0);
        let mut ids = Vec::with_capacity(by_part.iter().map(|part| part.1.len()).sum());
        by_part.iter().for_each(|part| ids.extend_from_slice(part.1));
        ids
    }

    /// Encodes parts until none is left.
    fn encode_chunks(&self, cuts: &[Cut], text: &str, parts: &[Part], next: &AtomicUsize) -> Done {
        let cache = self.raw().take_cache();
        let mut words = Words { model: self.model(), text, cache, ids: Vec::new() };
        let mut ends = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(number) else { break };
            words.part(cuts, part);
            ends.push((number, words.ids.len()));
        }
        self.raw().keep_cache(words.cache);
        Done { ids: words.ids, ends }
    }
}

/// The output of one thread: ids, and for each of its parts the number and the end of its ids.
struct Done {
    ids: Vec<u32>,
    ends: Vec<(usize, usize)>,
}

/// The parts, with long ones split at seams.
fn in_chunks(parts: Vec<Part>, cuts: &[Cut], text: &str, chunk: usize) -> Vec<Part> {
    let chunks_of = |Range { mut start, end }: Range<usize>| {
        std::iter::from_fn(move || {
            let rest = &text[start..end];
            let length = if rest.len() > chunk { next_seam(cuts, rest, chunk) } else { rest.len() };
            start += length;
            (length > 0).then(|| Part::Text(start - length..start))
        })
    };
    let mut chunks = Vec::with_capacity(parts.len() + text.len() / chunk);
    for part in parts {
        match part {
            Part::Added(id) => chunks.push(Part::Added(id)),
            Part::Text(range) => chunks.extend(chunks_of(range)),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::added_tokens::AddedToken;
    use crate::{Bpe, BpeOptions, Decoder, Parts, Special, TrainOptions, Trainer};

    /// A small tokenizer with added tokens of every kind.
    fn tokenizer() -> Tokenizer {
        let mut trainer = Trainer::new(TrainOptions { vocab_size: 256 + 60, ..TrainOptions::default() });
        trainer.feed("a bab abba, baba abab 中文，中文。\nabc bca 11 112").unwrap();
        let trained = trainer.train().unwrap();
        let token = |id, content: &str| AddedToken::special(id, content);
        let model = Bpe::new(
            trained.model().vocab().clone(),
            trained.model().merges().clone(),
            BpeOptions::default(),
        );
        Tokenizer::new(Parts {
            normalizers: Vec::new(),
            pre_tokenizer: trained.pre_tokenizer().clone(),
            model: model.unwrap(),
            added_tokens: vec![
                token(316, "<e>"),
                AddedToken { lstrip: true, ..token(317, "<l>") },
                AddedToken { rstrip: true, ..token(318, "<r>") },
                AddedToken { special: false, single_word: true, ..token(319, "ab") },
                AddedToken { special: false, normalized: true, ..token(320, "bb") },
            ],
            template: crate::Template::default(),
            decoder: None::<Decoder>,
        })
        .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn threads_and_chunks_do_not_change_the_ids(
            text in "([ab]{1,4}|[ \n1,']|<[elr]>|[中文。，é]|\\PC){0,40}",
            threads in 2usize..5,
            chunk in 1usize..20,
            in_pieces: bool,
        ) {
            let tokenizer = tokenizer();
            if in_pieces {
                tokenizer.model().joins().expect("merges that join their halves");
            }
            for special in [Special::AsText, Special::Parse] {
                let options = EncodeOptions { special, add_special_tokens: false };
                let expected: Vec<u32> = tokenizer
                    .encode_with_offsets(&text, &options)
                    .unwrap()
                    .into_iter()
                    .map(|token| token.id)
                    .collect();
                prop_assert_eq!(&tokenizer.encode(&text, &options).unwrap(), &expected);
                let cuts = tokenizer.raw().cuts().expect("nothing rewrites the text");
                prop_assert_eq!(tokenizer.ids_by_chunks(threads, chunk, cuts, &text, &options), expected);
            }
        }
    }
}
