//! The format of each tensor: llama.cpp's mixtures.
//!
//! Weights differ in their sensitivity to rounding. The unembedding affects every token and gets at least six bits. The
//! value projection (`attn_v`) and the MLP's output (`ffn_down`) get two more bits in some layers of the K-mixtures.
//! Norms, biases and position embeddings are small and stay F32. The rules are those of llama.cpp's
//! `llama_model_quantize` (its mixtures Q4_K_M and Q5_K_M), so that files of the same name are alike.

use std::fmt;
use std::str::FromStr;

use glassbox_tensor::{Format, Shape};

/// A quantisation mixture: the format of most weights of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix(Format);

/// The names of the mixtures: ours, and llama.cpp's where it differs.
const NAMES: [(&str, &str, Format, u32); 11] = [
    ("f32", "f32", Format::F32, 0),
    ("f16", "f16", Format::F16, 1),
    ("bf16", "bf16", Format::BF16, 32),
    ("q8_0", "q8_0", Format::Q8_0, 7),
    ("q6_k", "q6_k", Format::Q6_K, 18),
    ("q5_k", "q5_k_m", Format::Q5_K, 17),
    ("q5_1", "q5_1", Format::Q5_1, 9),
    ("q5_0", "q5_0", Format::Q5_0, 8),
    ("q4_k", "q4_k_m", Format::Q4_K, 15),
    ("q4_1", "q4_1", Format::Q4_1, 3),
    ("q4_0", "q4_0", Format::Q4_0, 2),
];

impl Mix {
    /// The mixture whose main format is `format`.
    pub fn mostly(format: Format) -> Mix {
        Mix(format)
    }

    /// The format of most weights.
    pub fn format(self) -> Format {
        self.0
    }

    /// The names that [`Mix::from_str`] accepts, from most bits to fewest.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|row| row.0)
    }

    /// The number that stands for the mixture in a file (`general.file_type`).
    pub(super) fn file_type(self) -> u32 {
        NAMES.iter().find(|row| row.2 == self.0).map_or(0, |row| row.3)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|row| row.2 == self.0).map_or("", |row| row.0))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let lower = text.to_ascii_lowercase();
        let known = NAMES.iter().find(|row| lower == row.0 || lower == row.1);
        known.map(|row| Mix(row.2)).ok_or_else(|| {
            format!("unknown type; supported: {}", Mix::names().collect::<Vec<_>>().join(", "))
        })
    }
}

/// Why a tensor gets another format than the mixture's main format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is a norm, a bias or a position embedding.
    Small,
    /// It is the unembedding, or a tied embedding.
    Unembedding,
    /// The mixture uses more bits for this role in this layer.
    MoreBits,
    /// Its rows are not a whole number of blocks of the intended format.
    RowLength(Format),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Small => f.write_str("norms, biases, positions and routers stay F32"),
            Reason::Unembedding => f.write_str("the unembedding affects every token"),
            Reason::MoreBits => f.write_str("the mixture gives some layers more bits"),
            Reason::RowLength(format) => {
                write!(f, "row length is not a multiple of {}, which {format} requires", format.block_len())
            }
        }
    }
}

/// Properties of the model that affect the formats.
pub(super) struct Model {
    pub(super) layers: usize,
    /// Whether the unembedding is a separate tensor.
    pub(super) has_output: bool,
}

