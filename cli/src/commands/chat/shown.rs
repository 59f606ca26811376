//! The prompt as `--show-prompt` shows it.

use glassbox_tokenizer::Tokenizer;

use crate::chat_prompt::ChatPrompt;
use crate::commands::predict;
use crate::escape;

/// The text, then the tokens of each role, each after its id, and which of them are the message; the others are the
/// template's.
pub(super) fn shown(prompt: &ChatPrompt, tokenizer: &Tokenizer) -> String {
    let mut shown = format!("prompt of {} tokens:\n{}", prompt.tokens.len(), prompt.text);
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    for turn in &prompt.turns {
        let message = match &turn.message {
            Some(message) => format!(" (message {}..{})", message.start, message.end),
            None => " (all the template's)".to_owned(),
        };
        let (start, end) = (turn.tokens.start, turn.tokens.end);
        shown.push_str(&format!("{}, tokens {start}..{end}{message}:\n", turn.role));
        let mut line = String::new();
        for token in &prompt.tokens[turn.tokens.clone()] {
            let cell = format!("  {} {}", token.id, predict::shown(Some(tokenizer), token.id));
            if !line.is_empty() && escape::width(&line) + escape::width(&cell) > 80 {
                shown.push_str(&line);
                shown.push('\n');
                line.clear();
            }
            line.push_str(&cell);
        }
        shown.push_str(&line);
        shown.push('\n');
    }
    shown
}
