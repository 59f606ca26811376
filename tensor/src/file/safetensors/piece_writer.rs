//! Writing a safetensors file whose values arrive piece by piece, in any order.
//!
//! All names and shapes are known beforehand, so the header is written first and every value once, at its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::writer::encode_header;
use crate::error::{Error, FileProblem};
use crate::file::temporary::Temporary;
use crate::file::write::{check_unique, publish};
use crate::format::Format;
use crate::quant::f16::{f32_to_bf16, f32_to_f16};
use crate::shape::Shape;

/// Number of values that are converted and written at a time.
const VALUES: usize = 1 << 15;

/// A safetensors file that is being filled.
///
/// It has a temporary name until it is complete; dropping it earlier removes it, and a file that was there stays as it
/// was.
///
/// ```
/// use std::collections::BTreeMap;
/// use glassbox_tensor::file::safetensors::{PieceWriter, SafeTensors};
/// use glassbox_tensor::{Format, Shape};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("two.safetensors");
/// let shape = Shape::new([2, 2])?;
/// let mut file = PieceWriter::create(&path, &BTreeMap::new(), Format::F16, [("a", shape.clone()), ("b", shape)])?;
/// file.write(1, 0, &[5.0, 6.0, 7.0, 8.0])?;
/// file.write(0, 2, &[3.0, 4.0])?;
/// file.write(0, 0, &[1.0, 2.0])?;
/// file.finish()?;
/// assert_eq!(SafeTensors::open(&path)?.tensor("a")?.to_f32(), [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PieceWriter {
    path: PathBuf,
    temporary: Temporary,
    file: File,
    /// Where the next write goes.
    position: u64,
    format: Format,
    tensors: Vec<Extent>,
    overflowed: u64,
    bytes: Vec<u8>,
}

/// Where a tensor is in the file.
#[derive(Debug)]
struct Extent {
    name: String,
    start: u64,
    elements: u64,
    written: u64,
}

impl PieceWriter {
    /// Creates a file of tensors in `format`, each a name and a shape, in this order, with strings in its
    /// `__metadata__`. The header is written.
    ///
    /// # Errors
    /// If a name occurs twice or is `__metadata__`, if the format is not F32, F16 or BF16, if all tensors together are
    /// larger than the address space, or if the file cannot be written.
    pub fn create<S: AsRef<str>>(
        path: impl AsRef<Path>,
        metadata: &BTreeMap<String, String>,
        format: Format,
        tensors: impl IntoIterator<Item = (S, Shape)>,
    ) -> Result<PieceWriter, Error> {
        let path = path.as_ref();
        let tensors: Vec<(S, Shape)> = tensors.into_iter().collect();
        let (header, extents) =
            layout(metadata, format, &tensors).map_err(|problem| problem.in_file(path))?;
        let create_error = |source| Error::io(path, "create", source);
        if path.is_dir() {
            return Err(create_error(std::io::ErrorKind::IsADirectory.into()));
        }
        let (temporary, mut file) = Temporary::beside(path).map_err(create_error)?;
        file.write_all(&header).map_err(|source| Error::io(path, "write", source))?;
        let position = header.len() as u64;
        let bytes = Vec::with_capacity(VALUES * format.block_bytes());
        let path = path.to_owned();
        Ok(PieceWriter { path, temporary, file, position, format, tensors: extents, overflowed: 0, bytes })
    }

