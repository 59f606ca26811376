//! The operations of a transformer: lengths checked once, work split over the team, then the kernels.
//!
//! All take and give plain slices, row-major, the shape written in each function's docs. Those of a forward pass have
//! their plain version in [`reference`](crate::reference) and all give the same bits at every
//! [`Level`](crate::simd::Level), with any number of threads, and whichever other rows are computed with it.

use std::cell::RefCell;
use std::ops::Deref;
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
mod kernels;
mod matmul;
mod norm;
mod rope;
#[cfg(feature = "train")]
mod rotate_sequences;

pub use attention::{attention, attention_each, attention_mix, attention_pattern, attention_scores};
#[cfg(feature = "train")]
pub use backward::{NormBackward, activate_backward, gate_backward, layer_norm_backward, rms_norm_backward};
#[cfg(feature = "train")]
pub use causal::{Causal, causal_attention, causal_attention_backward};
#[cfg(feature = "train")]
pub use cross_entropy::cross_entropy;
pub use elementwise::{activate, add, add_row, gate};
pub use gemm::{add_columns, gemm};
pub use matmul::{matmul, matmul_each};
pub use norm::{layer_norm, rms_norm, softmax};
pub use rope::rotate;
#[cfg(feature = "train")]
pub use rotate_sequences::{RotateSequences, rotate_sequences, rotate_sequences_backward};

pub use crate::operands::{Activation, Attention, Gemm, KeyValues, Rotation, Start, View, ViewMut};

use self::kernels::Kernels;
use crate::operations::Operations;
use crate::pool::{Engine, Team};
use crate::reference::Reference;
use crate::shape::rows_of;

/// Either implementation of the operations.
enum Implementation<'a> {
    Kernels(Kernels<'a>),
    Reference(Reference),
}

/// The implementation that the team's engine asks for. Every operation of a forward pass is dispatched here.
fn operations<'a>(team: &'a Team<'a>) -> Implementation<'a> {
    match team.engine() {
        Engine::Kernels(_) => Implementation::Kernels(Kernels { team }),
        Engine::Reference => Implementation::Reference(Reference { activations: team.activations() }),
    }
}

impl<'a> Deref for Implementation<'a> {
    type Target = dyn Operations + 'a;

    fn deref(&self) -> &(dyn Operations + 'a) {
        match self {
            Implementation::Kernels(kernels) => kernels,
            Implementation::Reference(reference) => reference,
        }
    }
}

/// Calls `f` with the first `len` elements of a thread-local scratch buffer; they hold what an earlier call left there.
fn with_scratch(buffer: &'static LocalKey<RefCell<Vec<f32>>>, len: usize, f: impl FnOnce(&mut [f32])) {
    buffer.with_borrow_mut(|buffer| {
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        f(&mut buffer[..len]);
    });
}
