//! Help: under which heading an option or a command is listed, and how much of it `-h` shows.
//!
//! The definitions of the commands say what there is; [`arranged`] says where it stands. A command's own options come
//! first, under "Options". Options of the structs that several commands share follow under a heading of their group.
//! `-h` shows the first clause of each description and leaves out rarely needed options; `--help` shows everything.

use std::collections::BTreeSet;
use std::fmt::Write;

use clap::builder::StyledStr;
use clap::{Arg, Args, Command};

use crate::args::{
    CacheArgs, CheckpointArgs, ChunkArgs, KernelArgs, MachineArgs, ModelArgs, TrainMachineArgs,
};
use crate::sampling::{FilterArgs, SamplingArgs};

/// Heading of the options that choose how tokens are sampled.
const SAMPLING: &str = "Sampling (flags override the checkpoint's generation_config)";
/// Heading of the options that choose the model.
const MODEL: &str = "Model";
/// Heading of the options that choose how the machine is used.
const MACHINE: &str = "Machine";

/// Shared options that `-h` leaves out unless they are required, beside those of [`MACHINE`].
const RARE: [&str; 15] = [
    "lora",
    "ids",
    "context_ids",
    "token_id",
    "answer_id",
    "from_position",
    "to_position",
    "special",
    "typical",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "repeat_last_n",
    "logit_bias",
    "samplers",
];

/// The commands by purpose, as the overview lists them.
const PURPOSES: [(&str, &[&str]); 6] = [
    ("Generate text", &["generate", "chat", "predict"]),
    (
        "Look inside",
        &[
            "tokenize",
            "detokenize",
            "neighbors",
            "compare",
            "lens",
            "attention",
            "neurons",
            "attribute",
            "ablate",
            "trace",
        ],
    ),
    ("Train", &["train", "watch", "finetune", "merge"]),
    ("Model files", &["inspect", "quantize"]),
    ("Measure and check", &["perplexity", "compare-models", "verify", "matmuls", "bench", "doctor"]),
    ("Shell", &["completions", "man", "help"]),
];

/// The definition of the program with its help arranged.
pub(crate) fn arranged(program: Command) -> Command {
    let groups = groups();
    let program = program.mut_subcommands(|command| options_arranged(command, &groups));
    let template = overview(&program);
    program.help_template(template)
}

