//! Chat templates: errors, hostile templates, and the sources of a checkpoint's template.

use std::time::{Duration, Instant};

use glassbox_model::chat::{ChatInput, ChatTemplate, Error, Message, SpecialTokens};
use proptest::prelude::*;
use serde_json::json;

fn parse(source: &str) -> Result<ChatTemplate, Error> {
    ChatTemplate::parse("test.jinja", source, SpecialTokens::new(Some("<s>"), None))
}

fn render(source: &str) -> Result<String, Error> {
    parse(source)?.render(&[Message::new("user", "Hi.")], false)
}

/// The line, column and excerpt of an error.
fn place(error: &Error) -> (usize, usize, &str) {
    match error {
        Error::Template { line, column, excerpt, .. } => (*line, *column, excerpt),
        Error::Raised { line, column, .. } => (*line, *column, ""),
        other => panic!("expected a place, found {other:?}"),
    }
}

#[test]
fn errors_have_positions() {
    let error = parse("first\n é {{ 'ü' + }} rest").unwrap_err();
    assert_eq!(place(&error), (2, 13, "}}"));
    let error = render("first\r\nsecond {{ messages[0].content | shout }}").unwrap_err();
    assert_eq!(place(&error), (2, 33, "shout"));
    let error = parse("{% if true %}\n{% frobnicate %}").unwrap_err();
    assert_eq!(place(&error), (2, 4, "frobnicate"));
    assert_eq!(
        error.to_string(),
        "chat template test.jinja, line 2, column 4: syntax error: unknown block `frobnicate`, at `frobnicate`"
    );
    let error = render("{% generation %}x{% endgeneration %}{{ 1 / 0 }}").unwrap_err();
    assert_eq!(place(&error), (1, 40, "1 / 0"));
    let error = render("\n\n  {{ raise_exception('no: ' ~ messages[0].role) }}").unwrap_err();
    assert_eq!(place(&error), (3, 6, ""));
    assert_eq!(
        error.to_string(),
        "chat template test.jinja rejects this conversation: no: user (line 3, column 6)"
    );
    assert!(
        render("{% macro f() %}{{ raise_exception('deep') }}{% endmacro %}{{ f() }}")
            .is_err_and(|error| matches!(&error, Error::Raised { message, .. } if message == "deep"))
    );
}

#[test]
fn what_python_refuses_is_refused() {
    for source in [
        "{{ nothing.at_all }}",
        "{{ nothing() }}",
        "{{ 'a' + 1 }}",
        "{{ messages.append('x') }}",
        "{{ messages[0].content.shout() }}",
        "{{ messages | shout }}",
        "{{ 1 is loud }}",
        "{{ nothing | tojson }}",
        "{{ {'a': nothing} | tojson }}",
        "{{ 1 | tojson(colour=2) }}",
        "{{ 'a'.split('') }}",
        "{{ strftime_now('%Q') }}",
        "{% include 'other' %}",
        "{% include 'test.jinja' %}",
        "{% endgeneration %}",
        "{% generation %}",
        "{{ raise_exception() }}",
    ] {
        assert!(render(source).is_err(), "{source} gave {:?}", render(source));
    }
}

#[test]
fn unknown_special_tokens_are_undefined() {
    assert_eq!(render("[{{ bos_token }}{{ eos_token }}]").unwrap(), "[<s>]");
}

#[test]
fn the_date_is_the_one_that_was_set() {
    let template = parse("{{ strftime_now('%d %b %Y') }}").unwrap().at_time(951_782_400);
    assert_eq!(template.render(&[], false).unwrap(), "29 Feb 2000");
    let now = parse("{{ strftime_now('%Y') }}").unwrap().render(&[], false).unwrap();
    assert!(now.parse::<i32>().unwrap() >= 2025, "{now}");
}

