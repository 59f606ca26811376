//! The number format of activations in products with quantised weights.

use std::fmt;
use std::str::FromStr;

/// The number format of the inputs of a product with quantised weights.
///
/// As integers, inputs are quantised with one scale per span: the largest magnitude in the span divided by the largest
/// integer. A span whose inputs are all below 10⁻³⁴ (16 bits) or 10⁻³⁷ (8 bits) becomes zero. Products with the
/// weights' integers are added up exactly, many at a time. With weights in `f32`, `f16` and `bf16` inputs always stay
/// `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activations {
    /// 32-bit floating point: inputs are not quantised.
    #[default]
    F32,
    /// Integers in `-127..=127`, a scale per 32 inputs: an error of at most 1/254 of the largest of them.
    Int8,
    /// Integers in `-32512..=32512`, a scale per 128 inputs: an error of at most 1/65024 of the largest of them.
    Int16,
}

impl Activations {
    /// All of them.
    pub const ALL: [Activations; 3] = [Activations::F32, Activations::Int8, Activations::Int16];

    /// The name, as [`Activations::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Activations::F32 => "f32",
            Activations::Int8 => "int8",
            Activations::Int16 => "int16",
        }
    }
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a name that no [`Activations`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationsError {
    asked: String,
}

impl fmt::Display for ActivationsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Activations::ALL.into_iter().map(Activations::name).collect();
        write!(f, "unknown format of activations {:?}; known are {}", self.asked, names.join(", "))
    }
}

impl std::error::Error for ActivationsError {}

impl FromStr for Activations {
    type Err = ActivationsError;

    fn from_str(name: &str) -> Result<Activations, ActivationsError> {
        let found = Activations::ALL.into_iter().find(|activations| activations.name() == name);
        found.ok_or_else(|| ActivationsError { asked: name.to_string() })
    }
}