impl Mix {
    /// The format of a tensor by llama.cpp's name.
    pub(super) fn format_of(self, name: &str, shape: &Shape, model: &Model) -> (Format, Option<Reason>) {
        let is_matrix = shape.rank() >= 2 && name.ends_with(".weight");
        if !is_matrix
            || name.contains("_norm.")
            || name.contains("ffn_gate_inp.")
            || name.starts_with("position_embd")
        {
            return (Format::F32, (self.0 != Format::F32).then_some(Reason::Small));
        }
        let (mut format, mut reason) = (self.0, None);
        let unembeds = name == "output.weight" || (!model.has_output && name == "token_embd.weight");
        if unembeds
            && !matches!(self.0, Format::F32 | Format::F16 | Format::BF16 | Format::Q8_0 | Format::Q6_K)
        {
            (format, reason) = (Format::Q6_K, Some(Reason::Unembedding));
        } else if let Some(better) = self.more_bits(name, model.layers) {
            (format, reason) = (better, Some(Reason::MoreBits));
        }
        while !shape.row_len().is_multiple_of(format.block_len()) {
            reason = Some(Reason::RowLength(format));
            format = match format {
                Format::Q4_K => Format::Q5_0,
                Format::Q5_K => Format::Q5_1,
                Format::Q6_K => Format::Q8_0,
                _ => Format::F16,
            };
        }
        (format, reason)
    }

    /// The format of weights that get more bits in the K-mixtures.
    fn more_bits(self, name: &str, layers: usize) -> Option<Format> {
        let format = match self.0 {
            Format::Q4_K => Format::Q5_K,
            Format::Q5_K => Format::Q6_K,
            _ => return None,
        };
        if name.ends_with(".attn_qkv.weight") {
            return Some(format);
        }
        let layer: usize = name.strip_prefix("blk.")?.split('.').next()?.parse().ok()?;
        let favoured = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
        let kind = [".attn_v.weight", ".ffn_down.weight", ".ffn_down_exps.weight"]
            .iter()
            .any(|kind| name.ends_with(kind));
        (kind && favoured).then_some(Format::Q6_K)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mix: Format, name: &str, shape: [usize; 2]) -> Format {
        let model = Model { layers: 30, has_output: false };
        Mix(mix).format_of(name, &Shape::new(shape).unwrap(), &model).0
    }

    #[test]
    fn smollm2_gets_what_llama_cpp_gives_it() {
        for (mix, name, shape, expected) in [
            (Format::Q4_K, "token_embd.weight", [49152, 576], Format::Q8_0),
            (Format::Q4_K, "blk.0.attn_q.weight", [576, 576], Format::Q5_0),
            (Format::Q4_K, "blk.0.attn_v.weight", [192, 576], Format::Q8_0),
            (Format::Q4_K, "blk.10.attn_v.weight", [192, 576], Format::Q5_0),
            (Format::Q4_K, "blk.0.ffn_down.weight", [576, 1536], Format::Q6_K),
            (Format::Q4_K, "blk.10.ffn_down.weight", [576, 1536], Format::Q4_K),
            (Format::Q5_K, "blk.10.ffn_down.weight", [576, 1536], Format::Q5_K),
            (Format::Q5_K, "blk.10.ffn_up.weight", [1536, 576], Format::Q5_1),
            (Format::Q6_K, "blk.10.ffn_up.weight", [1536, 576], Format::Q8_0),
            (Format::Q6_K, "blk.10.ffn_down.weight", [576, 1536], Format::Q6_K),
            (Format::Q4_0, "token_embd.weight", [49152, 576], Format::Q8_0),
            (Format::Q4_0, "token_embd.weight", [49152, 512], Format::Q6_K),
            (Format::Q4_0, "blk.3.ffn_up.weight", [1536, 576], Format::Q4_0),
            (Format::Q4_0, "blk.3.ffn_up.weight", [1536, 36], Format::F16),
            (Format::Q4_K, "blk.3.ffn_up.weight", [1536, 36], Format::F16),
            (Format::F16, "position_embd.weight", [64, 36], Format::F32),
            (Format::Q4_K, "blk.3.attn_qkv.weight", [96, 512], Format::Q5_K),
        ] {
            assert_eq!(of(mix, name, shape), expected, "{name} {shape:?} for {mix}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for format in Format::ALL {
            let mix = Mix::mostly(format);
            assert_eq!(mix.to_string().parse(), Ok(mix));
        }
        assert_eq!("Q4_K_M".parse(), Ok(Mix(Format::Q4_K)));
        assert!("q3_k".parse::<Mix>().unwrap_err().contains("q4_k"));
    }
}
