//! Saving a tokenizer as Hugging Face's `tokenizer.json`.

mod gguf;

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::added_tokens::AddedToken;
use crate::decode::DecodeStep;
use crate::error::{Error, Result};
use crate::normalize::{Form, Normalizer};
use crate::pretokenize::{Behavior, Pattern, PrependScheme, Step};
use crate::template::TemplatePart;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// The contents of a `tokenizer.json`, which gives the same ids in any program that reads this format.
    ///
    /// One exception: in rank files, all pairs that form the same token have equal ranks, and the leftmost is merged
    /// first. The format cannot express equal ranks; such pairs are written in the order of their ids. Ids may then
    /// differ in rare words with repeated letters.
    pub fn to_json(&self) -> String {
        let normalizers = self.normalizers().iter().map(normalizer).collect();
        let steps = self.pre_tokenizer().steps().iter().map(step).collect();
        let decoders =
            self.decoder().map_or_else(Vec::new, |decoder| decoder.steps().iter().map(decode_step).collect());
        let file = File {
            version: "1.0",
            truncation: Value::Null,
            padding: Value::Null,
            added_tokens: self.added_tokens().sorted().into_iter().map(added_token).collect(),
            normalizer: sequence(normalizers, "normalizers"),
            pre_tokenizer: sequence(steps, "pretokenizers"),
            post_processor: self.post_processor(),
            decoder: sequence(decoders, "decoders"),
            model: self.model_part(),
        };
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// Writes [`Tokenizer::to_json`] to a file.
    pub fn save_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json()).map_err(|source| Error::Io { path: path.to_owned(), source })
    }

    fn model_part(&self) -> ModelPart<'_> {
        let (options, vocab) = (self.model().options(), self.model().vocab());
        let token = |id| vocab.token(id).unwrap_or_default();
        let merges = self.model().merges().sorted();
        let optional = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        ModelPart {
            kind: "BPE",
            dropout: Value::Null,
            unk_token: json!(options.unk_token),
            continuing_subword_prefix: optional(&options.continuing_subword_prefix),
            end_of_word_suffix: optional(&options.end_of_word_suffix),
            fuse_unk: options.fuse_unk,
            byte_fallback: options.byte_fallback,
            ignore_merges: options.ignore_merges,
            vocab: VocabPart(vocab.sorted()),
            merges: merges.into_iter().map(|((left, right), _)| [token(left), token(right)]).collect(),
        }
    }

    fn post_processor(&self) -> Value {
        if let [TemplatePart::Text] = self.template().parts() {
            return Value::Null;
        }
        let name = |ids: &[u32]| ids.iter().filter_map(|&id| self.id_to_token(id)).collect::<Vec<_>>();
        let mut single = Vec::new();
        let mut special_tokens = serde_json::Map::new();
        for part in self.template().parts() {
            match part {
                TemplatePart::Text => single.push(json!({"Sequence": {"id": "A", "type_id": 0}})),
                TemplatePart::Ids(ids) => {
                    let tokens = name(ids);
                    let id = tokens.concat();
                    single.push(json!({"SpecialToken": {"id": id, "type_id": 0}}));
                    special_tokens.insert(id.clone(), json!({"id": id, "ids": ids, "tokens": tokens}));
                }
            }
        }
        let pair =
            [json!({"Sequence": {"id": "A", "type_id": 0}}), json!({"Sequence": {"id": "B", "type_id": 1}})];
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special_tokens})
    }
}

#[derive(serde::Serialize)]
struct File<'t> {
    version: &'static str,
    truncation: Value,
    padding: Value,
    added_tokens: Vec<Value>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: ModelPart<'t>,
}

#[derive(serde::Serialize)]
struct ModelPart<'t> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Value,
    unk_token: Value,
    continuing_subword_prefix: Value,
    end_of_word_suffix: Value,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: VocabPart<'t>,
    merges: Vec<[&'t str; 2]>,
}

