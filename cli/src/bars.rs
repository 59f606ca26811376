//! Bars with a stated scale: a bar's length means the same in every row and in every run.

use crate::escape;

/// What a full bar stands for. The column's heading says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Whether bars grow from the middle, negative ones to the left.
    signed: bool,
    /// The value of a full bar, or of a full half.
    full: f64,
    /// What stands over the ends.
    ends: [String; 2],
    /// What stands over the middle.
    name: String,
}

impl Scale {
    /// Shares of a whole: a full bar is 100 %.
    pub(crate) fn percent() -> Scale {
        Scale { signed: false, full: 1.0, ends: ["0 %".into(), "100 %".into()], name: String::new() }
    }

    /// From `-full` to `full`, which stands over the ends as `label` with its sign.
    pub(crate) fn around_zero(full: f64, label: &str) -> Scale {
        Scale { signed: true, full, ends: [format!("-{label}"), format!("+{label}")], name: "0".into() }
    }

    /// Says in the heading whose bars they are.
    pub(crate) fn named(mut self, name: &str) -> Scale {
        self.name = name.into();
        self
    }

    /// The width that the heading takes.
    pub(crate) fn heading_width(&self) -> usize {
        let [left, right] = self.ends.each_ref().map(|end| escape::width(end) + 1);
        left + escape::width(&self.name) + right
    }

    /// The heading: the values of both ends, in exactly `columns` columns.
    pub(crate) fn heading(&self, columns: usize) -> String {
        let [left, right] = &self.ends;
        let (before, name) = (escape::width(left), escape::width(&self.name));
        let gap = columns.saturating_sub(before + escape::width(right)).max(1);
        // The name is in the middle of the columns, if it fits between the ends.
        let at = (columns / 2).saturating_sub(name / 2 + before);
        if name == 0 || at == 0 || at + name >= gap {
            return escape::fit(&format!("{left}{}{right}", " ".repeat(gap)), columns);
        }
        let (blank, rest) = (" ".repeat(at), " ".repeat(gap - at - name));
        escape::fit(&format!("{left}{blank}{}{rest}{right}", self.name), columns)
    }

    /// The bar of `value`, at most `columns` columns. A value beyond the scale has a full bar, one that is not a number
    /// none.
    pub(crate) fn bar(&self, value: f64, columns: usize) -> String {
        let share = if self.full > 0.0 { value / self.full } else { 0.0 };
        let share = if share.is_nan() { 0.0 } else { share };
        if self.signed { signed(share, columns / 2) } else { from_left(share, columns) }
    }
}

/// A bar that fills the fraction `share` of `columns`, in steps of an eighth of a column.
pub(crate) fn from_left(share: f64, columns: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(" ▏▎▍▌▋▊▉".chars().nth(eighths % 8).filter(|_| !eighths.is_multiple_of(8)));
    bar
}

/// A bar that fills the fraction `share` of `half` columns, to the right of the middle or, if negative, to the left; in
/// steps of half a column.
pub(crate) fn signed(share: f64, half: usize) -> String {
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
    fn bars_are_as_long_as_their_share() {
        let percent = Scale::percent();
        assert_eq!(percent.bar(1.0, 3), "███");
        assert_eq!(percent.bar(0.5, 3), "█▌");
        assert_eq!(percent.bar(0.0, 3), "");
        assert_eq!(percent.bar(7.0, 3), "███");
        assert_eq!(percent.bar(f64::NAN, 3), "");
    }

    #[test]
    fn bars_grow_from_the_middle() {
        let scale = Scale::around_zero(2.0, "2.0");
        assert_eq!(scale.bar(2.0, 6), "   ███");
        assert_eq!(scale.bar(1.0, 6), "   █▌");
        assert_eq!(scale.bar(-1.0, 6), " ▐█");
        assert_eq!(scale.bar(-2.0, 6), "███");
        assert_eq!(scale.bar(0.0, 6), "   ");
    }

    #[test]
    fn the_heading_has_the_values_of_the_ends() {
        assert_eq!(Scale::percent().heading(12), "0 %    100 %");
        assert_eq!(Scale::percent().named("model").heading(20), "0 %     model  100 %");
        assert_eq!(Scale::percent().named("a long name").heading(16), "0 %        100 %");
        assert_eq!(Scale::around_zero(1.5, "1.5").heading(12), "-1.5  0 +1.5");
    }
}
