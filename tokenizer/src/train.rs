//! Training: learns the merges by counting pairs.
//!
//! All words of the corpus start as sequences of single characters. The most frequent adjacent pair becomes a new token
//! everywhere, the counts are updated, and this repeats until the vocabulary is full. Among equally frequent pairs, the
//! one with the lower ids comes first, so the result does not depend on the order of the texts. It equals the result of
//! `BpeTrainer` in Hugging Face's tokenizers.

mod pairs;

use std::io::BufRead;

use crate::added_tokens::AddedToken;
use crate::bpe::{Bpe, BpeOptions};
use crate::byte_alphabet;
use crate::decode::{DecodeStep, Decoder};
use crate::error::{Error, Result};
use crate::hash::{Map, map};
use crate::merge::{Merge, Merges};
use crate::normalize::Normalizer;
use crate::pretokenize::{PreTokenizer, PrependScheme, Step};
use crate::template::Template;
use crate::text::Piece;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;
use pairs::Pairs;

/// The settings of a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainOptions {
    /// Maximum number of tokens, including special tokens and the alphabet. A larger alphabet is not truncated.
    pub vocab_size: usize,
    /// Minimum number of occurrences of a pair to be merged.
    pub min_frequency: u64,
    /// Special tokens; they have the first ids.
    pub special_tokens: Vec<String>,
    /// Characters that become tokens even if the corpus lacks them. With those of the [byte
    /// alphabet](crate::byte_alphabet), byte-level tokenizers can encode every text.
    pub initial_alphabet: Vec<char>,
}

impl Default for TrainOptions {
    /// 30,000 tokens, any frequency, no special tokens, all bytes.
    fn default() -> TrainOptions {
        TrainOptions {
            vocab_size: 30_000,
            min_frequency: 0,
            special_tokens: Vec::new(),
            initial_alphabet: (0..=255).map(byte_alphabet::byte_to_char).collect(),
        }
    }
}

/// A training: feed texts, then learn the merges.
///
/// ```
/// use glassbox_tokenizer::{EncodeOptions, TrainOptions, Trainer};
///
/// let mut trainer = Trainer::new(TrainOptions { vocab_size: 256 + 3, ..TrainOptions::default() });
/// trainer.feed("low lower lowest slow")?;
/// let tokenizer = trainer.train()?;
/// let tokens: Vec<_> = (256..259).map(|id| tokenizer.id_to_token(id).unwrap()).collect();
/// assert_eq!(tokens, ["lo", "low", "Ġlow"]);
/// let ids = tokenizer.encode("so low", &EncodeOptions::default())?;
/// assert_eq!(tokenizer.decode(&ids, false), "so low");
/// # Ok::<(), glassbox_tokenizer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trainer {
    options: TrainOptions,
    normalizers: Vec<Normalizer>,
    pre_tokenizer: PreTokenizer,
    words: Map<Box<str>, u64>,
}

impl Trainer {
    /// A training with GPT-2's pre-tokenizer.
    pub fn new(options: TrainOptions) -> Trainer {
        Trainer::with_steps(options, Vec::new(), PreTokenizer::new(vec![Step::byte_level()]))
    }

    /// A training with these normalizers and this pre-tokenizer, which the trained tokenizer will have too.
    pub fn with_steps(
        options: TrainOptions,
        normalizers: Vec<Normalizer>,
        pre_tokenizer: PreTokenizer,
    ) -> Trainer {
        Trainer { options, normalizers, pre_tokenizer, words: map(0) }
    }

    /// Counts the words of a text. Words do not cross from one text to the next.
    pub fn feed(&mut self, text: &str) -> Result<()> {
        let mut piece = Piece::new(text, 0);
        for normalizer in &self.normalizers {
            piece = normalizer.apply(piece)?;
        }
        let words = &mut self.words;
        self.pre_tokenizer.words(piece, &mut |word| match words.get_mut(word.as_str()) {
            Some(count) => *count += 1,
            None => drop(words.insert(word.as_str().into(), 1)),
        })
    }

