//! The examples of a fine-tuning: chats, or plain text in pieces as long as the context.

use std::fs;
use std::path::Path;

use glassbox_model::chat::ChatTemplate;
use glassbox_tokenizer::{EncodeOptions, Tokenizer};

use super::chats;
use crate::Batch;
use crate::data::{DataError, Documents, end_of_document};

/// One text and which of its tokens are to be learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Whether the model is to learn to say this token.
    pub learnt: Vec<bool>,
}

/// The examples in `path`: chats if it is a `.jsonl` file, else the documents of a file or a folder, each token of which
/// is learnt. None is longer than `context` and one token.
///
/// # Errors
/// [`DataError`] naming the file and line.
pub fn read_texts(
    path: &Path,
    template: Option<&ChatTemplate>,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<Vec<Text>, DataError> {
    let texts = match path.extension().is_some_and(|extension| extension == "jsonl") {
        true => read_chats(path, template, tokenizer)?,
        false => read_documents(path, tokenizer, context)?,
    };
    // A long chat is learnt from as far as the context reaches.
    let cut = texts.into_iter().map(|mut text| {
        text.ids.truncate(context + 1);
        text.learnt.truncate(context + 1);
        text
    });
    // The first token is never predicted.
    let useful: Vec<Text> = cut.filter(|text| text.learnt.iter().skip(1).any(|learnt| *learnt)).collect();
    match useful.is_empty() {
        true => Err(DataError::NoText { path: path.to_path_buf() }),
        false => Ok(useful),
    }
}

fn read_chats(
    path: &Path,
    template: Option<&ChatTemplate>,
    tokenizer: &Tokenizer,
) -> Result<Vec<Text>, DataError> {
    let Some(template) = template else {
        let problem =
            "this checkpoint has no chat template, so it can learn from plain text alone".to_owned();
        return Err(DataError::Example { place: path.display().to_string(), problem });
    };
    let bytes = fs::read(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| DataError::NotText {
        path: path.to_path_buf(),
        at: error.utf8_error().valid_up_to(),
        what: "is not UTF-8",
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            chats::read(line, &format!("{}, line {}", path.display(), i + 1), template, tokenizer)
        })
        .collect()
}

fn read_documents(path: &Path, tokenizer: &Tokenizer, context: usize) -> Result<Vec<Text>, DataError> {
    let documents = Documents::open(path)?;
    let end = end_of_document(tokenizer)?;
    let mut texts = Vec::new();
    for index in 0..documents.len() {
        let mut ids = tokenizer.encode(&documents.get(index), &EncodeOptions::default())?;
        ids.push(end);
        // Pieces share one token: the last of one is what the next one's first prediction follows.
        let starts = (0..ids.len().saturating_sub(1)).step_by(context);
        texts.extend(starts.map(|start| {
            let ids = ids[start..ids.len().min(start + context + 1)].to_vec();
            Text { learnt: vec![true; ids.len()], ids }
        }));
    }
    Ok(texts)
}

/// Texts side by side, the shorter ones filled up with predictions that do not count.
pub(super) fn batch(texts: &[&Text]) -> Batch {
    let tokens = texts.iter().map(|text| text.ids.len() - 1).max().unwrap_or(0);
    let mut batch =
        Batch { ids: Vec::new(), targets: Vec::new(), weights: Vec::new(), texts: texts.len(), tokens };
    for text in texts {
        let len = text.ids.len() - 1;
        batch.ids.extend(&text.ids[..len]);
        batch.targets.extend(&text.ids[1..]);
        batch.weights.extend(text.learnt[1..].iter().map(|learnt| f32::from(u8::from(*learnt))));
        let filled = batch.ids.len() + tokens - len;
        // Any token will do: nothing before it sees it, and its prediction has no weight.
        batch.ids.resize(filled, text.ids[0]);
        batch.targets.resize(filled, text.ids[0]);
        batch.weights.resize(filled, 0.0);
    }
    batch
}
