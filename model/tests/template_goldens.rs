//! Small templates render as in jinja2's sandbox, as transformers configures it: the same text, or an error where it
//! has one. The snippets are a grid over Jinja's filters, tests, operators and Python's methods, made by
//! `scripts/template_goldens.py` (jinja2 3.1.6, transformers 5.23).

use std::collections::BTreeSet;

use glassbox_model::chat::{ChatInput, ChatTemplate, Error, SpecialTokens};
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    seconds: i64,
    variables: String,
    /// Source; output, if it can be reproduced; class of the exception; message of `raise_exception`.
    cases: Vec<Vec<Option<String>>>,
    /// Time, directive and output of `strftime_now`.
    dates: Vec<(i64, String, String)>,
}

/// What is refused, although jinja2 renders it: the error names it.
const REFUSED: [&str; 20] = [
    "\\N{…} in a string",
    "`encode` of a string",
    "`self`",
    "a complex number",
    "a cycler as a key",
    "a function as a key",
    "a joiner as a key",
    "a method as a key",
    "a namespace as a key",
    "an iterator as a key",
    "half of a surrogate pair in a string",
    "pprint of a value longer than a line",
    "printing a cycler, which Python shows by its address",
    "printing a function, which Python shows by its address",
    "printing a joiner, which Python shows by its address",
    "printing a method, which Python shows by its address",
    "printing an iterator, which Python shows by its address",
    "the filter `random`",
    "the identity of equal values",
    "wordwrap of a text with hyphens, unless break_on_hyphens is false",
];

fn goldens() -> Goldens {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chat/snippets.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn render(source: &str, variables: &str, seconds: i64) -> Result<String, Error> {
    let tokens = SpecialTokens::new(Some("<s>"), Some("</s>"));
    let input = ChatInput::from_json(variables, true)?;
    ChatTemplate::parse("snippet", source, tokens)?.at_time(seconds).render_input(&input)
}

#[test]
fn every_snippet_renders_as_in_jinja2_or_is_refused_by_name() {
    let goldens = goldens();
    assert!(goldens.cases.len() > 7000);
    let mut wrong = Vec::new();
    let mut refused = BTreeSet::new();
    for case in &goldens.cases {
        let source = case[0].as_deref().unwrap();
        let [text, class, raised] = [1, 2, 3].map(|i| case.get(i).and_then(|value| value.as_deref()));
        let found = render(source, &goldens.variables, goldens.seconds);
        let good = match &found {
            Ok(found) => text == Some(found),
            Err(Error::Raised { message, .. }) => raised == Some(message),
            Err(Error::Template { message, .. }) => match message.strip_prefix("not supported: ") {
                Some(what) => refused.insert(what.to_owned()) || REFUSED.contains(&what),
                None => class.is_some(),
            },
            Err(_) => false,
        };
        if !good {
            wrong.push(format!("{source}\n  expected {:?}, found {found:?}", &case[1..]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), goldens.cases.len(), wrong.join("\n"));
    let expected: BTreeSet<String> = REFUSED.iter().map(ToString::to_string).collect();
    assert_eq!(refused, expected, "the list of what is refused");
}

#[test]
fn every_directive_of_strftime_is_glibcs() {
    for (seconds, directive, expected) in goldens().dates {
        let found = render(&format!("{{{{ strftime_now('{directive}') }}}}"), "{}", seconds);
        assert_eq!(found.as_deref(), Ok(expected.as_str()), "{directive} at {seconds}");
    }
}
