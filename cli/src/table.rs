//! Tables for a terminal: columns as wide as their cells, and cut in the middle where the terminal is too narrow.
//!
//! Widths are in terminal columns, so Chinese characters and emoji line up. A table that is too wide first shrinks the
//! columns that may shrink, then leaves out its bars, the first of them first, then columns in the middle: the first
//! and the last column stay, and `…` stands for the rest. Without a terminal nothing is cut, and there are no bars.

use std::fmt::Write;
use std::ops::RangeInclusive;

use crate::bars::Scale;
use crate::escape;
use crate::output::{Out, StdoutError, note};

/// Number of blanks between columns.
const GAP: usize = 2;
/// Width limits of a bar in columns.
const BAR: RangeInclusive<usize> = 12..=60;

/// A column: its heading, and how its cells are placed.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    heading: String,
    kind: Kind,
    /// Width to which the column may shrink; `None` if it may not.
    least: Option<usize>,
    /// Limits of its width where there is room.
    width: RangeInclusive<usize>,
}

#[derive(Clone, Debug)]
enum Kind {
    Left,
    Right,
    Bar(Scale),
}

impl Column {
    /// Text, aligned to the left.
    pub(crate) fn left(heading: impl Into<String>) -> Column {
        Column { heading: heading.into(), kind: Kind::Left, least: None, width: 0..=usize::MAX }
    }

    /// Numbers, aligned to the right.
    pub(crate) fn right(heading: impl Into<String>) -> Column {
        Column { kind: Kind::Right, ..Column::left(heading) }
    }

    /// Bars, which take the columns that the others leave.
    pub(crate) fn bar(scale: Scale) -> Column {
        Column { kind: Kind::Bar(scale), ..Column::left("") }
    }

    /// Lets the column shrink to this width; its cells are truncated then.
    pub(crate) fn shrinks_to(mut self, least: usize) -> Column {
        self.least = Some(least);
        self
    }

    /// Truncates cells that are longer than this.
    pub(crate) fn at_most(mut self, most: usize) -> Column {
        self.width = 0..=most;
        self
    }

    /// Makes the column this wide, whatever its cells are.
    pub(crate) fn exactly(mut self, width: usize) -> Column {
        self.width = width..=width;
        self
    }
}

/// The content of a column in a row.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    content: Content,
    sgr: Option<u8>,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Value(f64),
}

impl Cell {
    /// A value for a column of bars.
    pub(crate) fn value(value: f64) -> Cell {
        Cell { content: Content::Value(value), sgr: Some(36) }
    }

    /// Paints the cell in an SGR colour.
    pub(crate) fn paint(mut self, sgr: u8) -> Cell {
        self.sgr = Some(sgr);
        self
    }

    fn text(&self) -> &str {
        match &self.content {
            Content::Text(text) => text,
            Content::Value(_) => "",
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { content: Content::Text(text.into()), sgr: None }
    }
}

/// A table.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

/// The headings of the columns that did not fit.
#[must_use]
pub(crate) struct LeftOut(Vec<String>);

impl LeftOut {
    /// Says on stderr what was left out, if anything was, and how to get it.
    pub(crate) fn note(&self, instead: &str) {
        if !self.0.is_empty() {
            note(format_args!("too narrow for {}; {instead}", self.0.join(", ")));
        }
    }
}

/// A column that is shown, with its width; `None` stands for the columns left out.
type Shown = (Option<usize>, usize);

impl Table {
    /// A table of these columns.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Table {
        Table { columns: columns.into_iter().collect(), rows: Vec::new(), indent: 0 }
    }

    /// Indents every line by this many columns.
    pub(crate) fn indented(mut self, columns: usize) -> Table {
        self.indent = columns;
        self
    }

    /// Adds a row. Cells that are missing at its end are blank.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes the table. If it is longer than the terminal, the headings are repeated below it.
    pub(crate) fn print(&self, out: &mut Out) -> Result<LeftOut, StdoutError> {
        let layout = self.layout(out.width());
        let heading = out.paint(2, &self.heading(&layout));
        let mut lines = vec![heading.clone()];
        lines.extend(self.rows.iter().map(|row| self.line(row, &layout, |sgr, text| out.paint(sgr, text))));
        // A line or two follow: a note, the shell's prompt.
        if out.height().is_some_and(|height| lines.len() + 2 > height) {
            lines.push(heading);
        }
        for line in lines {
            out.line(format_args!("{:1$}{line}", "", self.indent))?;
        }
        let shown = self.shown(out);
        let left_out =
            self.columns.iter().enumerate().filter(|(i, column)| !column.is_bar() && !shown.contains(i));
        Ok(LeftOut(left_out.map(|(_, column)| column.heading.trim().to_owned()).collect()))
    }

    /// The columns that fit, in order. With columns of exact width this is known before there are rows.
    pub(crate) fn shown(&self, out: &Out) -> Vec<usize> {
        self.layout(out.width()).into_iter().filter_map(|(column, _)| column).collect()
    }

