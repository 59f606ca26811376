//! The operations of a transformer: lengths checked once, work shared out over the team, then the kernels.
//!
//! All take and give plain slices, row-major, the shape written in each function's docs. Those of a forward pass have
//! their plain version in [`reference`](crate::reference) and all give the same bits at every
//! [`Level`](crate::simd::Level), with any number of threads, and whichever other rows are computed with it.

use std::cell::RefCell;
use std::thread::LocalKey;

mod attention;
#[cfg(feature = "train")]
mod backward;
#[cfg(feature = "train")]
mod causal;
#[cfg(feature = "train")]
mod cross_entropy;
mod elementwise;
mod gemm;
mod key_values;
mod matmul;
mod norm;
mod rope;

pub use attention::{
    Attention, attention, attention_each, attention_mix, attention_pattern, attention_scores,
};
#[cfg(feature = "train")]
pub use backward::{activate_backward, gate_backward, layer_norm_backward, rms_norm_backward};
#[cfg(feature = "train")]
pub use causal::{Causal, causal_attention, causal_attention_backward};
#[cfg(feature = "train")]
pub use cross_entropy::cross_entropy;
pub use elementwise::{activate, add, add_row, gate};
pub use gemm::{add_columns, gemm};
pub use key_values::KeyValues;
pub use matmul::{matmul, matmul_each};
pub use norm::{layer_norm, rms_norm, softmax};
pub use rope::{Rotation, rotate, rotate_texts};

pub use crate::kernels::gemm::{Start, View};
pub use crate::kernels::math::Activation;

/// The number of rows of `len` elements in a matrix with `columns` columns.
///
/// # Panics
/// If it is not whole.
#[track_caller]
fn rows_of(what: &str, len: usize, columns: usize) -> usize {
    assert!(columns > 0 && len.is_multiple_of(columns), "{what}: {len} elements are no rows of {columns}");
    len / columns
}

/// Calls `f` with `len` elements of a room that a thread keeps between calls; what is there is left over from earlier.
fn with_room(room: &'static LocalKey<RefCell<Vec<f32>>>, len: usize, f: impl FnOnce(&mut [f32])) {
    room.with_borrow_mut(|room| {
        if room.len() < len {
            room.resize(len, 0.0);
        }
        f(&mut room[..len]);
    });
}
