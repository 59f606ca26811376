//! Tests from outside the crate, in one binary so that the oracles are linked once.

mod against_regex;
mod against_tiktoken;
mod against_tokenizers;
mod explaining;
mod folders;
mod goldens;
mod hostile;
mod loading;
mod parts_against_tokenizers;
mod regex_dialect;
mod round_trips;
mod texts;
mod training;
mod unicode_table;
