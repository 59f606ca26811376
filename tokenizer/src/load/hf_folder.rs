//! A folder of Hugging Face's: `tokenizer.json`, or `vocab.json` and `merges.txt`, and the files beside them.
//!
//! `tokenizer_config.json` names special tokens, adds tokens, and chooses a class. The result is that of
//! `AutoTokenizer.from_pretrained` in transformers 5.

use std::path::Path;

use serde_json::{Value, json};

use super::classes::{self, Class};
use super::json::Node;
use super::special_tokens::{OlderFiles, SpecialTokens};
use crate::error::{Error, Result, Warning};
use crate::template::Template;
use crate::tokenizer::Tokenizer;

/// Opens a folder.
pub(super) fn open(folder: &Path) -> Result<Tokenizer> {
    let whole = folder.join("tokenizer.json");
    let vocab = folder.join("vocab.json");
    let config = read_json(folder, "tokenizer_config.json")?;
    if !whole.is_file() && config.is_none() {
        return Tokenizer::from_file(vocab);
    }
    let has_whole = whole.is_file();
    let path = if has_whole { whole } else { vocab };
    let text = super::open::read(&path)?;
    let mut file: Value = serde_json::from_str(&text).map_err(|error| Error::Json(error).in_file(&path))?;
    if !has_whole {
        let merges = super::open::read(&folder.join("merges.txt"))?;
        let merges: Vec<&str> = merges
            .trim_end_matches(['\n', '\r'])
            .lines()
            .filter(|line| !line.starts_with("#version"))
            .collect();
        file = json!({"added_tokens": [], "model": {"type": "BPE", "vocab": file, "merges": merges}});
    }
    let model = read_json(folder, "config.json")?.unwrap_or_default();
    let empty = json!({});
    let config = config.unwrap_or(empty);
    let config_path = folder.join("tokenizer_config.json");
    let config = Node::root(&config);
    config.object().map_err(|error| error.in_file(&config_path))?;

    let text_of = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let named = text_of(config.value, "tokenizer_class").or_else(|| text_of(&model, "tokenizer_class"));
    let is_bpe = file["model"]["type"] == "BPE";
    let class = match classes::class_of(
        named.as_deref(),
        text_of(&model, "model_type").as_deref(),
        text.contains("\"ByteLevel\""),
    ) {
        // Two files without a class that is known are GPT-2's.
        Class::File | Class::Unknown(_) if !has_whole => Class::Gpt2,
        class if !is_bpe && class.builds() => Class::File,
        class => class,
    };

    let in_tokenizer = file["added_tokens"].clone();
    let (map, added) =
        (read_json(folder, "special_tokens_map.json")?, read_json(folder, "added_tokens.json")?);
    let older = OlderFiles {
        special_tokens_map: map.as_ref(),
        added_tokens: added.as_ref(),
        in_tokenizer: &Node::root(&in_tokenizer),
    };
    let tokens = SpecialTokens::read(&config, &older, class.special_tokens());
    let tokens = tokens.map_err(|error| error.in_file(&config_path))?;
    class
        .build(&mut file, &config, tokens.named("unk_token"))
        .map_err(|error| error.in_file(&config_path))?;
    let mut tokenizer = Tokenizer::from_value(&file).map_err(|error| error.in_file(&path))?;
    apply(&mut tokenizer, &tokens, class, &config, has_whole).map_err(|error| error.in_file(&config_path))?;
    Ok(tokenizer)
}

fn apply(
    tokenizer: &mut Tokenizer,
    tokens: &SpecialTokens,
    class: Class,
    config: &Node<'_>,
    has_whole: bool,
) -> Result<()> {
    let existing: Vec<String> =
        tokenizer.added_tokens().sorted().into_iter().map(|token| token.content.clone()).collect();
    tokenizer.add_tokens(tokens.to_add(&existing))?;
    if class == Class::Qwen2 {
        tokenizer.add_tokens(tokens.all_plain())?;
    }
    let id_of = |tokenizer: &Tokenizer, role: &str| tokenizer.token_to_id(tokens.named(role)?);
    let (bos, eos) = (id_of(tokenizer, "bos_token"), id_of(tokenizer, "eos_token"));
    tokenizer.set_bos_id(bos);
    tokenizer.set_eos_id(eos);
    // Beside a tokenizer.json, which has a post-processor, the two settings have no effect.
    if !has_whole {
        let wanted = |key: &str, id: Option<u32>| -> Result<Vec<u32>> {
            Ok(id.filter(|_| config.get(key).bool_or(false).unwrap_or(false)).into_iter().collect())
        };
        tokenizer
            .set_template(Template::around(wanted("add_bos_token", bos)?, wanted("add_eos_token", eos)?));
    }
    tokenizer.set_splits_special(config.get("split_special_tokens").bool_or(false)?);
    if let Class::Unknown(name) = class {
        let reason = "this class is not known; the tokenizer.json is used as it is";
        tokenizer.warn([Warning::Ignored { setting: format!("tokenizer_class {name}"), reason }]);
    }
    let clean_up = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";
    if config.get(clean_up).bool_or(false)? && config.get("clean_up_tokenization_spaces").bool_or(false)? {
        let reason = "decoded text is not changed";
        tokenizer.warn([Warning::Ignored { setting: clean_up.to_owned(), reason }]);
    }
    Ok(())
}

/// A JSON file of the folder, if it exists.
fn read_json(folder: &Path, name: &str) -> Result<Option<Value>> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let text = super::open::read(&path)?;
    serde_json::from_str(&text).map(Some).map_err(|error| Error::Json(error).in_file(&path))
}
