//! The linear layer, `y = x · Wᵀ + b`.

use glassbox_tensor::{PackedMatrix, Team, ops};

use crate::adapter::AdapterRows;
use crate::spec::Site;

/// `y = x · Wᵀ + b`: a dot product per output.
pub struct Linear {
    /// Its site in the model.
    pub site: Site,
    /// `[outputs, inputs]`
    pub weight: PackedMatrix,
    /// `[outputs]`
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// `out = x · Wᵀ + b`: `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
    pub fn forward(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        forward_each(team, &AdapterRows::default(), x, [(self, out)]);
    }

    /// Bytes of weight and bias in memory.
    pub fn size_bytes(&self) -> usize {
        self.weight.size_bytes() + self.bias.as_ref().map_or(0, |bias| size_of_val(bias.as_slice()))
    }
}

/// [`Linear::forward`] of several layers on the same `x`, distributed over the threads together, with the rows'
/// adapters.
pub(crate) fn forward_each<const N: usize>(
    team: &Team<'_>,
    adapters: &AdapterRows<'_>,
    x: &[f32],
    layers: [(&Linear, &mut [f32]); N],
) {
    let products = layers.map(|(Linear { site, weight, bias }, out)| Product {
        site: *site,
        weight,
        bias: bias.as_deref(),
        out,
    });
    forward_products(team, adapters, x, products);
}

/// A product with the matrix of a linear layer, or with the unembedding.
pub(crate) struct Product<'a> {
    pub(crate) site: Site,
    /// `[outputs, inputs]`
    pub(crate) weight: &'a PackedMatrix,
    /// `[outputs]`
    pub(crate) bias: Option<&'a [f32]>,
    /// `[rows, outputs]`
    pub(crate) out: &'a mut [f32],
}

/// [`forward_each`] of products.
pub(crate) fn forward_products<'a, const N: usize>(
    team: &Team<'_>,
    adapters: &AdapterRows<'a>,
    x: &[f32],
    mut products: [Product<'a>; N],
) {
    // If all rows have the same adapter, its weight is used at once; otherwise the rows with one of their own follow.
    let only = adapters.only();
    for Product { site, weight, .. } in &mut products {
        if let Some(own) = only.and_then(|adapter| adapter.linears.get(site)?.weight.as_ref()) {
            *weight = own;
        }
    }
    ops::matmul_each(team, x, products.each_mut().map(|product| (product.weight, &mut *product.out)));
    for Product { site, weight, bias, out } in products {
        let (inputs, outputs) = (weight.inputs(), weight.outputs());
        for (rows, adapter) in adapters.runs(x.len() / inputs.max(1)) {
            let x = &x[rows.start * inputs..rows.end * inputs];
            let out = &mut out[rows.start * outputs..rows.end * outputs];
            match (adapter.and_then(|adapter| adapter.linears.get(&site)), bias) {
                (Some(change), bias) => {
                    if let (Some(own), None) = (&change.weight, only) {
                        ops::matmul(team, x, own, out);
                    }
                    change.finish(team, x, bias, out);
                }
                (None, Some(bias)) => ops::add_row(team, out, bias),
                (None, None) => {}
            }
        }
    }
}
