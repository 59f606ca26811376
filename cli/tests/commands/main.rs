//! Runs the binary: every command and every flag, on tiny checkpoints.

mod adapters;
mod built_in;
mod byte_order_mark;
mod chat;
mod compare_models;
mod completions;
mod explain;
mod finetune;
mod generate;
mod golden;
mod hostile;
mod inspect;
mod json_lines;
mod machine;
mod neighbors;
mod not_finite;
mod perplexity;
mod predict;
mod process;
mod quantize;
mod sampling;
mod search_path;
mod settings;
mod system;
#[cfg(target_os = "linux")]
mod terminal;
mod tokenize;
mod train;
mod usage;
mod warnings;
#[cfg(target_os = "linux")]
mod wide;
