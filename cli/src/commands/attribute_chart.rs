//! The chart of `attribute`: a line for each part, with one or more columns of numbers and a bar.

use std::collections::HashSet;

use glassbox_model::glass::{Attribution, Component};

use crate::bars::Scale;
use crate::escape;
use crate::output::Out;
use crate::table::{self, Cell, Table};

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
    let name = |part| match parts(part) {
        (kind, None, _) => kind.to_owned(),
        (kind, Some(layer), None) => format!("{kind} {layer}"),
        (kind, Some(layer), Some(head)) => format!("{kind} {layer}.{head}"),
    };
    let most = shown.first().map_or(0.0, |(_, largest)| largest.abs());
    let scale = Scale::around_zero(most, &format!("{most:.4}"));
    let titles = columns.iter().map(|(title, _)| {
        let title = escape::fit(title, escape::width(title).min(10));
        table::Column::right(title).exactly(10)
    });
    let part = table::Column::left("part").exactly(20);
    let mut table = Table::new([part].into_iter().chain(titles).chain([table::Column::bar(scale)]));
    let line = |name: &str, number: &dyn Fn(&Column) -> f64| -> Vec<Cell> {
        let numbers = columns.iter().map(|(_, column)| Cell::from(format!("{:>+10.4}", number(column))));
        [Cell::from(name)].into_iter().chain(numbers).collect()
    };
    for &(part, own) in shown {
        let mut cells = line(&name(part), &|column| column.share(part));
        cells.push(Cell::value(own).paint(if own < 0.0 { 31 } else { 36 }));
        table.row(cells);
    }
    if !rest.is_empty() {
        let sum = |column: &Column| rest.iter().map(|(part, _)| column.share(*part)).sum();
        table.row(line(&format!("{} others", rest.len()), &sum));
    }
    let painted = |cells: Vec<Cell>, sgr| cells.into_iter().map(move |cell| cell.paint(sgr));
    table.row(painted(line("sum", &|column| column.sum), 1));
    table.row(painted(line("logit", &|column| column.logit), 2));
    table.print(out)?.note("--json has all");
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
