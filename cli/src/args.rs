//! Arguments that several commands share: the model, and the machine settings.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use glassbox_tensor::{Activations, CacheFormat, Level, Pool};

use crate::exit::Usage;

/// The model to run, with adapters if there are any.
#[derive(Args, Debug)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// Apply LoRA adapters: a folder in the layout of Hugging Face's PEFT, as `finetune` writes it
    #[arg(long, value_name = "DIR")]
    pub(crate) lora: Option<PathBuf>,
}

/// The checkpoint of a model.
#[derive(Args, Debug)]
pub(crate) struct CheckpointArgs {
    /// File, folder or name of the model [default: the built-in model]
    ///
    /// A GGUF file, a folder in Hugging Face's layout, or a name in the search path. The search path is
    /// $GLASSBOX_MODELS if it is set, otherwise $XDG_CACHE_HOME/glassbox or ~/.cache/glassbox. A name may omit .gguf.
    /// Without -m, $GLASSBOX_MODEL is used. The built-in model, called tales, is a small GPT-2.
    #[arg(short, long, value_name = "MODEL", env = "GLASSBOX_MODEL", hide_env_values = true)]
    pub(crate) model: Option<PathBuf>,
}

/// Threads and kernels.
#[derive(Args, Debug)]
pub(crate) struct MachineArgs {
    /// Number of threads; the result does not depend on it [default: one per physical core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) kernels: KernelArgs,
}

/// How operations are computed, apart from the number of threads.
#[derive(Args, Debug)]
pub(crate) struct KernelArgs {
    /// Vector instruction set: scalar; avx2, avx512, avx512vnni; neon, neondotprod [default: the best one available]
    ///
    /// The result is the same at every level, bit for bit. To check: `predict --json --all --level scalar`.
    #[arg(long, value_name = "LEVEL", env = "GLASSBOX_LEVEL", hide_env_values = true)]
    pub(crate) level: Option<Level>,
    /// Implementation of the operations; the result is the same, bit for bit
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t = Engine::Fast)]
    pub(crate) engine: Engine,
    /// Number format of activations in products with quantised weights: f32, int16 or int8
    ///
    /// Integers are faster: activations are quantised in spans of 128 (int16) or 32 (int8), with one scale per span.
    /// int16 rarely changes the generated text. int8 is faster still, and changes the logits visibly. With a given
    /// format, every machine gives the same result. Products with weights that are not quantised are always in f32.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "GLASSBOX_COMPUTE",
        hide_env_values = true,
        default_value_t = Activations::Int16
    )]
    pub(crate) compute: Activations,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
}

/// The KV cache.
#[derive(Args, Debug)]
pub(crate) struct CacheArgs {
    /// Number format of the KV cache: f32, f16 or q8_0
    ///
    /// f16 halves the memory and, in a long context, the time to read the cache; it changes the logits slightly. q8_0
    /// takes a good quarter of the memory and changes them more. With a given format, every machine gives the same
    /// result.
    #[arg(long, value_name = "FORMAT", default_value_t = CacheFormat::F32)]
    pub(crate) kv: CacheFormat,
}

/// The implementation of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// SIMD kernels, at the level of --level
    Fast,
    /// Plain loops, slow and on one thread; the kernels are tested against them
    Reference,
}

impl MachineArgs {
    /// The number of threads that encode a text.
    pub(crate) fn encoding_threads(&self) -> NonZero<usize> {
        encoding_threads(self.threads)
    }
}

impl KernelArgs {
    /// A pool of `threads` threads; `None` is the default.
    pub(crate) fn pool(&self, threads: Option<u16>) -> anyhow::Result<Pool> {
        Ok(self.engine_on(threads)?.with_activations(self.compute))
    }

    fn engine_on(&self, threads: Option<u16>) -> anyhow::Result<Pool> {
        if self.engine == Engine::Reference {
            return match threads {
                None | Some(1) => Ok(Pool::new(1, glassbox_tensor::Engine::Reference)?),
                Some(threads) => Err(Usage(format!(
                    "--engine reference runs on one thread; --threads {threads} cannot be combined with it"
                ))
                .into()),
            };
        }
        let threads = threads.map_or_else(physical_cores, usize::from);
        Ok(Pool::new(threads, self.level.unwrap_or_else(Level::detect))?)
    }
}

/// Machine settings of training commands.
#[derive(Args, Debug)]
pub(crate) struct TrainMachineArgs {
    /// Number of threads; the result does not depend on it [default: one per physical core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Vector instruction set: scalar; avx2, avx512, avx512vnni; neon, neondotprod [default: the best one available]
    #[arg(long, value_name = "LEVEL", env = "GLASSBOX_LEVEL", hide_env_values = true)]
    level: Option<Level>,
}

impl TrainMachineArgs {
    /// The pool of threads.
    pub(crate) fn pool(&self) -> anyhow::Result<Pool> {
        let threads = self.threads.map_or_else(physical_cores, usize::from);
        Ok(Pool::new(threads, self.level.unwrap_or_else(Level::detect))?)
    }
}

/// How a prompt is computed.
#[derive(Args, Debug)]
pub(crate) struct ChunkArgs {
    /// Prompt tokens computed at a time; a larger number is faster and takes more memory
    #[arg(long, value_name = "N", default_value_t = glassbox_model::PROMPT_CHUNK, value_parser = positive)]
    pub(crate) prompt_chunk: usize,
}

/// Parses a positive integer.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected a number of at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

/// Parses token ids: numbers separated by commas or white space, or a JSON array.
pub(crate) fn parse_ids(text: &str) -> Result<Vec<u32>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| format!("expected token ids: {error}"));
    }
    let words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|_| format!("expected a token id, found {word:?}"))).collect()
}

/// Token ids of one argument. It is a type of its own because clap reads a `Vec` as a repeatable argument.
#[derive(Clone, Debug)]
pub(crate) struct Ids(pub(crate) Vec<u32>);

impl std::str::FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Ids, String> {
        match parse_ids(text)? {
            ids if ids.is_empty() => Err("expected at least one token id".into()),
            ids => Ok(Ids(ids)),
        }
    }
}

/// The bytes of an argument, which need not be UTF-8.
pub(crate) fn argument_bytes(text: &OsString) -> Vec<u8> {
    text.as_encoded_bytes().to_vec()
}

/// The number of threads that encode a text; `None` is the default.
pub(crate) fn encoding_threads(threads: Option<u16>) -> NonZero<usize> {
    NonZero::new(threads.map_or_else(physical_cores, usize::from)).unwrap_or(NonZero::<usize>::MIN)
}

/// Physical cores of this machine (hyper-threads of one core count once), at most as many as this process may use.
pub(crate) fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    let Ok(cpus) = fs::read_dir("/sys/devices/system/cpu") else { return logical };
    let siblings: BTreeSet<String> = cpus
        .filter_map(|cpu| fs::read_to_string(cpu.ok()?.path().join("topology/thread_siblings_list")).ok())
        .collect();
    if siblings.is_empty() { logical } else { logical.min(siblings.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_separated_by_commas_or_spaces_or_are_json() {
        for text in ["1,2,3", "1 2 3", " 1, 2\n3\r\n", "[1, 2, 3]"] {
            assert_eq!(parse_ids(text), Ok(vec![1, 2, 3]), "{text:?}");
        }
        assert_eq!(parse_ids(" "), Ok(vec![]));
        for text in ["1,x", "-1", "4294967296", "1.5", "[1,2", "[-1]", "[1] 2"] {
            assert!(parse_ids(text).is_err(), "{text:?}");
        }
    }
}