/// A heading, and the ids of the options under it.
type Group = (&'static str, BTreeSet<String>);

/// The option groups: a heading and the ids of the options. A command has a group if it has all of its options, so an
/// option of its own may share a name with one of them.
fn groups() -> [Group; 9] {
    [
        (SAMPLING, ids::<SamplingArgs>()),
        (SAMPLING, ids::<FilterArgs>()),
        (MODEL, ids::<CheckpointArgs>()),
        (MODEL, ids::<ModelArgs>()),
        (MACHINE, ids::<MachineArgs>()),
        (MACHINE, ids::<KernelArgs>()),
        (MACHINE, ids::<CacheArgs>()),
        (MACHINE, ids::<TrainMachineArgs>()),
        (MACHINE, ids::<ChunkArgs>()),
    ]
}

fn ids<A: Args>() -> BTreeSet<String> {
    ids_of(&A::augment_args(Command::new("group")))
}

fn ids_of(command: &Command) -> BTreeSet<String> {
    command.get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

fn options_arranged(command: Command, groups: &[Group]) -> Command {
    let own = ids_of(&command);
    let groups: Vec<&Group> = groups.iter().filter(|(_, ids)| ids.is_subset(&own)).collect();
    command.mut_args(|arg| {
        let id = arg.get_id().as_str();
        let heading = groups.iter().find(|(_, ids)| ids.contains(id)).map(|(heading, _)| *heading);
        let rare = heading == Some(MACHINE) || RARE.contains(&id) && !arg.is_required_set();
        let arg = if arg.is_positional() { arg } else { arg.help_heading(heading) };
        if rare { described(arg).hide_short_help(true) } else { described(arg) }
    })
}

/// `arg` with its whole description for `--help` and a short one for `-h`.
fn described(arg: Arg) -> Arg {
    let Some(help) = arg.get_help().map(StyledStr::to_string) else { return arg };
    let long = arg.get_long_help().map_or_else(|| help.clone(), StyledStr::to_string);
    arg.help(shortened(&help, 50)).long_help(long)
}

/// `help` if it fits in `width` columns, otherwise its first clause: the text before the first `;`, `:`, `.` or `(`, or
/// before a comma if that is still too long. A short `[default: …]` at the end is kept.
fn shortened(help: &str, width: usize) -> String {
    if help.chars().count() <= width {
        return help.to_owned();
    }
    let (text, default) = match help.rfind(" [default") {
        Some(at) if help.ends_with(']') => (&help[..at], &help[at..]),
        _ => (help, ""),
    };
    let end = ["; ", ": ", ". ", " ("].iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let clause = &text[..end];
    // A comma near the beginning follows a condition, "With --json, …", which says nothing alone.
    let comma = clause.match_indices(", ").map(|(at, _)| at).find(|&at| at >= 20);
    let clause = if clause.chars().count() > width { &clause[..comma.unwrap_or(end)] } else { clause };
    let default = if default.len() <= " [default: 0.95]".len() { default } else { "" };
    format!("{clause}{default}")
}

/// The overview of the program, in which the commands are listed by purpose.
fn overview(program: &Command) -> String {
    let styles = program.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let entry = |name: &str| {
        let about = match program.find_subcommand(name) {
            Some(command) => command.get_about().map(StyledStr::to_string).unwrap_or_default(),
            None => "Show this overview, or the help of a command".to_owned(),
        };
        format!("  {literal}{name:<16}{literal:#}{}\n", shortened(&about, 62))
    };
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    let mut list = |purpose: &str, names: &[&str]| {
        let entries: String = names.iter().map(|name| entry(name)).collect();
        let _ = write!(text, "\n{header}{purpose}:{header:#}\n{entries}");
    };
    for (purpose, names) in PURPOSES {
        list(purpose, names);
    }
    let others = unlisted(program);
    if !others.is_empty() {
        list("More", &others);
    }
    let _ = write!(text, "\n{header}Options:{header:#}\n{{options}}{{after-help}}");
    text
}

/// The commands that [`PURPOSES`] leaves out.
fn unlisted(program: &Command) -> Vec<&str> {
    let listed = |name: &str| PURPOSES.iter().any(|(_, names)| names.contains(&name));
    program.get_subcommands().map(Command::get_name).filter(|name| !listed(name)).collect()
}

/// The examples of the command called `name`.
pub(crate) fn examples(program: &Command, name: &str) -> Option<String> {
    program.find_subcommand(name)?.get_after_long_help().map(StyledStr::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::definition;

    fn built() -> Command {
        let mut program = definition();
        program.build();
        program
    }

    /// Visible options and arguments, without those that clap adds.
    fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
        command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
    }

    /// A heading of a shared group used to leak to the options declared after it, and `--layer` stood under "Machine".
    #[test]
    fn own_options_are_listed_first_and_under_no_other_heading() {
        for command in built().get_subcommands() {
            for arg in arguments(command).filter(|arg| !arg.is_positional()) {
                let shared = groups().into_iter().find(|(heading, ids)| {
                    Some(*heading) == arg.get_help_heading() && ids.contains(arg.get_id().as_str())
                });
                let (command, id) = (command.get_name(), arg.get_id());
                assert!(arg.get_help_heading().is_none() || shared.is_some(), "{command}: {id}");
            }
        }
        let program = built();
        let heading = |command: &str, id: &str| {
            let command = program.find_subcommand(command).unwrap();
            let arg = command.get_arguments().find(|arg| arg.get_id() == id);
            arg.unwrap_or_else(|| panic!("{id}")).get_help_heading().map(str::to_owned)
        };
        for (command, id, expected) in [
            ("lens", "layer", None),
            ("attention", "top", None),
            ("predict", "temp", Some(SAMPLING)),
            ("predict", "kv", Some(MACHINE)),
            ("train", "seed", None),
            ("train", "threads", Some(MACHINE)),
            ("generate", "seed", Some(SAMPLING)),
            ("generate", "model", Some(MODEL)),
            ("inspect", "model", Some(MODEL)),
            ("tokenize", "threads", None),
        ] {
            assert_eq!(heading(command, id).as_deref(), expected, "{command} --{id}");
        }
    }

    #[test]
    fn every_option_is_described_and_every_command_has_examples() {
        for command in built().get_subcommands().filter(|command| command.get_name() != "help") {
            let name = command.get_name();
            for arg in arguments(command) {
                let help = arg.get_long_help().map(StyledStr::to_string).unwrap_or_default();
                assert!(help.len() >= 5, "{name}: {} has no description", arg.get_id());
                assert!(!arg.get_help().unwrap().to_string().is_empty(), "{name}: {}", arg.get_id());
            }
            let examples = examples(&built(), name).unwrap_or_default();
            let call = format!("\n  glassbox {name}");
            assert!(examples.starts_with("Examples:\n") && examples.contains(&call), "{name}: {examples:?}");
        }
    }

    /// 24 lines are a small terminal. With more than twelve options, `-h` may have a line for each of them.
    #[test]
    fn help_fits_80_columns_and_short_help_fits_a_terminal() {
        let program = built();
        for mut command in program.get_subcommands().filter(|command| command.get_name() != "help").cloned() {
            let name = command.get_name().to_owned();
            let (short, long) = (command.render_help().to_string(), command.render_long_help().to_string());
            for line in short.lines().chain(long.lines()) {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            let options = arguments(&command).filter(|arg| !arg.is_hide_short_help_set()).count();
            let (lines, limit) = (short.lines().count(), 24.max(12 + options));
            assert!(lines <= limit, "{name}: {lines} lines in -h\n{short}");
        }
        for text in [program.clone().render_help(), program.clone().render_long_help()] {
            let text = text.to_string();
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn the_overview_lists_every_command_once() {
        let program = built();
        assert_eq!(unlisted(&program), [""; 0]);
        let listed: Vec<&str> = PURPOSES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for name in &listed {
            assert!(*name == "help" || program.find_subcommand(name).is_some(), "there is no command {name}");
            assert_eq!(listed.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_short_description_is_the_first_clause_with_a_short_default() {
        for (help, expected) in [
            (
                "Keep the K most likely tokens; 0 keeps all [default: 40]",
                "Keep the K most likely tokens [default: 40]",
            ),
            (
                "Number of threads; always the same result [default: one per physical core]",
                "Number of threads",
            ),
            ("Write one JSON object: ids and tokens", "Write one JSON object: ids and tokens"),
            ("Write one JSON object: ids, tokens, positions and a lot more", "Write one JSON object"),
            (
                "Stop before this text, which is not written. May be repeated",
                "Stop before this text, which is not written",
            ),
            ("Folder for the adapters, or with --full for the whole checkpoint", "Folder for the adapters"),
            (
                "With --json, also write one logit for each token of the vocabulary",
                "With --json, also write one logit for each token of the vocabulary",
            ),
        ] {
            assert_eq!(shortened(help, 50), expected);
        }
    }
}