#[test]
fn hostile_templates_are_stopped() {
    let double = |value: &str| {
        format!(
            "{{% set ns = namespace(x={value}) %}}{{% for i in range(60) %}}{{% set ns.x = ns.x ~ ns.x %}}{{% endfor %}}"
        )
    };
    let nest = |what: &str| {
        format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range(99) %}}{{% for j in range(999) %}}\
             {{% set ns.x = {what} %}}{{% endfor %}}{{% endfor %}}"
        )
    };
    let many_lists =
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
    for source in [
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}".to_owned(),
        double("'a'"),
        double("messages[0].content"),
        "{{ 'x' * 4000000000 }}".to_owned(),
        "{{ range(10000000000) | list | length }}".to_owned(),
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}".to_owned(),
        "{% for i in range(1000) %}{{ 'x' * 100000 }}{% endfor %}".to_owned(),
        nest("[ns.x]"),
        nest("{'a': ns.x}"),
        format!("{many_lists}{{{{ ns.x }}}}"),
        format!("{many_lists}{{{{ ns.x | tojson }}}}"),
        format!("{many_lists}{{{{ ns.x | string | length }}}}"),
        format!("{}1{}", "{{ (".repeat(5000), ") }}".repeat(5000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(5000), "]".repeat(5000)),
        format!("{}{}", "{% if true %}".repeat(5000), "{% endif %}".repeat(5000)),
        format!("{{{{ {}nothing.at.all }}}}", "not ".repeat(10_000)),
        format!("{{{{ nothing{} }}}}", "()".repeat(60_000)),
        format!("{{{{ {}'a' }}}}", "-".repeat(10_000)),
        format!(
            "{{% if 0 %}}{}{{{{ nothing.at.all }}}}{{% endif %}}",
            "{% elif nothing.at.all %}".repeat(4000)
        ),
        "x".repeat(200_000),
        nest("(ns.x,)"),
        nest("ns.x|map('upper')"),
        nest("cycler(ns.x)"),
        "{{ 'a' | center(10 ** 9) }}".to_owned(),
        "{{ 'a' | indent(10 ** 9) }}".to_owned(),
        "{{ '%1000000000d' % 1 }}".to_owned(),
        "{{ '{:1000000000}'.format(1) }}".to_owned(),
        "{{ [0] * 10 ** 9 }}".to_owned(),
        "{{ 'a\t'.expandtabs(10 ** 9) }}".to_owned(),
        "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}".to_owned(),
        "{{ ('a ' * 100000) | wordwrap(1, wrapstring='x' * 100000) }}".to_owned(),
        "{{ [1] | batch(10 ** 9, 1) | list }}".to_owned(),
        "{{ 2 ** 100000000 }}".to_owned(),
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}".to_owned(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        format!("{{{{ 'a'{} }}}}", "|upper".repeat(5000)),
        format!("{{{{ {}1{} }}}}", "{'a':".repeat(3000), "}".repeat(3000)),
    ] {
        let start = Instant::now();
        let error = render(&source).expect_err(&source[..source.len().min(100)]);
        assert!(error.to_string().len() < 1000, "{error}");
        assert!(start.elapsed() < Duration::from_secs(6), "{} took {:?}", &source[..60], start.elapsed());
    }
}

const PIECES: [&str; 40] = [
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{%- ",
    " -%}",
    "{# ",
    " #}",
    "for m in messages",
    "endfor",
    "if ",
    "else",
    "elif ",
    "endif",
    "set x = ",
    "generation",
    "endgeneration",
    "raw",
    "endraw",
    "messages",
    "[0]",
    ".content",
    "['role']",
    " + ",
    " ~ ",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "\\",
    "é😀",
    "\r\n",
    " | trim",
    " | tojson",
    ".split('a', 1)",
    "[::-1]",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_source_gives_a_text_or_an_error(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..25),
        content in "\\PC{0,20}",
    ) {
        if let Ok(template) = parse(&pieces.concat()) {
            let _ = template.render(&[Message::new("user", content)], true);
        }
    }
}

#[test]
fn comparing_lists_that_contain_one_list_twice_is_counted() {
    let source = "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}\
                  {% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}";
    let error = render(source).unwrap_err();
    assert_eq!(error, Error::TooMuchWork { template: "test.jinja".into(), line: Some(1) });
}

#[test]
fn nested_lists_are_compared_up_to_a_depth_and_refused_beyond() {
    let nested = |depth| {
        render(&format!(
            "{{% set ns = namespace(x=[], y=[]) %}}{{% for i in range({depth}) %}}{{% set ns.x = [ns.x] %}}\
             {{% set ns.y = [ns.y] %}}{{% endfor %}}{{{{ ns.x == ns.y }}}}"
        ))
    };
    assert_eq!(nested(250).unwrap(), "True");
    assert!(nested(1400).unwrap_err().to_string().contains("nested deeper than"));
}

/// A template may keep values that keep themselves; a later rendering starts afresh.
#[test]
fn renderings_share_nothing() {
    let template = parse(
        "{% set ns = namespace(n=0) %}{% set ns.self = ns %}{% macro f() %}{{ ns.n }}{% endmacro %}\
                          {% set ns.n = ns.n + 1 %}{{ f() }}",
    );
    let template = template.unwrap();
    for _ in 0..3 {
        assert_eq!(template.render(&[], false).unwrap(), "1");
    }
}

