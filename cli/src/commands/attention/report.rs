//! The strongest attention edges as a table or as JSON.

use glassbox_model::Config;
use glassbox_model::glass::{Edge, EdgeMeasure, EdgeOptions, Edges};
use serde::Serialize;

use crate::bars;
use crate::commands::explained::{columns, paragraph, widest};
use crate::commands::position::Place;
use crate::commands::predict::{shown, text};
use crate::commands::view::texts;
use crate::escape;
use crate::model_source::Source;
use crate::output::Out;

/// What `--json` writes for the edges.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    by: &'static str,
    from: Option<usize>,
    to: Option<usize>,
    first_share: f64,
    self_share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<JsonAnswer>,
    edges: Vec<JsonEdge>,
}

/// A token whose logit is attributed.
#[derive(Serialize)]
pub(in crate::commands) struct JsonAnswer {
    position: usize,
    id: u32,
    token: String,
    logit: f32,
}

impl JsonAnswer {
    pub(in crate::commands) fn of(answer: &glassbox_model::glass::Answer, source: &Source) -> JsonAnswer {
        let token = text(source.maybe_tokenizer(), answer.id);
        JsonAnswer { position: answer.position, id: answer.id, token, logit: answer.logit }
    }
}

#[derive(Serialize)]
struct JsonEdge {
    layer: usize,
    head: usize,
    query: usize,
    query_token: String,
    key: usize,
    key_token: String,
    weight: f32,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f64>,
}

/// The edges, and the question that they answer.
pub(super) struct EdgeView<'a> {
    pub(super) ids: &'a [u32],
    pub(super) source: &'a Source,
    pub(super) from: Option<Place>,
    pub(super) to: Option<Place>,
    pub(super) options: &'a EdgeOptions,
    pub(super) edges: &'a Edges,
}

