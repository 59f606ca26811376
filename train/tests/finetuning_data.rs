//! The data of a fine-tuning: which tokens of a chat are learnt, the layouts of records, and what is an error.

use std::path::Path;

use glassbox_model::chat::{ChatTemplate, SpecialTokens};
use glassbox_tokenizer::Tokenizer;
use glassbox_train::DataError;
use glassbox_train::finetune::{Layout, TrainingData, TrainingSequence, read_sequences};
use serde_json::{Value, json};

const END: &str = "<|endoftext|>";

/// Renders roles, contents, tools and tool calls.
const TEMPLATE: &str = "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}{{ m.role }}|\
    {{ m.content or '' }}{% for t in m.tool_calls or [] %}<call>{{ t.function.name }}{% endfor %}{{ eos_token }}\
    {% endfor %}{% if add_generation_prompt %}assistant|{% endif %}";

fn tokenizer() -> Tokenizer {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/tiny/llama-text/tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(path).unwrap();
    let end = tokenizer.token_to_id(END);
    tokenizer.set_eos_id(end);
    tokenizer
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::parse("test", source, SpecialTokens::new(None, Some(END))).unwrap()
}

fn read_with(source: &str, name: &str, text: &str) -> Result<TrainingData, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    read_sequences(&path, Some(&template(source)), &tokenizer(), 400)
}

fn read(name: &str, text: &str) -> Result<TrainingData, DataError> {
    read_with(TEMPLATE, name, text)
}

/// A sequence as text, with what is learnt in brackets.
fn shown(sequence: &TrainingSequence) -> String {
    let tokenizer = tokenizer();
    let mut text = String::new();
    let mut inside = false;
    for (&id, &in_loss) in sequence.ids.iter().zip(&sequence.in_loss) {
        if in_loss != inside {
            text.push(if in_loss { '[' } else { ']' });
            inside = in_loss;
        }
        text.push_str(&tokenizer.decode(&[id], false));
    }
    if inside { text + "]" } else { text }.replace(END, "$")
}

/// What a file of one record gives.
fn one(record: Value) -> (Layout, String) {
    let data = read("data.jsonl", &record.to_string()).unwrap_or_else(|error| panic!("{record}: {error}"));
    assert_eq!(data.sequences.len(), 1);
    (data.layout.unwrap(), shown(&data.sequences[0]))
}

fn problem(name: &str, text: &str) -> String {
    read(name, text).map(|data| data.sequences.len()).expect_err(text).to_string()
}

/// transformers 5.23.0, `apply_chat_template`; scripts/chat_mask_goldens.py. Tool calls, reasoning, documents and other
/// variables were dropped, and the model learnt empty answers.
#[test]
fn the_tokens_that_are_learnt_are_those_of_transformers() {
    let golden: Value = serde_json::from_str(include_str!("data/chat_masks.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let data = read_with(case["template"].as_str().unwrap(), "x.jsonl", case["line"].as_str().unwrap());
        let data = data.unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = case["sequences"].as_array().unwrap();
        assert_eq!(data.sequences.len(), expected.len(), "{name}");
        for (found, expected) in data.sequences.iter().zip(expected) {
            let ids: Vec<u32> = serde_json::from_value(expected["ids"].clone()).unwrap();
            let mask: Vec<u8> = serde_json::from_value(expected["mask"].clone()).unwrap();
            let mask: Vec<bool> = mask.into_iter().map(|bit| bit == 1).collect();
            assert_eq!(found.ids, ids, "{name}: {}", shown(found));
            let expected = shown(&TrainingSequence { ids, in_loss: mask });
            assert_eq!(shown(found), expected, "{name}");
        }
    }
}

/// OpenAI's fine-tuning format: `weight` 0 leaves an assistant's message out of the loss.
#[test]
fn a_message_of_weight_0_is_not_learnt() {
    let chat = |weight: Value| {
        json!({"messages": [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": weight},
            {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 1},
        ]})
    };
    assert_eq!(one(chat(json!(1))).1, "user|a$assistant|[b$]user|c$assistant|[d$]");
    assert_eq!(one(chat(json!(0))).1, "user|a$assistant|b$user|c$assistant|[d$]");
    assert_eq!(one(chat(json!(null))).1, "user|a$assistant|[b$]user|c$assistant|[d$]");
    let error = problem("x.jsonl", &chat(json!(0.5)).to_string());
    assert!(error.contains("line 1: messages[1].weight: expected 0 or 1, found 0.5"), "{error}");
    let marked = "{% for m in messages %}{{ m.role }}|{% if m.role == 'assistant' %}{% generation %}{{ m.content }}\
                  {% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
    let data = read_with(marked, "x.jsonl", &chat(json!(0)).to_string()).unwrap();
    assert_eq!(shown(&data.sequences[0]), "user|aassistant|buser|cassistant|[d]");
    let none = json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]});
    assert!(problem("x.jsonl", &none.to_string()).contains("nothing to learn"));
}

