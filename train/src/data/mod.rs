//! From text files to batches of token ids.
//!
//! ```text
//! files ─ documents ─ held_out ─┬─► tokenizer (trained on the training split only)
//!                               └─► token_file ─ batches ─► [sequences, tokens] of ids and of targets
//! ```

mod batches;
mod documents;
mod error;
mod held_out;
mod token_file;
mod train_tokenizer;

pub(crate) use batches::permute;
pub use batches::{Batches, Example};
pub use documents::{Documents, END_OF_TEXT};
pub use error::DataError;
pub use held_out::{Splits, split_documents};
pub use token_file::{Split, TokenFile};
pub use train_tokenizer::{end_of_document, train_tokenizer};