impl EdgeView<'_> {
    pub(super) fn json(&self, out: &mut Out) -> anyhow::Result<()> {
        let tokenizer = self.source.maybe_tokenizer();
        let edge = |edge: &Edge| JsonEdge {
            layer: edge.layer,
            head: edge.head,
            query: edge.query,
            query_token: text(tokenizer, self.ids[edge.query]),
            key: edge.key,
            key_token: text(tokenizer, self.ids[edge.key]),
            weight: edge.weight,
            value: edge.value,
            logit: edge.logit,
        };
        out.json(&Report {
            ids: self.ids,
            tokens: texts(tokenizer, self.ids),
            by: match self.options.by {
                EdgeMeasure::Weight => "weight",
                EdgeMeasure::Value => "value",
                EdgeMeasure::Logit => "logit",
            },
            from: self.query(),
            to: self.options.to,
            first_share: self.edges.first_share,
            self_share: self.edges.self_share,
            answer: self.edges.answer.as_ref().map(|answer| JsonAnswer::of(answer, self.source)),
            edges: self.edges.edges.iter().map(edge).collect(),
        })
    }

    /// The position that all edges start from, if there is one.
    fn query(&self) -> Option<usize> {
        self.options.from.or(self.edges.answer.map(|answer| answer.position))
    }

    pub(super) fn write(&self, config: &Config, out: &mut Out) -> anyhow::Result<()> {
        self.explain(config, out)?;
        self.table(out)
    }

    /// Writes what the table shows, in plain words.
    fn explain(&self, config: &Config, out: &mut Out) -> anyhow::Result<()> {
        let name = |place: Place| place.named(self.source, self.ids);
        let query = self.query().map(|position| name(self.from.unwrap_or(Place::at(position))));
        let heads = match self.options.layer {
            Some(layer) => format!("the {} heads of layer {layer}", config.n_heads),
            None => format!("all {} heads", config.n_layers * config.n_heads),
        };
        let question = match (query, self.to.map(name)) {
            (Some(query), Some(key)) => format!("Which heads attend from {query} to {key}? Of {heads},"),
            (Some(query), None) => format!("What does {query} attend to? Of {heads},"),
            (None, Some(key)) => format!("Which tokens attend to {key}? Of {heads},"),
            (None, None) => format!("Which tokens attend to which? Of {heads},"),
        };
        let measure = match self.options.by {
            EdgeMeasure::Weight => "the strongest edges by weight",
            EdgeMeasure::Value => "the edges that move most, by value",
            EdgeMeasure::Logit => "the edges that add or subtract most, by logit",
        };
        paragraph(out, &format!("{question} {measure}:"))?;
        paragraph(out, "weight: the share of its attention, 0 to 1, that the head gives to this token.")?;
        paragraph(
            out,
            "value: length of the vector that comes from there, weight × what the head reads of the token.",
        )?;
        let other = if self.options.by == EdgeMeasure::Weight { "value" } else { "weight" };
        paragraph(
            out,
            &format!(
                "The value is what the edge really moves, the weight only how much it looks. Also: --by {other}."
            ),
        )?;
        if let Some(answer) = &self.edges.answer {
            let token = shown(self.source.maybe_tokenizer(), answer.id);
            let position = answer.position;
            paragraph(
                out,
                &format!(
                    "logit: what that vector directly adds to the logit of {token} as the token after position \
                     {position}, which is {:.2}.",
                    answer.logit
                ),
            )?;
        }
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let first = format!("to the first token {}, where heads rest", percent(self.edges.first_share));
        let own = format!("to oneself {}", percent(self.edges.self_share));
        let flags = match (self.options.include_first, self.options.include_self) {
            _ if self.options.to.is_some() => {
                return paragraph(
                    out,
                    &format!("For comparison, of all attention here goes {first}, and {own}."),
                );
            }
            (true, true) => return Ok(()),
            (false, false) => (format!("{first}, and {own}"), "--with-first, --with-self"),
            (false, true) => (first, "--with-first"),
            (true, false) => (own, "--with-self"),
        };
        paragraph(out, &format!("Left out, of all attention here: {} ({}).", flags.0, flags.1))
    }

    /// Writes a line for each edge.
    fn table(&self, out: &mut Out) -> anyhow::Result<()> {
        let edges = &self.edges.edges;
        if edges.is_empty() {
            return Ok(out.line("There is nothing else to attend to.")?);
        }
        let tokenizer = self.source.maybe_tokenizer();
        let name = |position: usize| format!("{position:>4} {}", shown(tokenizer, self.ids[position]));
        let column = |position: fn(&Edge) -> usize| {
            let names: Vec<String> = edges.iter().map(|edge| name(position(edge))).collect();
            widest(names.iter().map(String::as_str), 10, 20)
        };
        let (query, key) = (column(|edge| edge.query), column(|edge| edge.key));
        let with_logit = self.edges.answer.is_some();
        let logit_heading = if with_logit { "     logit" } else { "" };
        let heading = format!(
            "{:<6}  {}  ← {}  weight    value{logit_heading}",
            "head",
            escape::fit("     token", query),
            escape::fit("     token", key)
        );
        out.line(out.paint(2, &heading))?;
        let measure = |edge: &Edge| match self.options.by {
            EdgeMeasure::Weight => f64::from(edge.weight),
            EdgeMeasure::Value => edge.value,
            EdgeMeasure::Logit => edge.logit.unwrap_or(0.0),
        };
        let most = edges.first().map_or(0.0, |edge| measure(edge).abs()).max(f64::MIN_POSITIVE);
        for edge in edges {
            let head = format!("{}.{}", edge.layer, edge.head);
            let (from, to) = (escape::fit(&name(edge.query), query), escape::fit(&name(edge.key), key));
            let logit = edge.logit.map_or(String::new(), |logit| format!("  {logit:>+8.4}"));
            let line = format!("{head:<6}  {from}  ← {to}  {:.4}  {:>7.2}{logit}", edge.weight, edge.value);
            let width = columns(out).saturating_sub(escape::width(&line) + 2).min(30);
            let share = measure(edge) / most;
            let bar = match self.options.by {
                EdgeMeasure::Logit => bars::signed(share, width / 2),
                _ => bars::from_left(share, width),
            };
            let colour = if share < 0.0 { 31 } else { 36 };
            let bar = if bar.trim().is_empty() { bar } else { out.paint(colour, &bar) };
            out.line(format!("{line}  {bar}").trim_end())?;
        }
        Ok(())
    }
}
