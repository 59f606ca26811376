//! The tokens that end a generation.
//!
//! Models are trained to end a turn with a token such as `<|im_end|>`. A file should name it, but many name another:
//! the end of a document, say. So llama.cpp also takes every token whose text is known to end a turn as an end of
//! generation. The texts here are its list (`llama-vocab.cpp`), with three more that tokenizers define.

use glassbox_tokenizer::Tokenizer;

/// Texts that nothing but a control token has.
const UNMISTAKABLE: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|EOT|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|endofprompt|>",
    "<|tool_response>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<｜end▁of▁sentence｜>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<turn|>",
];

/// Texts that an ordinary token may have too: `</s>` also ends struck-out text in HTML. They end a generation only as
/// control tokens.
const AS_CONTROL: &[&str] = &[
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<PAD>",
    "[PAD]",
    "<fim-pad>",
    "<fim_pad>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
];

/// Texts that end no turn in a vocabulary that has all of the others. In these formats `<|end|>` separates the messages
/// of one turn, and `</s>` is text.
const EXCEPT: &[(&str, &[&str])] = &[
    ("<|end|>", &["<|return|>", "<|call|>"]),
    ("<|end|>", &["<|calls|>", "<|flush|>"]),
    ("</s>", &["<|tool_response>"]),
];

/// Whether a token with this text is a control token, whatever its file says of it.
pub(crate) fn is_unmistakable(text: &str) -> bool {
    UNMISTAKABLE.contains(&text)
}

/// The tokens that end a generation, in ascending order: `declared` ones, and the tokenizer's by their text.
pub(crate) fn of(declared: &[u32], tokenizer: Option<&Tokenizer>) -> Vec<u32> {
    let mut ends = declared.to_vec();
    if let Some(tokenizer) = tokenizer {
        let added = tokenizer.added_tokens();
        let has = |text: &&str| added.id(text).is_some();
        let excepted = |text: &str| EXCEPT.iter().any(|(end, others)| *end == text && others.iter().all(has));
        let by_text = UNMISTAKABLE.iter().chain(AS_CONTROL).filter(|text| !excepted(text));
        ends.extend(by_text.filter_map(|text| {
            let id = added.id(text)?;
            (is_unmistakable(text) || tokenizer.is_special(id)).then_some(id)
        }));
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}
