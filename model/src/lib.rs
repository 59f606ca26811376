//! GPT-2 and Llama transformers on one read: checkpoints, key-value cache, observers, generation, chat.
#![forbid(unsafe_code)]

mod attend;
mod batch;
pub mod chat;
pub mod config;
mod cost;
mod error;
mod generate;
pub mod glass;
pub mod gpt2;
mod kv_cache;
pub mod layers;
pub mod llama;
mod load;
pub mod lora;
mod model;
pub mod observe;
pub mod quantize;
pub mod rope;
mod scratch;
mod texts;

pub use batch::{Added, Batch, Slot};
pub use config::{Config, Family};
pub use error::Error;
pub use generate::{GenerateError, Generation, Growth, Stop, Turn};
pub use kv_cache::KvCache;
pub use load::{Checkpoint, GenerationConfig, Named, tokenizer_of_gguf};
pub use lora::Lora;
pub use model::{Model, PROMPT_CHUNK, Session, Weights};
