//! `man`: manual pages, from the same definitions as `--help`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap_mangen::Man;

use super::definition;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox man | man -l -\n\
\x20 glassbox man ~/.local/share/man/man1";

/// Write the manual pages
///
/// DIR gets glassbox.1 and a page for each command, such as glassbox-generate.1. Without DIR, the page of the program
/// is written to standard output.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder for the pages; it is created if it does not exist
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        Man::new(definition()).render(&mut page)?;
        return Ok(out.bytes(&page)?);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(definition(), folder))
        .with_context(|| format!("writing manual pages to {}", folder.display()))
}
