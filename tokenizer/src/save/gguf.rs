//! Writing a tokenizer as GGUF metadata: the inverse of [`GgufVocab::load`].
//!
//! A GGUF does not contain the splitting rule; it names a known one. The name is found by trial: the rule that splits a
//! text full of pitfalls as the tokenizer does. Finally, the description is loaded again and must give the same ids.

use crate::bpe::BpeOptions;
use crate::encode::EncodeOptions;
use crate::error::{Error, Result};
use crate::load::gguf::{GgufVocab, MARK, kind};
use crate::load::gguf_pre;
use crate::normalize::{Form, Normalizer};
use crate::pretokenize::PreTokenizer;
use crate::template::TemplatePart;
use crate::text::Piece;
use crate::tokenizer::Tokenizer;

/// A text that every rule splits differently: contractions in both cases, numbers of all lengths, punctuation, line
/// breaks, other scripts, composed and decomposed accents.
const PITFALLS: &str = "I'll we'VE don't DON'T it's0 1 22 333 4444 55555x6 x1y 3.14 1,000 ½ ²\n\n  two\r\n\ttab \t\n \
    trailing   \n\nHTTPServer camelCase XMLHttp/path/to\n a/b/\n (x)[y]{z}<t>=+$^~|`#@ ... !?;: -- \"q\" 'w' \
    été e\u{301}te\u{301} naïve Ünï \u{1e69} Straße Ελλάδα Привет مرحبا हिन्दी ไทย 你好，世界。 \
    ひらがな カタカナ 한국어 한국\u{ac00} 👩\u{200d}💻 🙂🙂 \u{a0}nb\u{a0}sp ₂ x² ١٢٣ a\u{2009}b ¿qué? ‘x’ “y” …end  ";

impl GgufVocab {
    /// The description of `tokenizer` for a model whose embedding has `rows` rows. Rows without a token get a
    /// placeholder that no text contains.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what a GGUF cannot express: a splitting rule or normalization without a name there,
    /// or special tokens around a text other than one at its beginning and one at its end; [`Error::Lengths`] if there
    /// are more tokens than rows.
    pub fn describe(tokenizer: &Tokenizer, rows: usize) -> Result<GgufVocab> {
        if tokenizer.vocab_size() > rows {
            let lists = "the rows of the embedding and the tokens";
            return Err(Error::Lengths { lists, expected: rows, found: tokenizer.vocab_size() });
        }
        let (before, after) = around(tokenizer)?;
        let options = tokenizer.model().options();
        if !options.continuing_subword_prefix.is_empty() || !options.end_of_word_suffix.is_empty() {
            return Err(unsupported("model", "a subword prefix or end-of-word suffix".to_owned()));
        }
        let mut vocab = GgufVocab {
            bos: before.or(tokenizer.bos_id()),
            eos: after.or(tokenizer.eos_id()),
            unk: tokenizer.model().unk_id(),
            add_bos: Some(before.is_some()),
            add_eos: Some(after.is_some()),
            ..GgufVocab::default()
        };
        let is_sentence_piece = options.byte_fallback && !tokenizer.is_byte_level();
        vocab.list_tokens(tokenizer, rows, is_sentence_piece);
        if is_sentence_piece {
            vocab.describe_sentence_piece(tokenizer);
        } else {
            vocab.describe_byte_level(tokenizer)?;
        }
        let again = vocab.clone().load()?;
        let plain = EncodeOptions::default();
        if again.encode(PITFALLS, &plain)? != tokenizer.encode(PITFALLS, &plain)? {
            return Err(unsupported("tokenizer", "one whose ids differ after a round trip".to_owned()));
        }
        Ok(vocab)
    }

    fn list_tokens(&mut self, tokenizer: &Tokenizer, rows: usize, has_byte_tokens: bool) {
        let mut kinds = Vec::with_capacity(rows);
        for id in 0..rows as u32 {
            let token = tokenizer.id_to_token(id);
            let added = tokenizer.added_tokens().get(id);
            kinds.push(match (token, added) {
                (None, _) => kind::UNUSED,
                _ if self.unk == Some(id) && has_byte_tokens => kind::UNKNOWN,
                (_, Some(added)) => {
                    if added.special {
                        kind::CONTROL
                    } else {
                        kind::USER_DEFINED
                    }
                }
                (Some(token), None) if has_byte_tokens && is_byte_token(token) => kind::BYTE,
                _ => kind::NORMAL,
            });
            match token {
                None => self.tokens.push(&format!("[PAD{id}]")),
                // A run of marks that has a token of its own is written with spaces in such files.
                Some(token)
                    if has_byte_tokens && kinds.last() == Some(&kind::USER_DEFINED) && is_marks(token) =>
                {
                    self.tokens.push(&token.replace(MARK, " "));
                }
                Some(token) => self.tokens.push(token),
            }
        }
        self.token_types = Some(kinds);
    }

