//! From texts to batches: what a model is shown, and in which order.
//!
//! ```text
//! files ─ documents ─ held_out ─┬─► tokenizer (learnt on the training part alone)
//!                               └─► token_file (mapped) ─ batches ─► [texts, tokens] of ids and of the ids that follow
//! ```

mod batches;
mod documents;
mod error;
mod held_out;
mod learn_tokenizer;
mod token_file;

pub(crate) use batches::permute;
pub use batches::{Batches, Example};
pub use documents::{Documents, END_OF_TEXT};
pub use error::DataError;
pub use held_out::{HeldOut, hold_out};
pub use learn_tokenizer::{end_of_document, learn_tokenizer};
pub use token_file::{Part, TokenFile};
