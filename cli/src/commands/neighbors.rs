//! `neighbors`: the tokens with the most similar embeddings.

use std::ffi::OsString;

use anyhow::bail;
use clap::Args;
use glassbox_model::glass::next_word;
use glassbox_model::spec::Role;
use glassbox_tensor::ops;
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::neighbors_in_context;
use super::predict::{shown, text as token_text};
use super::view::{TokenArgs, join, word_after};
use crate::args::{Ids, MachineArgs, ModelArgs, argument_bytes, positive};
use crate::escape;
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{Out, note};
use crate::prompt::Prompt;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox neighbors \" jump\"\n\
\x20 glassbox neighbors --context \"a machine learning model\" --token model\n\
\x20 glassbox neighbors --context \"a fashion model\" --token model --layer 3";

/// Show the tokens with the most similar embeddings
///
/// The embedding of a token is a vector. Tokens that are used alike have embeddings in similar directions: the cosine
/// of two vectors is 1 for the same direction and 0 for orthogonal ones. WORD must be one token, as written or with a
/// space in front, as for words inside a text.
///
/// With --context, the vector is that of a token in the text after each layer, scaled by the final norm, and it is
/// compared with the rows of the unembedding: what the word means in its context.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Word to look up
    #[arg(value_name = "WORD", required_unless_present_any = ["ids", "context", "context_ids"],
        conflicts_with_all = ["ids", "context", "context_ids"])]
    word: Option<OsString>,
    /// Token id to look up, instead of a word
    #[arg(long, value_name = "ID")]
    ids: Option<Ids>,
    /// Text that contains the token; without --token, its last token is used
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["ids", "context_ids"])]
    context: Option<OsString>,
    /// Context as token ids, such as 1,2,3
    #[arg(long, value_name = "IDS", conflicts_with = "ids")]
    context_ids: Option<Ids>,
    #[command(flatten)]
    token: TokenArgs,
    /// With --context, only this layer, counted from 0
    #[arg(long, value_name = "LAYER", conflicts_with_all = ["word", "ids"])]
    layer: Option<usize>,
    /// Number of neighbours to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    top: usize,
    /// Write one JSON object: word, id and neighbors (id, token, cosine); with --context: ids, tokens, position, layers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    word: String,
    id: u32,
    neighbors: Vec<Neighbor>,
}

/// A token near the word.
#[derive(Serialize)]
struct Neighbor {
    id: u32,
    token: String,
    cosine: f64,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let context = match (&arguments.context, &arguments.context_ids) {
        (Some(text), _) => Some(Prompt::Text(argument_bytes(text))),
        (None, Some(Ids(ids))) => Some(Prompt::Ids(ids.clone())),
        (None, None) if arguments.token.is_given() => {
            return Err(Usage("--token and --token-id require --context".into()).into());
        }
        (None, None) => None,
    };
    let source = Source::open(&arguments.model)?;
    if let Some(context) = context {
        let question = neighbors_in_context::Question {
            context,
            token: &arguments.token,
            layer: arguments.layer,
            top: arguments.top,
            json: arguments.json,
        };
        return neighbors_in_context::run(question, &source, &arguments.machine, out);
    }
    let id = match (&arguments.ids, &arguments.word) {
        (Some(Ids(ids)), _) => match ids[..] {
            [id] => id,
            _ => return Err(Usage(format!("--ids: expected one token id, found {}", ids.len())).into()),
        },
        (None, word) => {
            token_of(source.tokenizer()?, &word.as_ref().map(argument_bytes).unwrap_or_default())?
        }
    };
    let vocab_size = source.checkpoint.config().vocab_size;
    if id as usize >= vocab_size {
        bail!("token id {id} is outside the vocabulary of {vocab_size} tokens");
    }
    let tokenizer = source.maybe_tokenizer();
    let (model, _) = source.load(&arguments.machine)?;

    let adapted = model.adapted_vocabulary(Role::Embedding)?;
    let embedding = adapted.as_ref().unwrap_or(&model.vocabulary().embedding);
    let mut vector = vec![0.0; embedding.inputs()];
    let lengths: Vec<f64> = (0..vocab_size).map(|row| length(embedding, row, &mut vector)).collect();
    embedding.row(id as usize, &mut vector);
    let mut dots = vec![0.0; vocab_size];
    model.pool.enter(|team| ops::matmul(team, &vector, embedding, &mut dots));
    let cosine = |other: u32| {
        let lengths = lengths[id as usize] * lengths[other as usize];
        if lengths > 0.0 { f64::from(dots[other as usize]) / lengths } else { 0.0 }
    };
    let mut nearest: Vec<u32> = (0..vocab_size as u32).filter(|&other| other != id).collect();
    nearest.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)).then(a.cmp(&b)));
    nearest.truncate(arguments.top);

    if arguments.json {
        let token = |id| token_text(tokenizer, id);
        let neighbors = nearest.iter().map(|&id| Neighbor { id, token: token(id), cosine: cosine(id) });
        return out.json(&Report { word: token(id), id, neighbors: neighbors.collect() });
    }
    note(format_args!("neighbours of {} ({id})", shown(tokenizer, id)));
    let rows: Vec<(String, u32)> = nearest.iter().map(|&id| (shown(tokenizer, id), id)).collect();
    let widest = rows.iter().map(|(token, _)| escape::width(token)).max().unwrap_or(0);
    let column = widest.clamp(5, out.width().map_or(usize::MAX, |width| width.saturating_sub(19).max(5)));
    let heading = format!("{}  {:>6}  {:>7}", escape::fit("token", column), "cosine", "id");
    out.line(out.paint(2, &heading))?;
    for (token, id) in rows {
        out.line(format_args!("{}  {:>6.4}  {id:>7}", escape::fit(&token, column), cosine(id)))?;
    }
    Ok(())
}

/// The id of a word that is one token: with a space in front, as inside a text, or as it is written.
fn token_of(tokenizer: &Tokenizer, word: &[u8]) -> anyhow::Result<u32> {
    match next_word(tokenizer, word, &[])? {
        None => Err(Usage("the word is empty".into()).into()),
        Some(read) if read.ids.len() == 1 => word_after(tokenizer, word, &[]),
        Some(read) => bail!(
            "{:?} is not one token but {}: {}; give one of these",
            String::from_utf8_lossy(word),
            read.ids.len(),
            join(tokenizer, &read.ids)
        ),
    }
}

fn length(embedding: &glassbox_tensor::PackedMatrix, row: usize, vector: &mut [f32]) -> f64 {
    embedding.row(row, vector);
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}
