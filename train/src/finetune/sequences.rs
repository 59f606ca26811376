//! The sequences of a fine-tuning: chats, texts with a learnt end, or documents cut into pieces of the context length.

use std::collections::BTreeMap;
use std::path::Path;

use glassbox_model::chat::ChatTemplate;
use glassbox_tokenizer::{EncodeOptions, Tokenizer};

use super::chats::Chats;
use super::layout::{self, Content, Layout};
use super::records::{self, Record};
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

/// The sequences of a file or folder, and what was found in it.
#[derive(Clone, Debug, Default)]
pub struct TrainingData {
    /// The sequences that have at least one token in the loss.
    pub sequences: Vec<TrainingSequence>,
    /// The layout of its records; `None` for plain text.
    pub layout: Option<Layout>,
    /// The number of records.
    pub records: usize,
    /// The names of fields that have no effect, each with the number of records that have it.
    pub unread: BTreeMap<String, usize>,
    /// Chats that give a sequence for each answer, since the template renders earlier turns differently when later ones
    /// follow.
    pub split: usize,
    /// Sequences that are cut to the context.
    pub truncated: usize,
    /// Sequences without a token in the loss, which are left out.
    pub empty: usize,
}

/// Reads the sequences of `path`: records of JSON if it is a `.jsonl`, `.ndjson` or `.json` file, otherwise the
/// documents of a file or folder, of which every token counts in the loss. Sequences have at most `context + 1` tokens.
///
/// # Errors
/// [`DataError`] with the file and line.
pub fn read_sequences(
    path: &Path,
    template: Option<&ChatTemplate>,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<TrainingData, DataError> {
    let mut data = match records::has_records(path) {
        true => read_records(path, template, tokenizer, context)?,
        false => read_documents(path, tokenizer, context)?,
    };
    for sequence in &mut data.sequences {
        data.truncated += usize::from(sequence.ids.len() > context + 1);
        sequence.ids.truncate(context + 1);
        sequence.in_loss.truncate(context + 1);
    }
    let before = data.sequences.len();
    // The first token is never predicted.
    data.sequences.retain(|sequence| sequence.in_loss.iter().skip(1).any(|in_loss| *in_loss));
    data.empty = before - data.sequences.len();
    match data.sequences.is_empty() {
        true if before > 0 && data.layout.is_some() => Err(DataError::Example {
            place: path.display().to_string(),
            problem: "nothing to learn: every answer is empty, has weight 0, or is beyond the context".into(),
        }),
        true => Err(DataError::NoText { path: path.to_path_buf() }),
        false => Ok(data),
    }
}

fn read_records(
    path: &Path,
    template: Option<&ChatTemplate>,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<TrainingData, DataError> {
    let mut data = TrainingData::default();
    let mut first_place = String::new();
    for Record { place, json } in records::read(path)? {
        let wrong = |problem: String| DataError::Example { place: place.clone(), problem };
        let (layout, content) = layout::read(&json).map_err(wrong)?;
        match data.layout {
            None => (data.layout, first_place) = (Some(layout), place.clone()),
            Some(first) if first != layout => {
                return Err(wrong(format!(
                    "this record has the layout {layout}, but {first_place} has {first}: a file must have one layout"
                )));
            }
            Some(_) => {}
        }
        data.records += 1;
        let unread = match content {
            Content::Chat { conversation, learnt } => {
                let template = template.ok_or_else(|| {
                    wrong(format!(
                        "this checkpoint has no chat template, so chats ({layout}) cannot be rendered; it can be \
                         fine-tuned on texts"
                    ))
                })?;
                let chats = Chats { template, tokenizer };
                let sequences = chats.encode(&conversation, &learnt).map_err(wrong)?;
                data.split += usize::from(sequences.len() > 1);
                data.sequences.extend(sequences);
                chats.unread(&conversation)
            }
            Content::Text { prompt, completion, unread } => {
                match layout {
                    Layout::Text => data.sequences.extend(pieces(&completion, tokenizer, context)?),
                    _ => data.sequences.push(completed(&prompt, &completion, tokenizer)?),
                }
                unread
            }
        };
        unread.into_iter().for_each(|name| *data.unread.entry(name).or_default() += 1);
    }
    Ok(data)
}

/// A text of which only the end is learnt: the tokens with a character of `completion`, and the end of the sequence.
fn completed(prompt: &str, completion: &str, tokenizer: &Tokenizer) -> Result<TrainingSequence, DataError> {
    let tokens =
        tokenizer.encode_with_offsets(&format!("{prompt}{completion}"), &EncodeOptions::default())?;
    let mut ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let mut in_loss: Vec<bool> = tokens.iter().map(|token| token.range.end > prompt.len()).collect();
    let end = tokenizer.eos_id().map_or_else(|| end_of_document(tokenizer), Ok)?;
    if ids.last() != Some(&end) {
        ids.push(end);
        in_loss.push(true);
    }
    Ok(TrainingSequence { ids, in_loss })
}

fn read_documents(path: &Path, tokenizer: &Tokenizer, context: usize) -> Result<TrainingData, DataError> {
    let documents = Documents::open(path)?;
    let mut data = TrainingData { records: documents.len(), ..TrainingData::default() };
    for index in 0..documents.len() {
        data.sequences.extend(pieces(&documents.get(index), tokenizer, context)?);
    }
    Ok(data)
}

/// A text in pieces of the context length, all of which is learnt.
fn pieces(text: &str, tokenizer: &Tokenizer, context: usize) -> Result<Vec<TrainingSequence>, DataError> {
    let mut ids = tokenizer.encode(text, &EncodeOptions::default())?;
    ids.push(end_of_document(tokenizer)?);
    // Consecutive pieces share one token: the last target of one is the first input of the next.
    let starts = (0..ids.len().saturating_sub(1)).step_by(context.max(1));
    let piece = |start: usize| {
        let ids = ids[start..ids.len().min(start + context + 1)].to_vec();
        TrainingSequence { in_loss: vec![true; ids.len()], ids }
    };
    Ok(starts.map(piece).collect())
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
