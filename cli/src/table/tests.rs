use super::*;

/// The lines of a table without colours.
fn lines(table: &Table, width: Option<usize>) -> Vec<String> {
    let layout = table.layout(width);
    let rows = table.rows.iter().map(|row| table.line(row, &layout, |_, text| text.to_owned()));
    std::iter::once(table.heading(&layout)).chain(rows).collect()
}

fn numbers(columns: usize) -> Table {
    let mut table = Table::new(
        (0..columns).map(|i| if i == 0 { Column::left("name") } else { Column::right(format!("c{i}")) }),
    );
    table.row(
        (0..columns).map(|i| Cell::from(if i == 0 { "first".into() } else { format!("{:07}", i * 1111) })),
    );
    table
}

#[test]
fn columns_are_as_wide_as_their_cells_in_any_script() {
    let mut table = Table::new([Column::left("token"), Column::right("prob"), Column::left("end")]);
    table.row(["你好吗".into(), "1.0".into(), "x".into()]);
    table.row(["🙂".into(), "10.25".into(), "y".into()]);
    table.row(["é".into(), "".into()]);
    assert_eq!(lines(&table, None), ["token    prob  end", "你好吗    1.0  x", "🙂      10.25  y", "é"]);
}

#[test]
fn a_wide_table_keeps_its_first_and_its_last_columns() {
    for (width, heading, row) in [
        (40, "name        c1  …      c10      c11", "first  0001111  …  0011110  0012221"),
        (
            80,
            "name        c1       c2       c3  …       c8       c9      c10      c11",
            "first  0001111  0002222  0003333  …  0008888  0009999  0011110  0012221",
        ),
    ] {
        let found = lines(&numbers(12), Some(width));
        assert_eq!(found, [heading, row]);
    }
    let all = lines(&numbers(12), Some(160));
    assert!(!all[0].contains('…'));
    assert_eq!(all, lines(&numbers(12), None));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut table = Table::new([
        Column::left("token").shrinks_to(5).at_most(30),
        Column::right("prob"),
        Column::bar(Scale::percent()),
        Column::left("last"),
    ]);
    for token in ["你好".repeat(20), "x".repeat(50), "🙂".repeat(3)] {
        table.row([token.into(), "99.99 %".into(), Cell::value(1.0), "the end of the line".into()]);
    }
    for width in 20..200 {
        let longest = lines(&table, Some(width)).iter().map(|line| escape::width(line)).max();
        assert!(longest < Some(width), "{width}: {longest:?}");
        for columns in [1, 2, 3, 30] {
            let longest = lines(&numbers(columns), Some(width)).iter().map(|line| escape::width(line)).max();
            assert!(longest < Some(width), "{width}: {longest:?}");
        }
    }
}

#[test]
fn bars_take_what_is_left_and_go_first() {
    let mut table = Table::new([Column::left("token"), Column::bar(Scale::percent()), Column::right("id")]);
    table.row([" Paris".into(), Cell::value(0.5), "7042".into()]);
    table.row([" the".into(), Cell::value(1.0), "260".into()]);
    assert_eq!(
        lines(&table, Some(31)),
        [
            "token   0 %        100 %    id",
            " Paris  ████████          7042",
            " the    ████████████████   260"
        ]
    );
    assert_eq!(lines(&table, Some(24)), ["token     id", " Paris  7042", " the     260"]);
    assert_eq!(lines(&table, Some(24)), lines(&table, None));
}

#[test]
fn colours_take_no_room() {
    let mut table = Table::new([Column::right("a"), Column::left("b")]);
    table.row([Cell::from("1").paint(1), Cell::from("x").paint(36)]);
    table.row(["100".into(), "".into()]);
    let layout = table.layout(Some(80));
    let line = table.line(&table.rows[0], &layout, |sgr, text| format!("<{sgr}>{text}</>"));
    assert_eq!(line, "  <1>1</>  <36>x</>");
    assert_eq!(table.line(&table.rows[1], &layout, |_, text| text.to_owned()), "100");
}
