//! Two predictions side by side: of the model and of the changed one.

use glassbox_sampler::Token;
use glassbox_tokenizer::Tokenizer;

use super::choice::REMOVED;
use super::predict::{Prediction, shown};
use crate::interventions::Planned;
use crate::output::{Out, note};
use crate::table::{Cell, Column, Table};

/// Writes a line for each token that is among the `top` most likely before or after: both probabilities, their
/// difference in percentage points, the change of the logit, and with `filtered` both probabilities after the filters.
pub(super) fn predictions(
    planned: &Planned,
    predictions: [&Prediction<'_>; 2],
    top: usize,
    filtered: bool,
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    note(format_args!("after: {}", planned.heading()));
    let most = predictions.map(|prediction| prediction.model.iter().take(top).map(|token| token.id));
    let [before, after] = most.map(Iterator::collect::<Vec<u32>>);
    let added: Vec<u32> = after.into_iter().filter(|id| !before.contains(id)).collect();
    let numbers = [("before", 10), ("after", 10), ("change", 9), ("Δ logit", 9), ("id", 7)];
    let numbers = numbers.map(|(heading, width)| Column::right(heading).exactly(width));
    let after_filters = ["filtered before", "filtered after"].map(Column::right);
    let token = Column::left("token").at_most(40).shrinks_to(8);
    let columns = [token].into_iter().chain(numbers).chain(after_filters.into_iter().filter(|_| filtered));
    let mut table = Table::new(columns);
    let percent = |share: f64| format!("{:.4} %", share * 100.0);
    for id in before.into_iter().chain(added) {
        let find =
            |prediction: &Prediction<'_>| prediction.model.iter().find(|token| token.id == id).copied();
        // A token that is impossible has no logit to subtract.
        let none = Token { id, logit: f64::NEG_INFINITY, probability: 0.0 };
        let [before, after] = predictions.map(|prediction| find(prediction).unwrap_or(none));
        let change = (after.probability - before.probability) * 100.0;
        let kept = predictions.map(|prediction| {
            let kept = prediction.filtered.get(&id).copied();
            Cell::from(kept.map_or_else(|| REMOVED.to_owned(), percent))
        });
        let cells: [Cell; 6] = [
            shown(tokenizer, id).into(),
            percent(before.probability).into(),
            percent(after.probability).into(),
            Cell::from(format!("{change:>+9.4}")).paint(if change < 0.0 { 31 } else { 36 }),
            format!("{:>+9.4}", after.logit - before.logit).into(),
            id.to_string().into(),
        ];
        table.row(cells.into_iter().chain(kept));
    }
    table.print(out)?.note("--json has all");
    Ok(())
}
