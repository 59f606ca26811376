//! Line charts as SVG: axes with round numbers, a line for each series, a legend.

use std::fmt::Write;

/// Size of a chart and its margins, in pixels.
const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 52.0;
/// Maximum number of points per line; longer lines are averaged.
const POINTS: usize = 600;

/// A chart.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// The title above the chart.
    pub title: String,
    /// The label of the horizontal axis.
    pub x: String,
    /// The label of the vertical axis.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, in the order of their `x`.
    pub points: Vec<(f64, f64)>,
    /// Its SVG colour.
    pub colour: &'static str,
}

impl Chart {
    /// The chart as an SVG file. Points that are not finite are omitted.
    pub fn svg(&self) -> String {
        let series: Vec<(&Series, Vec<(f64, f64)>)> =
            self.series.iter().map(|series| (series, averaged(&series.points))).collect();
        let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
        let (x0, x1) = range(all().map(|point| point.0));
        let (y0, y1) = range(all().map(|point| point.1));
        let x = |value: f64| LEFT + (value - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);

        let mut svg = open(WIDTH, HEIGHT);
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        text(&mut svg, middle, 24.0, "middle", 16, &self.title);
        text(&mut svg, middle, HEIGHT - 12.0, "middle", 13, &self.x);
        for tick in ticks(x0, x1) {
            line(&mut svg, (x(tick), TOP), (x(tick), HEIGHT - BOTTOM), "#e4e4e4");
            text(&mut svg, x(tick), HEIGHT - BOTTOM + 18.0, "middle", 12, &number(tick));
        }
        for tick in ticks(y0, y1) {
            line(&mut svg, (LEFT, y(tick)), (WIDTH - RIGHT, y(tick)), "#e4e4e4");
            text(&mut svg, LEFT - 8.0, y(tick) + 4.0, "end", 12, &number(tick));
        }
        text(&mut svg, 8.0, TOP - 12.0, "start", 13, &self.y);
        for (row, (series, points)) in series.iter().enumerate() {
            let path: Vec<String> =
                points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
            let colour = series.colour;
            let points = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
            );
            let at = TOP + 18.0 + 18.0 * row as f64;
            let from = WIDTH - RIGHT - 190.0;
            let _ = writeln!(
                svg,
                "<line x1=\"{from}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
                from + 22.0
            );
            text(&mut svg, from + 30.0, at + 4.0, "start", 13, &series.name);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The start of an SVG file with a white background.
pub fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    )
}

/// A line of text; `anchor` is `start`, `middle` or `end`.
pub fn text(svg: &mut String, x: f64, y: f64, anchor: &str, size: u32, text: &str) {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
         xml:space=\"preserve\">{escaped}</text>"
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

/// At most [`POINTS`] points: means of neighbouring points.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> =
        points.iter().copied().filter(|point| point.0.is_finite() && point.1.is_finite()).collect();
    let together = points.len().div_ceil(POINTS).max(1);
    let mean = |group: &[(f64, f64)]| {
        let len = group.len() as f64;
        let sum = group.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / len, sum.1 / len)
    };
    points.chunks(together).map(mean).collect()
}

/// The range of values, widened if it is empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) =
        values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    match (least <= most, least < most) {
        (false, _) => (0.0, 1.0),
        (_, false) => (least - 0.5, least + 0.5),
        _ => (least, most),
    }
}

/// About five round numbers between two limits.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = (to - from) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (from / step).ceil() as i64;
    (first..first + 12).map(|i| i as f64 * step).take_while(|tick| *tick <= to + step * 1e-9).collect()
}

/// A number without trailing zeros.
fn number(value: f64) -> String {
    let text = if value.abs() >= 1e6 { format!("{:.3}M", value / 1e6) } else { format!("{value:.4}") };
    match text.strip_suffix('M') {
        Some(millions) => format!("{}M", millions.trim_end_matches('0').trim_end_matches('.')),
        None => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

/// Distinguishable colours for the lines of a chart.
pub const COLOURS: [&str; 10] = [
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f",
    "#bcbd22",
];

/// Square heat maps of numbers from 0 to 1, in a row, each with a title; darker is larger. `labels` name the rows.
pub fn squares(title: &str, labels: &[String], squares: &[(String, &[Vec<f32>])]) -> String {
    const CELL: f64 = 18.0;
    let side = labels.len() as f64 * CELL;
    let names = 8.0 + labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as f64 * 7.0;
    let width = names + squares.len() as f64 * (side + 16.0) + 8.0;
    let mut svg = open(width.max(200.0), side + 72.0);
    text(&mut svg, 8.0, 22.0, "start", 15, title);
    for (row, label) in labels.iter().enumerate() {
        text(&mut svg, names - 6.0, 60.0 + CELL * (row as f64 + 0.75), "end", 12, label);
    }
    for (i, (name, rows)) in squares.iter().enumerate() {
        let left = names + i as f64 * (side + 16.0);
        text(&mut svg, left, 52.0, "start", 12, name);
        for (y, row) in rows.iter().enumerate() {
            for (x, value) in row.iter().enumerate().take(y + 1) {
                let (x, y) = (left + x as f64 * CELL, 60.0 + y as f64 * CELL);
                let opacity = value.clamp(0.0, 1.0);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"#1f4e9c\" \
                     fill-opacity=\"{opacity:.3}\" stroke=\"#eeeeee\" stroke-width=\"0.5\"/>"
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_in_range() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(-1.2, 3.9), [0.0, 2.0]);
        assert_eq!(ticks(1.61, 1.92).first().map(|tick| number(*tick)), Some("1.7".into()));
        assert_eq!([0.0, 1_500_000.0, 0.25, 200.0].map(number), ["0", "1.5M", "0.25", "200"]);
    }

    #[test]
    fn charts_omit_nan_and_escape_text() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        let series = vec![Series { name: "a<b".into(), points, colour: "black" }];
        let svg = Chart { title: "t & u".into(), series, ..Chart::default() }.svg();
        assert!(svg.contains("a&lt;b") && svg.contains("t &amp; u") && !svg.contains("NaN"));
        assert_eq!(svg.matches("<polyline").count(), 1);
        let empty = Chart::default().svg();
        assert!(empty.ends_with("</svg>\n") && !empty.contains("NaN"));
    }

    #[test]
    fn long_lines_are_averaged() {
        let points: Vec<(f64, f64)> = (0..6000).map(|i| (f64::from(i), 2.0)).collect();
        let few = averaged(&points);
        assert_eq!(few.len(), POINTS);
        assert_eq!(few[0], (4.5, 2.0));
    }
}