/// The vocabulary, sorted by id.
struct VocabPart<'t>(Vec<(u32, &'t str)>);

impl Serialize for VocabPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (id, token) in &self.0 {
            map.serialize_entry(token, id)?;
        }
        map.end()
    }
}

fn sequence(mut parts: Vec<Value>, members: &str) -> Value {
    match parts.len() {
        0 => Value::Null,
        1 => parts.remove(0),
        _ => json!({"type": "Sequence", members: parts}),
    }
}

fn added_token(token: &AddedToken) -> Value {
    json!({
        "id": token.id,
        "content": token.content,
        "single_word": token.single_word,
        "lstrip": token.lstrip,
        "rstrip": token.rstrip,
        "normalized": token.normalized,
        "special": token.special,
    })
}

fn pattern(pattern: &Pattern) -> Value {
    match pattern.source() {
        (text, false) => json!({"String": text}),
        (regex, true) => json!({"Regex": regex}),
    }
}

fn behavior(behavior: Behavior) -> &'static str {
    Behavior::NAMES.iter().find(|known| known.1 == behavior).map_or("Isolated", |known| known.0)
}

fn normalizer(normalizer: &Normalizer) -> Value {
    match normalizer {
        Normalizer::Unicode(form) => json!({"type": match form {
            Form::Nfc => "NFC",
            Form::Nfd => "NFD",
            Form::Nfkc => "NFKC",
            Form::Nfkd => "NFKD",
        }}),
        Normalizer::Replace { pattern: from, content } => {
            json!({"type": "Replace", "pattern": pattern(from), "content": content})
        }
        Normalizer::Prepend(prefix) => json!({"type": "Prepend", "prepend": prefix}),
        Normalizer::Strip { left, right } => {
            json!({"type": "Strip", "strip_left": left, "strip_right": right})
        }
        Normalizer::Lowercase => json!({"type": "Lowercase"}),
        Normalizer::ByteLevel => json!({"type": "ByteLevel"}),
    }
}

fn step(step: &Step) -> Value {
    match step {
        Step::ByteLevel { add_prefix_space, split } => json!({
            "type": "ByteLevel",
            "add_prefix_space": add_prefix_space,
            "trim_offsets": true,
            "use_regex": split.is_some(),
        }),
        Step::Split { pattern: at, behavior: how, invert } => {
            json!({"type": "Split", "pattern": pattern(at), "behavior": behavior(*how), "invert": invert})
        }
        Step::Digits { individual } => json!({"type": "Digits", "individual_digits": individual}),
        Step::Metaspace { replacement, prepend, split } => json!({
            "type": "Metaspace",
            "replacement": replacement,
            "prepend_scheme": match prepend {
                PrependScheme::Always => "always",
                PrependScheme::First => "first",
                PrependScheme::Never => "never",
            },
            "split": split,
        }),
        Step::Whitespace => json!({"type": "Whitespace"}),
        Step::WhitespaceSplit => json!({"type": "WhitespaceSplit"}),
        Step::Punctuation { behavior: how } => json!({"type": "Punctuation", "behavior": behavior(*how)}),
    }
}

fn decode_step(step: &DecodeStep) -> Value {
    match step {
        DecodeStep::ByteLevel => {
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
        }
        DecodeStep::Metaspace { replacement, strip_first } => json!({
            "type": "Metaspace",
            "replacement": replacement,
            "prepend_scheme": if *strip_first { "always" } else { "never" },
            "split": true,
        }),
        DecodeStep::ByteFallback => json!({"type": "ByteFallback"}),
        DecodeStep::Fuse => json!({"type": "Fuse"}),
        DecodeStep::Replace { pattern: from, content } => {
            json!({"type": "Replace", "pattern": pattern(from), "content": content})
        }
        DecodeStep::Strip { content, start, stop } => {
            json!({"type": "Strip", "content": content, "start": start, "stop": stop})
        }
        DecodeStep::Suffix(suffix) => json!({"type": "BPEDecoder", "suffix": suffix}),
    }
}
