//! `glassbox`: a GPT you can see through, from the command line.
//!
//! Each command is a file in [`commands`]: it turns arguments into calls of the library crates and prints the results.
#![forbid(unsafe_code)]

mod args;
mod bars;
mod chat_prompt;
mod commands;
mod continuation;
mod escape;
mod exit;
mod help;
mod interrupt;
mod interventions;
mod model_source;
mod not_finite;
mod output;
mod prompt;
mod sampling;
mod settings;
mod stop_strings;
mod table;
mod transcript;

use std::process::ExitCode;

use output::Out;

fn main() -> ExitCode {
    let cli = match settings::parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_arguments(error),
    };
    let mut out = Out::stdout();
    let result =
        interrupt::install().and_then(|()| cli.command.run(&mut out)).and_then(|()| Ok(out.flush()?));
    exit::of(result)
}
