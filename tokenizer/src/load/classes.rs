//! Tokenizer classes: what transformers 5 makes of a folder depends on `tokenizer_class` and on the model's type.
//!
//! Most folders are read as the `tokenizer.json` says. Some classes take only the vocabulary, the merges and the
//! post-processor from it, and build the rest themselves; settings such as `add_prefix_space` and `legacy` apply to
//! these alone.

use serde_json::{Value, json};

use super::json::Node;
use crate::error::Result;
use crate::patterns;

/// What builds a tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The file.
    File,
    Llama,
    Gpt2,
    Qwen2,
    Qwen35,
    Gemma,
    GptNeoX,
    /// A class that builds the rest itself, in a way that this crate does not know.
    Unknown(&'static str),
}

/// Classes by name.
const CLASSES: &[(&str, Class)] = &[
    ("LlamaTokenizer", Class::Llama),
    ("GPT2Tokenizer", Class::Gpt2),
    ("Qwen2Tokenizer", Class::Qwen2),
    ("Qwen3_5Tokenizer", Class::Qwen35),
    ("GemmaTokenizer", Class::Gemma),
    ("GPTNeoXTokenizer", Class::GptNeoX),
    ("CodeLlamaTokenizer", Class::Unknown("CodeLlamaTokenizer")),
    ("CohereTokenizer", Class::Unknown("CohereTokenizer")),
    ("CodeGenTokenizer", Class::Unknown("CodeGenTokenizer")),
    ("RobertaTokenizer", Class::Unknown("RobertaTokenizer")),
    ("WhisperTokenizer", Class::Unknown("WhisperTokenizer")),
    ("NllbTokenizer", Class::Unknown("NllbTokenizer")),
    ("OpenAIGPTTokenizer", Class::Unknown("OpenAIGPTTokenizer")),
];

/// The class that a type of model is registered with; `Some(Class::File)` if that is the generic one.
fn registered(model_type: &str) -> Option<Class> {
    Some(match model_type {
        "gpt2" | "phi" | "opt" | "starcoder2" | "gpt_bigcode" => Class::Gpt2,
        "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" | "qwen3_next" => Class::Qwen2,
        "qwen3_5" | "qwen3_5_moe" => Class::Qwen35,
        "gemma" | "gemma2" | "gemma3" | "gemma3_text" => Class::Gemma,
        "gpt_neox" | "olmo" | "mpt" => Class::GptNeoX,
        "cohere" | "cohere2" => Class::Unknown("CohereTokenizer"),
        "mistral" | "mixtral" | "phi3" | "olmo2" | "granite" | "stablelm" | "glm4" => Class::File,
        _ => return None,
    })
}

/// Types of models whose folders are known to name a wrong class.
const WRONG_IN_FOLDERS: &[&str] =
    &["phi3", "phimoe", "qwen2", "qwen3_5", "qwen3_5_moe", "internlm2", "nemotron", "jamba"];

/// The class of a folder. `named` is its `tokenizer_class`; `is_byte_level` is whether its tokenizer.json mentions a
/// byte-level step.
pub(super) fn class_of(named: Option<&str>, model_type: Option<&str>, is_byte_level: bool) -> Class {
    let own = model_type.and_then(registered);
    let Some(name) = named.map(|name| name.strip_suffix("Fast").unwrap_or(name)) else {
        return own.unwrap_or(Class::File);
    };
    let by_name = CLASSES.iter().find(|known| known.0 == name).map_or(Class::File, |known| known.1);
    let is_wrong = model_type.is_some_and(|model_type| WRONG_IN_FOLDERS.contains(&model_type));
    // Llama 3 names the class of Llama 2.
    if by_name == Class::Llama && is_byte_level && !is_wrong {
        return Class::File;
    }
    match own {
        Some(own) if own != by_name => match own {
            Class::File => Class::File,
            own if is_wrong => own,
            _ => by_name,
        },
        _ => by_name,
    }
}

