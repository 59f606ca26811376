//! Named tensors in one allocation: the type of parameters, gradients and the optimiser's moments.

use std::ops::Range;
use std::sync::Arc;

pub use glassbox_model::spec::ParameterKind;
use glassbox_tensor::{Team, Tensor};

use crate::error::Error;

/// One tensor's name, shape, kind and range.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSlot {
    /// Hugging Face's name.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// What it is in the model.
    pub kind: ParameterKind,
    /// Its range in [`Tensors::values`].
    pub range: Range<usize>,
}

/// The list of tensors, shared by several [`Tensors`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    slots: Vec<TensorSlot>,
}

impl Layout {
    /// Appends a tensor and returns its index.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize], kind: ParameterKind) -> usize {
        let start = self.len();
        let range = start..start + shape.iter().product::<usize>();
        self.slots.push(TensorSlot { name: name.into(), shape: shape.to_vec(), kind, range });
        self.slots.len() - 1
    }

    /// The tensors, in order.
    pub fn slots(&self) -> &[TensorSlot] {
        &self.slots
    }

    /// Total number of elements.
    pub fn len(&self) -> usize {
        self.slots.last().map_or(0, |slot| slot.range.end)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index of the tensor of that name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.name == name)
    }
}

/// The values of all tensors of a [`Layout`], one tensor after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensors {
    layout: Arc<Layout>,
    values: Vec<f32>,
}

/// The parameters of a network.
pub type Parameters = Tensors;

/// The derivative of the loss with respect to each parameter.
pub type Gradients = Tensors;

impl Tensors {
    /// All zeros.
    pub fn zeros(layout: Arc<Layout>) -> Tensors {
        let values = vec![0.0; layout.len()];
        Tensors { layout, values }
    }

    /// Zeros of the same names and shapes.
    pub fn zeros_like(&self) -> Tensors {
        Tensors::zeros(self.layout.clone())
    }

    /// Fills a layout from named tensors in any order.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Shape`] or [`Error::SuperfluousTensor`] for the first tensor that
    /// does not fit.
    pub fn from_named(
        layout: Arc<Layout>,
        named: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<Tensors, Error> {
        let mut tensors = Tensors::zeros(layout);
        let mut seen = vec![false; tensors.layout.slots.len()];
        for (name, shape, values) in named {
            let Some(index) = tensors.layout.index_of(&name) else {
                return Err(Error::SuperfluousTensor { name });
            };
            let slot = &tensors.layout.slots[index];
            if slot.shape != shape || slot.range.len() != values.len() {
                return Err(Error::Shape { name, expected: slot.shape.clone(), found: shape });
            }
            let range = slot.range.clone();
            tensors.values[range].copy_from_slice(&values);
            seen[index] = true;
        }
        match seen.iter().position(|seen| !seen) {
            Some(index) => Err(Error::MissingTensor { name: tensors.layout.slots[index].name.clone() }),
            None => Ok(tensors),
        }
    }

    /// The tensors for a file, their names with a prefix.
    pub(crate) fn named(&self, prefix: &str) -> Result<Vec<(String, Tensor)>, glassbox_tensor::Error> {
        let one = |(slot, values): (&TensorSlot, &[f32])| {
            Ok((format!("{prefix}{}", slot.name), Tensor::from_f32(slot.shape.clone(), values.to_vec())?))
        };
        self.iter().map(one).collect()
    }

    /// Names, shapes, kinds and ranges.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All values, one tensor after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, one tensor after the other.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values of one tensor.
    ///
    /// # Panics
    /// If there is no tensor of that index.
    pub fn at(&self, index: usize) -> &[f32] {
        &self.values[self.layout.slots[index].range.clone()]
    }

    /// The values of one tensor.
    ///
    /// # Panics
    /// If there is no tensor of that index.
    pub fn at_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.values[self.layout.slots[index].range.clone()]
    }

    /// The numbers of the tensor of that name.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        Some(self.at(self.layout.index_of(name)?))
    }

    /// Each tensor with its numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TensorSlot, &[f32])> {
        self.layout.slots.iter().map(|slot| (slot, &self.values[slot.range.clone()]))
    }

    /// Sets all values to zero.
    pub fn zero(&mut self) {
        self.values.fill(0.0);
    }

    /// Multiplies all values by `factor`.
    pub fn scale(&mut self, team: &Team<'_>, factor: f32) {
        team.run_on_pieces(&mut self.values, PIECE, |_, piece| piece.iter_mut().for_each(|x| *x *= factor));
    }

    /// The global L2 norm `√Σx²`: pieces of fixed length are summed in `f64`, then the pieces in order.
    pub fn norm(&self, team: &Team<'_>) -> f64 {
        let mut sums = vec![0.0; self.values.len().div_ceil(PIECE)];
        team.run_on_pieces(&mut sums, 1, |i, sum| {
            let piece = &self.values[i * PIECE..self.values.len().min((i + 1) * PIECE)];
            sum[0] = sum_of_squares(piece);
        });
        sums.iter().sum::<f64>().sqrt()
    }
}

/// Elements per piece of work. Part of the order of summation of [`Tensors::norm`].
pub(crate) const PIECE: usize = 1 << 14;

/// `Σx²` in eight partial sums of `f64`, one per lane.
fn sum_of_squares(x: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (eights, rest) = x.as_chunks::<8>();
    for eight in eights {
        for (sum, &x) in sums.iter_mut().zip(eight) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use glassbox_tensor::{Level, Pool};

    fn layout() -> Arc<Layout> {
        let mut layout = Layout::default();
        layout.push("a", &[2, 2], ParameterKind::Weight);
        layout.push("b", &[3], ParameterKind::Bias);
        Arc::new(layout)
    }

    #[test]
    fn tensors_are_matched_by_name() {
        let named = |shape: Vec<usize>| {
            vec![
                ("b".to_string(), vec![3], vec![5.0, 6.0, 7.0]),
                ("a".to_string(), shape, vec![1.0, 2.0, 3.0, 4.0]),
            ]
        };
        let tensors = Tensors::from_named(layout(), named(vec![2, 2])).unwrap();
        assert_eq!(tensors.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(tensors.get("b"), Some(&[5.0, 6.0, 7.0][..]));
        assert!(matches!(Tensors::from_named(layout(), named(vec![4])), Err(Error::Shape { .. })));
        let one = vec![("a".to_string(), vec![2, 2], vec![0.0; 4])];
        assert!(
            matches!(Tensors::from_named(layout(), one), Err(Error::MissingTensor { name }) if name == "b")
        );
        let other = vec![("c".to_string(), vec![1], vec![0.0])];
        assert!(matches!(Tensors::from_named(layout(), other), Err(Error::SuperfluousTensor { .. })));
    }

    #[test]
    fn the_norm_covers_all_tensors() {
        let mut tensors = Tensors::zeros(layout());
        tensors.values_mut().copy_from_slice(&[1.0, 2.0, 0.0, 0.0, 0.0, 2.0, 4.0]);
        let pool = Pool::new(2, Level::Scalar).unwrap();
        assert_eq!(pool.enter(|team| tensors.norm(team)), 5.0);
        pool.enter(|team| tensors.scale(team, -0.5));
        assert_eq!(tensors.values(), [-0.5, -1.0, 0.0, 0.0, 0.0, -1.0, -2.0]);
    }
}
