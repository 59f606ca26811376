//! The prompt as `--show-prompt` shows it.

use crate::chat_prompt::ChatPrompt;

/// The text, then the tokens of each role, and which of them are the message; the others are the template's.
pub(super) fn shown(prompt: &ChatPrompt) -> String {
    let mut shown = format!("prompt of {} tokens:\n{}", prompt.tokens.len(), prompt.text);
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    for turn in &prompt.turns {
        let ids = prompt.tokens[turn.tokens.clone()].iter().map(|token| token.id.to_string());
        let ids = ids.collect::<Vec<_>>().join(" ");
        let message = match &turn.message {
            Some(message) => format!(" (message {}..{})", message.start, message.end),
            None => " (all the template's)".to_owned(),
        };
        let (start, end) = (turn.tokens.start, turn.tokens.end);
        shown.push_str(&format!("{}, tokens {start}..{end}{message}: {ids}\n", turn.role));
    }
    shown
}
