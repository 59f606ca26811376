//! One tensor to its new format, a share of the rows for each thread.

use std::sync::Mutex;

use glassbox_tensor::{Error, Format, Pool, quant};

use super::Planned;

/// Numbers that a thread converts at a time.
const AT_A_TIME: usize = 1 << 16;

/// The bytes of the tensor in its new format.
///
/// # Errors
/// [`Error::NotFinite`] and [`Error::ScaleTooLarge`] for numbers that the format cannot hold; their positions count
/// from the first of the tensor.
pub(super) fn convert(pool: &Pool, planned: &Planned) -> Result<Vec<u8>, Error> {
    let (tensor, format) = (&planned.tensor, planned.entry.format);
    if format == planned.from && planned.interleaved.is_none() {
        return Ok(tensor.to_contiguous()?.bytes()?.to_vec());
    }
    let elements = tensor.elements();
    let size = format
        .bytes_for(elements)
        .ok_or(Error::PartialBlock { format, elements: tensor.shape().row_len() })?;
    let mut bytes = vec![0; size];
    if size == 0 {
        return Ok(bytes);
    }
    let rank = tensor.shape().rank();
    let row_len = if rank == 0 { 1 } else { elements / tensor.shape()[0] };
    let row_bytes = size / (elements / row_len);
    let rows = (AT_A_TIME / row_len).max(1);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    pool.enter(|team| {
        team.run_on_pieces(&mut bytes, rows * row_bytes, |piece, out| {
            let first = piece * rows;
            let made = rows_of(planned, first..first + out.len() / row_bytes, row_len)
                .and_then(|values| encode(format, &values));
            match made {
                Ok(bytes) => out.copy_from_slice(&bytes),
                Err(error) => {
                    let mut failed = failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    // The first in the tensor is reported, whichever thread comes first.
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

/// Some rows of the new tensor as f32.
fn rows_of(planned: &Planned, rows: std::ops::Range<usize>, row_len: usize) -> Result<Vec<f32>, Error> {
    let tensor = &planned.tensor;
    if tensor.shape().rank() == 0 {
        return Ok(tensor.to_f32());
    }
    let Some(head_dim) = planned.interleaved else { return Ok(tensor.narrow(0, rows)?.to_f32()) };
    let mut values = Vec::with_capacity(rows.len() * row_len);
    for row in rows {
        // Pair i of a head lies in rows i and i + half; llama.cpp wants it in rows 2i and 2i + 1.
        let (head, place) = (row / head_dim, row % head_dim);
        let source = head * head_dim + place / 2 + place % 2 * (head_dim / 2);
        values.extend(tensor.narrow(0, source..source + 1)?.to_f32());
    }
    Ok(values)
}

/// [`quant::quantize`], which lets a number too large for an f16 become infinite; here that is an error.
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
