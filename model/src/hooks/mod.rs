//! Hooks: every named intermediate value of the forward pass, from the same code that generates.
//!
//! The forward pass takes an [`Observer`] and passes it each intermediate value when it is computed. The observer is a
//! generic parameter, so with [`NoObserver`] the calls disappear from the machine code. An observer may change a value;
//! the rest of the pass uses the changed value.
//!
//! - [`HookPoint`] and [`Name`]: the values that there are.
//! - [`Observer`]: receives them. [`Keep`] keeps some, [`Interventions`] change some, [`Then`] combines two observers.

mod intervene;
mod keep;
mod name;
mod part;
mod point;
mod view_error;

pub(crate) use intervene::Intervened;
pub use intervene::{Intervention, Interventions, Then};
pub use keep::{Keep, KeptRows};
pub use name::Name;
pub use part::{ParsePartError, Part, PartKind};
pub(crate) use point::Hooks;
pub use point::{HookPoint, NoObserver, Observed, Observer};
pub use view_error::ViewError;
pub(crate) use view_error::check;