impl Class {
    /// The special tokens of a folder that does not mention their roles.
    pub(super) fn special_tokens(self) -> &'static [(&'static str, &'static str)] {
        const END: &str = "<|endoftext|>";
        match self {
            Class::Llama => &[("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")],
            Class::Gpt2 => &[("unk_token", END), ("bos_token", END), ("eos_token", END)],
            Class::Qwen2 | Class::Qwen35 => &[("unk_token", END), ("eos_token", END), ("pad_token", END)],
            Class::Gemma => &[
                ("unk_token", "<unk>"),
                ("bos_token", "<bos>"),
                ("eos_token", "<eos>"),
                ("pad_token", "<pad>"),
                ("mask_token", "<mask>"),
            ],
            Class::GptNeoX => {
                &[("unk_token", END), ("bos_token", END), ("eos_token", END), ("pad_token", "<|padding|>")]
            }
            Class::File | Class::Unknown(_) => &[],
        }
    }

    /// Whether this class builds the steps, rather than the file.
    pub(super) fn builds(self) -> bool {
        !matches!(self, Class::File | Class::Unknown(_))
    }

    /// Puts this class's steps in place of those of a tokenizer.json, and removes the added tokens, which the class
    /// adds itself.
    pub(super) fn build(self, file: &mut Value, config: &Node<'_>, unk_token: Option<&str>) -> Result<()> {
        if !self.builds() {
            return Ok(());
        }
        let prefix = config.get("add_prefix_space");
        let marks = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let (bytes, fuse) = (json!({"type": "ByteFallback"}), json!({"type": "Fuse"}));
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let byte_level = |use_regex: bool| -> Result<Value> {
            let prefix = prefix.bool_or(false)?;
            Ok(json!({"type": "ByteLevel", "add_prefix_space": prefix, "use_regex": use_regex}))
        };
        let by_pattern = |pattern: &str| -> Result<Value> {
            let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"});
            Ok(json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)?]}))
        };
        let nfc = json!({"type": "NFC"});
        let (normalizer, pre_tokenizer, decoder) = match self {
            Class::Llama => {
                let prefix = prefix.bool_or(true)?;
                let scheme = match (prefix, config.get("legacy").bool_or(false)?) {
                    (false, _) => "never",
                    (true, true) => "always",
                    (true, false) => "first",
                };
                let mut decoders = vec![marks, bytes, fuse];
                decoders.extend(prefix.then_some(strip));
                let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
                (Value::Null, metaspace, json!({"type": "Sequence", "decoders": decoders}))
            }
            Class::Gemma => (
                json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
                json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}),
                json!({"type": "Sequence", "decoders": [marks, bytes, fuse]}),
            ),
            Class::Qwen2 => (nfc, by_pattern(patterns::QWEN2)?, json!({"type": "ByteLevel"})),
            Class::Qwen35 => (nfc, by_pattern(patterns::QWEN35)?, json!({"type": "ByteLevel"})),
            Class::GptNeoX => (nfc, byte_level(true)?, json!({"type": "ByteLevel"})),
            Class::Gpt2 | Class::File | Class::Unknown(_) => {
                (Value::Null, byte_level(true)?, json!({"type": "ByteLevel"}))
            }
        };
        let with_bytes = matches!(self, Class::Llama | Class::Gemma);
        // With a token for every byte, nothing is unknown.
        let vocab = &file["model"]["vocab"];
        let unk_token = unk_token.filter(|token| self == Class::Gemma && vocab.get(token).is_some());
        let model = json!({
            "type": "BPE",
            "unk_token": unk_token,
            "fuse_unk": with_bytes,
            "byte_fallback": with_bytes,
            "vocab": file["model"]["vocab"].take(),
            "merges": file["model"]["merges"].take(),
        });
        let post_processor = if self == Class::GptNeoX { Value::Null } else { file["post_processor"].take() };
        *file = json!({
            "added_tokens": [],
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor,
            "decoder": decoder,
            "model": model,
        });
        Ok(())
    }
}
