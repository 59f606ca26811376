//! `--explain`: how one token was chosen, one line per filter, then the draw.

use glassbox_sampler::{Reason, Record, Step, Token};

use crate::output::{Out, StdoutError};

/// Maximum number of tokens listed in a line.
const MAX_LISTED: usize = 6;

/// Writes what each filter did, in order, and where the random number fell. `name` formats a token.
pub(super) fn show(record: &Record, name: impl Fn(u32) -> String, out: &mut Out) -> Result<(), StdoutError> {
    let heading = format!("{} ({})", name(record.id), record.id);
    out.line(out.paint(1, &heading))?;
    out.line(format_args!(
        "  {:<12} {} tokens, entropy {:.3} nats",
        "model", record.vocab_size, record.entropy
    ))?;
    for step in &record.steps {
        let filter = step.filter.to_string();
        match why(&step.reason) {
            None => out.line(format_args!("  {filter:<12} off"))?,
            Some(why) => out.line(format_args!("  {filter:<12} {why}: {}", what(step, &name)))?,
        }
    }
    let left = listed(&record.candidates, record.left, &name);
    out.line(format_args!("  {:<12} {} of {}: {left}", "candidates", record.left, record.vocab_size))?;
    let draw = &record.draw;
    match draw.unit {
        None => out.line(format_args!("  {:<12} only one candidate: no random number", "draw")),
        Some(unit) => out.line(format_args!(
            "  {:<12} {unit:.6} fell between {:.6} and {:.6}, the interval of {} ({:.2} %)",
            "draw",
            draw.from / draw.total,
            draw.to / draw.total,
            name(draw.id),
            100.0 * draw.probability
        )),
    }
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
    let mut parts = Vec::new();
    if step.removed > 0 {
        let (removed, probability) = (step.removed, 100.0 * step.removed_probability);
        let tokens = listed(&step.strongest_removed, removed, name);
        parts.push(format!("removed {removed} ({probability:.3} %): {tokens}"));
    }
    if step.changed > 0 {
        let first = step.strongest_changed.iter().take(MAX_LISTED);
        let list: Vec<String> = first
            .map(|change| format!("{} {:.3} → {:.3}", name(change.id), change.before, change.after))
            .collect();
        let more = if step.changed > list.len() { ", …" } else { "" };
        parts.push(format!("changed {}: {}{more}", step.changed, list.join(", ")));
    }
    if parts.is_empty() {
        parts.push("removed none".to_owned());
    }
    parts.push(format!("{} left, entropy {:.3} nats", step.kept, step.entropy));
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
