//! `tokenize --explain`: why the text is cut where it is.

use std::ops::Range;

use glassbox_tokenizer::{Derivation, EncodeOptions, ExplainedWord, Special, Tokenizer};

use super::shown;
use crate::escape;
use crate::exit::Usage;
use crate::output::{Out, StdoutError};

/// Printed above the first word that merges apply to.
const METHOD: [&str; 3] = [
    "Each word starts as symbols, one per byte or character. A merge joins two neighbours into a longer symbol.",
    "Merges were learnt from frequent pairs, the most frequent first; that order is their number. Of the merges that",
    "apply, the one with the lowest number comes first. What remains when none applies are the tokens.",
];

/// Writes every word of the text, its initial symbols, each merge up to its tokens, and why no other merge follows.
pub(super) fn explain(
    tokenizer: &Tokenizer,
    text: &[u8],
    special: Special,
    out: &mut Out,
) -> anyhow::Result<()> {
    let text = str::from_utf8(text).map_err(|error| Usage(format!("--explain needs UTF-8 text: {error}")))?;
    let words = tokenizer.explain(text, &EncodeOptions { special, add_special_tokens: false })?;
    if words.iter().any(|word| matches!(word.derivation, Derivation::Merged { .. })) {
        for line in METHOD {
            out.line(out.paint(2, line))?;
        }
    }
    for word in &words {
        let Range { start, end } = word.range;
        let title = out.paint(1, &escape::visible(word.text.as_bytes()));
        out.line(format_args!("{title}  bytes {start}..{end}"))?;
        match &word.derivation {
            Derivation::AddedToken => out.line("  an added token, matched as a whole")?,
            Derivation::WholeWord => out.line("  in the vocabulary as a whole, no merges")?,
            Derivation::Merged { symbols, merges } => {
                if let Some(bytes) = bytes_of(word, symbols) {
                    row(out, "UTF-8", &bytes)?;
                }
                row(out, "symbols", &tokens(tokenizer, symbols))?;
                for merge in merges {
                    row(out, &format!("merge {}", merge.rank), &tokens(tokenizer, &merge.after))?;
                }
                if let Some(reason) = end_reason(tokenizer, &word.ids) {
                    row(out, "end", &reason)?;
                }
            }
        }
        row(out, "ids", &word.ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))?;
    }
    Ok(())
}

fn row(out: &mut Out, name: &str, text: &str) -> Result<(), StdoutError> {
    out.line(format_args!("  {name:>9}  {text}"))
}

fn tokens(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    ids.iter().map(|&id| shown(Some(tokenizer), id)).collect::<Vec<_>>().join(" · ")
}

/// The bytes of each character, if some character starts as several symbols: they are its bytes.
fn bytes_of(word: &ExplainedWord, symbols: &[u32]) -> Option<String> {
    let characters = word.text.chars().count();
    let bytes = |c: char| {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).bytes().map(|byte| format!("{byte:02x}"));
        format!("{} = {}", escape::visible(c.to_string().as_bytes()), bytes.collect::<Vec<_>>().join(" "))
    };
    (symbols.len() > characters).then(|| word.text.chars().map(bytes).collect::<Vec<_>>().join(" · "))
}

/// Why no merge follows; `None` if the word is one token.
fn end_reason(tokenizer: &Tokenizer, ids: &[u32]) -> Option<String> {
    let pair = |pair: &[u32]| tokens(tokenizer, pair).replace(" · ", " + ");
    match ids.len() {
        0 | 1 => None,
        2 | 3 => {
            let pairs: Vec<String> = ids.windows(2).map(pair).collect();
            Some(format!("no merge joins {}", pairs.join(" or ")))
        }
        _ => Some("no merge joins any two neighbours".to_owned()),
    }
}
