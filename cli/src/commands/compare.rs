//! `compare`: the similarity of a token's vectors in two texts, layer by layer.

mod report;

use std::ffi::OsString;

use anyhow::anyhow;
use clap::Args;
use glassbox_model::glass::{Baseline, LayerComparison, RandomCosines, Similarity, compare_in_context};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::explained::paragraph;
use super::neurons::JsonEffect;
use super::position::Place;
use super::predict::{shown, text};
use super::view::{TokenArgs, ids, texts};
use crate::args::{Ids, MachineArgs, ModelArgs, argument_bytes};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::Out;
use crate::prompt::{Prompt, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox compare \"machine learning model\" \"fashion model\"\n\
\x20 glassbox compare \"the river bank\" \"the bank gave a loan\" --token bank";

/// Compare a token's vectors in two texts, layer by layer
///
/// A token has the same embedding in every text; each layer adds information from the tokens before it. The cosine of
/// the token's two vectors shows how far they have diverged: 1 is the same direction. All tokens share a large part of
/// their vectors, so the mean over some ordinary text and both given texts is taken off first. The column "random" has
/// the cosine of two unrelated tokens, measured in the same way. The token is the last one that both texts have in
/// common, or the one given.
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
    /// Number of tokens that tell the two vectors apart, on each side
    #[arg(long, value_name = "N", default_value_t = 3)]
    tokens: usize,
    /// Write one JSON object: a and b (ids, tokens, position, token), and before the first layer and after each the
    /// cosine, raw cosine and random (mean, high), with only_a and only_b (id, token, logit)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    a: Side,
    b: Side,
    before: JsonSimilarity,
    layers: Vec<JsonLayer>,
}

#[derive(Serialize)]
struct JsonSimilarity {
    cosine: f64,
    raw: f64,
    random: JsonRandom,
}

/// The cosines of random pairs: their mean, and a number that 95 % of them are below.
#[derive(Serialize)]
pub(in crate::commands) struct JsonRandom {
    mean: f64,
    high: f64,
}

impl From<RandomCosines> for JsonRandom {
    fn from(RandomCosines { mean, high }: RandomCosines) -> JsonRandom {
        JsonRandom { mean, high }
    }
}

#[derive(Serialize)]
struct JsonLayer {
    layer: usize,
    #[serde(flatten)]
    similarity: JsonSimilarity,
    only_a: Vec<JsonEffect>,
    only_b: Vec<JsonEffect>,
}

#[derive(Serialize)]
struct Side {
    ids: Vec<u32>,
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
        arguments.token.place(&source, ids).map_err(|error| anyhow!("the {which} prompt: {error}"))
    };
    let (a_place, b_place) = match (named(&a, "first")?, named(&b, "second")?) {
        (Some(a), Some(b)) => (a, b),
        _ => last_shared(&a, &b, tokenizer)
            .ok_or_else(|| anyhow!("the prompts have no token in common; give one with --token"))?,
    };
    let (model, _) = source.load(&arguments.machine)?;
    let baseline = Baseline::of_ordinary_text(&model, tokenizer)?;
    let sides = ((&a[..], a_place.position), (&b[..], b_place.position));
    let comparison = compare_in_context(&model, sides.0, sides.1, arguments.tokens, &baseline)?;
    if arguments.json {
        let side = |(ids, position): (&'_ [u32], usize)| Side {
            ids: ids.to_vec(),
            tokens: texts(tokenizer, ids),
            position,
            token: text(tokenizer, ids[position]),
        };
        let similarity = |similarity: &Similarity| JsonSimilarity {
            cosine: similarity.cosine,
            raw: similarity.raw,
            random: similarity.random.into(),
        };
        let layer = |layer: &LayerComparison| JsonLayer {
            layer: layer.layer,
            similarity: similarity(&layer.similarity),
            only_a: JsonEffect::all(&layer.only_a, &source),
            only_b: JsonEffect::all(&layer.only_b, &source),
        };
        let layers = comparison.after.iter().map(layer).collect();
        let before = similarity(&comparison.before);
        return out.json(&Report { a: side(sides.0), b: side(sides.1), before, layers });
    }
    let marked = |(ids, position): (&[u32], usize)| {
        let tokens = ids.iter().enumerate().map(|(i, &id)| {
            let token = shown(tokenizer, id);
            if i == position { format!("[{token}]") } else { token }
        });
        tokens.collect::<Vec<_>>().join(" · ")
    };
    paragraph(out, &format!("How do two vectors of {} part ways?", shown(tokenizer, a[a_place.position])))?;
    paragraph(out, &format!("first:  {}", marked(sides.0)))?;
    paragraph(out, &format!("second: {}", marked(sides.1)))?;
    report::write(&comparison, baseline.tokens(), tokenizer, out)
}

/// The last token of `a` that also occurs in `b`: its last places in both. Special tokens are skipped, since they
/// occur in every text.
fn last_shared(a: &[u32], b: &[u32], tokenizer: Option<&Tokenizer>) -> Option<(Place, Place)> {
    let counts = |id: u32| !tokenizer.is_some_and(|tokenizer| tokenizer.is_special(id));
    let in_b = |id: u32| b.iter().rposition(|&other| other == id);
    let found = (0..a.len()).rev().filter(|&i| counts(a[i])).find_map(|i| Some((i, in_b(a[i])?)));
    found.map(|(a, b)| (Place::at(a), Place::at(b)))
}
