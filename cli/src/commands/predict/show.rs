//! The table of `predict`: the model's probabilities beside those that `generate` draws from.

use super::Prediction;
use crate::bars::Scale;
use crate::commands::choice::{self, REMOVED};
use crate::output::Out;
use crate::table::{Cell, Column, Table};

/// Writes a line for each of the `top` most likely tokens, then a line for each filter. `name` formats a token.
pub(super) fn table(
    prediction: &Prediction<'_>,
    top: usize,
    name: impl Fn(u32) -> String,
    out: &mut Out,
) -> anyhow::Result<()> {
    let bars = ["model", "filtered"].map(|whose| Column::bar(Scale::percent().named(whose)));
    let token = Column::left("token").at_most(30).shrinks_to(8);
    let numbers = ["model's prob", "after filters", "logit", "id"].map(Column::right);
    let mut table = Table::new([token].into_iter().chain(numbers).chain(bars));
    let percent = |share: f64| format!("{:.4} %", share * 100.0);
    for token in prediction.model.iter().take(top) {
        let after = prediction.filtered.get(&token.id).copied();
        let cells: [Cell; 7] = [
            name(token.id).into(),
            percent(token.probability).into(),
            after.map_or_else(|| REMOVED.to_owned(), percent).into(),
            format!("{:.4}", token.logit).into(),
            token.id.to_string().into(),
            Cell::value(token.probability),
            Cell::value(after.unwrap_or(0.0)),
        ];
        // What the filters removed is dim.
        table.row(cells.into_iter().map(|cell| if after.is_none() { cell.paint(2) } else { cell }));
    }
    table.print(out)?.note("--json has all");
    out.line("\nfilters before `generate` draws:")?;
    Ok(choice::filters(&prediction.record, &name, out)?)
}
