//! What can be wrong with the content of a file: each problem names the tensor or key, what was expected and what was
//! found.

use std::fmt;

use crate::format::Format;

/// What is wrong with the content of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileProblem {
    /// The file ends in the middle of something.
    Truncated {
        /// What was being read.
        reading: String,
        /// The byte at which it begins.
        at: u64,
        /// The bytes it needs.
        needed: u64,
        /// The bytes there are.
        available: u64,
    },
    /// The first bytes are not those of the format.
    BadMagic {
        /// The bytes that should be there.
        expected: [u8; 4],
        /// The bytes that are there.
        found: [u8; 4],
    },
    /// A GGUF file written for big-endian machines.
    BigEndian,
    /// A version of the format that is not read.
    UnsupportedVersion {
        /// The version the file names.
        found: u32,
        /// The versions that are read.
        supported: &'static str,
    },
    /// A header longer than the format allows.
    HeaderTooLarge {
        /// Its length in bytes.
        found: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// A count that cannot be true, since that many entries do not fit the rest of the file.
    CountTooLarge {
        /// What is counted.
        counted: String,
        /// The count.
        found: u64,
        /// The most that the rest of the file could hold.
        limit: u64,
    },
    #[cfg(feature = "safetensors")]
    /// JSON that does not parse, or does not have the form it needs.
    BadJson {
        /// Which part of the file.
        part: &'static str,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },
    /// A string that is not valid UTF-8.
    NotUtf8 {
        /// Which string.
        what: String,
    },
    /// A metadata key that occurs twice.
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A tensor name that occurs twice.
    DuplicateTensor {
        /// The tensor.
        tensor: String,
    },
    /// A metadata value whose type the format does not define.
    UnknownValueType {
        /// The key.
        key: String,
        /// The number of the type.
        found: u32,
    },
    /// Arrays of arrays, deeper than anybody needs.
    NestedTooDeep {
        /// The key.
        key: String,
        /// The deepest nesting that is read.
        limit: usize,
    },
    /// A metadata key that has to be there and is not.
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata value of another type than is needed, or outside its range.
    WrongValue {
        /// The key.
        key: String,
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A tensor with more dimensions than the format allows.
    TooManyDimensions {
        /// The tensor.
        tensor: String,
        /// How many it has.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// A tensor whose element count does not fit the address space.
    TensorTooLarge {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        shape: Vec<u64>,
    },
    /// A tensor whose rows are not a whole number of blocks.
    PartialBlock {
        /// The tensor.
        tensor: String,
        /// The element type.
        element: String,
        /// Elements in a row.
        row: usize,
    },
    /// A tensor of elements smaller than a byte, which together are not whole bytes.
    PartialByte {
        /// The tensor.
        tensor: String,
        /// The element type.
        element: String,
        /// How many elements it has.
        elements: usize,
    },
    /// A tensor whose data does not begin at a multiple of the file's alignment.
    Misaligned {
        /// The tensor.
        tensor: String,
        /// Where its data begins, from the start of all data.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor whose data is not inside the file.
    OutsideFile {
        /// The tensor.
        tensor: String,
        /// Where its data begins, from the start of all data.
        start: u64,
        /// Where it would end.
        end: u64,
        /// Bytes of data in the file.
        available: u64,
    },
    /// A tensor whose data has another length than its shape and element type take.
    WrongLength {
        /// The tensor.
        tensor: String,
        /// Bytes that shape and element type take.
        expected: u64,
        /// Bytes the file gives it.
        found: u64,
    },
    /// A tensor of which not as many values were written as it has.
    NotFilled {
        /// The tensor.
        tensor: String,
        /// Its elements.
        expected: u64,
        /// Elements written.
        found: u64,
    },
    /// A tensor whose data begins inside another's.
    Overlap {
        /// The tensor.
        tensor: String,
        /// Where the data before it ends.
        expected: u64,
        /// Where its own begins.
        found: u64,
    },
    /// Bytes that belong to no tensor.
    Hole {
        /// Where they begin, from the start of all data.
        start: u64,
        /// Where they end.
        end: u64,
    },
    /// A tensor that has to be there and is not.
    MissingTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor of an element type that cannot be read.
    UnsupportedType {
        /// The tensor.
        tensor: String,
        /// The element type.
        found: String,
    },
    /// A format that this kind of file cannot hold.
    CannotStore {
        /// The tensor.
        tensor: String,
        /// The number format.
        format: Format,
    },
    /// A tensor name that this kind of file uses for something else.
    ReservedName {
        /// The name.
        tensor: String,
    },
    /// A view across quantised blocks, whose elements in order are not whole blocks.
    ScatteredBlocks {
        /// The tensor.
        tensor: String,
        /// The number format.
        format: Format,
    },
    /// A shard name in an index that is not a plain file name.
    BadShardName {
        /// The name.
        found: String,
    },
    /// A tensor that the index places in a shard which does not have it.
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: String,
    },
    /// A directory without any of the files that could hold weights.
    NoWeights {
        /// The file names looked for.
        looked_for: &'static str,
    },
}

#[cfg(any(feature = "gguf", feature = "safetensors"))]
impl FileProblem {
    /// The error that says in which file the problem is.
    pub(crate) fn in_file(self, path: &std::path::Path) -> crate::error::Error {
        crate::error::Error::File { path: path.to_owned(), problem: Box::new(self) }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FileProblem::*;
        match self {
            Truncated { reading, at, needed, available } => {
                write!(
                    f,
                    "the file ends in {reading}: {needed} bytes needed at byte {at}, {available} there; is it complete?"
                )
            }
            BadMagic { expected, found } => write!(
                f,
                "the file begins with \"{}\", expected \"{}\"",
                found.escape_ascii(),
                expected.escape_ascii()
            ),
            BigEndian => write!(f, "a big-endian GGUF; convert it to little-endian"),
            UnsupportedVersion { found, supported } => {
                write!(f, "version {found} of the format; supported: {supported}")
            }
            HeaderTooLarge { found, limit } => {
                write!(f, "a header of {found} bytes; at most {limit} allowed")
            }
            CountTooLarge { counted, found, limit } => {
                write!(f, "{found} {counted}, but the rest of the file has room for {limit} at most")
            }
            #[cfg(feature = "safetensors")]
            BadJson { part, source } => write!(f, "{part}: {source}"),
            NotUtf8 { what } => write!(f, "{what} is not valid UTF-8"),
            DuplicateKey { key } => write!(f, "metadata key \"{key}\" occurs twice"),
            DuplicateTensor { tensor } => write!(f, "tensor \"{tensor}\" occurs twice"),
            UnknownValueType { key, found } => {
                write!(f, "metadata key \"{key}\": unknown value type {found}")
            }
            NestedTooDeep { key, limit } => {
                write!(f, "metadata key \"{key}\": arrays nested more than {limit} deep")
            }
            MissingKey { key } => write!(f, "metadata key \"{key}\" is missing"),
            WrongValue { key, expected, found } => {
                write!(f, "metadata key \"{key}\": expected {expected}, found {found}")
            }
            TooManyDimensions { tensor, found, limit } => {
                write!(f, "tensor \"{tensor}\": {found} dimensions; at most {limit} allowed")
            }
            TensorTooLarge { tensor, shape } => {
                write!(f, "tensor \"{tensor}\": shape {shape:?} has more elements than memory")
            }
            PartialBlock { tensor, element, row } => {
                write!(f, "tensor \"{tensor}\": rows of {row} elements are not whole {element} blocks")
            }
            PartialByte { tensor, element, elements } => {
                write!(f, "tensor \"{tensor}\": its {elements} elements of type {element} end inside a byte")
            }
            Misaligned { tensor, offset, alignment } => {
                write!(f, "tensor \"{tensor}\": offset {offset} is not a multiple of {alignment}")
            }
            OutsideFile { tensor, start, end, available } => {
                write!(
                    f,
                    "tensor \"{tensor}\": bytes {start}..{end} of the data, which has only {available}; is the file complete?"
                )
            }
            WrongLength { tensor, expected, found } => {
                write!(
                    f,
                    "tensor \"{tensor}\": shape and type take {expected} bytes, the file gives it {found}"
                )
            }
            NotFilled { tensor, expected, found } => {
                write!(f, "tensor \"{tensor}\": {found} of {expected} values were written")
            }
            Overlap { tensor, expected, found } => write!(
                f,
                "tensor \"{tensor}\" begins at byte {found} of the data, inside another that ends at {expected}"
            ),
            Hole { start, end } => write!(f, "bytes {start}..{end} of the data belong to no tensor"),
            MissingTensor { tensor } => write!(f, "tensor \"{tensor}\" is missing"),
            UnsupportedType { tensor, found } => {
                write!(f, "tensor \"{tensor}\": elements of type {found} cannot be read; expected one of ")?;
                for (i, format) in Format::ALL.iter().enumerate() {
                    write!(f, "{}{format}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            CannotStore { tensor, format } => {
                write!(f, "tensor \"{tensor}\": this kind of file cannot hold {format}")
            }
            ReservedName { tensor } => {
                write!(f, "\"{tensor}\" cannot be the name of a tensor in this kind of file")
            }
            ScatteredBlocks { tensor, format } => {
                write!(f, "tensor \"{tensor}\": a view across its {format} blocks; dequantise it to write it")
            }
            BadShardName { found } => write!(f, "shard name \"{found}\" is not a plain file name"),
            NotInShard { tensor, shard } => {
                write!(f, "tensor \"{tensor}\" should be in shard \"{shard}\", which does not have it")
            }
            NoWeights { looked_for } => write!(f, "no weights here; looked for {looked_for}"),
        }
    }
}

impl std::error::Error for FileProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            #[cfg(feature = "safetensors")]
            FileProblem::BadJson { source, .. } => Some(source),
            _ => None,
        }
    }
}
