//! Parses the command line and the settings in the environment.

use std::env;

use clap::{Command, FromArgMatches};

use crate::commands::{self, Cli};

/// The parsed command line. An empty variable of the environment counts as not set.
///
/// # Errors
/// Those of clap, which may also be a request for help.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut command = lenient(commands::definition());
    let matches = command.try_get_matches_from_mut(env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Adapts all options. A negative number is the value of the option before it, so that an option that does not allow
/// one says so. An option with an empty variable of the environment gets a name in place of the variable's that no
/// variable has: clap cannot forget a variable.
fn lenient(command: Command) -> Command {
    let adapt = |option: clap::Arg| {
        let option = match option.get_action().takes_values() && !option.is_positional() {
            true => option.allow_negative_numbers(true),
            false => option,
        };
        let name = option.get_env().filter(|name| env::var_os(name).is_some_and(|value| value.is_empty()));
        match name.map(|name| format!("{} is empty", name.display())) {
            Some(name) => option.env(&*name.leak()),
            None => option,
        }
    };
    command.mut_args(adapt).mut_subcommands(lenient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        lenient(commands::definition()).debug_assert();
    }
}
