//! Byte-level BPE (byte-pair encoding: the most frequent adjacent pair becomes one token, repeatedly) with exactly the
//! ids of the reference tokenizers.
//!
//! A language model reads numbers. A tokenizer converts text to token ids and back:
//!
//! ```text
//! text ─ match added tokens ─ normalize ─ split into words ─ merge each word ─ add special tokens ─► ids
//!            added_tokens      normalize      pretokenize        merge, bpe         template
//!
//! ids ─ tokens ─ decode, at once or as a stream ─► text
//! ```
//!
//! # A worked example
//!
//! Training counts adjacent pairs and turns the most frequent one into a token, repeatedly. Encoding replays these
//! merges, the oldest first. Everything on one line of text:
//!
//! ```
//! use glassbox_tokenizer::{Derivation, EncodeOptions, TrainOptions, Trainer};
//!
//! // 256 tokens for the single bytes, and five merges.
//! let mut trainer = Trainer::new(TrainOptions { vocab_size: 256 + 5, ..TrainOptions::default() });
//! trainer.feed("hug pug hugs bun pun hug")?;
//! let tokenizer = trainer.train()?;
//!
//! // The learnt tokens. `Ġ` is a space in the byte alphabet. The single bytes are ordered by this alphabet: `s` is 82.
//! let learnt: Vec<&str> = (256..261).filter_map(|id| tokenizer.id_to_token(id)).collect();
//! assert_eq!(learnt, ["ug", "hug", "un", "Ġp", "Ġhug"]);
//!
//! // How a text is encoded: its words, and every merge in each word. The rank of the oldest merge is 0.
//! let words = tokenizer.explain("hug hugs", &EncodeOptions::default())?;
//! let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
//! assert_eq!(texts, ["hug", " hugs"]);
//! let Derivation::Merged { symbols, merges } = &words[1].derivation else { panic!("it was merged") };
//! assert_eq!(symbols.len(), 5);
//! let steps: Vec<_> = merges.iter().map(|step| (step.rank, tokenizer.id_to_token(step.result).unwrap())).collect();
//! assert_eq!(steps, [(0, "ug"), (1, "hug"), (4, "Ġhug")]);
//!
//! // Encode and decode.
//! let ids = tokenizer.encode("hug hugs", &EncodeOptions::default())?;
//! assert_eq!(ids, [257, 260, 82]);
//! assert_eq!(tokenizer.decode(&ids, false), "hug hugs");
//! # Ok::<(), glassbox_tokenizer::Error>(())
//! ```
//!
//! The algorithm in a few lines is [`merge::naive`].
//!
//! # Real tokenizers
//!
//! [`Tokenizer::from_file`] opens a `tokenizer.json`, GPT-2's `vocab.json` and `merges.txt`, a `.tiktoken` rank file,
//! or a folder. For the tokenizer in a GGUF, the caller reads the container and fills in a [`GgufVocab`]; this crate
//! does not read containers. Show [`Tokenizer::warnings`] to the user.
//!
//! ```no_run
//! use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};
//!
//! let tokenizer = Tokenizer::from_file("models/llama3/tokenizer.json")?;
//! for warning in tokenizer.warnings() {
//!     eprintln!("{warning}");
//! }
//! let options = EncodeOptions { special: Special::AsText, add_special_tokens: true };
//! for token in tokenizer.encode_with_offsets("Hello, world!", &options)? {
//!     println!("{:>6}  {:?}  bytes {:?}", token.id, tokenizer.id_to_token(token.id), token.range);
//! }
//! # Ok::<(), glassbox_tokenizer::Error>(())
//! ```
//!
//! # Special tokens
//!
//! Special tokens in a rendered chat template must be parsed; in a user's text they must not. The caller chooses:
//!
//! ```
//! use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};
//!
//! let tokenizer = Tokenizer::from_json(
//!     r#"{"added_tokens": [{"id": 4, "content": "<e>", "special": true}],
//!         "model": {"type": "BPE", "vocab": {"<": 0, "e": 1, ">": 2, "a": 3, "<e>": 4}, "merges": []}}"#,
//! )?;
//! let parse = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
//! assert_eq!(tokenizer.encode("a<e>", &parse)?, [3, 4]);
//! assert_eq!(tokenizer.encode("a<e>", &EncodeOptions::default())?, [3, 0, 1, 2]);
//! # Ok::<(), glassbox_tokenizer::Error>(())
//! ```
//!
//! # Streaming
//!
//! A token may end in the middle of a character. A [`StreamDecoder`] holds back such bytes until the character is
//! complete:
//!
//! ```
//! use glassbox_tokenizer::{EncodeOptions, TrainOptions, Trainer};
//!
//! let bytes_only = Trainer::new(TrainOptions { vocab_size: 256, ..TrainOptions::default() }).train()?;
//! let ids = bytes_only.encode("né", &EncodeOptions::default())?;
//! assert_eq!(ids.len(), 3);
//! let mut stream = bytes_only.stream(false);
//! assert_eq!(stream.push(ids[0]), "n");
//! assert_eq!(stream.push(ids[1]), "");
//! assert_eq!(stream.push(ids[2]), "é");
//! assert_eq!(stream.finish(), "");
//! # Ok::<(), glassbox_tokenizer::Error>(())
//! ```
//!
//! # Large texts
//!
//! If no step rewrites the text, as in nearly all byte-level tokenizers, words are ranges of the original text and are
//! looked up in a cache of merged words. [`Tokenizer::encode_on`] splits the text among threads. The ids are the same:
//! [`Tokenizer::encode_with_offsets`] runs all steps, and tests compare the two.
//!
//! # Deliberately absent
//!
//! Models other than BPE (Unigram, WordPiece): a file with one is an error that names it. Pairs of texts, padding and
//! truncation. Dropout is ignored with a warning: encoding is always deterministic.
//!
//! # What "exactly" means
//!
//! Ids are those of Hugging Face's tokenizers 0.23 and of tiktoken, with Unicode 16. A folder gives those of
//! `AutoTokenizer` of transformers 5. A SentencePiece model in a GGUF, which lists no merges, gets those of the model's
//! own `tokenizer.json`. Patterns other than those in [`patterns`] use [`regex`], which reads the dialect of a
//! `tokenizer.json` and refuses what it does not know; those of a rank file use the engine that tiktoken uses. The
//! reference's normalization and punctuation follow an older version of Unicode, so ids may differ for characters added
//! since.
#![forbid(unsafe_code)]

pub mod byte_alphabet;
pub mod merge;
pub mod patterns;
pub mod pretokenize;
pub mod regex;
pub mod text_file;
pub mod unicode;

mod added_tokens;
mod bpe;
mod concat_hash;
mod decode;
mod encode;
mod error;
mod explain;
mod hash;
mod joins;
mod limits;
mod load;
mod normalize;
mod save;
mod stream;
mod template;
mod text;
mod token_list;
mod tokenizer;
mod train;
mod vocab;
mod word_cache;

pub use added_tokens::{AddedToken, AddedTokens};
pub use bpe::{Bpe, BpeOptions};
pub use decode::{DecodeStep, Decoder};
pub use encode::{EncodeOptions, Special, Token};
pub use error::{Error, PatternError, Result, Warning};
pub use explain::{Derivation, ExplainedWord, MergeStep};
pub use load::gguf::GgufVocab;
pub use load::tiktoken::Encoding;
pub use normalize::{Form, Normalizer};
pub use stream::StreamDecoder;
pub use template::{Template, TemplatePart};
pub use token_list::TokenList;
pub use tokenizer::{Parts, Tokenizer};
pub use train::{TrainOptions, Trainer};
pub use vocab::Vocab;