    /// Writes values of a tensor, counted in the order given to [`PieceWriter::create`], from its element `first` on.
    /// Each element must be written once. F16 and BF16 are rounded to the nearest number, ties to even.
    ///
    /// # Errors
    /// [`Error::ElementCount`] if the tensor has no such elements; [`Error::Io`] if the file cannot be written.
    pub fn write(&mut self, tensor: usize, first: usize, values: &[f32]) -> Result<(), Error> {
        let elements = self.tensors.get(tensor).map_or(0, |extent| extent.elements);
        let end = first as u64 + values.len() as u64;
        let Some(extent) = self.tensors.get_mut(tensor).filter(|_| end <= elements) else {
            let (expected, found) = (elements as usize, end as usize);
            return Err(Error::ElementCount { shape: vec![expected], expected, found });
        };
        extent.written += values.len() as u64;
        let start = extent.start + first as u64 * self.format.block_bytes() as u64;
        let write_error = |source| Error::io(&self.path, "write", source);
        if start != self.position {
            self.file.seek(SeekFrom::Start(start)).map_err(write_error)?;
            self.position = start;
        }
        for values in values.chunks(VALUES) {
            self.overflowed += encode(self.format, values, &mut self.bytes);
            self.file.write_all(&self.bytes).map_err(write_error)?;
            self.position += self.bytes.len() as u64;
        }
        Ok(())
    }

    /// Brings the file to the disk and gives it its name. Returns the number of finite values that became infinite
    /// because they are too large for the format.
    ///
    /// # Errors
    /// [`FileProblem::NotFilled`] if values are missing; [`Error::Io`] if the file cannot be written.
    pub fn finish(self) -> Result<u64, Error> {
        if let Some(extent) = self.tensors.iter().find(|extent| extent.written != extent.elements) {
            let (tensor, expected, found) = (extent.name.clone(), extent.elements, extent.written);
            return Err(FileProblem::NotFilled { tensor, expected, found }.in_file(&self.path));
        }
        publish(self.temporary, self.file, &self.path)?;
        Ok(self.overflowed)
    }
}

/// The header, and where each tensor is.
fn layout<S: AsRef<str>>(
    metadata: &BTreeMap<String, String>,
    format: Format,
    tensors: &[(S, Shape)],
) -> Result<(Vec<u8>, Vec<Extent>), FileProblem> {
    check_unique(tensors.iter().map(|(name, _)| name.as_ref()))?;
    let mut extents = Vec::with_capacity(tensors.len());
    let mut end = 0usize;
    for (name, shape) in tensors {
        let elements = shape.elements();
        let fits = format.bytes_for(elements).and_then(|bytes| end.checked_add(bytes));
        let Some(fits) = fits.filter(|_| format.safetensors_name().is_some()) else {
            let tensor = name.as_ref().to_owned();
            return Err(match format.safetensors_name() {
                None => FileProblem::CannotStore { tensor, format },
                Some(_) => FileProblem::TensorTooLarge {
                    tensor,
                    shape: shape.iter().map(|&dim| dim as u64).collect(),
                },
            });
        };
        let name = name.as_ref().to_owned();
        extents.push(Extent { name, start: end as u64, elements: elements as u64, written: 0 });
        end = fits;
    }
    let entries = tensors
        .iter()
        .map(|(name, shape)| (name.as_ref(), format, shape.dims(), shape.elements() * format.block_bytes()));
    let header = encode_header(metadata, entries)?;
    extents.iter_mut().for_each(|extent| extent.start += header.len() as u64);
    Ok((header, extents))
}

/// Replaces `bytes` by the values in a format; returns how many finite values became infinite.
fn encode(format: Format, values: &[f32], bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    bytes.resize(values.len() * format.block_bytes(), 0);
    let narrow = |bytes: &mut [u8], to: fn(f32) -> u16, infinity: u16| {
        let mut overflowed = 0;
        for (bytes, &value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            let half = to(value);
            overflowed += u64::from(half & 0x7fff == infinity && value.is_finite());
            *bytes = half.to_le_bytes();
        }
        overflowed
    };
    match format {
        Format::F16 => narrow(bytes, f32_to_f16, 0x7c00),
        Format::BF16 => narrow(bytes, f32_to_bf16, 0x7f80),
        _ => {
            let bytes = bytes.as_chunks_mut::<4>().0;
            bytes.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
            0
        }
    }
}
