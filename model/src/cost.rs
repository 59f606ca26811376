//! The cost of a forward pass in bytes and operations, to compare measured speed with the machine's limits.

use glassbox_tensor::CacheFormat;

use crate::model::Model;
use crate::products::Product;

impl Model {
    /// Bytes of weights read per generated token: the linear layers that it uses, and the unembedding.
    pub fn weight_bytes_per_token(&self) -> usize {
        let products = self.products(0, 1, CacheFormat::F32);
        products.iter().filter(|product| product.is_weight()).map(|product| product.bytes).sum()
    }

    /// Floating-point operations of a prompt of `tokens` tokens after `depth` others: two for each multiply-add of its
    /// [`products`](Model::products) with the weights that each token uses, with the unembedding for the last token,
    /// and with the visible keys and values.
    pub fn prompt_flops(&self, depth: usize, tokens: usize) -> f64 {
        let multiply_adds = |product: &Product| product.multiply_adds as f64;
        2.0 * self.products(depth, tokens, CacheFormat::F32).iter().map(multiply_adds).sum::<f64>()
    }
}
