//! `.tiktoken` rank files: one token per line, in base64, with its rank, which is its id.
//!
//! A rank file has neither the splitting pattern nor the special tokens; an [`Encoding`] has.

use super::rank_merges;
use crate::added_tokens::AddedToken;
use crate::bpe::{Bpe, BpeOptions};
use crate::byte_alphabet;
use crate::decode::{DecodeStep, Decoder};
use crate::error::{Error, Result, Warning};
use crate::patterns;
use crate::pretokenize::{Behavior, Pattern, PreTokenizer, Step};
use crate::template::Template;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;

/// The settings that a rank file lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// The regular expression that splits text into words.
    pub pattern: String,
    /// The special tokens and their ids.
    pub special_tokens: Vec<(String, u32)>,
}

/// A well-known encoding.
struct Known {
    name: &'static str,
    /// Parts of file names that identify it.
    aliases: &'static [&'static str],
    /// The number of ranks in its file.
    ranks: usize,
    pattern: &'static str,
    special_tokens: &'static [(&'static str, u32)],
}

const KNOWN: &[Known] = &[
    Known {
        name: "cl100k_base",
        aliases: &["cl100k"],
        ranks: 100_256,
        pattern: patterns::CL100K,
        special_tokens: &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
    },
    Known {
        name: "o200k_base",
        aliases: &["o200k"],
        ranks: 199_998,
        pattern: patterns::O200K,
        special_tokens: &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)],
    },
    Known {
        name: "p50k_base",
        aliases: &["p50k"],
        ranks: 50_280,
        pattern: patterns::GPT2,
        special_tokens: &[("<|endoftext|>", 50_256)],
    },
    Known {
        name: "r50k_base",
        aliases: &["r50k", "gpt2"],
        ranks: 50_256,
        pattern: patterns::GPT2,
        special_tokens: &[("<|endoftext|>", 50_256)],
    },
];

impl Encoding {
    /// A well-known encoding by name: `cl100k_base`, `o200k_base`, `p50k_base` or `r50k_base`, which is GPT-2's.
    ///
    /// ```
    /// # use glassbox_tokenizer::Encoding;
    /// assert_eq!(Encoding::named("cl100k_base").unwrap().special_tokens[0].1, 100_257);
    /// assert_eq!(Encoding::named("gpt2"), Encoding::named("r50k_base"));
    /// ```
    pub fn named(name: &str) -> Option<Encoding> {
        let known = KNOWN.iter().find(|known| known.aliases.iter().any(|alias| name.contains(alias)))?;
        Some(known.encoding())
    }
}

impl Known {
    fn encoding(&self) -> Encoding {
        let special_tokens = self.special_tokens.iter().map(|&(token, id)| (token.to_owned(), id));
        Encoding { pattern: self.pattern.to_owned(), special_tokens: special_tokens.collect() }
    }
}

impl Tokenizer {
    /// Builds a tokenizer from the contents of a rank file.
    ///
    /// Without an `encoding`, the number of ranks identifies a well-known one, with a [`Warning`].
    ///
    /// # Errors
    /// [`Error::Line`] for an invalid line, [`Error::Unsupported`] if the number of ranks is not that of a known
    /// encoding, [`Error::UnknownToken`] if one of the 256 bytes has no rank.
    pub fn from_tiktoken(ranks: &str, encoding: Option<Encoding>) -> Result<Tokenizer> {
        let ranks = parse(ranks)?;
        let mut guess = None;
        let encoding = match encoding {
            Some(encoding) => encoding,
            None => {
                let known = KNOWN.iter().find(|known| known.ranks == ranks.len());
                let known = known.ok_or_else(|| Error::Unsupported {
                    part: "rank file".to_owned(),
                    found: format!("{} ranks", ranks.len()),
                    supported: "the sizes of cl100k_base, o200k_base, p50k_base, r50k_base, or any with its encoding given",
                })?;
                guess = Some(Warning::GuessedEncoding { encoding: known.name });
                known.encoding()
            }
        };

        let mut vocab = Vocab::with_capacity(ranks.len());
        for (token, rank) in &ranks {
            vocab.insert(byte_alphabet::encode(token), *rank);
        }
        for byte in 0..=255 {
            let token = byte_alphabet::encode(&[byte]);
            if vocab.id(&token).is_none() {
                return Err(Error::UnknownToken { used_by: format!("byte 0x{byte:02x}"), token });
            }
        }
        let by_rank: Vec<(&[u8], u32, u32)> =
            ranks.iter().map(|(token, rank)| (&token[..], *rank, *rank)).collect();
        let merges = rank_merges::by_rank(&by_rank);
        for (token, id) in &encoding.special_tokens {
            vocab.insert(token.as_str(), *id);
        }
        let options = BpeOptions { ignore_merges: true, ..BpeOptions::default() };
        let split = Step::Split {
            pattern: Pattern::regex(encoding.pattern)?,
            behavior: Behavior::Removed,
            invert: true,
        };
        let special = |(token, id): &(String, u32)| AddedToken::special(*id, token.as_str());
        let added_tokens: Vec<AddedToken> = encoding.special_tokens.iter().map(special).collect();
        let end = added_tokens.iter().find(|token| token.content == "<|endoftext|>").map(|token| token.id);
        let mut tokenizer = Tokenizer::new(Parts {
            normalizers: Vec::new(),
            pre_tokenizer: PreTokenizer::new(vec![
                split,
                Step::ByteLevel { add_prefix_space: false, split: None },
            ]),
            model: Bpe::new(vocab, merges, options)?,
            added_tokens,
            template: Template::default(),
            decoder: Some(Decoder::new(vec![DecodeStep::ByteLevel])),
        })?;
        tokenizer.set_eos_id(end);
        tokenizer.warn(guess);
        Ok(tokenizer)
    }
}

fn parse(text: &str) -> Result<Vec<(Vec<u8>, u32)>> {
    let line = |(number, line): (usize, &str)| {
        let pair =
            line.split_once(' ').and_then(|(token, rank)| Some((base64(token)?, rank.trim().parse().ok()?)));
        pair.filter(|(token, _)| !token.is_empty()).ok_or_else(|| Error::Line {
            file: "rank file",
            line: number + 1,
            expected: "a token in base64, a space and a rank",
            found: line.chars().take(80).collect(),
        })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}

/// Decodes standard base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read_strictly() {
        assert_eq!(base64("IQ==").as_deref(), Some(&b"!"[..]));
        assert_eq!(base64("aGVsbG8h").as_deref(), Some(&b"hello!"[..]));
        assert_eq!(base64("/+8=").as_deref(), Some(&[0xff, 0xef][..]));
        for wrong in ["IQ", "IQ=", "IQ===", "I?==", "IR==", "====", "=IQ="] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }
}