    fn describe_byte_level(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        self.model = "gpt2".to_owned();
        self.pre = Some(pre_name(tokenizer)?.to_owned());
        let token = |id| tokenizer.id_to_token(id).unwrap_or_default();
        let merges = tokenizer.model().merges().sorted();
        let lines = merges.iter().map(|((left, right), _)| format!("{} {}", token(*left), token(*right)));
        self.merges = Some(lines.collect());
        Ok(())
    }

    /// SentencePiece files score tokens instead of listing merges: the earlier a token's merge, the higher its score.
    fn describe_sentence_piece(&mut self, tokenizer: &Tokenizer) {
        self.model = "llama".to_owned();
        self.pre = Some("default".to_owned());
        let merges = tokenizer.model().merges().sorted();
        let mut scores = vec![-(merges.len() as f32); self.tokens.len()];
        for (rank, (_, merge)) in merges.iter().enumerate().rev() {
            if let Some(score) = scores.get_mut(merge.result as usize) {
                *score = -(rank as f32);
            }
        }
        self.scores = Some(scores);
        let plain = EncodeOptions::default();
        let starts_with_space =
            |id: &u32| tokenizer.id_to_token(*id).is_some_and(|token| token.starts_with('▁'));
        let first = tokenizer.encode("a", &plain).unwrap_or_default();
        self.add_space_prefix = Some(first.first().is_some_and(starts_with_space));
    }
}

/// The token before and the token after a text.
fn around(tokenizer: &Tokenizer) -> Result<(Option<u32>, Option<u32>)> {
    use TemplatePart::{Ids, Text};
    let one = |ids: &[u32]| match ids {
        [id] => Ok(Some(*id)),
        _ => Err(unsupported("post_processor", format!("{} tokens on one side of the text", ids.len()))),
    };
    match tokenizer.template().parts() {
        [Text] => Ok((None, None)),
        [Ids(before), Text] => Ok((one(before)?, None)),
        [Text, Ids(after)] => Ok((None, one(after)?)),
        [Ids(before), Text, Ids(after)] => Ok((one(before)?, one(after)?)),
        _ => Err(unsupported("post_processor", "a template that contains the text several times".to_owned())),
    }
}

/// The name of the rule that splits text as the tokenizer does.
fn pre_name(tokenizer: &Tokenizer) -> Result<&'static str> {
    let nfc = match tokenizer.normalizers() {
        [] => false,
        [Normalizer::Unicode(Form::Nfc)] => true,
        _ => return Err(unsupported("normalizer", "one other than NFC".to_owned())),
    };
    let BpeOptions { ignore_merges, .. } = *tokenizer.model().options();
    let wanted = words(tokenizer.pre_tokenizer())?;
    for (name, rule) in gguf_pre::rules() {
        let rule = rule?;
        let same_settings = rule.normalizers.is_empty() != nfc && rule.ignore_merges == ignore_merges;
        if same_settings
            && tokenizer.pre_tokenizer().leaves_bytes_raw()
            && words(&PreTokenizer::new(rule.steps))? == wanted
        {
            return Ok(name);
        }
    }
    Err(unsupported("pre_tokenizer", "a splitting rule that has no name in GGUF".to_owned()))
}

fn words(pre_tokenizer: &PreTokenizer) -> Result<Vec<String>> {
    let mut words = Vec::new();
    pre_tokenizer.words(Piece::new(PITFALLS, 0), &mut |word| words.push(word.as_str().to_owned()))?;
    Ok(words)
}

fn is_marks(token: &str) -> bool {
    token.split(MARK).all(str::is_empty)
}

fn is_byte_token(token: &str) -> bool {
    crate::bpe::byte_of_fallback(token).is_some()
}

fn unsupported(part: &str, found: String) -> Error {
    let supported = "what tokenizer.ggml.* metadata can describe";
    Error::Unsupported { part: part.to_owned(), found, supported }
}
