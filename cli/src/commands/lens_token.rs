//! `lens --token`: the probability and the rank of one token, layer by layer.

use glassbox_model::glass::{Candidate, LensLayer};
use glassbox_tokenizer::Tokenizer;

use super::predict::shown;
use crate::escape;
use crate::output::Out;

/// Writes a line for each layer: the token's probability and its rank, of the changed model too if there is one, and
/// the most likely tokens.
pub(super) fn table(
    layers: &[LensLayer],
    after: Option<&[LensLayer]>,
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let reading = |layer: &LensLayer| match layer.token[..] {
        [reading, ..] => format!("{:>9} %  {:>6}", percent(reading.candidate.probability), reading.rank),
        [] => String::new(),
    };
    let columns = match after {
        None => format!("{:>11}  {:>6}", "prob", "rank"),
        Some(_) => format!("{:>11}  {:>6}  {:>11}  {:>6}", "before", "rank", "after", "rank"),
    };
    let likeliest = if after.is_some() { "most likely after" } else { "most likely" };
    out.line(out.paint(2, &format!("layer  {columns}  {likeliest}")))?;
    for (i, layer) in layers.iter().enumerate() {
        let changed = after.and_then(|after| after.get(i));
        let second = changed.map_or(String::new(), |changed| format!("  {}", reading(changed)));
        let mut line = format!("{:>5}  {}{second}", layer.layer, reading(layer));
        let likely = changed.unwrap_or(layer).readings.first().map_or(&[][..], Vec::as_slice);
        for (i, Candidate { id, probability, .. }) in likely.iter().enumerate() {
            let cell = format!("  {} {:.0} %", shown(tokenizer, *id), probability * 100.0);
            let width = escape::width(&line) + escape::width(&cell);
            // The most likely one is always shown.
            if i > 0 && out.width().is_some_and(|columns| width > columns) {
                break;
            }
            line.push_str(&cell);
        }
        out.line(line)?;
    }
    Ok(())
}

/// A probability in percent, with four decimals, or two digits and an exponent if those would be zeros.
fn percent(probability: f64) -> String {
    let percent = probability * 100.0;
    if percent > 0.0 && percent < 5e-5 { format!("{percent:.1e}") } else { format!("{percent:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_probabilities_are_not_zero() {
        assert_eq!([0.77253, 6e-7, 2.1e-9, 0.0].map(percent), ["77.2530", "0.0001", "2.1e-7", "0.0000"]);
    }
}
