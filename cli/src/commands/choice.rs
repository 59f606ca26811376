//! How a token is chosen: the candidates before the filters and after each that is on, and the draw.

use glassbox_sampler::{FilterName, Reason, Record, Step, Token};

use crate::bars::Scale;
use crate::escape;
use crate::output::{Out, StdoutError};
use crate::table::{Cell, Column, Table};

/// Maximum number of tokens listed in a line.
const MAX_LISTED: usize = 6;
/// Number of most likely tokens in a table, before and after the filters.
const ROWS: usize = 6;
/// Width of a filter's name.
const NAME: usize = 12;
/// What stands for the probability of a token that was removed.
pub(super) const REMOVED: &str = "—";

/// Writes how one token was chosen. `before` is the text that it continues, and `name` formats a token.
pub(super) fn show(
    record: &Record,
    before: &str,
    name: impl Fn(u32) -> String,
    out: &mut Out,
) -> Result<(), StdoutError> {
    let chosen = format!("{} ({})", name(record.id), record.id);
    out.line(format_args!("{} {}", out.paint(2, before), out.paint(1, &chosen)))?;
    let (size, entropy) = (record.vocab_size, record.entropy);
    entry("model", &format!("{size} tokens, entropy {entropy:.3} nats"), out)?;
    candidates(record, &name).print(out)?.note("--json has all");
    filters(record, &name, out)?;
    draw(record, &name, out)?;
    out.line("")
}

/// Writes a line for each filter that is on, in the order in which they ran.
pub(super) fn filters(
    record: &Record,
    name: &impl Fn(u32) -> String,
    out: &mut Out,
) -> Result<(), StdoutError> {
    for step in &record.steps {
        if let Some(why) = why(&step.reason) {
            entry(&step.filter.to_string(), &format!("{why}: {}", what(step, name)), out)?;
        }
    }
    let left = listed(remaining(record), record.left, name);
    entry("candidates", &format!("{} of {}: {left}", record.left, record.vocab_size), out)
}

/// Writes a line with a name. On a terminal it is truncated: the examples at its end are in the table too.
fn entry(name: &str, text: &str, out: &mut Out) -> Result<(), StdoutError> {
    let line = format!("  {name:<NAME$} {text}");
    match out.width() {
        Some(width) => out.line(escape::fit(&line, width - 1).trim_end()),
        None => out.line(line),
    }
}

fn active(record: &Record) -> impl Iterator<Item = &Step> {
    record.steps.iter().filter(|step| step.reason != Reason::Off)
}

/// The remaining candidates, most likely first. [`Record::candidates`] are in the order of the draw.
fn remaining(record: &Record) -> &[Token] {
    active(record).last().map_or(&record.model, |step| &step.strongest_kept)
}

/// The probabilities of the most likely tokens before the filters and after each.
fn candidates(record: &Record, name: &impl Fn(u32) -> String) -> Table {
    let steps: Vec<&Step> = active(record).collect();
    let after = steps.iter().map(|step| Column::right(label(step)));
    let bars = ["model", "filtered"].map(|whose| Column::bar(Scale::percent().named(whose)));
    let token = Column::left("token").at_most(24).shrinks_to(8);
    let columns = [token, Column::right("model")].into_iter().chain(after).chain(bars);
    let mut table = Table::new(columns).indented(2);
    for id in listed_ids(record) {
        let find = |list: &[Token]| list.iter().find(|token| token.id == id).map(|token| token.probability);
        let (model, left) = (find(&record.model), find(remaining(record)));
        let mut cells: Vec<Cell> = vec![name(id).into(), share(model, &record.model, record.vocab_size)];
        cells.extend(
            steps.iter().map(|step| share(find(&step.strongest_kept), &step.strongest_kept, step.kept)),
        );
        cells.extend([model, left].map(|share| Cell::value(share.unwrap_or(0.0))));
        if id == record.id {
            cells[0] = cells[0].clone().paint(1);
        } else if left.is_none() {
            cells = cells.into_iter().map(|cell| cell.paint(2)).collect();
        }
        table.row(cells);
    }
    table
}

