//! `completions`: the completion script of a shell.

use clap::Args;
use clap_complete::Shell;

use super::definition;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 source <(glassbox completions bash)\n\
\x20 glassbox completions zsh > ~/.zfunc/_glassbox\n\
\x20 glassbox completions fish > ~/.config/fish/completions/glassbox.fish\n\
\x20 glassbox completions powershell >> $PROFILE";

/// Write a script that completes commands and options in a shell
///
/// The script is written to standard output. bash reads it from its start-up file, or from a file named glassbox in
/// ~/.local/share/bash-completion/completions; zsh from a file named _glassbox in a folder of $fpath; fish from
/// ~/.config/fish/completions; PowerShell from $PROFILE. It needs to be written anew when the program is updated.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut definition(), "glassbox", &mut script);
    Ok(out.bytes(&script)?)
}
