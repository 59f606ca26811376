//! Number formats: how many elements share a block and how many bytes a block takes.
//!
//! A plain format (f32, f16, bf16) stores one element a block. A quantised format stores a run of 32 or 256
//! elements as small integers beside one or two scales, so only whole blocks can be addressed. The sizes and the
//! numeric ids are those of ggml, the names of the plain formats those of safetensors.

use std::fmt;

/// A number format this crate can read, element by element or block by block.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 32 signed bytes and one f16 scale.
    Q8_0,
    /// 32 four-bit integers around zero and one f16 scale.
    Q4_0,
    /// 32 four-bit integers, an f16 scale and an f16 minimum.
    Q4_1,
    /// 32 five-bit integers around zero and one f16 scale.
    Q5_0,
    /// 32 five-bit integers, an f16 scale and an f16 minimum.
    Q5_1,
    /// 256 four-bit integers in eight groups, each with a six-bit scale and a six-bit minimum.
    Q4_K,
    /// 256 five-bit integers in eight groups, each with a six-bit scale and a six-bit minimum.
    Q5_K,
    /// 256 six-bit integers in sixteen groups, each with an eight-bit scale.
    Q6_K,
}

impl Format {
    /// Every format, in the order of the enum.
    pub const ALL: [Format; 11] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q8_0,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q4_K,
        Format::Q5_K,
        Format::Q6_K,
    ];

    /// Elements in one block: 1, 32 or 256.
    pub const fn block_len(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => 1,
            Format::Q8_0 | Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 => 32,
            Format::Q4_K | Format::Q5_K | Format::Q6_K => 256,
        }
    }

    /// Bytes in one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            Format::Q8_0 => 2 + 32,
            Format::Q4_0 => 2 + 16,
            Format::Q4_1 => 2 + 2 + 16,
            Format::Q5_0 => 2 + 4 + 16,
            Format::Q5_1 => 2 + 2 + 4 + 16,
            Format::Q4_K => 2 + 2 + 12 + 128,
            Format::Q5_K => 2 + 2 + 12 + 32 + 128,
            Format::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes that `elements` consecutive elements take; `None` if they are not a whole number of blocks or if the
    /// count does not fit a `usize`.
    pub const fn bytes_for(self, elements: usize) -> Option<usize> {
        if !elements.is_multiple_of(self.block_len()) {
            return None;
        }
        (elements / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Whether elements share blocks, that is, whether the format is not one of f32, f16 and bf16.
    pub const fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// The usual name, such as `"Q4_1"`.
    pub const fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::BF16 => "BF16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
            Format::Q4_1 => "Q4_1",
            Format::Q5_0 => "Q5_0",
            Format::Q5_1 => "Q5_1",
            Format::Q4_K => "Q4_K",
            Format::Q5_K => "Q5_K",
            Format::Q6_K => "Q6_K",
        }
    }

    /// The number that stands for this format in a GGUF file (ggml's `ggml_type`).
    pub const fn ggml_id(self) -> u32 {
        match self {
            Format::F32 => 0,
            Format::F16 => 1,
            Format::Q4_0 => 2,
            Format::Q4_1 => 3,
            Format::Q5_0 => 6,
            Format::Q5_1 => 7,
            Format::Q8_0 => 8,
            Format::Q4_K => 12,
            Format::Q5_K => 13,
            Format::Q6_K => 14,
            Format::BF16 => 30,
        }
    }

    /// The format with this ggml id, if it is one we read.
    pub fn from_ggml_id(id: u32) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.ggml_id() == id)
    }

    /// The safetensors dtype; `None` for quantised formats, which safetensors does not know.
    pub const fn safetensors_name(self) -> Option<&'static str> {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => Some(self.name()),
            _ => None,
        }
    }

    /// The format with this safetensors dtype, if it is one we read.
    pub fn from_safetensors_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.safetensors_name() == Some(name))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The element type that a file gives a tensor: a [`Format`], or a type that can be listed but not read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// A format whose tensors can be read.
    Format(Format),
    /// Any other type, by the name the file or ggml gives it, such as `"I64"` or `"IQ2_XS"`.
    Other(String),
}

impl ElementType {
    /// The name of the type, such as `"F16"` or `"I64"`.
    pub fn name(&self) -> &str {
        match self {
            ElementType::Format(format) => format.name(),
            ElementType::Other(name) => name,
        }
    }

    /// The format, if tensors of this type can be read.
    pub fn format(&self) -> Option<Format> {
        match self {
            ElementType::Format(format) => Some(*format),
            ElementType::Other(_) => None,
        }
    }

    /// Whether elements are integers or truth values. No tensor of this type can be read.
    pub fn is_integer(&self) -> bool {
        matches!(self.name(), "BOOL" | "U8" | "I8" | "U16" | "I16" | "U32" | "I32" | "U64" | "I64")
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "gguf")]
/// A ggml type id looked up: its name and, where the type is known, elements and bytes a block.
pub(crate) struct GgmlType {
    pub(crate) element: ElementType,
    pub(crate) block: Option<(usize, usize)>,
}

#[cfg(feature = "gguf")]
/// What a ggml type id stands for. An id that ggml has not assigned gets a name of its own and no block size.
pub(crate) fn ggml_type(id: u32) -> GgmlType {
    if let Some(format) = Format::from_ggml_id(id) {
        let block = Some((format.block_len(), format.block_bytes()));
        return GgmlType { element: ElementType::Format(format), block };
    }
    match OTHER_GGML_TYPES.iter().find(|row| row.0 == id) {
        Some(&(_, name, len, bytes)) => {
            GgmlType { element: ElementType::Other(name.to_owned()), block: Some((len, bytes)) }
        }
        None => GgmlType { element: ElementType::Other(format!("ggml type {id}")), block: None },
    }
}

#[cfg(feature = "gguf")]
/// The ggml types we list without reading: id, name, elements a block, bytes a block.
const OTHER_GGML_TYPES: [(u32, &str, usize, usize); 23] = [
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

#[cfg(feature = "safetensors")]
/// Bits an element of a safetensors dtype takes, for the dtypes that the format defines.
pub(crate) fn safetensors_bits(name: &str) -> Option<usize> {
    Some(match name {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "C64" | "F64" | "I64" | "U64" => 64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_go_both_ways() {
        for format in Format::ALL {
            assert_eq!(Format::from_ggml_id(format.ggml_id()), Some(format));
            if let Some(name) = format.safetensors_name() {
                assert_eq!(Format::from_safetensors_name(name), Some(format));
                #[cfg(feature = "safetensors")]
                assert_eq!(safetensors_bits(name), Some(8 * format.block_bytes()));
            }
        }
        assert_eq!(Format::from_safetensors_name("Q4_1"), None);
        assert_eq!(Format::from_ggml_id(10), None);
        #[cfg(feature = "gguf")]
        assert_eq!(ggml_type(10).element.name(), "Q2_K");
        #[cfg(feature = "gguf")]
        assert_eq!(ggml_type(1234).element.name(), "ggml type 1234");
    }

    #[test]
    fn bytes_for_wants_whole_blocks_and_does_not_overflow() {
        assert_eq!(Format::Q4_1.bytes_for(64), Some(40));
        assert_eq!(Format::Q4_1.bytes_for(33), None);
        assert_eq!(Format::Q6_K.bytes_for(0), Some(0));
        assert_eq!(Format::F32.bytes_for(usize::MAX), None);
        assert_eq!(Format::Q8_0.bytes_for(usize::MAX - 31), None);
    }
}
