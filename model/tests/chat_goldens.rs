//! Chat templates render as in HF transformers, byte for byte, and fail where it fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glassbox_model::chat::{ChatInput, ChatTemplate, Error, SpecialTokens};
use glassbox_tensor::file::gguf::Gguf;
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    seconds: i64,
    tokens: BTreeMap<String, String>,
    conversations: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    add_generation_prompt: bool,
    /// The rendered text.
    text: Option<String>,
    /// The message of the template's own exception.
    raises: Option<String>,
    /// Any other failure, in the reference's words.
    fails: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn goldens() -> Goldens {
    serde_json::from_str(&std::fs::read_to_string(folder().join("goldens.json")).unwrap()).unwrap()
}

fn template(name: &str, goldens: &Goldens) -> ChatTemplate {
    let file = format!("{name}.jinja");
    let source = std::fs::read_to_string(folder().join("templates").join(&file)).unwrap();
    ChatTemplate::parse(&file, &source, tokens(goldens)).unwrap().at_time(goldens.seconds)
}

fn tokens(goldens: &Goldens) -> SpecialTokens {
    let mut tokens = SpecialTokens::default();
    goldens.tokens.iter().for_each(|(name, token)| tokens.set(name, token));
    tokens
}

#[test]
fn every_case_matches_the_reference() {
    let goldens = goldens();
    assert!(goldens.cases.len() > 300);
    let templates: BTreeMap<&str, ChatTemplate> = goldens
        .cases
        .iter()
        .map(|case| (case.template.as_str(), template(&case.template, &goldens)))
        .collect();
    compare(&goldens.cases, &goldens.conversations, |case| &templates[case.template.as_str()]);
}

/// The template of the real model. Runs if `GLASSBOX_SMOLLM2` names the GGUF file.
#[test]
fn the_template_of_smollm2_is_rendered_as_in_the_reference() {
    let Some(path) = std::env::var_os("GLASSBOX_SMOLLM2") else {
        assert!(std::env::var_os("CI").is_none(), "GLASSBOX_SMOLLM2 must be set in CI");
        eprintln!("skipped: set GLASSBOX_SMOLLM2 to the file that scripts/fetch-smollm2.sh prints");
        return;
    };
    #[derive(Deserialize)]
    struct OfModel {
        cases: Vec<Case>,
    }
    let of_model = std::fs::read_to_string(folder().join("smollm2.json")).unwrap();
    let of_model: OfModel = serde_json::from_str(&of_model).unwrap();
    assert_eq!(of_model.cases.len(), 32);
    let file = Gguf::open(path).unwrap();
    let goldens = goldens();
    let source = file.get_str("tokenizer.chat_template").unwrap();
    let template = ChatTemplate::of_gguf(source, tokens(&goldens)).unwrap();
    compare(&of_model.cases, &goldens.conversations, |_| &template);
}

/// Renders every case; fails with the first differing line of each.
fn compare<'a>(
    cases: &[Case],
    conversations: &BTreeMap<String, String>,
    template: impl Fn(&Case) -> &'a ChatTemplate,
) {
    let mut wrong = Vec::new();
    for case in cases {
        let conversation = &conversations[&case.conversation];
        let input = ChatInput::from_json(conversation, case.add_generation_prompt).unwrap();
        let found = template(case).render_input(&input);
        let good = match (&found, &case.text, &case.raises, &case.fails) {
            (Ok(found), Some(expected), None, None) => found == expected,
            (Err(Error::Raised { message, .. }), None, Some(expected), None) => message == expected,
            (Err(Error::Template { .. }), None, None, Some(_)) => true,
            _ => false,
        };
        if !good {
            let expected =
                [&case.text, &case.raises, &case.fails].map(|x| x.as_deref().unwrap_or("")).concat();
            let found = found.unwrap_or_else(|error| format!("error: {error}"));
            let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b).unwrap_or(0);
            let [expected, found] = [&expected, &found].map(|text| text.lines().nth(line).unwrap_or(""));
            wrong.push(format!(
                "{} on {}, line {line}: expected {expected:?}, found {found:?}",
                case.template, case.conversation
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
