//! The chart of `attribute`: a line for each part, with one or more columns of numbers and a bar.

use std::collections::HashSet;

use glassbox_model::glass::{Attribution, Component};

use crate::escape;
use crate::output::Out;

/// A column of the chart: a number for each part, their sum, and the model's own number.
pub(super) struct Column {
    pub(super) shares: Vec<(Component, f64)>,
    pub(super) sum: f64,
    pub(super) logit: f64,
}

impl Column {
    pub(super) fn of(attribution: &Attribution) -> Column {
        let shares = attribution.contributions.iter().map(|share| (share.part, share.logit)).collect();
        Column { shares, sum: attribution.sum(), logit: f64::from(attribution.logit) }
    }

    /// The number of a part; 0 for a part that only the other model has.
    fn share(&self, part: Component) -> f64 {
        self.shares.iter().find(|(own, _)| *own == part).map_or(0.0, |(_, logit)| *logit)
    }

    /// What each part has in `after` minus what it has here.
    pub(super) fn change_to(&self, after: &Column) -> Column {
        let mut seen = HashSet::new();
        let all = self.shares.iter().chain(&after.shares).map(|(part, _)| *part);
        let parts: Vec<Component> = all.filter(|part| seen.insert(*part)).collect();
        Column {
            shares: parts.into_iter().map(|part| (part, after.share(part) - self.share(part))).collect(),
            sum: after.sum - self.sum,
            logit: after.logit - self.logit,
        }
    }
}

/// Writes a line for each of the `top` parts with the largest numbers in the last column, one for the rest, and one for
/// the sum. Bars show the last column.
pub(super) fn chart(columns: &[(String, Column)], top: usize, out: &mut Out) -> anyhow::Result<()> {
    let Some((_, last)) = columns.last() else { return Ok(()) };
    let mut order = last.shares.clone();
    order.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let (shown, rest) = order.split_at(top.min(order.len()));
    let most = shown.first().map_or(0.0, |(_, largest)| largest.abs()).max(f64::MIN_POSITIVE);
    let name = |part| match parts(part) {
        (kind, None, _) => kind.to_owned(),
        (kind, Some(layer), None) => format!("{kind} {layer}"),
        (kind, Some(layer), Some(head)) => format!("{kind} {layer}.{head}"),
    };
    let line = |name: &str, number: &dyn Fn(&Column) -> f64| {
        let numbers = columns.iter().map(|(_, column)| format!("  {:>+10.4}", number(column)));
        format!("{}{}", escape::fit(name, 20), numbers.collect::<String>())
    };
    let titles = columns.iter().map(|(title, _)| {
        let title = escape::fit(title, escape::width(title).min(10));
        format!("  {}{title}", " ".repeat(10 - escape::width(&title)))
    });
    out.line(out.paint(2, &format!("{}{}", escape::fit("part", 20), titles.collect::<String>())))?;
    for &(part, own) in shown {
        let line = line(&name(part), &|column| column.share(part));
        match out.width().map(|width| width.saturating_sub(escape::width(&line) + 3) / 2) {
            Some(half) if half > 0 => {
                let colour = if own < 0.0 { 31 } else { 36 };
                let bar = signed_bar(own / most, half);
                out.line(format_args!("{line}  {}", out.paint(colour, &bar)))?;
            }
            _ => out.line(line)?,
        }
    }
    if !rest.is_empty() {
        let others = format!("{} others", rest.len());
        let sum = |column: &Column| rest.iter().map(|(part, _)| column.share(*part)).sum();
        out.line(line(&others, &sum))?;
    }
    out.line(out.paint(1, &line("sum", &|column| column.sum)))?;
    out.line(out.paint(2, &line("logit", &|column| column.logit)))?;
    Ok(())
}

/// A part's kind, layer and head.
pub(super) fn parts(part: Component) -> (&'static str, Option<usize>, Option<usize>) {
    match part {
        Component::Embedding => ("embedding", None, None),
        Component::PositionEmbedding => ("position embedding", None, None),
        Component::Head { layer, head } => ("head", Some(layer), Some(head)),
        Component::AttentionBias { layer } => ("attention bias", Some(layer), None),
        Component::Mlp { layer } => ("mlp", Some(layer), None),
        Component::FinalNormBias => ("final norm bias", None, None),
        Component::Attention { layer } => ("attention", Some(layer), None),
        Component::Interventions => ("interventions", None, None),
    }
}

/// A bar that fills the fraction `share` of `half` columns, to the right of the middle or, if negative, to the left; in
/// steps of half a column.
pub(super) fn signed_bar(share: f64, half: usize) -> String {
    let halves = (share.abs().min(1.0) * half as f64 * 2.0).round() as usize;
    let (full, odd) = ("█".repeat(halves / 2), halves % 2 == 1);
    if share < 0.0 {
        let blank = half - halves.div_ceil(2);
        return format!("{}{}{full}", " ".repeat(blank), if odd { "▐" } else { "" });
    }
    format!("{}{full}{}", " ".repeat(half), if odd { "▌" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_from_the_middle() {
        assert_eq!(signed_bar(1.0, 3), "   ███");
        assert_eq!(signed_bar(0.5, 3), "   █▌");
        assert_eq!(signed_bar(-0.5, 3), " ▐█");
        assert_eq!(signed_bar(-1.0, 3), "███");
        assert_eq!(signed_bar(0.0, 3), "   ");
    }
}
