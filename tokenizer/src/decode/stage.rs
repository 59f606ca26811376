//! The state of one decoding step.

use super::DecodeStep;
use crate::bpe::{alphabet_bytes, byte_of_fallback};
use crate::pretokenize::Pattern;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// A step and its state. It takes tokens, outputs what is certain and holds the rest.
#[derive(Debug, Clone)]
pub(super) enum Stage<'d> {
    JoinWithSpaces {
        begun: bool,
    },
    /// [`DecodeStep::ByteLevel`]. With `raw`, nothing is held.
    Bytes {
        raw: bool,
        held: Vec<u8>,
    },
    /// [`DecodeStep::ByteFallback`]. With `raw`, nothing is held.
    ByteTokens {
        raw: bool,
        held: Vec<u8>,
    },
    Fuse,
    /// [`DecodeStep::Metaspace`], or [`DecodeStep::Replace`] of one character.
    Character {
        from: char,
        /// Replacement in the first token.
        first: &'d str,
        /// Replacement in all other tokens.
        to: &'d str,
        begun: bool,
    },
    Replace {
        pattern: &'d Pattern,
        to: &'d str,
    },
    Strip {
        mark: String,
        start: usize,
        stop: usize,
    },
    /// [`DecodeStep::Strip`] of a token in fragments: possible marks at the end are held until the end is known.
    StripWhole {
        mark: String,
        start: usize,
        stop: usize,
        held: Vec<u8>,
    },
    /// [`DecodeStep::Suffix`]: the last token is held, because it is treated differently.
    Suffix {
        suffix: Pattern,
        held: Option<Vec<u8>>,
    },
    /// A step that needs its whole token, if that comes in fragments.
    AtTheEnd {
        stage: Box<Stage<'d>>,
        held: Vec<u8>,
    },
}

impl<'d> Stage<'d> {
    /// The stage of a step that gets whole tokens.
    pub(super) fn of_tokens(step: &'d DecodeStep, raw: bool) -> Stage<'d> {
        match step {
            DecodeStep::ByteLevel => Stage::Bytes { raw, held: Vec::new() },
            DecodeStep::ByteFallback => Stage::ByteTokens { raw, held: Vec::new() },
            DecodeStep::Fuse => Stage::Fuse,
            DecodeStep::Metaspace { replacement, strip_first } => Stage::Character {
                from: *replacement,
                first: if *strip_first { "" } else { " " },
                to: " ",
                begun: false,
            },
            DecodeStep::Replace { pattern, content } => match single_char(pattern) {
                Some(from) => Stage::Character { from, first: content, to: content, begun: false },
                None => Stage::Replace { pattern, to: content },
            },
            DecodeStep::Strip { content, start, stop } => {
                Stage::Strip { mark: content.to_string(), start: *start, stop: *stop }
            }
            DecodeStep::Suffix(suffix) => Stage::Suffix { suffix: Pattern::text(suffix), held: None },
        }
    }

    /// A step that gets one token in fragments.
    pub(super) fn of_fragments(step: &'d DecodeStep, raw: bool) -> Stage<'d> {
        match Stage::of_tokens(step, raw) {
            Stage::Fuse => Stage::Fuse,
            // All fragments are of the first token.
            Stage::Character { from, first, begun, .. } => Stage::Character { from, first, to: first, begun },
            Stage::Strip { mark, start, stop } => Stage::StripWhole { mark, start, stop, held: Vec::new() },
            stage => Stage::AtTheEnd { stage: Box::new(stage), held: Vec::new() },
        }
    }

    /// Takes a token.
    pub(super) fn push(&mut self, token: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        match self {
            Stage::JoinWithSpaces { begun } => {
                if std::mem::replace(begun, true) {
                    out.push(vec![b' ']);
                }
                out.push(token);
            }
            Stage::Bytes { raw, held } => {
                held.extend(alphabet_bytes(&String::from_utf8_lossy(&token)));
                out.push(if *raw { std::mem::take(held) } else { whole_characters(held) });
            }
            Stage::ByteTokens { raw, held } => match str::from_utf8(&token).ok().and_then(byte_of_fallback) {
                Some(byte) if *raw => out.push(vec![byte]),
                Some(byte) => held.push(byte),
                None => {
                    flush_bytes(held, out);
                    out.push(token);
                }
            },
            Stage::Fuse => out.push(token),
            Stage::Character { from, first, to, begun } => {
                let to = if std::mem::replace(begun, true) { to } else { first };
                out.push(match str::from_utf8(&token) {
                    Ok(text) if text.contains(*from) => text.replace(*from, to).into_bytes(),
                    _ => token,
                });
            }
            Stage::Replace { pattern, to } => out.push(replace(token, pattern, to)),
            Stage::Strip { mark, start, stop } => {
                let rest = without_start(&token, mark, *start).0;
                out.push(rest[..end_without(rest, mark, *stop)].to_vec());
            }
            Stage::StripWhole { mark, start, stop, held } => {
                let (rest, stripped) = without_start(&token, mark, *start);
                // The start ends at the first text other than marks.
                *start = if rest.is_empty() { *start - stripped } else { 0 };
                held.extend_from_slice(rest);
                let certain = end_without(held, mark, *stop);
                out.push(held.drain(..certain).collect());
            }
            Stage::Suffix { suffix, held } => {
                if let Some(before) = held.replace(token) {
                    out.push(replace(before, suffix, " "));
                }
            }
            Stage::AtTheEnd { held, .. } => held.extend(token),
        }
    }

    /// Ends the input and outputs what is held.
    pub(super) fn finish(&mut self, out: &mut Vec<Vec<u8>>) {
        match self {
            Stage::Bytes { held, .. } => {
                let bytes = std::mem::take(held);
                out.push(String::from_utf8_lossy(&bytes).into_owned().into_bytes());
            }
            Stage::ByteTokens { held, .. } => flush_bytes(held, out),
            // What is held are the marks to strip.
            Stage::StripWhole { held, .. } => held.clear(),
            Stage::Suffix { suffix, held } => out.extend(held.take().map(|last| replace(last, suffix, ""))),
            Stage::AtTheEnd { stage, held } => {
                stage.push(std::mem::take(held), out);
                stage.finish(out);
            }
            Stage::JoinWithSpaces { .. }
            | Stage::Fuse
            | Stage::Character { .. }
            | Stage::Replace { .. }
            | Stage::Strip { .. } => {}
        }
    }
}

/// Outputs the bytes of byte tokens as text, or one `�` for each.
fn flush_bytes(held: &mut Vec<u8>, out: &mut Vec<Vec<u8>>) {
    let bytes = std::mem::take(held);
    if str::from_utf8(&bytes).is_ok() {
        out.extend((!bytes.is_empty()).then_some(bytes));
    } else {
        out.extend(bytes.iter().map(|_| REPLACEMENT.to_vec()));
    }
}

/// Removes the complete characters from the front of `bytes` and returns them, with `�` for invalid bytes. A character
/// that may still be completed stays.
fn whole_characters(bytes: &mut Vec<u8>) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for chunk in bytes.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        done += chunk.valid().len();
        let at_the_end = done + chunk.invalid().len() == bytes.len();
        if at_the_end && may_continue(chunk.invalid()) {
            break;
        }
        if !chunk.invalid().is_empty() {
            text.extend_from_slice(REPLACEMENT);
        }
        done += chunk.invalid().len();
    }
    bytes.drain(..done);
    text
}