#[test]
fn a_long_conversation_fits_the_budget() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat/templates");
    for name in ["chatml", "llama2", "llama3", "qwen", "mistral"] {
        let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let tokens = SpecialTokens::new(Some("<s>"), Some("</s>"));
        let template = ChatTemplate::parse(name, &source, tokens).unwrap();
        for (turns, words) in [(3001, 1), (3, 100_000), (101, 1000)] {
            let role = |i| if i % 2 == 0 { "user" } else { "assistant" };
            let messages: Vec<Message> =
                (0..turns).map(|i| Message::new(role(i), "word ".repeat(words))).collect();
            let text = template.render(&messages, true).unwrap();
            assert!(text.len() >= turns * words * 5 - turns, "{name}: {} bytes", text.len());
        }
    }
}

#[test]
fn the_template_of_a_directory() {
    let config = json!({
        "chat_template": "{{ bos_token }}A{{ eos_token }}{{ pad_token }}",
        "bos_token": "<b>",
        "eos_token": {"content": "<e>", "lstrip": false},
        "pad_token": null,
    });
    let text = |template: Option<ChatTemplate>| template.unwrap().render(&[], false).unwrap();
    let of = ChatTemplate::of_directory;
    assert_eq!(text(of(Some(&config), None, None).unwrap()), "<b>A<e>");
    assert_eq!(text(of(Some(&config), Some("J{{ bos_token }}"), None).unwrap()), "J<b>");
    assert_eq!(text(of(None, Some("J{{ bos_token }}"), None).unwrap()), "J");
    assert!(of(None, None, None).unwrap().is_none());
    assert!(of(Some(&json!({})), None, None).unwrap().is_none());
    assert!(of(Some(&json!({"chat_template": null})), None, None).unwrap().is_none());

    let several = json!({"chat_template": [
        {"name": "default", "template": "D"},
        {"name": "tool_use", "template": "T"},
    ]});
    assert_eq!(text(of(Some(&several), None, None).unwrap()), "D");
    let tool_use = of(Some(&several), None, Some("tool_use")).unwrap().unwrap();
    assert_eq!(tool_use.name(), "tokenizer_config.json (tool_use)");
    assert_eq!(text(Some(tool_use)), "T");
    let error = of(Some(&several), None, Some("rag")).unwrap_err();
    assert_eq!(error.to_string(), "no chat template named `rag`; available: default, tool_use");
    assert!(matches!(of(Some(&config), None, Some("rag")), Err(Error::NoSuchTemplate { .. })));
    assert!(matches!(of(None, None, Some("rag")), Err(Error::NoSuchTemplate { .. })));
    let unnamed = json!({"chat_template": [{"name": "x", "template": "D"}]});
    assert!(matches!(of(Some(&unnamed), None, None), Err(Error::NoSuchTemplate { .. })));
}

#[test]
fn wrong_types_name_their_key() {
    for (config, message) in [
        (
            json!({"chat_template": 3}),
            "`chat_template`: expected a string or a list of {name, template}, found a number",
        ),
        (
            json!({"chat_template": [{"name": "a"}]}),
            "`chat_template[0].template`: expected a string, found nothing",
        ),
        (json!({"chat_template": ["a"]}), "`chat_template[0].name`: expected a string, found nothing"),
        (
            json!({"bos_token": []}),
            "`bos_token`: expected a string or an object with `content`, found a list",
        ),
        (json!({"eos_token": {"content": 1}}), "`eos_token.content`: expected a string, found a number"),
    ] {
        let error = ChatTemplate::of_directory(Some(&config), None, None).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn variables_from_json() {
    let template = parse("{{ tools | tojson }} {{ documents }} {{ depth }} {{ messages | length }}").unwrap();
    let mut input = ChatInput::from_json(r#"{"messages": [], "tools": [{"z": 1, "a": 2}]}"#, false).unwrap();
    input.set_json("depth", "1.0").unwrap();
    assert_eq!(template.render_input(&input).unwrap(), r#"[{"z": 1, "a": 2}] None 1.0 0"#);
    for bad in ["", "[]", "{", "3", r#"{"a": }"#] {
        assert!(matches!(ChatInput::from_json(bad, false), Err(Error::Json { .. })), "{bad}");
    }
    assert!(matches!(input.set_json("tools", "{"), Err(Error::Json { .. })));
}
