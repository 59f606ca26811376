//! Runs `docs/tour.md`: every command in it prints the lines below it. Needs SmolLM2, as `smollm2.rs` does.

#[path = "commands/process.rs"]
#[allow(dead_code)]
mod process;

use std::path::Path;

use process::glassbox;

/// A command and the lines below it.
type Step = (Vec<String>, Vec<String>);

/// The commands between "```console" and "```".
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("$ glassbox ") {
            _ if line.starts_with("```") => inside = line == "```console",
            Some(command) if inside => steps.push((words(command), Vec::new())),
            None if inside => steps.last_mut().expect("a command comes first").1.push(line.to_owned()),
            _ => {}
        }
    }
    steps
}

/// The words of a command line; double quotes group words.
fn words(command: &str) -> Vec<String> {
    let split = command.split('"').enumerate();
    let words =
        split.flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
    words.map(str::to_owned).collect()
}

/// Whether `found` matches `expected`, in which "…" stands for any number of lines.
fn matches(expected: &[String], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=found.len()).any(|skipped| matches(rest, &found[skipped..]))
        }
        Some((line, rest)) => {
            found.first().is_some_and(|first| first.trim_end() == line) && matches(rest, &found[1..])
        }
    }
}

#[test]
fn an_ellipsis_matches_any_lines_and_nothing_else_does() {
    let expected = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
    for (page, found, expected_match) in [
        (&["a", "…", "c"][..], &["a", "b", "b", "c"][..], true),
        (&["a", "…", "c"], &["a", "c"], true),
        (&["a", "…"], &["a"], true),
        (&["a", "…", "c"], &["a", "b"], false),
        (&["a"], &["a", "b"], false),
        (&["a", "b"], &["a"], false),
        (&[], &["a"], false),
    ] {
        assert_eq!(matches(&expected(page), found), expected_match, "{page:?} {found:?}");
    }
    let read = steps("$ glassbox no\n```console\n$ glassbox a \"b c\" d\nx\n$ glassbox e\n```\n");
    assert_eq!(read, [(expected(&["a", "b c", "d"]), expected(&["x"])), (expected(&["e"]), vec![])]);
}

#[test]
fn the_commands_of_the_tour_print_what_it_shows() {
    let Ok(model) = std::env::var("GLASSBOX_SMOLLM2") else {
        assert!(std::env::var_os("CI").is_none(), "GLASSBOX_SMOLLM2 must be set in CI");
        println!("skipped: GLASSBOX_SMOLLM2 is not set; scripts/fetch-smollm2.sh downloads the model");
        return;
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tour.md");
    let steps = steps(&std::fs::read_to_string(page).unwrap());
    assert!(steps.len() >= 10);
    for (command, expected) in steps {
        let run = glassbox(&command).env("GLASSBOX_MODEL", &model).env("GLASSBOX_COMPUTE", "f32");
        let found = run.text();
        assert!(matches(&expected, &found.lines().collect::<Vec<_>>()), "{command:?} printed\n{found}");
    }
}