/// Whether bytes are an incomplete character that more bytes could complete.
fn may_continue(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// `text` without up to `max` marks at the start, and the number of marks removed.
fn without_start<'b>(text: &'b [u8], mark: &str, max: usize) -> (&'b [u8], usize) {
    let mut rest = text;
    let mut stripped = 0;
    while stripped < max
        && let Some(after) = rest.strip_prefix(mark.as_bytes())
    {
        rest = after;
        stripped += 1;
    }
    (rest, stripped)
}

/// The start of up to `max` marks at the end.
fn end_without(text: &[u8], mark: &str, max: usize) -> usize {
    let mut rest = text;
    for _ in 0..max {
        match rest.strip_suffix(mark.as_bytes()) {
            Some(before) => rest = before,
            None => break,
        }
    }
    rest.len()
}

fn single_char(pattern: &Pattern) -> Option<char> {
    let (text, is_regex) = pattern.source();
    let mut chars = text.chars();
    let c = chars.next()?;
    (!is_regex && chars.next().is_none()).then_some(c)
}

/// Replaces the matches of a pattern. A token that is not UTF-8, or on which the regex engine fails, is unchanged.
fn replace(token: Vec<u8>, pattern: &Pattern, to: &str) -> Vec<u8> {
    let Ok(text) = str::from_utf8(&token) else { return token };
    let Ok(matches) = pattern.find_all(text) else { return token };
    let mut new = String::with_capacity(text.len());
    let mut done = 0;
    for found in matches {
        new.push_str(&text[done..found.start]);
        new.push_str(to);
        done = found.end;
    }
    new.push_str(&text[done..]);
    new.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_in_chunks_decode_to_the_same_text_as_at_once(
            portions in prop::collection::vec(
                prop_oneof![prop::collection::vec(any::<u8>(), 0..4), "\\PC{0,3}".prop_map(|text| text.into_bytes())],
                0..12,
            ),
        ) {
            let whole: Vec<u8> = portions.concat();
            for cut in [1, 2, 3, 7] {
                let mut held = Vec::new();
                let mut text = Vec::new();
                for portion in whole.chunks(cut) {
                    held.extend_from_slice(portion);
                    text.extend(whole_characters(&mut held));
                    prop_assert!(str::from_utf8(&text).is_ok() && held.len() < 4);
                }
                text.extend(String::from_utf8_lossy(&held).into_owned().into_bytes());
                prop_assert_eq!(String::from_utf8(text).unwrap(), String::from_utf8_lossy(&whole));
            }
        }
    }

    #[test]
    fn marks_are_stripped_from_a_text_in_fragments() {
        let step = DecodeStep::Strip { content: ' ', start: 2, stop: 1 };
        let strip = |fragments: &[&str]| {
            let mut stage = Stage::of_fragments(&step, false);
            let mut out = Vec::new();
            fragments.iter().for_each(|fragment| stage.push(fragment.as_bytes().to_vec(), &mut out));
            stage.finish(&mut out);
            String::from_utf8(out.concat()).unwrap()
        };
        assert_eq!(strip(&[" ", " ", " a ", " ", " b", " "]), " a   b");
        assert_eq!(strip(&["", "a", " ", " "]), "a ");
        assert_eq!(strip(&["a", "  b"]), "a  b");
        assert_eq!(strip(&[" "]), "");
    }
}
