//! Arguments that several commands share: which model, and what it runs on.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use glassbox_tensor::{Activations, CacheFormat, Level, Pool};

use crate::exit::Usage;

/// Which model.
#[derive(Args, Debug)]
pub(crate) struct ModelArgs {
    /// A GGUF file, a folder with a checkpoint in Hugging Face's layout, or the name of a model in the search path
    ///
    /// The search path is $GLASSBOX_MODELS, or else the folder glassbox in $XDG_CACHE_HOME or ~/.cache. A name may leave
    /// out .gguf. Without -m, and without $GLASSBOX_MODEL, it is the model in the box: a small one that tells tales.
    #[arg(short, long, value_name = "MODEL", env = "GLASSBOX_MODEL", hide_env_values = true)]
    pub(crate) model: Option<PathBuf>,
    /// Run the model with these adapters: a folder in the layout of Hugging Face's PEFT, such as `finetune` writes
    #[arg(long, value_name = "DIR")]
    pub(crate) lora: Option<PathBuf>,
}

/// What the model runs on. Nothing here changes the result: it is the same to the last bit.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct MachineArgs {
    /// Threads that compute together [default: one a physical core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) kernels: KernelArgs,
}

/// How the operations are computed, whatever the number of threads.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct KernelArgs {
    /// The vector instructions to use: scalar; avx2, avx512, avx512vnni; neon, neondotprod [default: the best
    /// this machine has]
    ///
    /// The result is the same on every level, bit for bit; see it with `predict --json --all --level scalar`.
    #[arg(long, value_name = "LEVEL", env = "GLASSBOX_LEVEL", hide_env_values = true)]
    pub(crate) level: Option<Level>,
    /// What computes: the kernels, or the plain loops they are held to, slow and on one thread. The result is the same
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t = Engine::Fast)]
    pub(crate) engine: Engine,
    /// The number format in which activations meet quantised weights: f32, int16 or int8
    ///
    /// Integers are faster: 128 activations (int16) or 32 (int8) are rounded to multiples of one step. As int16 they are
    /// so fine that the text stays the same in all but rare cases; as int8, faster still, they move the logits visibly.
    /// Each gives one result, the same on every machine. Weights that are not quantised always meet f32.
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

/// What attention remembers.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct CacheArgs {
    /// The number format in which keys and values are remembered: f32 or f16
    ///
    /// Half precision takes half the memory and, where the context is long, half the time to read it; it moves the logits
    /// a little. Each gives one result, the same on every machine.
    #[arg(long, value_name = "FORMAT", default_value_t = CacheFormat::F32)]
    pub(crate) kv: CacheFormat,
}

/// What computes the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The kernels, at the level of --level
    Fast,
    /// The plain loops, whatever the level
    Reference,
}

impl MachineArgs {
    /// How many threads encode a text.
    pub(crate) fn encoding_threads(&self) -> NonZero<usize> {
        encoding_threads(self.threads)
    }
}

impl KernelArgs {
    /// So many threads; `None` for the default.
    pub(crate) fn pool(&self, threads: Option<u16>) -> anyhow::Result<Pool> {
        Ok(self.engine_on(threads)?.with_activations(self.compute))
    }

    fn engine_on(&self, threads: Option<u16>) -> anyhow::Result<Pool> {
        if self.engine == Engine::Reference {
            return match threads {
                None | Some(1) => Ok(Pool::new(1, glassbox_tensor::Engine::Reference)?),
                Some(threads) => Err(Usage(format!(
                    "--engine reference computes on one thread, so --threads {threads} has no meaning with it"
                ))
                .into()),
            };
        }
        let threads = threads.map_or_else(physical_cores, usize::from);
        Ok(Pool::new(threads, self.level.unwrap_or_else(Level::detect))?)
    }
}

/// What a training runs on.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct TrainMachineArgs {
    /// Threads that compute together [default: one a physical core]. The result is the same on any number
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The vector instructions to use: scalar; avx2, avx512, avx512vnni; neon, neondotprod [default: the best
    /// this machine has]
    #[arg(long, value_name = "LEVEL", env = "GLASSBOX_LEVEL", hide_env_values = true)]
    level: Option<Level>,
}

impl TrainMachineArgs {
    /// The threads.
    pub(crate) fn pool(&self) -> anyhow::Result<Pool> {
        let threads = self.threads.map_or_else(physical_cores, usize::from);
        Ok(Pool::new(threads, self.level.unwrap_or_else(Level::detect))?)
    }
}

/// How a prompt is fed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct ChunkArgs {
    /// Tokens of the prompt computed at a time; more is faster and takes more memory
    #[arg(long, value_name = "N", default_value_t = glassbox_model::PROMPT_CHUNK, value_parser = positive)]
    pub(crate) prompt_chunk: usize,
}

/// A positive whole number.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected a number of at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

/// Token ids as text: numbers with commas or white space between them, or a JSON array.
pub(crate) fn parse_ids(text: &str) -> Result<Vec<u32>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| format!("expected token ids: {error}"));
    }
    let words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|_| format!("expected a token id, found {word:?}"))).collect()
}

/// Token ids of an argument: a type of its own, since clap takes a `Vec` for an argument that may be repeated.
#[derive(Clone, Debug)]
pub(crate) struct Ids(pub(crate) Vec<u32>);

impl std::str::FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Ids, String> {
        match parse_ids(text)? {
            ids if ids.is_empty() => Err("there are no ids".into()),
            ids => Ok(Ids(ids)),
        }
    }
}

/// The bytes of an argument, which need not be UTF-8.
pub(crate) fn argument_bytes(text: &OsString) -> Vec<u8> {
    text.as_encoded_bytes().to_vec()
}

/// So many threads to encode a text with; `None` for the default.
pub(crate) fn encoding_threads(threads: Option<u16>) -> NonZero<usize> {
    NonZero::new(threads.map_or_else(physical_cores, usize::from)).unwrap_or(NonZero::<usize>::MIN)
}

/// Cores of this machine, those counted once that show as several; never more than this process may use.
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
    fn ids_come_with_commas_spaces_or_as_json() {
        for text in ["1,2,3", "1 2 3", " 1, 2\n3\r\n", "[1, 2, 3]"] {
            assert_eq!(parse_ids(text), Ok(vec![1, 2, 3]), "{text:?}");
        }
        assert_eq!(parse_ids(" "), Ok(vec![]));
        for text in ["1,x", "-1", "4294967296", "1.5", "[1,2", "[-1]", "[1] 2"] {
            assert!(parse_ids(text).is_err(), "{text:?}");
        }
    }
}
