//! Decoder-only transformers from typed parts: checkpoints, KV cache, observers, generation, chat.
//!
//! [`Checkpoint`] opens a GGUF or a Hugging Face directory and loads it as a [`Model`]; a [`Runtime`] is a model with a
//! thread pool. A [`Session`] runs one sequence, a [`Batch`] several at once; [`Generation`] iterates over new tokens.
//! To read how a forward pass works, start with [`decoder`], then [`block`], [`attention`], [`mlp`], [`norm`] and
//! [`rope`]; [`families`] has one page per family, [`spec`] the list of parameters, and [`names`] their storage in
//! files. [`hooks`] are the named values of a pass, [`glass`] the views of them; [`scheduler`] serves many sequences.
#![forbid(unsafe_code)]

mod adapted;
mod adapter;
pub mod attention;
mod batch;
pub mod block;
pub mod chat;
pub mod config;
mod cost;
pub mod decoder;
mod ends;
mod error;
pub mod families;
mod fields;
mod generate;
pub mod glass;
pub mod hooks;
mod kv_cache;
pub mod linear;
mod load;
pub mod lora;
mod metadata;
pub mod mlp;
mod model;
pub mod names;
pub mod norm;
mod pass;
pub mod plain;
mod products;
pub mod quantize;
pub mod rope;
mod runtime;
pub mod scheduler;
mod scratch;
mod sequences;
mod session;
pub mod spec;
pub mod vocabulary;
mod warning;

pub use adapter::Adapter;
pub use batch::{Added, Batch, Slot};
pub use config::Config;
pub use error::Error;
pub use generate::{GenerateError, Generation, GenerationState, NextAction, Stop};
pub use kv_cache::KvCache;
pub use load::{Checkpoint, GenerationConfig, Named, open_gguf, tokenizer_of_gguf};
pub use lora::Lora;
pub use model::Model;
pub use products::{Product, ProductKind};
pub use runtime::Runtime;
pub use session::{PROMPT_CHUNK, Session};
pub use warning::Warning;
