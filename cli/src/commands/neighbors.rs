//! `neighbors`: the tokens with the most similar embeddings, the similarity of several words, and sums of words.

mod report;
mod words;

use std::ffi::OsString;

use clap::Args;
use glassbox_model::glass::{NearbyOptions, mutual_cosines, nearest_embeddings, random_embedding_cosines};

use self::words::{Question, Word};
use super::neighbors_in_context;
use super::view::TokenArgs;
use super::words::check_id;
use crate::args::{Ids, MachineArgs, ModelArgs, argument_bytes, positive};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::Out;
use crate::prompt::Prompt;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox neighbors jump --whole-words\n\
\x20 glassbox neighbors leap jump skip hop\n\
\x20 glassbox neighbors king - man + woman\n\
\x20 glassbox neighbors --context \"a machine learning model\" --token model\n\
\x20 glassbox neighbors --context \"a fashion model\" --token model --layer 3";

/// Show the tokens with the most similar embeddings
///
/// The embedding of a token is a vector. Tokens that are used alike have embeddings in similar directions: the cosine
/// of two vectors is 1 for the same direction and 0 for orthogonal ones. A word must be one token, with a space in
/// front, as for words inside a text, or else as written. Other forms of a word (case, plural, -ed, -ing) are not
/// listed as neighbours of their own.
///
/// Several words give the table of their cosines. Words with + and - between them, as arguments or as one, are added
/// and subtracted, each scaled to length 1, and the neighbours of the sum are listed.
///
/// With --context, the vector is that of a token in the text after each layer, scaled by the final norm, and it is
/// compared with the rows of the unembedding: what the word means in its context. What all tokens share, the mean over
/// some ordinary text, is taken off.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Word to look up, several words to compare, or a sum such as king - man + woman
    #[arg(value_name = "WORD", required_unless_present_any = ["ids", "context", "context_ids"],
        conflicts_with_all = ["ids", "context", "context_ids"])]
    word: Vec<OsString>,
    /// Token ids, instead of words
    #[arg(long, value_name = "IDS")]
    ids: Option<Ids>,
    /// Text that contains the token; without --token, its last token is used
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["ids", "context_ids"])]
    context: Option<OsString>,
    /// Context as token ids, such as 1,2,3
    #[arg(long, value_name = "IDS", conflicts_with = "ids")]
    context_ids: Option<Ids>,
    #[command(flatten)]
    token: TokenArgs,
    /// With --context, only this layer, counted from 0
    #[arg(long, value_name = "LAYER", conflicts_with_all = ["word", "ids"])]
    layer: Option<usize>,
    /// List all forms of a word
    #[arg(long, conflicts_with_all = ["context", "context_ids"])]
    all_forms: bool,
    /// Leave out tokens that occur only inside or at the end of words, and those that are not letters; a token that
    /// begins with a space may still be only the beginning of a word
    #[arg(long, conflicts_with_all = ["context", "context_ids"])]
    whole_words: bool,
    /// Number of neighbours to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    top: usize,
    /// Write one JSON object: word, id, neighbors (id, token, cosine, forms) and random (mean, high); of several words:
    /// words, cosines, random; of a sum: terms, neighbors, random; with --context: ids, tokens, position, layers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let context = match (&arguments.context, &arguments.context_ids) {
        (Some(text), _) => Some(Prompt::Text(argument_bytes(text))),
        (None, Some(Ids(ids))) => Some(Prompt::Ids(ids.clone())),
        (None, None) if arguments.token.is_given() => {
            return Err(Usage("--token and --token-id require --context".into()).into());
        }
        (None, None) => None,
    };
    let source = Source::open(&arguments.model)?;
    if let Some(context) = context {
        let question = neighbors_in_context::Question {
            context,
            token: &arguments.token,
            layer: arguments.layer,
            top: arguments.top,
            json: arguments.json,
        };
        return neighbors_in_context::run(question, &source, &arguments.machine, out);
    }
    let question = match &arguments.ids {
        Some(Ids(ids)) => Question::of_ids(ids),
        None => Question::of_words(&arguments.word, source.tokenizer()?)?,
    };
    for word in question.words() {
        check_id(word.id, &source)?;
    }
    let tokenizer = source.maybe_tokenizer();
    let (model, _) = source.load(&arguments.machine)?;
    let random = random_embedding_cosines(&model)?;
    let report = report::Report { tokenizer, random };
    let terms = match &question {
        Question::Table(words) => {
            let ids: Vec<u32> = words.iter().map(|word| word.id).collect();
            let cosines = mutual_cosines(&model, &ids)?;
            return if arguments.json {
                report.table_json(words, &cosines, out)
            } else {
                report.table(words, &cosines, out)
            };
        }
        Question::One(word) => vec![word.term()],
        Question::Sum(words) => words.iter().map(Word::term).collect(),
    };
    let options = NearbyOptions {
        top: arguments.top,
        tokenizer,
        fold_forms: !arguments.all_forms,
        whole_words: arguments.whole_words,
    };
    let nearest = nearest_embeddings(&model, &terms, &options)?;
    if arguments.json {
        report.list_json(&question, &nearest, out)
    } else {
        report.list(&question, &nearest, arguments.all_forms, out)
    }
}
