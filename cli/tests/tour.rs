//! Runs the pages of `docs` with commands: every command in them prints the lines below it. Needs SmolLM2, as
//! `smollm2.rs` does. The Chinese pages have the same commands and outputs as the English ones.

#[path = "commands/process.rs"]
#[allow(dead_code)]
mod process;

use std::fs;
use std::path::{Path, PathBuf};

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

/// The pages to run, and how many commands each has at least.
const PAGES: [(&str, usize); 2] = [("tour", 10), ("questions", 12)];

/// Files that a page's commands read.
const FILES: [&str; 1] = ["model/tests/fixtures/smollm2/alice.txt"];

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words of a command line; double quotes group words.
fn words(command: &str) -> Vec<String> {
    let split = command.split('"').enumerate();
    let words =
        split.flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
    words.map(str::to_owned).collect()
}

/// Whether `found` matches `expected`, in which a line "…" stands for any number of lines.
fn matches(expected: &[String], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=found.len()).any(|skipped| matches(rest, &found[skipped..]))
        }
        Some((line, rest)) => {
            found.first().is_some_and(|first| line_matches(line, first.trim_end()))
                && matches(rest, &found[1..])
        }
    }
}

/// Whether `found` matches the line `expected`, in which "…" stands for any characters.
fn line_matches(expected: &str, found: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else { return expected == found };
    let Some(mut found) = found.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = found.find(part) else { return false };
        found = &found[at + part.len()..];
    }
    found.ends_with(end)
}

#[test]
fn an_ellipsis_matches_any_lines_or_characters_and_nothing_else_does() {
    let expected = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
    for (page, found, expected_match) in [
        (&["a", "…", "c"][..], &["a", "b", "b", "c"][..], true),
        (&["a", "…", "c"], &["a", "c"], true),
        (&["a", "…"], &["a"], true),
        (&["a", "…", "c"], &["a", "b"], false),
        (&["a"], &["a", "b"], false),
        (&["a … c", "d"], &["a b c", "d"], true),
        (&["a … c"], &["a b d"], false),
        (&["a … c"], &["b a  c"], false),
        (&["a … c …"], &["a b c d"], true),
        (&["a … c …"], &["a b d"], false),
        (&["a …"], &["a", "b"], false),
        (&["a", "b"], &["a"], false),
        (&[], &["a"], false),
    ] {
        assert_eq!(matches(&expected(page), found), expected_match, "{page:?} {found:?}");
    }
    let read = steps("$ glassbox no\n```console\n$ glassbox a \"b c\" d\nx\n$ glassbox e\n```\n");
    assert_eq!(read, [(expected(&["a", "b c", "d"]), expected(&["x"])), (expected(&["e"]), vec![])]);
}

#[test]
fn the_commands_of_the_pages_print_what_they_show() {
    let Ok(model) = std::env::var("GLASSBOX_SMOLLM2") else {
        assert!(std::env::var_os("CI").is_none(), "GLASSBOX_SMOLLM2 must be set in CI");
        println!("skipped: GLASSBOX_SMOLLM2 is not set; scripts/fetch-smollm2.sh downloads the model");
        return;
    };
    let model = fs::canonicalize(model).unwrap();
    let mut wrong = Vec::new();
    for (page, least) in PAGES {
        let steps = steps(&read(&format!("docs/{page}.md")));
        assert!(steps.len() >= least, "{page} has only {} commands", steps.len());
        let folder = tempfile::tempdir().unwrap();
        for file in FILES.map(Path::new) {
            fs::create_dir_all(folder.path().join(file.parent().unwrap())).unwrap();
            fs::copy(repository(file.to_str().unwrap()), folder.path().join(file)).unwrap();
        }
        for (command, expected) in steps {
            let call = glassbox(&command).env("GLASSBOX_MODEL", &model).env("GLASSBOX_COMPUTE", "f32");
            let found = call.within(folder.path()).text();
            if !matches(&expected, &found.lines().collect::<Vec<_>>()) {
                wrong.push(format!("{page}: {command:?} printed\n{found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The code between fences, without the comments that follow commands.
fn code(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2);
    let uncommented = |line: &str| line.split("  #").next().unwrap_or(line).trim_end().to_owned();
    blocks.map(|block| block.lines().map(uncommented).collect::<Vec<_>>().join("\n")).collect()
}

/// The first cells of tables that are code.
fn table_commands(page: &str) -> Vec<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(code, _)| code)
        .collect()
}

/// Outputs are run in English, so equal blocks are right in both languages.
#[test]
fn translations_have_the_same_commands_and_outputs() {
    for page in ["README", "docs/tour", "docs/questions"] {
        let (english, chinese) = (read(&format!("{page}.md")), read(&format!("{page}.zh-CN.md")));
        let (expected, found) = (code(&english), code(&chinese));
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(found, expected, "{page}");
        }
        assert_eq!(found.len(), expected.len(), "{page}");
        assert_eq!(table_commands(&chinese), table_commands(&english), "{page}");
        for (text, other) in [(&english, "zh-CN.md"), (&chinese, "md")] {
            let name = page.rsplit('/').next().unwrap();
            assert!(text.contains(&format!("({name}.{other})")), "{page} does not link to its translation");
        }
    }
}

/// The first word of each command in README's table is a command.
#[test]
fn the_commands_of_the_readme_exist() {
    let (readme, overview) = (read("README.md"), glassbox(["--help"]).text());
    let commands = table_commands(&readme);
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let name = command.split_whitespace().next().unwrap();
        assert!(overview.lines().any(|line| line.starts_with(&format!("  {name} "))), "{command}");
    }
}