    /// Feeds every line, including its line break, as a separate text, as the reference does with files.
    ///
    /// # Errors
    /// [`Error::Io`] with the given name if reading fails or a line is not UTF-8.
    pub fn feed_lines(&mut self, mut reader: impl BufRead, name: &str) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = reader.read_line(&mut line);
            match read.map_err(|source| Error::Io { path: name.into(), source })? {
                0 => return Ok(()),
                _ => self.feed(&line)?,
            }
        }
    }

    /// Learns the merges and returns the tokenizer.
    pub fn train(self) -> Result<Tokenizer> {
        let mut tokens = Tokens::default();
        for special in &self.options.special_tokens {
            if special.is_empty() {
                return Err(Error::Training {
                    setting: "special_tokens",
                    expected: "texts of at least one character".to_owned(),
                    found: "an empty text".to_owned(),
                });
            }
            tokens.id(special);
        }
        let words = self.written_words();
        let mut alphabet: Vec<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
        alphabet.extend(&self.options.initial_alphabet);
        alphabet.sort_unstable();
        alphabet.dedup();
        for c in alphabet {
            tokens.id(c.encode_utf8(&mut [0; 4]));
        }

        let rows = words.iter().map(|(word, count)| {
            let row: Vec<u32> = word.chars().map(|c| tokens.id(c.encode_utf8(&mut [0; 4]))).collect();
            (row, *count)
        });
        let mut pairs = Pairs::new(rows.collect());
        let mut merges = Merges::default();
        let mut rank = 0;
        while tokens.list.len() < self.options.vocab_size {
            let Some((pair, count, occurrences)) = pairs.most_frequent() else { break };
            if count < self.options.min_frequency {
                break;
            }
            let text = format!("{}{}", tokens.list[pair.0 as usize], tokens.list[pair.1 as usize]);
            let result = tokens.id(&text);
            merges.insert(pair.0, pair.1, Merge { rank, result });
            rank += 1;
            pairs.merge(pair, result, &occurrences);
        }
        self.into_tokenizer(tokens, merges)
    }

    /// The words with their counts, in the characters of the vocabulary.
    fn written_words(&self) -> Vec<(String, u64)> {
        let raw = self.pre_tokenizer.leaves_bytes_raw();
        let write = |word: &str| if raw { byte_alphabet::encode(word.as_bytes()) } else { word.to_owned() };
        self.words.iter().map(|(word, &count)| (write(word), count)).collect()
    }

    fn into_tokenizer(self, tokens: Tokens, merges: Merges) -> Result<Tokenizer> {
        let mut vocab = Vocab::with_capacity(tokens.list.len());
        for (token, id) in tokens.list.iter().zip(0..) {
            vocab.insert(token.as_str(), id);
        }
        let special = self
            .options
            .special_tokens
            .iter()
            .filter_map(|token| Some(AddedToken::special(vocab.id(token)?, token.as_str())));
        let added_tokens = special.collect();
        let decoder = self.pre_tokenizer.steps().iter().find_map(|step| match step {
            Step::ByteLevel { .. } => Some(DecodeStep::ByteLevel),
            Step::Metaspace { replacement, prepend, .. } => Some(DecodeStep::Metaspace {
                replacement: *replacement,
                strip_first: *prepend != PrependScheme::Never,
            }),
            _ => None,
        });
        Tokenizer::new(Parts {
            normalizers: self.normalizers,
            pre_tokenizer: self.pre_tokenizer,
            model: Bpe::new(vocab, merges, BpeOptions::default())?,
            added_tokens,
            template: Template::default(),
            decoder: decoder.map(|step| Decoder::new(vec![step])),
        })
    }
}

/// The vocabulary under construction.
#[derive(Default)]
struct Tokens {
    list: Vec<String>,
    ids: Map<String, u32>,
}

impl Tokens {
    /// The id of a token; a new token gets the next id.
    fn id(&mut self, token: &str) -> u32 {
        if let Some(&id) = self.ids.get(token) {
            return id;
        }
        let id = self.list.len() as u32;
        self.ids.insert(token.to_owned(), id);
        self.list.push(token.to_owned());
        id
    }
}
