//! Two predictions side by side: of the model and of the changed one.

use glassbox_tokenizer::Tokenizer;

use super::predict::{logsumexp, order, prob, shown};
use crate::escape;
use crate::interventions::Planned;
use crate::output::{Out, note};

/// Writes a line for each token that is among the `top` most likely before or after: both probabilities, their
/// difference in percentage points, and the change of the logit.
pub(super) fn predictions(
    planned: &Planned,
    logits: [&[f32]; 2],
    top: usize,
    temperature: f64,
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    note(format_args!("after: {}", planned.heading()));
    let mut ids = order(logits[0], top);
    let before = ids.clone();
    ids.extend(order(logits[1], top).into_iter().filter(|id| !before.contains(id)));
    let sums = logits.map(|logits| logsumexp(logits, temperature));
    let names: Vec<String> = ids.iter().map(|&id| shown(tokenizer, id)).collect();
    let widest = names.iter().map(|name| escape::width(name)).max().unwrap_or(0);
    let column = widest.clamp(5, out.width().map_or(usize::MAX, |width| (width / 3).max(5)));
    let name = escape::fit("token", column);
    let heading =
        format!("{name}  {:>10}  {:>10}  {:>9}  {:>9}  {:>7}", "before", "after", "change", "Δ logit", "id");
    out.line(out.paint(2, &heading))?;
    for (id, name) in ids.into_iter().zip(names) {
        let own = logits.map(|logits| logits[id as usize]);
        let [before, after] = [0, 1].map(|i| prob(own[i], temperature, sums[i]) * 100.0);
        let (change, logit) = (after - before, f64::from(own[1]) - f64::from(own[0]));
        let colour = if change < 0.0 { 31 } else { 36 };
        let name = escape::fit(&name, column);
        let change = out.paint(colour, &format!("{change:>+9.4}"));
        out.line(format_args!("{name}  {before:>8.4} %  {after:>8.4} %  {change}  {logit:>+9.4}  {id:>7}"))?;
    }
    Ok(())
}