/// The tokens of the table: the most likely before the filters and after them, and the chosen one.
fn listed_ids(record: &Record) -> Vec<u32> {
    let mut ids: Vec<u32> = record.model.iter().take(ROWS).map(|token| token.id).collect();
    for id in remaining(record).iter().take(ROWS).map(|token| token.id).chain([record.id]) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// A probability. A token that is not in `list`, the most likely of `kept`, was removed if the list has all.
fn share(probability: Option<f64>, list: &[Token], kept: usize) -> Cell {
    match (probability, list.last()) {
        (Some(probability), _) => percent(probability).into(),
        (None, Some(last)) if list.len() < kept => format!("<{}", percent(last.probability)).into(),
        _ => REMOVED.into(),
    }
}

fn percent(probability: f64) -> String {
    format!("{:.2} %", 100.0 * probability)
}

/// A filter and its setting.
fn label(step: &Step) -> String {
    match &step.reason {
        Reason::TopK { k, .. } => format!("top_k {k}"),
        Reason::Typical { p, .. } => format!("typical {p}"),
        Reason::TopP { p, .. } => format!("top_p {p}"),
        Reason::MinP { p, .. } => format!("min_p {p}"),
        Reason::Temperature { temperature } => format!("temp {temperature}"),
        Reason::Off | Reason::LogitBias { .. } | Reason::Penalties { .. } | Reason::Mirostat { .. } => {
            step.filter.to_string()
        }
    }
}

/// Writes where the random number fell. On a terminal the candidates are laid end to end on a line.
fn draw(record: &Record, name: &impl Fn(u32) -> String, out: &mut Out) -> Result<(), StdoutError> {
    let draw = &record.draw;
    let Some(unit) = draw.unit else {
        return entry("draw", "only one candidate: no random number", out);
    };
    let (from, to) = (draw.from / draw.total, draw.to / draw.total);
    let token = format!("{} ({})", name(draw.id), percent(draw.probability));
    entry("draw", &format!("{unit:.6} fell between {from:.6} and {to:.6}: {token}"), out)?;
    let Some(columns) = out.width().and_then(|width| width.checked_sub(NAME + 9)).filter(|&left| left >= 10)
    else {
        return Ok(());
    };
    let (strip, caret) = strip(record, unit, columns.min(60));
    out.line(format_args!("  {:<NAME$} 0 {} 1", "", out.paint(36, &strip)))?;
    out.line(format_args!("  {:<NAME$}   {caret}", ""))
}

/// The candidates' probabilities end to end, shaded in turn, and a caret under the random number.
fn strip(record: &Record, unit: f64, columns: usize) -> (String, String) {
    let mut ends = record.candidates.iter().scan(0.0, |end, token| {
        *end += token.probability;
        Some(*end)
    });
    let (mut end, mut shade) = (ends.next().unwrap_or(1.0), 0);
    let strip = (0..columns).map(|column| {
        let middle = (column as f64 + 0.5) / columns as f64;
        while end <= middle {
            let Some(next) = ends.next() else { break };
            (end, shade) = (next, shade + 1);
        }
        if shade % 2 == 0 { '█' } else { '░' }
    });
    let strip = strip.collect();
    let at = ((unit * columns as f64) as usize).min(columns - 1);
    (strip, format!("{}^", " ".repeat(at)))
}

/// The numbers that decided; `None` if the filter is off.
fn why(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::Off => return None,
        Reason::LogitBias { biases } => format!("{biases} biases"),
        Reason::Penalties { tokens, .. } => format!("{tokens} recent tokens"),
        Reason::TopK { k, worst_kept } => format!("the {k} most likely, down to logit {worst_kept:.3}"),
        Reason::Typical { p, entropy, reached } => {
            format!("surprise nearest to {entropy:.3} nats, up to probability {p} (reached {reached:.4})")
        }
        Reason::TopP { p, reached } => format!("most likely up to probability {p} (reached {reached:.4})"),
        Reason::MinP { p, least_logit } => {
            format!("at least {p} of the largest probability, logit {least_logit:.3}")
        }
        Reason::Temperature { temperature: 0.0 } => "temperature 0, the most likely alone".to_owned(),
        Reason::Temperature { temperature } => format!("logits divided by {temperature}"),
        Reason::Mirostat { ceiling, .. } => format!("surprise at most {ceiling:.3} bits"),
    })
}

/// What a filter removed or changed.
fn what(step: &Step, name: &impl Fn(u32) -> String) -> String {
    let mut parts = vec![format!("{} left, entropy {:.3} nats", step.kept, step.entropy)];
    if step.removed > 0 {
        let (removed, probability) = (step.removed, 100.0 * step.removed_probability);
        let tokens = listed(&step.strongest_removed, removed, name);
        parts.push(format!("removed {removed} ({probability:.3} %): {tokens}"));
    }
    // Dividing all logits changes all of them; the probabilities show the effect.
    if step.changed > 0 && step.filter != FilterName::Temperature {
        let first = step.strongest_changed.iter().take(MAX_LISTED);
        let list: Vec<String> = first
            .map(|change| format!("{} {:.3} → {:.3}", name(change.id), change.before, change.after))
            .collect();
        let more = if step.changed > list.len() { ", …" } else { "" };
        parts.push(format!("changed {}: {}{more}", step.changed, list.join(", ")));
    }
    parts.join("; ")
}

/// The first tokens with their probabilities; `count` is the number of tokens in total.
fn listed(tokens: &[Token], count: usize, name: &impl Fn(u32) -> String) -> String {
    let first = tokens.iter().take(MAX_LISTED);
    let list: Vec<String> =
        first.map(|token| format!("{} {:.2} %", name(token.id), 100.0 * token.probability)).collect();
    let more = if count > list.len() { ", …" } else { "" };
    format!("{}{more}", list.join(", "))
}

/// The end of a text, in at most `columns` columns and on one line; `…` stands for what is before.
pub(super) fn tail(text: &[u8], columns: usize) -> String {
    let text = escape::visible(text);
    let mut start = text.len();
    let mut used = 1;
    for (at, c) in text.char_indices().rev() {
        used += escape::width(c.encode_utf8(&mut [0; 4]));
        if used > columns {
            return format!("…{}", &text[start..]);
        }
        start = at;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_text_is_its_end() {
        assert_eq!(tail(b"Once upon a time", 10), "…on a time");
        assert_eq!(tail(b"Once", 10), "Once");
        assert_eq!(tail("中国的首都是".as_bytes(), 8), "…首都是");
        assert_eq!(tail(b"one\ntwo", 20), "one\\ntwo");
        assert_eq!(tail(b"", 10), "");
    }
}
