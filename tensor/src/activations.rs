//! In which number format activations meet quantised weights.

use std::fmt;
use std::str::FromStr;

/// The number format of the inputs of a product with quantised weights.
///
/// As integers, a span of inputs shares a step, the largest of them divided by the largest integer, and they are rounded
/// to whole multiples of it; to zero if all of them are below 10⁻³⁴ (16 bits) or 10⁻³⁷ (8 bits). Their products with the
/// weights' integers are then added up exactly, many at a time. Weights in `f32`, `f16` and `bf16` always meet `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activations {
    /// 32-bit floating point: nothing is rounded.
    #[default]
    F32,
    /// Integers in `-127..=127`: off by at most 1/254 of the largest of 32.
    Int8,
    /// Integers in `-32512..=32512`: off by at most 1/65024 of the largest of 128.
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

/// A name that is none of [`Activations`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationsError {
    asked: String,
}

impl fmt::Display for ActivationsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Activations::ALL.into_iter().map(Activations::name).collect();
        write!(f, "there is no format of activations called {:?}, only {}", self.asked, names.join(", "))
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
