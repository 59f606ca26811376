//! A model's parameters with the adapter's changes, for the views that read parameters instead of running the model.

use std::ops::Deref;

use glassbox_tensor::{PackedMatrix, Tensor};

use crate::error::Error;
use crate::linear::Linear;
use crate::norm::Norm;
use crate::runtime::Runtime;
use crate::spec::{Role, Site};

/// A matrix of a model: its own, or one with an adapter's changes.
pub enum MatrixOf<'m> {
    /// The model's own.
    Model(&'m PackedMatrix),
    /// With the adapter's changes.
    Adapted(PackedMatrix),
}

impl Deref for MatrixOf<'_> {
    type Target = PackedMatrix;

    fn deref(&self) -> &PackedMatrix {
        match self {
            MatrixOf::Model(matrix) => matrix,
            MatrixOf::Adapted(matrix) => matrix,
        }
    }
}

impl Runtime {
    /// The norm at `site`, which in the model is `norm`.
    pub(crate) fn adapted_norm<'a>(&'a self, site: Site, norm: &'a Norm) -> &'a Norm {
        self.adapter.as_ref().and_then(|adapter| adapter.norms.get(&site)).unwrap_or(norm)
    }

    /// The final norm.
    pub(crate) fn adapted_final_norm(&self) -> &Norm {
        self.adapted_norm(Role::FinalNorm.into(), &self.decoder.final_norm)
    }

    /// The bias of a linear layer.
    pub(crate) fn adapted_bias<'a>(&'a self, linear: &'a Linear) -> Option<&'a [f32]> {
        let change = self.adapter.as_ref().and_then(|adapter| adapter.linears.get(&linear.site));
        change.and_then(|change| change.bias.as_deref()).or(linear.bias.as_deref())
    }

    /// Embedding or unembedding with the adapter's changes, `[vocab_size, d_model]`.
    ///
    /// # Errors
    /// If the matrix cannot be packed.
    pub fn adapted_vocabulary(&self, role: Role) -> Result<MatrixOf<'_>, Error> {
        let vocabulary = self.vocabulary();
        let change = self.adapter.as_ref().and_then(|adapter| adapter.embeddings.get(&role));
        match change {
            Some(change) => self.matrix(&vocabulary.embedding, |index, out| {
                change.row(&vocabulary.embedding, index, out);
            }),
            None if role == Role::Unembedding => self.adapted_weight(role.into(), vocabulary.unembedding()),
            None => Ok(MatrixOf::Model(&vocabulary.embedding)),
        }
    }

    /// The weight of the linear layer at `site`, which in the model is `weight`, with the adapter's changes.
    ///
    /// # Errors
    /// If the matrix cannot be packed.
    pub(crate) fn adapted_weight<'m>(
        &'m self,
        site: Site,
        weight: &'m PackedMatrix,
    ) -> Result<MatrixOf<'m>, Error> {
        let change = self.adapter.as_ref().and_then(|adapter| adapter.linears.get(&site));
        let Some(change) = change.filter(|change| change.weight.is_some() || change.branch.is_some()) else {
            return Ok(MatrixOf::Model(weight));
        };
        let weight = change.weight.as_ref().unwrap_or(weight);
        let branch = change.branch.as_ref();
        let branch = branch.map(|branch| (branch.up.to_f32(), branch.down.to_f32(), branch.up.inputs()));
        self.matrix(weight, |index, out| {
            weight.row(index, out);
            if let Some((up, down, rank)) = &branch {
                for (&b, a) in up[index * rank..][..*rank].iter().zip(down.chunks_exact(out.len())) {
                    out.iter_mut().zip(a).for_each(|(out, &a)| *out = b.mul_add(a, *out));
                }
            }
            if let Some(gain) = &change.gain {
                out.iter_mut().for_each(|x| *x *= gain[index]);
            }
        })
    }

    /// A matrix of the shape of `like`, row by row.
    fn matrix(
        &self,
        like: &PackedMatrix,
        row: impl Fn(usize, &mut [f32]),
    ) -> Result<MatrixOf<'static>, Error> {
        let mut values = vec![0.0; like.outputs() * like.inputs()];
        values.chunks_exact_mut(like.inputs()).enumerate().for_each(|(index, out)| row(index, out));
        let matrix = Tensor::from_f32([like.outputs(), like.inputs()], values)?;
        Ok(MatrixOf::Adapted(self.pool.enter(|team| PackedMatrix::pack(team, &matrix))?))
    }
}
