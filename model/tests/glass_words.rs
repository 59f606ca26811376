//! A word given as a token: with a space in front where a text goes on, and where it is in a prompt.

use std::path::Path;

use glassbox_model::Checkpoint;
use glassbox_model::glass::{WordTokens, find_word, next_word};
use glassbox_tokenizer::{EncodeOptions, Tokenizer};

fn tokenizer(name: &str) -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name);
    Checkpoint::open(path).unwrap().tokenizer().unwrap().unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, &EncodeOptions::default()).unwrap()
}

/// `attribute --token Paris` took the token without a space, which does not follow a text.
#[test]
fn a_word_has_the_space_of_the_text_before_it() {
    for name in ["gpt2-text", "llama-text", "qwen2-text"] {
        let tokenizer = tokenizer(name);
        let spaced = encode(&tokenizer, " the");
        let alone = encode(&tokenizer, "the");
        assert!(spaced.len() == 1 && spaced != alone, "{name}");
        let expected = WordTokens { ids: spaced.clone(), space: true, as_written: Some(alone.clone()) };
        assert_eq!(next_word(&tokenizer, b"the", &[]).unwrap(), Some(expected.clone()), "{name}");
        let prompt = encode(&tokenizer, "the king");
        assert_eq!(next_word(&tokenizer, b"the", &prompt).unwrap(), Some(expected));
        let as_written = |ids: &[u32]| Some(WordTokens { ids: ids.to_vec(), space: false, as_written: None });
        assert_eq!(next_word(&tokenizer, b" the", &prompt).unwrap(), as_written(&spaced));
        let after_space = encode(&tokenizer, "the king\n");
        assert_eq!(next_word(&tokenizer, b"the", &after_space).unwrap(), as_written(&alone));
        let stop = encode(&tokenizer, ".");
        assert_eq!(next_word(&tokenizer, b".", &prompt).unwrap(), as_written(&stop));
        assert_eq!(next_word(&tokenizer, b"", &prompt).unwrap(), None);
        let long = next_word(&tokenizer, b"zzyzx", &[]).unwrap().unwrap();
        assert!(long.ids.len() > 1, "{name}");
    }
}

#[test]
fn the_last_occurrence_of_a_word_is_found_with_or_without_a_space() {
    for name in ["gpt2-text", "llama-text", "qwen2-text"] {
        let tokenizer = tokenizer(name);
        let prompt = encode(&tokenizer, "the king and the unbelievable queen");
        let find = |word: &str| find_word(&tokenizer, word.as_bytes(), &prompt).unwrap();
        let spelled = |word: &str| {
            let bytes = find(word).unwrap().flat_map(|i| tokenizer.token_bytes(prompt[i]).unwrap().to_vec());
            String::from_utf8(bytes.collect()).unwrap()
        };
        let the = find("the").unwrap();
        assert!(the.len() == 1 && the.start > 1, "{name}: the last one");
        assert_eq!(find(" the"), Some(the));
        assert_eq!(spelled("unbelievable").trim_start(), "unbelievable");
        assert_eq!(spelled("king").trim_start(), "king");
        for word in ["", "emperor", "unbeliev able", "ing"] {
            let inside = find(word);
            assert!(inside.is_none() || word == "ing", "{name}: {word}");
        }
        assert_eq!(find_word(&tokenizer, b"the", &[]).unwrap(), None);
    }
}

/// In the prompt the pieces of a word may differ from those of the word alone: "kings" after "the" need not be split
/// like "kings" at the beginning of a text.
#[test]
fn a_word_is_found_by_its_letters_when_it_is_split_otherwise() {
    let tokenizer = tokenizer("gpt2-text");
    let letters: Vec<u32> = "the".chars().map(|c| encode(&tokenizer, &c.to_string())[0]).collect();
    assert_eq!(letters.len(), 3);
    let prompt = [&letters[..], &encode(&tokenizer, " king")].concat();
    assert_eq!(find_word(&tokenizer, b"the", &prompt).unwrap(), Some(0..3));
}
