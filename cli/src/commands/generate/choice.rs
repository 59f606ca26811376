//! How one token was chosen, for a person to read: a line for each filter, then the draw.

use glassbox_sampler::{Reason, Record, Step, Token};

use crate::output::{Out, StdoutError};

/// Tokens named in a line at most.
const NAMED: usize = 6;

/// Writes what every filter did, in order, and where the random number fell. `name` shows a token.
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
    let left = named(&record.candidates, record.left, &name);
    out.line(format_args!("  {:<12} {} of {}: {left}", "candidates", record.left, record.vocab_size))?;
    let draw = &record.draw;
    match draw.unit {
        None => out.line(format_args!("  {:<12} only one was left: nothing to draw", "draw")),
        Some(unit) => out.line(format_args!(
            "  {:<12} {unit:.6} fell between {:.6} and {:.6}, the place of {} ({:.2} %)",
            "draw",
            draw.from / draw.total,
            draw.to / draw.total,
            name(draw.id),
            100.0 * draw.probability
        )),
    }
}

/// The numbers that decided; `None` where the filter does nothing.
fn why(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::Off => return None,
        Reason::LogitBias { biases } => format!("{biases} biases"),
        Reason::Penalties { tokens, .. } => format!("{tokens} recent tokens"),
        Reason::TopK { k, worst_kept } => format!("the best {k}, down to logit {worst_kept:.3}"),
        Reason::Typical { p, entropy, reached } => {
            format!("nearest to a surprise of {entropy:.3} nats, up to {p} (reached {reached:.4})")
        }
        Reason::TopP { p, reached } => format!("the best up to {p} (reached {reached:.4})"),
        Reason::MinP { p, least_logit } => format!("at least {p} of the best, logit {least_logit:.3}"),
        Reason::Temperature { temperature: 0.0 } => "temperature 0, the best alone".to_owned(),
        Reason::Temperature { temperature } => format!("logits divided by {temperature}"),
        Reason::Mirostat { ceiling, .. } => format!("surprise of at most {ceiling:.3} bits"),
    })
}

/// What a filter removed or changed.
fn what(step: &Step, name: &impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    if step.removed > 0 {
        let (removed, probability) = (step.removed, 100.0 * step.removed_probability);
        let tokens = named(&step.strongest_removed, removed, name);
        parts.push(format!("removed {removed} ({probability:.3} %): {tokens}"));
    }
    if step.changed > 0 {
        let first = step.strongest_changed.iter().take(NAMED);
        let list: Vec<String> = first
            .map(|change| format!("{} {:.3} → {:.3}", name(change.id), change.before, change.after))
            .collect();
        let more = if step.changed > list.len() { ", …" } else { "" };
        parts.push(format!("changed {}: {}{more}", step.changed, list.join(", ")));
    }
    if parts.is_empty() {
        parts.push("all stay".to_owned());
    }
    parts.push(format!("{} left, entropy {:.3} nats", step.kept, step.entropy));
    parts.join("; ")
}

/// The first of some tokens with their probabilities; `count` is how many there are in all.
fn named(tokens: &[Token], count: usize, name: &impl Fn(u32) -> String) -> String {
    let first = tokens.iter().take(NAMED);
    let list: Vec<String> =
        first.map(|token| format!("{} {:.2} %", name(token.id), 100.0 * token.probability)).collect();
    let more = if count > list.len() { ", …" } else { "" };
    format!("{}{more}", list.join(", "))
}
