//! The tokenizer and the chat template in a GGUF's metadata.

use glassbox_tensor::file::gguf::{Gguf, Value};
use glassbox_tokenizer::GgufVocab;

use crate::chat::{self, ChatTemplate, SpecialTokens};
use crate::ends;
use crate::error::Error;
use crate::load::GenerationConfig;
use crate::warning::Warning;

const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";

/// The values of `token_type` that matter here.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;

/// The keys of token ids.
const IDS: [&str; 12] = [
    "bos_token_id",
    "eos_token_id",
    "eot_token_id",
    "eom_token_id",
    "unknown_token_id",
    "seperator_token_id",
    "padding_token_id",
    "cls_token_id",
    "mask_token_id",
    "fim_pad_token_id",
    "fim_rep_token_id",
    "fim_sep_token_id",
];

/// Of [`IDS`], those that end a generation in llama.cpp.
const ENDS: [&str; 6] = [
    "eos_token_id",
    "eot_token_id",
    "eom_token_id",
    "fim_pad_token_id",
    "fim_rep_token_id",
    "fim_sep_token_id",
];

/// Reads the tokenizer's metadata; `None` if there are none.
pub(crate) fn vocabulary(file: &Gguf) -> Result<Option<GgufVocab>, Error> {
    if file.value("tokenizer.ggml.model").is_none() || file.get_str("tokenizer.ggml.model")? == "none" {
        return Ok(None);
    }
    let has = |key: &str| file.value(key).is_some();
    let texts = |key: &str| -> Result<Vec<String>, Error> {
        Ok(file.get_str_array(key)?.into_iter().map(str::to_owned).collect())
    };
    let flag = |name: &str| -> Result<Option<bool>, Error> {
        let key = format!("tokenizer.ggml.{name}");
        Ok(if has(&key) { Some(file.get_bool(&key)?) } else { None })
    };
    let model = file.get_str("tokenizer.ggml.model")?;
    let (add_bos, add_eos) = (flag("add_bos_token")?, flag("add_eos_token")?);
    let needed = |name: &str, needed: Option<bool>| match invalid_id(file, name) {
        Some((key, expected, found)) if needed == Some(true) && default_id(file, name).is_none() => {
            Err(Error::Config { path: file.path().into(), key, expected, found })
        }
        _ => Ok(id(file, name)),
    };
    let tokens = file.get_str_array(TOKENS)?;
    let (scores, types) = (SCORES, TYPES);
    let mut scores = has(scores).then(|| file.get_f32_array(scores)).transpose()?;
    let mut types = has(types).then(|| file.get_i32_array(types)).transpose()?;
    scores.iter_mut().for_each(|scores| scores.truncate(tokens.len()));
    types.iter_mut().for_each(|types| types.truncate(tokens.len()));
    if model == "gpt2" {
        // Byte-level BPE has ranks instead.
        scores = None;
    }
    for (token, _) in control_looking(&tokens, types.as_deref()) {
        let types = types.get_or_insert_with(|| {
            let ends = ["bos_token_id", "eos_token_id"].map(|name| id(file, name));
            let is_end = |i: usize| ends.iter().flatten().any(|end| *end as usize == i);
            (0..tokens.len()).map(|i| if is_end(i) { CONTROL } else { NORMAL }).collect()
        });
        if let Some(kind) = types.get_mut(token) {
            *kind = CONTROL;
        }
    }
    Ok(Some(GgufVocab {
        model: model.to_owned(),
        pre: has("tokenizer.ggml.pre")
            .then(|| file.get_str("tokenizer.ggml.pre"))
            .transpose()?
            .map(str::to_owned),
        tokens: tokens.into_iter().collect(),
        scores,
        token_types: types,
        merges: has("tokenizer.ggml.merges").then(|| texts("tokenizer.ggml.merges")).transpose()?,
        bos: needed("bos_token_id", add_bos)?,
        eos: needed("eos_token_id", add_eos)?,
        unk: id(file, "unknown_token_id"),
        pad: id(file, "padding_token_id"),
        add_bos,
        add_eos,
        add_space_prefix: flag("add_space_prefix")?,
    }))
}

/// The tokens that the file says end a sequence, a turn or a message.
pub(crate) fn eos_ids(file: &Gguf) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::new();
    for id in ENDS.iter().filter_map(|name| id(file, name)) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// The recommended generation settings: the keys `general.sampling.*` that llama.cpp writes and reads.
pub(crate) fn generation(file: &Gguf) -> Result<GenerationConfig, Error> {
    let key = |name: &str| format!("general.sampling.{name}");
    let number = |name: &str| {
        let key = key(name);
        file.value(&key).is_some().then(|| file.get_f32(&key)).transpose()
    };
    let top_k = key("top_k");
    let top_k = file.value(&top_k).is_some().then(|| file.get_i32(&top_k)).transpose()?;
    Ok(GenerationConfig {
        eos_ids: eos_ids(file),
        do_sample: None,
        temperature: number("temp")?,
        // A count that is not positive keeps all.
        top_k: top_k.map(|count| usize::try_from(count).unwrap_or(0)),
        top_p: number("top_p")?,
        min_p: number("min_p")?,
        repetition_penalty: number("penalty_repeat")?,
    })
}

