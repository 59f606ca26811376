//! Neighbours and tables of cosines as text and as JSON.

use glassbox_model::glass::{Nearby, RandomCosines};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::words::{Question, Word};
use crate::bars;
use crate::commands::compare::JsonRandom;
use crate::commands::explained::{columns, fitting, paragraph, widest};
use crate::commands::predict::{shown, text};
use crate::escape;
use crate::output::Out;

/// What reports have in common.
pub(super) struct Report<'a> {
    pub(super) tokenizer: Option<&'a Tokenizer>,
    pub(super) random: RandomCosines,
}

/// What `--json` writes for one word.
#[derive(Serialize)]
struct JsonOne {
    word: String,
    id: u32,
    neighbors: Vec<JsonNeighbor>,
    random: JsonRandom,
}

/// What `--json` writes for a sum.
#[derive(Serialize)]
struct JsonSum {
    terms: Vec<JsonWord>,
    neighbors: Vec<JsonNeighbor>,
    random: JsonRandom,
}

/// What `--json` writes for several words.
#[derive(Serialize)]
struct JsonTable<'a> {
    words: Vec<JsonWord>,
    cosines: &'a [Vec<f64>],
    random: JsonRandom,
}

#[derive(Serialize)]
struct JsonWord {
    id: u32,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
}

#[derive(Serialize)]
struct JsonNeighbor {
    id: u32,
    token: String,
    cosine: f64,
    forms: Vec<JsonWord>,
}

impl Report<'_> {
    fn word(&self, id: u32, factor: Option<f64>) -> JsonWord {
        JsonWord { id, token: text(self.tokenizer, id), factor }
    }

    pub(super) fn table_json(
        &self,
        words: &[Word],
        cosines: &[Vec<f64>],
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let words = words.iter().map(|word| self.word(word.id, None)).collect();
        out.json(&JsonTable { words, cosines, random: self.random.into() })
    }

    pub(super) fn list_json(
        &self,
        question: &Question,
        nearest: &[Nearby],
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let neighbor = |near: &Nearby| JsonNeighbor {
            id: near.id,
            token: text(self.tokenizer, near.id),
            cosine: near.cosine,
            forms: near.forms.iter().map(|&id| self.word(id, None)).collect(),
        };
        let (neighbors, random) = (nearest.iter().map(neighbor).collect(), self.random.into());
        match question {
            Question::One(word) => {
                out.json(&JsonOne { word: text(self.tokenizer, word.id), id: word.id, neighbors, random })
            }
            Question::Sum(words) | Question::Table(words) => {
                let terms = words.iter().map(|word| self.word(word.id, Some(word.factor))).collect();
                out.json(&JsonSum { terms, neighbors, random })
            }
        }
    }

    /// Which token each word became.
    fn tokens(&self, words: &[Word]) -> String {
        let each = words.iter().enumerate().map(|(i, word)| {
            let sign = match (i, word.factor < 0.0) {
                (0, false) => "",
                (0, true) => "− ",
                (_, false) => " + ",
                (_, true) => " − ",
            };
            format!("{sign}{} ({})", shown(self.tokenizer, word.id), word.id)
        });
        each.collect()
    }

    fn explain_random(&self) -> String {
        let RandomCosines { mean, high } = self.random;
        format!(
            "Two random tokens have a cosine of {mean:.2} on average, and in 95 % of cases below {high:.2}."
        )
    }

    /// Writes a line for each neighbour.
    pub(super) fn list(
        &self,
        question: &Question,
        nearest: &[Nearby],
        all_forms: bool,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let folded = if all_forms || self.tokenizer.is_none() {
            ""
        } else {
            " Forms of one word share a line, and those of the given words are left out (--all-forms lists them)."
        };
        let tokens = self.tokens(question.words());
        paragraph(
            out,
            &format!("Which tokens have embeddings nearest to {tokens}? {}{folded}", self.explain_random()),
        )?;
        let names: Vec<String> = nearest.iter().map(|near| shown(self.tokenizer, near.id)).collect();
        let width = widest(names.iter().map(String::as_str), 5, columns(out).saturating_sub(40));
        let heading = format!("{}  cosine       id", escape::fit("token", width));
        out.line(out.paint(2, &heading))?;
        let noise = nearest.iter().position(|near| near.cosine < self.random.high);
        for (i, (name, near)) in names.iter().zip(nearest).enumerate() {
            if noise == Some(i) {
                out.line(out.paint(2, "· below here: no nearer than random pairs"))?;
            }
            let line = format!("{}  {:>6.4}  {:>7}", escape::fit(name, width), near.cosine, near.id);
            let bar = bars::from_left(near.cosine, 10);
            let forms = fitting(
                near.forms.iter().map(|&id| shown(self.tokenizer, id)),
                columns(out).saturating_sub(escape::width(&line) + 20),
            );
            let forms = if near.forms.is_empty() { forms } else { format!("also {forms}") };
            let bar = if forms.is_empty() { bar } else { escape::fit(&bar, 10) };
            out.line(format!("{line}  {}  {forms}", out.paint(36, &bar)).trim_end())?;
        }
        Ok(())
    }

    /// Writes the matrix of cosines, and the pairs in order.
    pub(super) fn table(&self, words: &[Word], cosines: &[Vec<f64>], out: &mut Out) -> anyhow::Result<()> {
        paragraph(
            out,
            &format!(
                "How similar are the embeddings of these tokens? 1 is the same direction, 0 unrelated. {}",
                self.explain_random()
            ),
        )?;
        let names: Vec<String> = words.iter().map(|word| shown(self.tokenizer, word.id)).collect();
        let first = widest(names.iter().map(String::as_str), 5, 20);
        let cell = widest(names.iter().map(String::as_str), 6, 12);
        let fitting = (columns(out).saturating_sub(first) / (cell + 2)).max(1);
        // A table that is too wide continues below.
        for columns in (0..names.len()).collect::<Vec<_>>().chunks(fitting) {
            let heads = columns.iter().map(|&i| format!("  {}", right(&names[i], cell)));
            let heading = format!("{}{}", " ".repeat(first), heads.collect::<String>());
            out.line(out.paint(2, &heading))?;
            for (row, name) in names.iter().enumerate() {
                let cells = columns.iter().map(|&i| format!("  {:>cell$.4}", cosines[row][i]));
                out.line(format!("{}{}", escape::fit(name, first), cells.collect::<String>()))?;
            }
        }
        let ids: Vec<String> =
            names.iter().zip(words).map(|(name, word)| format!("{name} {}", word.id)).collect();
        paragraph(out, &format!("ids: {}", ids.join(", ")))
    }
}

/// `text` at the right of `columns` columns.
fn right(text: &str, columns: usize) -> String {
    let fitted = escape::fit(text, columns);
    let trimmed = fitted.trim_end();
    format!("{}{trimmed}", " ".repeat(columns - escape::width(trimmed)))
}
