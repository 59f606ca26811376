//! Tables on terminals of several sizes: nothing wraps, and the first and the last columns stay.

use unicode_width::UnicodeWidthStr;

use crate::process::tiny;
use crate::terminal::Terminal;

/// The lines that a command shows on a terminal of this size; `None` if there is no terminal.
fn lines(size: (usize, usize), command: &str, settings: &[(&str, &str)]) -> Option<Vec<String>> {
    let (columns, rows) = size;
    let binary = env!("CARGO_BIN_EXE_glassbox");
    let shell = format!("sh -c \"stty cols {columns} rows {rows}; exec '{binary}' {command} 2>/dev/null\"");
    let (code, text) = Terminal::start(&shell, settings)?.ends();
    assert_eq!(code, Some(0), "{text}");
    Some(text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect())
}

/// A line without its colours.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[test]
fn no_table_wraps_and_the_first_and_the_last_column_stay() {
    let (text, ids) = (tiny("llama-text"), tiny("llama-gqa"));
    for command in [
        format!("lens -m {text} 'The cat sat on the mat, 你好 and 🙂 again'"),
        format!("lens -m {ids} --ids 1,2,3,4,5,6,7,8,9,10,11,12 --top 2"),
        format!("trace -m {text} 'The cat'"),
        format!("predict -m {text} 'The cat' --temp 2 --typical 0.9"),
        format!("attribute -m {text} 'The cat'"),
        format!("attention -m {text} 'The cat 你好'"),
        format!("generate -m {text} 'The cat' --explain -n 2 --seed 1 --typical 0.9"),
    ] {
        // The list of `attention` has its own layout, which needs some fifty columns.
        let narrow = if command.starts_with("attention") { 60 } else { 40 };
        for size in [(narrow, 24), (80, 24), (160, 50)] {
            let Some(lines) = lines(size, &command, &[]) else { return };
            for line in &lines {
                assert!(plain(line).width() <= size.0, "{command} at {size:?}: {line:?}");
            }
            assert!(lines.len() >= 3, "{command}: {lines:?}");
        }
    }
    let [narrow, wide] = [(40, 50), (160, 50)].map(|size| {
        let lines = lines(size, &format!("lens -m {ids} --ids 1,2,3,4,5,6,7,8,9,10,11,12"), &[]).unwrap();
        plain(&lines[0])
    });
    assert!(narrow.starts_with("layer") && narrow.ends_with("…  <12>"), "{narrow}");
    assert!(wide.starts_with("layer  <1>") && wide.contains('…') && wide.ends_with("<12>"), "{wide}");
}

#[test]
fn a_table_longer_than_the_screen_repeats_its_headings_below() {
    let trace = format!("trace -m {} 'The cat'", tiny("llama-text"));
    let Some(long) = lines((80, 24), &trace, &[]) else { return };
    let tall = lines((80, 100), &trace, &[]).unwrap();
    let headings = |lines: &[String]| lines.iter().filter(|line| plain(line).starts_with("name ")).count();
    assert_eq!((headings(&long), headings(&tall)), (2, 1));
    assert_eq!(long.first(), long.last());
}

/// The longest bar filled the line, so 5 % looked like certainty.
#[test]
fn a_full_bar_is_100_percent() {
    let text = tiny("llama-text");
    for temperature in ["0.05", "0.2", "1"] {
        let filters = format!("--samplers temperature --temp {temperature}");
        let command = format!("predict -m {text} 'The cat' --top 3 {filters}");
        let Some(lines) = lines((160, 24), &command, &[("NO_COLOR", "1")]) else { return };
        assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:?}");
        let heading = lines[0].find(" id").unwrap();
        assert!(lines[0][heading..].contains("0 % ") && lines[0].ends_with("100 %"), "{lines:?}");
        let start = lines[0].rfind(" 0 % ").unwrap() + 1;
        let columns = lines[0].len() - start;
        for line in &lines[1..4] {
            let percent: f64 = line.split(" %").nth(1).unwrap().trim().parse().unwrap();
            let bar = line.chars().skip(start).filter(|c| ('▁'..='▏').contains(c)).count() as f64;
            let expected = percent / 100.0 * columns as f64;
            assert!((bar - expected).abs() <= 1.0, "{percent} {bar} {columns}: {lines:?}");
        }
    }
}