/// TRL's dataset formats, Alpaca's and ShareGPT's; the line break between instruction and input is LLaMA-Factory's.
#[test]
fn layouts_of_other_programs_are_read() {
    let chat = "user|a$assistant|[b$]";
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    for (record, layout, expected) in [
        (json!({"messages": [message("user", "a"), message("assistant", "b")]}), Layout::Messages, chat),
        (json!({"prompt": "a b", "completion": " c"}), Layout::PromptCompletion, "a b[ c$]"),
        (
            json!({"prompt": [message("assistant", "x"), message("user", "a")], "completion": [message("assistant", "b")]}),
            Layout::PromptCompletionMessages,
            "assistant|x$user|a$assistant|[b$]",
        ),
        (json!({"instruction": "a", "input": "", "output": "b"}), Layout::Alpaca, chat),
        (json!({"instruction": "a", "output": "b"}), Layout::Alpaca, chat),
        (
            json!({"instruction": "a", "input": "i", "output": "b"}),
            Layout::Alpaca,
            "user|a\ni$assistant|[b$]",
        ),
        (
            json!({"instruction": "a", "input": null, "output": "b", "system": "s"}),
            Layout::Alpaca,
            "system|s$user|a$assistant|[b$]",
        ),
        (
            json!({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}),
            Layout::ShareGpt,
            chat,
        ),
        (
            json!({"system": "s", "conversations": [
                {"from": "human", "value": "a"}, {"from": "function_call", "value": "f"},
                {"from": "observation", "value": "o"}, {"from": "gpt", "value": "b", "weight": 1},
            ]}),
            Layout::ShareGpt,
            "system|s$user|a$assistant|[f$]tool|o$assistant|[b$]",
        ),
        (json!({"conversations": [message("user", "a"), message("assistant", "b")]}), Layout::ShareGpt, chat),
        (json!({"text": "a b"}), Layout::Text, "[a b$]"),
        (
            json!({"messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": " c"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
            ]}),
            Layout::Messages,
            "user|a c$assistant|[b$]",
        ),
        (
            json!({"tools": [{"name": "f"}], "messages": [
                message("user", "a"),
                {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            ]}),
            Layout::Messages,
            "[{\"name\": \"f\"}]\nuser|a$assistant|[<call>f$]",
        ),
        (
            json!({"tools": "[{\"name\": \"f\"}]", "conversations": [
                {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}),
            Layout::ShareGpt,
            "[{\"name\": \"f\"}]\nuser|a$assistant|[b$]",
        ),
    ] {
        let (found, text) = one(record.clone());
        assert_eq!((found, text.as_str()), (layout, expected), "{record}");
    }
}

/// A record is the same in a file of lines, in an array, written over several lines, with a byte order mark, with
/// `\r\n` and empty lines, and whatever the case of the file's ending.
#[test]
fn files_of_records_are_read_alike() {
    let record = |i: usize| json!({"messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": i.to_string()}]});
    let lines = format!("{}\n{}", record(1), record(2));
    let array = json!([record(1), record(2)]);
    let expected = read("a.jsonl", &lines).unwrap().sequences;
    assert_eq!(expected.len(), 2);
    for (name, text) in [
        ("a.JSONL", lines.clone()),
        ("a.ndjson", lines.clone()),
        ("a.json", lines.clone()),
        ("a.jsonl", format!("\u{feff}{lines}")),
        ("a.jsonl", format!("\u{feff}\r\n{}\r\n\r\n  \r\n", lines.replace('\n', "\r\n"))),
        ("a.json", array.to_string()),
        ("a.JSON", format!("\u{feff}\n{array:#}\n")),
        ("a.jsonl", array.to_string()),
    ] {
        let data = read(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((data.sequences, data.records), (expected.clone(), 2), "{name} {text}");
    }
    let single = read("a.json", &format!("{:#}", record(1))).unwrap();
    assert_eq!(single.sequences[..], expected[..1]);
    let plain = read("a.txt", "\u{feff}some text").unwrap();
    assert_eq!((plain.sequences, plain.layout), (read("a.txt", "some text").unwrap().sequences, None));
}

#[test]
fn fields_without_effect_are_named_with_the_number_of_their_records() {
    let chat = |more: Value| {
        let mut record = json!({"messages": [
            {"role": "user", "content": "a", "nick": "Ann"},
            {"role": "assistant", "content": "b", "nick": "Bob", "refusal": null},
        ]});
        for (key, value) in more.as_object().unwrap() {
            record[key] = value.clone();
        }
        record.to_string()
    };
    let text =
        [chat(json!({"id": 3, "tools": []})), chat(json!({"id": null})), chat(json!({"id": 4, "x": {}}))];
    let data = read("x.jsonl", &text.join("\n")).unwrap();
    let unread: Vec<(&str, usize)> =
        data.unread.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(unread, [("id", 2), ("nick of a message", 3), ("x", 1)]);
    let text = read("x.jsonl", r#"{"text": "a", "meta": {"b": 1}, "none": null}"#).unwrap();
    assert_eq!(text.unread.into_iter().collect::<Vec<_>>(), [("meta".to_owned(), 1)]);
    // The arguments of the template: a variable of the record, and TRL's chat_template_kwargs.
    let template = "{{ style }}{{ mood }}{% for m in messages %}{{ m.role }}|{{ m.content }}{{ eos_token }}{% endfor %}\
                    {% if add_generation_prompt %}assistant|{% endif %}";
    let line = chat(json!({"style": "S", "chat_template_kwargs": {"mood": "M"}}));
    let data = read_with(template, "x.jsonl", &line).unwrap();
    assert_eq!(shown(&data.sequences[0]), "SMuser|a$assistant|[b$]");
    assert_eq!(data.unread.into_iter().collect::<Vec<_>>(), [("nick of a message".to_owned(), 1)]);
}

#[test]
fn a_bad_record_is_named_by_file_and_line() {
    let good = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    let image = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]}"#;
    let call = r#"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"a": 1}]}]}"#;
    for (bad, words) in [
        ("{nothing", &["not valid JSON"][..]),
        ("3", &["expected an object with messages"]),
        ("{}", &["expected an object with messages", "none of them"]),
        (r#"{"a": 1, "b": 2}"#, &["found a, b"]),
        (r#"{"messages": {}}"#, &["messages: expected a list"]),
        (r#"{"messages": ["a"]}"#, &["messages[0]: expected an object"]),
        (r#"{"messages": [{"content": "a"}]}"#, &["messages[0].role: expected a string"]),
        (r#"{"messages": [{"role": "user", "content": 3}]}"#, &["messages[0].content: expected a string"]),
        (r#"{"messages": [{"role": "user", "content": "a"}]}"#, &["no message has the role assistant"]),
        (image, &["messages[0].content[1]: expected a part of type \"text\", found type \"image_url\""]),
        (r#"{"conversations": [{"from": "alien", "value": "a"}]}"#, &["conversations[0].from", "alien"]),
        (r#"{"prompt": "a", "completion": [{"role": "user", "content": "a"}]}"#, &["two texts or two lists"]),
        (r#"{"prompt": "a", "chosen": "b", "rejected": "c"}"#, &["preference data"]),
        (r#"{"instruction": "a", "output": 3}"#, &["output: expected a string"]),
        (r#"{"text": 3}"#, &["text: expected a string"]),
        (r#"{"text": "a"}"#, &["layout text", "line 1 has messages"]),
    ] {
        let error = problem("x.jsonl", &format!("{good}\n\n{bad}\n{good}"));
        assert!(error.contains("x.jsonl, line 3: "), "{bad}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{bad}: {error}");
        if bad != "{nothing" {
            let error = problem("x.json", &format!("[\n{good},\n{bad}\n]"));
            assert!(error.contains("x.json, line 3: "), "{bad}: {error}");
        }
    }
    let error = problem("x.json", &format!("[{good},\n\n{good},]"));
    assert!(error.contains("x.json, line 3: not valid JSON"), "{error}");
    let silent = "{% for m in messages %}{{ m.role }}|{{ m.content or '' }}{{ eos_token }}{% endfor %}";
    let error = read_with(silent, "x.jsonl", call).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("line 1: message 1 has tool_calls and no content"), "{error}");
    for key in ["tools", "documents"] {
        let forged = format!(r#"{{"{key}": [{{"a": "{END}"}}], {}"#, &good[1..]);
        assert!(problem("x.jsonl", &forged).contains("special token <|endoftext|>"));
    }
}
