//! What a line of input asks for: a turn, or a command that begins with `/`.

/// A line of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A turn.
    Turn(String),
    Help,
    /// Start a new conversation.
    Reset,
    /// Set the system message; empty removes it.
    System(String),
    /// Take back the last turn and its answer.
    Undo,
    /// Answer the last turn again.
    Regen,
    /// Go on with an answer that was cut.
    Continue,
    /// Save the conversation in this file.
    Save(String),
    /// A command that does not exist, or lacks its argument.
    Unknown(String),
    /// No more turns.
    End,
}

pub(crate) const HELP: &str = "\
/help           this list
/reset          start a new conversation (also /clear)
/system TEXT    set the system message; without TEXT, remove it
/undo           take back the last turn and its answer
/regen          answer the last turn again, with another random choice
/continue       go on with an answer that was cut
/save FILE      save the conversation as JSON, which finetune --data reads
/exit           end the chat (also /quit, /bye, Ctrl-D)
//text          send /text to the model";

impl Typed {
    /// Parses a line without its line break.
    pub(crate) fn parse(line: &str) -> Typed {
        if let Some(text) = line.strip_prefix('/').filter(|text| text.starts_with('/')) {
            return Typed::Turn(text.to_owned());
        }
        if !line.starts_with('/') {
            return Typed::Turn(line.to_owned());
        }
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        match (command, argument) {
            ("/system", text) => Typed::System(text.to_owned()),
            ("/save", file) if !file.is_empty() => Typed::Save(file.to_owned()),
            ("/help" | "/?", "") => Typed::Help,
            ("/reset" | "/clear", "") => Typed::Reset,
            ("/undo", "") => Typed::Undo,
            ("/regen", "") => Typed::Regen,
            ("/continue", "") => Typed::Continue,
            ("/exit" | "/quit" | "/bye", "") => Typed::End,
            _ => Typed::Unknown(line.trim_end().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Typed;

    #[test]
    fn commands_begin_with_a_slash_and_two_slashes_send_one() {
        for (line, typed) in [
            ("hello", Typed::Turn("hello".into())),
            (" /exit", Typed::Turn(" /exit".into())),
            ("//etc/hosts", Typed::Turn("/etc/hosts".into())),
            ("/exit ", Typed::End),
            ("/bye", Typed::End),
            ("/system Be kind. ", Typed::System("Be kind.".into())),
            ("/system", Typed::System(String::new())),
            ("/save a b.jsonl", Typed::Save("a b.jsonl".into())),
            ("/save", Typed::Unknown("/save".into())),
            ("/undo twice", Typed::Unknown("/undo twice".into())),
            ("/etc/hosts", Typed::Unknown("/etc/hosts".into())),
            ("/", Typed::Unknown("/".into())),
            ("", Typed::Turn(String::new())),
        ] {
            assert_eq!(Typed::parse(line), typed, "{line:?}");
        }
    }
}
