//! Every command and every flag, on tiny checkpoints, the binary being run as a process.

mod chat;
mod compare_models;
mod explain;
mod finetune;
mod generate;
mod golden;
mod hostile;
mod in_the_box;
mod inspect;
mod json_lines;
mod machine;
mod neighbors;
mod perplexity;
mod predict;
mod process;
mod quantize;
mod sampling;
mod search_path;
mod system;
#[cfg(target_os = "linux")]
mod terminal;
mod tokenize;
mod train;
mod usage;