/// The chat template, with the bos and eos tokens that it may use.
pub(crate) fn chat_template(file: &Gguf) -> Result<Result<Option<ChatTemplate>, chat::Error>, Error> {
    let key = "tokenizer.chat_template";
    if file.value(key).is_none() {
        return Ok(Ok(None));
    }
    let source = file.get_str(key)?;
    let tokens = if file.value(TOKENS).is_some() { file.get_str_array(TOKENS)? } else { Vec::new() };
    let token = |name| id(file, name).and_then(|id| tokens.get(id as usize).copied());
    let special = SpecialTokens::new(token("bos_token_id"), token("eos_token_id"));
    Ok(ChatTemplate::of_gguf(source, special).map(Some))
}

/// What the metadata say that has no effect, or another effect than they say.
pub(crate) fn warnings(file: &Gguf) -> Vec<Warning> {
    let path = || file.path().to_path_buf();
    let mut warnings = Vec::new();
    if !file.not_utf8().is_empty() {
        warnings.push(Warning::NotUtf8 { path: path(), keys: file.not_utf8().to_vec() });
    }
    for name in IDS {
        let Some((key, expected, found)) = invalid_id(file, name) else { continue };
        let instead = match default_id(file, name) {
            Some(id) => format!("taken as {id}"),
            None => "ignored".to_owned(),
        };
        warnings.push(Warning::Invalid { path: path(), key, expected, found, instead });
    }
    let Ok(tokens) = file.get_str_array(TOKENS) else { return warnings };
    for key in [SCORES, TYPES] {
        if let Some(Value::Array(list)) = file.value(key)
            && list.len() > tokens.len()
        {
            let (tokens, found) = (tokens.len(), list.len());
            warnings.push(Warning::TooLong { path: path(), key: key.to_owned(), tokens, found });
        }
    }
    // Old files have no types at all.
    if let Ok(types) = file.get_i32_array(TYPES) {
        let looking = control_looking(&tokens, Some(&types)).into_iter();
        warnings.extend(looking.map(|(id, token)| Warning::ControlLooking {
            path: path(),
            id: id as u32,
            token: token.to_owned(),
        }));
    }
    warnings
}

/// The tokens that end a turn, by their text, and are not marked as control tokens.
fn control_looking<'a>(tokens: &[&'a str], types: Option<&[i32]>) -> Vec<(usize, &'a str)> {
    let marked = |id: usize| types.and_then(|types| types.get(id)) == Some(&CONTROL);
    let tokens = tokens.iter().copied().enumerate();
    tokens.filter(|(id, token)| ends::is_unmistakable(token) && !marked(*id)).collect()
}

/// A special token's id, if it is valid, or llama.cpp's default.
fn id(file: &Gguf, name: &str) -> Option<u32> {
    let id = file.get_u32(&format!("tokenizer.ggml.{name}")).ok();
    id.filter(|id| number_of_tokens(file).is_none_or(|count| (*id as usize) < count))
        .or_else(|| default_id(file, name))
}

/// The key, the expected and the found value of a special token's id, if it is there and invalid.
fn invalid_id(file: &Gguf, name: &str) -> Option<(String, String, String)> {
    let key = format!("tokenizer.ggml.{name}");
    let value = file.value(&key)?;
    let id = value.as_integer().and_then(|id| u32::try_from(id).ok());
    let count = number_of_tokens(file);
    if id.is_some_and(|id| count.is_none_or(|count| (id as usize) < count)) {
        return None;
    }
    let expected = count.map_or("a token id".to_owned(), |count| format!("a token id below {count}"));
    let found = value.to_string();
    let found = match found.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &found[..cut]),
        None => found,
    };
    Some((key, expected, found))
}

/// The id that a SentencePiece model's special token has unless the file says otherwise, if it is a special token.
fn default_id(file: &Gguf, name: &str) -> Option<u32> {
    let id = match name {
        "unknown_token_id" => 0,
        "bos_token_id" => 1,
        "eos_token_id" => 2,
        _ => return None,
    };
    let Some(Value::Array(types)) = file.value(TYPES) else { return None };
    let kind = types.iter().nth(id as usize).and_then(|kind| kind.as_integer())?;
    let is_special = [CONTROL, UNKNOWN].map(i128::from).contains(&kind);
    (is_special && matches!(file.get_str("tokenizer.ggml.model"), Ok("llama"))).then_some(id)
}

fn number_of_tokens(file: &Gguf) -> Option<usize> {
    match file.value(TOKENS) {
        Some(Value::Array(tokens)) => Some(tokens.len()),
        _ => None,
    }
}
