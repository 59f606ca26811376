//! The sequences of a fine-tuning: chats, or documents cut into pieces of the context length.

use std::fs;
use std::path::Path;

use glassbox_model::chat::ChatTemplate;
use glassbox_tokenizer::{EncodeOptions, Tokenizer};

use super::chats;
use crate::Batch;
use crate::data::{DataError, Documents, end_of_document};

/// A sequence, and which of its tokens count in the loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingSequence {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Whether the prediction of each token counts in the loss.
    pub in_loss: Vec<bool>,
}

/// Reads the sequences of `path`: chats if it is a `.jsonl` file, otherwise the documents of a file or folder, of which
/// every token counts in the loss. Sequences have at most `context + 1` tokens.
///
/// # Errors
/// [`DataError`] with the file and line.
pub fn read_sequences(
    path: &Path,
    template: Option<&ChatTemplate>,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<Vec<TrainingSequence>, DataError> {
    let sequences = match path.extension().is_some_and(|extension| extension == "jsonl") {
        true => read_chats(path, template, tokenizer)?,
        false => read_documents(path, tokenizer, context)?,
    };
    // Long chats are truncated to the context.
    let cut = sequences.into_iter().map(|mut sequence| {
        sequence.ids.truncate(context + 1);
        sequence.in_loss.truncate(context + 1);
        sequence
    });
    // The first token is never predicted.
    let useful: Vec<TrainingSequence> =
        cut.filter(|sequence| sequence.in_loss.iter().skip(1).any(|in_loss| *in_loss)).collect();
    match useful.is_empty() {
        true => Err(DataError::NoText { path: path.to_path_buf() }),
        false => Ok(useful),
    }
}

fn read_chats(
    path: &Path,
    template: Option<&ChatTemplate>,
    tokenizer: &Tokenizer,
) -> Result<Vec<TrainingSequence>, DataError> {
    let Some(template) = template else {
        let problem =
            "this checkpoint has no chat template, so it can be fine-tuned only on plain text".to_owned();
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

fn read_documents(
    path: &Path,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<Vec<TrainingSequence>, DataError> {
    let documents = Documents::open(path)?;
    let end = end_of_document(tokenizer)?;
    let mut sequences = Vec::new();
    for index in 0..documents.len() {
        let mut ids = tokenizer.encode(&documents.get(index), &EncodeOptions::default())?;
        ids.push(end);
        // Consecutive pieces share one token: the last target of one is the first input of the next.
        let starts = (0..ids.len().saturating_sub(1)).step_by(context);
        sequences.extend(starts.map(|start| {
            let ids = ids[start..ids.len().min(start + context + 1)].to_vec();
            TrainingSequence { in_loss: vec![true; ids.len()], ids }
        }));
    }
    Ok(sequences)
}

/// A batch of sequences, padded to equal length with predictions of weight 0.
pub(super) fn batch(sequences: &[&TrainingSequence]) -> Batch {
    let tokens = sequences.iter().map(|sequence| sequence.ids.len() - 1).max().unwrap_or(0);
    let mut batch = Batch {
        ids: Vec::new(),
        targets: Vec::new(),
        weights: Vec::new(),
        sequences: sequences.len(),
        tokens,
    };
    for sequence in sequences {
        let len = sequence.ids.len() - 1;
        batch.ids.extend(&sequence.ids[..len]);
        batch.targets.extend(&sequence.ids[1..]);
        batch.weights.extend(sequence.in_loss[1..].iter().map(|in_loss| f32::from(u8::from(*in_loss))));
        let filled = batch.ids.len() + tokens - len;
        // Any token serves as padding: earlier tokens do not attend to it, and its prediction has weight 0.
        batch.ids.resize(filled, sequence.ids[0]);
        batch.targets.resize(filled, sequence.ids[0]);
        batch.weights.resize(filled, 0.0);
    }
    batch
}
