//! The loss of a batch, and its gradient.

use glassbox_tensor::Pool;

use crate::batch::{Batch, Loss};
use crate::error::Error;
use crate::network::Network;
use crate::pass::Pass;
use crate::tensors::Gradients;
use crate::workspace::Workspace;

impl Network {
    /// The loss of a batch, without dropout.
    ///
    /// # Errors
    /// [`Error::BatchLength`], [`Error::TooLong`] or [`Error::UnknownToken`] if the batch does not fit,
    /// [`Error::NotANumber`] if a loss is infinite or NaN.
    pub fn loss(&mut self, pool: &Pool, batch: &Batch) -> Result<Loss, Error> {
        batch.check(self.config())?;
        let losses = self.pass(pool, batch, |pass, work| Pass { dropout: None, ..pass }.forward(work));
        Loss::of(batch, losses)
    }

    /// Returns the loss of a batch, and *adds* the gradient of `Σ weight · loss / total_weight` to `gradients`.
    ///
    /// `total_weight` is [`Batch::total_weight`], or the sum over all micro-batches of a step.
    ///
    /// # Errors
    /// As [`Network::loss`]; the gradients are unusable after an error.
    ///
    /// # Panics
    /// If `gradients` has another layout than the trained tensors (see [`Network::gradients`]).
    pub fn loss_and_gradients(
        &mut self,
        pool: &Pool,
        batch: &Batch,
        total_weight: f64,
        gradients: &mut Gradients,
    ) -> Result<Loss, Error> {
        batch.check(self.config())?;
        assert_eq!(
            gradients.layout(),
            self.trained().layout(),
            "loss_and_gradients: the gradients have another layout than the trained tensors"
        );
        let losses =
            self.pass(pool, batch, |pass, work| pass.forward_and_backward(work, total_weight, gradients));
        Loss::of(batch, losses)
    }

    fn pass(
        &mut self,
        pool: &Pool,
        batch: &Batch,
        run: impl FnOnce(Pass<'_>, &mut Workspace) -> Vec<f32> + Send,
    ) -> Vec<f32> {
        self.extend_rotations(batch.tokens);
        let mut work = std::mem::take(self.workspace());
        let network = &*self;
        let (recompute, dropout) = (network.recompute(), network.dropout());
        let losses = pool.enter(|team| run(Pass { network, team, batch, recompute, dropout }, &mut work));
        *self.workspace() = work;
        losses
    }
}