    /// The columns shown on a terminal of `width` columns, and how wide each is.
    fn layout(&self, width: Option<usize>) -> Vec<Shown> {
        let natural: Vec<usize> = (0..self.columns.len()).map(|column| self.natural(column)).collect();
        let text: Vec<usize> = (0..self.columns.len()).filter(|&i| !self.columns[i].is_bar()).collect();
        let widths = |of: &[usize]| of.iter().map(|&i| (Some(i), natural[i])).collect::<Vec<Shown>>();
        let Some(width) = width else { return widths(&text) };
        // A full line would move the cursor of some terminals to the next.
        let available = width.saturating_sub(1 + self.indent);
        // All bars, then one less and one less.
        let mut columns: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let mut shown = widths(&columns);
            self.shrink(&mut shown, available, |column| column.least);
            if total(&shown) <= available {
                self.widen_bars(&mut shown, available);
                return shown;
            }
            let Some(bar) = columns.iter().position(|&i| self.columns[i].is_bar()) else { break };
            columns.remove(bar);
        }
        let mut shown = self.cut(&widths(&text), available);
        // Not even the first and the last column fit.
        self.shrink(&mut shown, available, |_| Some(1));
        shown
    }

    /// The width that a column takes if there is room.
    fn natural(&self, column: usize) -> usize {
        let Column { heading, width, kind, .. } = &self.columns[column];
        if let Kind::Bar(scale) = kind {
            return scale.heading_width().clamp(*BAR.start(), *BAR.end());
        }
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| escape::width(cell.text()));
        cells.fold(escape::width(heading), usize::max).clamp(*width.start(), *width.end())
    }

    /// Narrows the widest columns first, to no less than `least` allows.
    fn shrink(&self, shown: &mut [Shown], available: usize, least: impl Fn(&Column) -> Option<usize>) {
        while total(shown) > available {
            let least = |column: Option<usize>| column.and_then(|i| least(&self.columns[i]));
            let widest = shown
                .iter_mut()
                .filter(|(column, width)| least(*column).is_some_and(|least| *width > least))
                .max_by_key(|(_, width)| *width);
            let Some((_, width)) = widest else { return };
            *width -= 1;
        }
    }

    /// The first and the last column, and as many beside them as fit, in turns from the end and from the beginning.
    fn cut(&self, shown: &[Shown], available: usize) -> Vec<Shown> {
        let least = |(column, width): Shown| {
            let least = column.and_then(|i| self.columns[i].least);
            (column, least.map_or(width, |least| least.min(width)))
        };
        if shown.len() <= 2 {
            return shown.iter().copied().map(least).collect();
        }
        let cut = |first: usize, last: usize| {
            let (head, tail) = (&shown[..first], &shown[shown.len() - last..]);
            head.iter()
                .copied()
                .map(least)
                .chain([(None, 1)])
                .chain(tail.iter().copied().map(least))
                .collect()
        };
        let (mut first, mut last) = (1, 1);
        let mut kept: Vec<Shown> = cut(first, last);
        while first + last + 1 < shown.len() {
            let (more_first, more_last) = if first > last { (first, last + 1) } else { (first + 1, last) };
            let more: Vec<Shown> = cut(more_first, more_last);
            if total(&more) > available {
                break;
            }
            (first, last, kept) = (more_first, more_last, more);
        }
        kept
    }

    /// Gives what is left of the line to the bars.
    fn widen_bars(&self, shown: &mut [Shown], available: usize) {
        let mut spare = available.saturating_sub(total(shown));
        let is_bar = |column: Option<usize>| column.is_some_and(|i| self.columns[i].is_bar());
        let mut bars = shown.iter().filter(|(column, _)| is_bar(*column)).count();
        for (_, width) in shown.iter_mut().filter(|(column, _)| is_bar(*column)) {
            let more = (spare / bars).min(BAR.end() - *width);
            (*width, spare, bars) = (*width + more, spare - more, bars - 1);
        }
    }

    fn heading(&self, layout: &[Shown]) -> String {
        let cells = layout.iter().map(|&(column, width)| match column.map(|i| &self.columns[i]) {
            None => "…".to_owned(),
            Some(Column { kind: Kind::Bar(scale), .. }) => scale.heading(width),
            Some(column) => column.align(&column.heading, width),
        });
        joined(cells)
    }

    fn line(&self, row: &[Cell], layout: &[Shown], paint: impl Fn(u8, &str) -> String) -> String {
        let blank = Cell::from("");
        let cells = layout.iter().map(|&(column, width)| {
            let Some(i) = column else { return "…".to_owned() };
            let (cell, column) = (row.get(i).unwrap_or(&blank), &self.columns[i]);
            let text = match (&cell.content, &column.kind) {
                (Content::Value(value), Kind::Bar(scale)) => escape::fit(&scale.bar(*value, width), width),
                _ => column.align(cell.text(), width),
            };
            // Blanks are not painted, so that those at the end of the line can be removed.
            let (end, start) = (text.trim_end().len(), text.len() - text.trim_start().len());
            match cell.sgr {
                Some(sgr) if start < end => {
                    format!("{}{}{}", &text[..start], paint(sgr, &text[start..end]), &text[end..])
                }
                _ => text,
            }
        });
        joined(cells)
    }
}

impl Column {
    fn is_bar(&self) -> bool {
        matches!(self.kind, Kind::Bar(_))
    }

    /// A text in exactly `width` columns.
    fn align(&self, text: &str, width: usize) -> String {
        let used = escape::width(text);
        match self.kind {
            Kind::Right if used < width => format!("{}{text}", " ".repeat(width - used)),
            _ => escape::fit(text, width),
        }
    }
}

/// The width of a line.
fn total(shown: &[Shown]) -> usize {
    shown.iter().map(|(_, width)| width).sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

/// Cells with gaps between them, without blanks at the end of the line.
fn joined(cells: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for (i, cell) in cells.enumerate() {
        let gap = if i == 0 { 0 } else { GAP };
        // Writing to a string does not fail.
        let _ = write!(line, "{:gap$}{cell}", "");
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests;
