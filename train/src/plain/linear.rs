//! The linear layer, `y = x · Wᵀ + b`.

use super::Float;

/// The storage order of a linear layer's weight matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightOrder {
    /// `[outputs, inputs]`: Llama.
    OutputsInputs,
    /// `[inputs, outputs]`: GPT-2.
    InputsOutputs,
}

/// The dimensions of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Columns of `x`.
    pub inputs: usize,
    /// Columns of `y`.
    pub outputs: usize,
    /// The storage order of the weight matrix.
    pub order: WeightOrder,
}

impl LinearShape {
    /// The index of the weight from `input` to `output`.
    pub(crate) fn at(self, output: usize, input: usize) -> usize {
        match self.order {
            WeightOrder::OutputsInputs => output * self.inputs + input,
            WeightOrder::InputsOutputs => input * self.outputs + output,
        }
    }
}

/// `y[r][o] = Σ_i x[r][i] · W[o][i] + b[o]`: `x` is `[rows, inputs]`, the result `[rows, outputs]`.
pub fn forward<F: Float>(shape: LinearShape, x: &[F], w: &[F], b: Option<&[F]>) -> Vec<F> {
    let mut y = Vec::with_capacity(x.len() / shape.inputs * shape.outputs);
    for x in x.chunks_exact(shape.inputs) {
        for o in 0..shape.outputs {
            let sum = x.iter().enumerate().fold(F::ZERO, |sum, (i, &x)| sum + x * w[shape.at(o, i)]);
            y.push(sum + b.map_or(F::ZERO, |b| b[o]));
        }
    }
    y
}

/// `∂y[r][o]/∂x[r][i] = W[o][i]`, `∂y[r][o]/∂W[o][i] = x[r][i]` and `∂y[r][o]/∂b[o] = 1`, so by the chain rule
///
/// ```text
/// dx[r][i] = Σ_o dy[r][o] · W[o][i]        dx = dy · W
/// dW[o][i] = Σ_r dy[r][o] · x[r][i]        dW = dyᵀ · x
/// db[o]    = Σ_r dy[r][o]
/// ```
pub fn backward<F: Float>(
    shape: LinearShape,
    x: &[F],
    w: &[F],
    dy: &[F],
    dw: Option<&mut [F]>,
    db: Option<&mut [F]>,
) -> Vec<F> {
    let mut dx = Vec::with_capacity(x.len());
    for dy in dy.chunks_exact(shape.outputs) {
        for i in 0..shape.inputs {
            dx.push(dy.iter().enumerate().fold(F::ZERO, |sum, (o, &dy)| sum + dy * w[shape.at(o, i)]));
        }
    }
    if let Some(dw) = dw {
        for (x, dy) in x.chunks_exact(shape.inputs).zip(dy.chunks_exact(shape.outputs)) {
            for (o, &dy) in dy.iter().enumerate() {
                for (i, &x) in x.iter().enumerate() {
                    dw[shape.at(o, i)] += dy * x;
                }
            }
        }
    }
    if let Some(db) = db {
        for dy in dy.chunks_exact(shape.outputs) {
            for (db, &dy) in db.iter_mut().zip(dy) {
                *db += dy;
            }
        }
    }
    dx
}
