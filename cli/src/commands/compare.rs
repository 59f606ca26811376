//! `compare`: the similarity of a token's vectors in two texts, layer by layer.

use std::ffi::OsString;

use anyhow::anyhow;
use clap::Args;
use glassbox_model::glass::compare_in_context;
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::predict::{shown, text};
use super::view::{TokenArgs, ids, texts};
use crate::args::{Ids, MachineArgs, ModelArgs, argument_bytes};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{Out, note};
use crate::prompt::{Prompt, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox compare \"machine learning model\" \"fashion model\"\n\
\x20 glassbox compare \"the river bank\" \"the bank gave a loan\" --token bank";

/// Compare a token's vectors in two texts, layer by layer
///
/// A token has the same embedding in every text; each layer adds information from the tokens before it. The cosine of
/// the token's two vectors shows how far they have diverged: 1 is the same direction. The token is the last one that
/// both texts have in common, or the one given.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// The two texts
    #[arg(value_name = "PROMPT", num_args = 2, required_unless_present = "ids", conflicts_with = "ids")]
    prompts: Vec<OsString>,
    /// A text as token ids, such as 1,2,3; give it twice
    #[arg(long, value_name = "IDS")]
    ids: Vec<Ids>,
    #[command(flatten)]
    token: TokenArgs,
    /// Parse special tokens in the texts, which are plain text otherwise
    #[arg(long)]
    special: bool,
    /// Write one JSON object: a and b (ids, tokens, position, token), and the cosine before the first layer and after
    /// each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    a: Side<'a>,
    b: Side<'a>,
    before: f64,
    layers: &'a [f64],
}

#[derive(Serialize)]
struct Side<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    position: usize,
    token: String,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let mut prompts: Vec<Prompt> =
        arguments.prompts.iter().map(|text| Prompt::Text(argument_bytes(text))).collect();
    prompts.extend(arguments.ids.iter().map(|Ids(ids)| Prompt::Ids(ids.clone())));
    let Ok([a, b]) = <[Prompt; 2]>::try_from(prompts) else {
        return Err(Usage("give two texts, or --ids twice".into()).into());
    };
    let source = Source::open(&arguments.model)?;
    let [a, b] = [a, b].map(|prompt| ids(prompt, &source, special(arguments.special)));
    let (a, b) = (a?, b?);
    let tokenizer = source.maybe_tokenizer();
    let named = |ids: &[u32], which: &str| {
        arguments.token.position(&source, ids).map_err(|error| anyhow!("the {which} prompt: {error}"))
    };
    let (a_position, b_position) = if arguments.token.is_given() {
        (named(&a, "first")?.unwrap_or(0), named(&b, "second")?.unwrap_or(0))
    } else {
        last_shared(&a, &b, tokenizer)
            .ok_or_else(|| anyhow!("the prompts have no token in common; give one with --token"))?
    };
    let (model, _) = source.load(&arguments.machine)?;
    let similarities = compare_in_context(&model, (&a, a_position), (&b, b_position))?;
    if arguments.json {
        let side = |ids, position| {
            let token = text(tokenizer, <[u32]>::get(ids, position).copied().unwrap_or(0));
            Side { ids, tokens: texts(tokenizer, ids), position, token }
        };
        let (a, b) = (side(&a, a_position), side(&b, b_position));
        return out.json(&Report { a, b, before: similarities.before, layers: &similarities.after });
    }
    for (ids, position) in [(&a, a_position), (&b, b_position)] {
        let tokens = ids.iter().enumerate().map(|(i, &id)| {
            let token = shown(tokenizer, id);
            if i == position { format!("[{token}]") } else { token }
        });
        note(tokens.collect::<Vec<_>>().join(" · "));
    }
    out.line(out.paint(2, "layer   cosine"))?;
    let layers = similarities.after.iter().enumerate().map(|(layer, cosine)| (layer.to_string(), cosine));
    for (layer, &cosine) in std::iter::once(("before".to_owned(), &similarities.before)).chain(layers) {
        let line = format!("{layer:>6}  {cosine:>+7.4}");
        let columns = out.width().map_or(0, |width| width.saturating_sub(line.len() + 3).min(50));
        let bar = "█".repeat((cosine.clamp(0.0, 1.0) * columns as f64).round() as usize);
        out.line(format!("{line}  {}", out.paint(36, &bar)).trim_end())?;
    }
    Ok(())
}

/// The last token of `a` that also occurs in `b`: its last positions in both. Special tokens are skipped, since they
/// occur in every text.
fn last_shared(a: &[u32], b: &[u32], tokenizer: Option<&Tokenizer>) -> Option<(usize, usize)> {
    let counts = |id: u32| !tokenizer.is_some_and(|tokenizer| tokenizer.is_special(id));
    let in_b = |id: u32| b.iter().rposition(|&other| other == id);
    (0..a.len()).rev().filter(|&i| counts(a[i])).find_map(|i| Some((i, in_b(a[i])?)))
}
