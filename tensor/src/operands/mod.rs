//! Arguments of operations other than slices and packed weights: views of matrices, a layer's cached keys and values,
//! the table of a rotary embedding, and the numbers that describe an attention layer.

mod activation;
mod attention;
mod key_values;
mod pages;
mod rotation;
mod view;

pub use self::activation::Activation;
pub use self::attention::Attention;
pub(crate) use self::attention::AttentionShape;
pub use self::key_values::KeyValues;
pub(crate) use self::key_values::{Heads, with_heads};
pub(crate) use self::pages::{FloatPage, HeadCache, INTERLEAVED, PAGE, Page, Q8Page, SCALED};
pub use self::rotation::Rotation;
pub use self::view::{Gemm, Start, View, ViewMut};
