//! Converts one tensor to its new format, with the rows distributed over the threads.

use std::sync::Mutex;

use glassbox_tensor::{Error, Format, Pool, Tensor, quant};

use super::{Content, Planned};
use crate::load::AssembledRows;

/// Number of values that a thread converts at a time.
const AT_A_TIME: usize = 1 << 16;

/// The bytes of the tensor in its new format.
///
/// # Errors
/// [`Error::NotFinite`] and [`Error::ScaleTooLarge`] for values that the format cannot represent; positions count from
/// the start of the tensor.
pub(super) fn convert(pool: &Pool, planned: &Planned) -> Result<Vec<u8>, Error> {
    let (shape, format) = (&planned.entry.shape, planned.entry.format);
    if let Content::Whole(tensor) = &planned.content
        && format == planned.from
    {
        return Ok(tensor.to_contiguous()?.bytes()?.to_vec());
    }
    let elements = shape.elements();
    let size = format.bytes_for(elements).ok_or(Error::PartialBlock { format, elements: shape.row_len() })?;
    let mut bytes = vec![0; size];
    if size == 0 {
        return Ok(bytes);
    }
    let source = match &planned.content {
        Content::Whole(tensor) => SourceRows::Whole(tensor),
        Content::Assembled(tensor) => SourceRows::Assembled(tensor.rows()),
    };
    let row_len = elements / source.len();
    let row_bytes = size / (elements / row_len);
    let rows = (AT_A_TIME / row_len).max(1);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    pool.enter(|team| {
        team.run_on_pieces(&mut bytes, rows * row_bytes, |piece, out| {
            let first = piece * rows;
            let made =
                source.read(first..first + out.len() / row_bytes).and_then(|values| encode(format, &values));
            match made {
                Ok(bytes) => out.copy_from_slice(&bytes),
                Err(error) => {
                    let mut failed = failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    // Report the first in the tensor, whichever thread finds one first.
                    if failed.as_ref().is_none_or(|(earliest, _)| first < *earliest) {
                        *failed = Some((first, error));
                    }
                }
            }
        });
    });
    match failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        None => Ok(bytes),
        Some((first, error)) => Err(match error {
            Error::NotFinite { index, value } => Error::NotFinite { index: index + first * row_len, value },
            Error::ScaleTooLarge { format, block } => {
                Error::ScaleTooLarge { format, block: block + first * row_len / format.block_len() }
            }
            error => error,
        }),
    }
}

/// The rows of the new tensor.
enum SourceRows<'a> {
    Whole(&'a Tensor),
    Assembled(AssembledRows<'a>),
}

impl SourceRows<'_> {
    fn len(&self) -> usize {
        match self {
            SourceRows::Whole(tensor) => tensor.shape().dims().first().copied().unwrap_or(1),
            SourceRows::Assembled(rows) => rows.len(),
        }
    }

    /// A range of rows as `f32`.
    fn read(&self, rows: std::ops::Range<usize>) -> Result<Vec<f32>, Error> {
        match self {
            SourceRows::Whole(tensor) if tensor.shape().rank() == 0 => tensor.try_to_f32(),
            SourceRows::Whole(tensor) => tensor.narrow(0, rows)?.try_to_f32(),
            SourceRows::Assembled(assembled) => assembled.read(rows),
        }
    }
}

/// [`quant::quantize`], but a value too large for f16 is an error instead of infinity.
fn encode(format: Format, values: &[f32]) -> Result<Vec<u8>, Error> {
    let too_large =
        |x: &f32| x.is_finite() && quant::f16::f16_to_f32(quant::f16::f32_to_f16(*x)).is_infinite();
    if format == Format::F16
        && let Some(block) = values.iter().position(too_large)
    {
        return Err(Error::ScaleTooLarge { format, block });
    }
    quant::quantize(format, values)
}
