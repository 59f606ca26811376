//! Byte-level BPE (byte-pair encoding: the commonest neighbours become one token, again and again) with exactly the ids
//! of the reference tokenizers.
//!
//! A language model reads numbers. A tokenizer makes them of text, and text of them:
//!
//! ```text
//! text ─ added tokens are found ─ normalized ─ cut into words ─ each word is merged ─ template around it ─► ids
//!             added_tokens          normalize     pretokenize          merge, bpe            template
//!
//! ids ─ tokens ─ decode, at once or as a stream ─► text
//! ```
//!
//! # A worked example
//!
//! Training counts which neighbours occur most often and makes tokens of them; encoding replays those merges, the
//! oldest first. Here is all of it on one line of text:
//!
//! ```
//! use glassbox_tokenizer::{EncodeOptions, How, TrainOptions, Trainer};
//!
//! // 256 tokens for the single bytes, and room for five merges.
//! let mut trainer = Trainer::new(TrainOptions { vocab_size: 256 + 5, ..TrainOptions::default() });
//! trainer.feed("hug pug hugs bun pun hug")?;
//! let tokenizer = trainer.train()?;
//!
//! // What was learnt. `Ġ` is how the byte alphabet writes a space; the single bytes have its order too, `s` is number 82.
//! let learnt: Vec<&str> = (256..261).filter_map(|id| tokenizer.id_to_token(id)).collect();
//! assert_eq!(learnt, ["ug", "hug", "un", "Ġp", "Ġhug"]);
//!
//! // How a text is encoded: its words, and in each word every merge. A merge's rank is its age, the oldest has 0.
//! let words = tokenizer.explain("hug hugs", &EncodeOptions::default())?;
//! let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
//! assert_eq!(texts, ["hug", " hugs"]);
//! let How::Merged { symbols, merges } = &words[1].how else { panic!("it was merged") };
//! assert_eq!(symbols.len(), 5);
//! let steps: Vec<_> = merges.iter().map(|step| (step.rank, tokenizer.id_to_token(step.result).unwrap())).collect();
//! assert_eq!(steps, [(0, "ug"), (1, "hug"), (4, "Ġhug")]);
//!
//! // And back.
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
//! [`Tokenizer::from_file`] opens a `tokenizer.json`, GPT-2's `vocab.json` and `merges.txt`, a `.tiktoken` rank file, or a
//! folder. The tokenizer inside a GGUF comes through [`GgufVocab`], which whoever reads the container fills; this crate
//! knows no containers. Show [`Tokenizer::warnings`] to the user.
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
//! # Special tokens are the caller's choice
//!
//! A rendered chat template must become the special tokens that it names; a user's text must not.
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
//! # Streams never give half a character
//!
//! A token may end in the middle of a character. A [`StreamDecoder`] holds such bytes back until the rest comes:
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
//! Where no step rewrites the text, as in nearly all byte-level tokenizers, words are found as ranges of the original and
//! looked up in a table of those merged before; [`Tokenizer::encode_on`] shares the text out among threads. The ids stay the
//! same: [`Tokenizer::encode_with_offsets`] goes the long way through all steps, and tests hold one to the other.
//!
//! # What is deliberately absent
//!
//! Other models than BPE (Unigram, WordPiece), pairs of texts, padding and truncation: a file that needs one of the first
//! is an error that names it. Dropout is ignored, with a warning: encoding is always deterministic.
//!
//! # What "exactly" means
//!
//! Ids are those of Hugging Face's tokenizers 0.22 and of tiktoken, with Unicode 16. Patterns that are not among
//! [`patterns`] go to a regex engine whose `\w` follows Unicode; Oniguruma, which the reference uses, also counts `²³¹¼½¾`.
//! The reference normalizes and knows punctuation by a Unicode some years older, so that ids may differ for
//! characters added since.
#![forbid(unsafe_code)]

pub mod byte_alphabet;
pub mod merge;
pub mod patterns;
pub mod pretokenize;
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
pub use error::{Error, Result, Warning};
pub use explain::{ExplainedWord, How, MergeStep};
pub use load::gguf::GgufVocab;
pub use load::tiktoken::Encoding;
pub use normalize::{Form, Normalizer};
pub use stream::StreamDecoder;
pub use template::{Template, TemplatePart};
pub use token_list::TokenList;
pub use tokenizer::{Parts, Tokenizer};
pub use train::{TrainOptions, Trainer};
pub use vocab::Vocab;
