//! `detokenize`: decodes token ids, byte for byte.

use anyhow::bail;
use clap::Args;

use super::tokenize::TokenizerArgs;
use crate::args::parse_ids;
use crate::exit::Usage;
use crate::output::Out;
use crate::prompt::read_stdin;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox detokenize 19556 28 905\n\
\x20 glassbox tokenize --json \"Hello\" | jq -c .ids | glassbox detokenize";

/// Decode token ids to text
///
/// Writes exactly the bytes of the ids, with nothing added. Ids are separated by spaces, commas or line breaks, or are
/// a JSON array. Without an argument they are read from standard input.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Token ids
    #[arg(value_name = "IDS")]
    ids: Vec<String>,
    /// Leave out special tokens
    #[arg(long)]
    skip_special: bool,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let text = if arguments.ids.is_empty() {
        let bytes = read_stdin("give token ids, or pipe them to standard input")?;
        String::from_utf8(bytes).map_err(|error| Usage(format!("the ids are not UTF-8 text: {error}")))?
    } else {
        arguments.ids.join(" ")
    };
    let ids = parse_ids(&text).map_err(Usage)?;
    let tokenizer = arguments.tokenizer.open()?;
    if let Some(id) = ids.iter().find(|&&id| tokenizer.id_to_token(id).is_none()) {
        bail!("no token has the id {id}; all ids are below {}", tokenizer.vocab_size());
    }
    Ok(out.bytes(&tokenizer.decode_bytes(&ids, arguments.skip_special))?)
}
