//! The names of the filters, and the order in which they run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The name of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterName {
    /// [`LogitBias`](crate::LogitBias)
    LogitBias,
    /// [`Penalties`](crate::Penalties)
    Penalties,
    /// [`TopK`](crate::TopK)
    TopK,
    /// [`Typical`](crate::Typical)
    Typical,
    /// [`TopP`](crate::TopP)
    TopP,
    /// [`MinP`](crate::MinP)
    MinP,
    /// [`Temperature`](crate::Temperature)
    Temperature,
    /// [`Mirostat`](crate::Mirostat)
    Mirostat,
}

impl FilterName {
    /// All of them.
    pub const ALL: [FilterName; 8] = [
        FilterName::LogitBias,
        FilterName::Penalties,
        FilterName::TopK,
        FilterName::Typical,
        FilterName::TopP,
        FilterName::MinP,
        FilterName::Temperature,
        FilterName::Mirostat,
    ];

    /// The name as text, such as `top_k`.
    pub fn as_str(self) -> &'static str {
        match self {
            FilterName::LogitBias => "logit_bias",
            FilterName::Penalties => "penalties",
            FilterName::TopK => "top_k",
            FilterName::Typical => "typical",
            FilterName::TopP => "top_p",
            FilterName::MinP => "min_p",
            FilterName::Temperature => "temperature",
            FilterName::Mirostat => "mirostat",
        }
    }
}

impl fmt::Display for FilterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FilterName {
    type Err = Error;

    /// Parses a name; `-` and `_` are equivalent. llama.cpp's other names are accepted: `typ_p`, `typical_p`, `typ`,
    /// `nucleus`, `temp`.
    fn from_str(text: &str) -> Result<FilterName, Error> {
        let name = text.trim().replace('-', "_");
        let known = FilterName::ALL.into_iter().find(|known| known.as_str() == name);
        known
            .or(match name.as_str() {
                "typ_p" | "typical_p" | "typ" => Some(FilterName::Typical),
                "nucleus" => Some(FilterName::TopP),
                "temp" => Some(FilterName::Temperature),
                _ => None,
            })
            .ok_or_else(|| Error::UnknownFilter { found: text.trim().to_owned() })
    }
}

/// An order of filters, each at most once. Filters that are not named do not run.
///
/// As text, the names are separated by semicolons (commas are accepted too):
///
/// ```
/// use glassbox_sampler::Order;
///
/// let order: Order = "penalties;top_k;top_p;temperature".parse()?;
/// assert_eq!(order.names().len(), 4);
/// assert_eq!(Order::default().to_string(), "logit_bias;penalties;top_k;typical;top_p;min_p;temperature");
/// # Ok::<(), glassbox_sampler::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Order {
    names: Vec<FilterName>,
}

impl Order {
    /// An order of these filters.
    ///
    /// # Errors
    /// If a filter is named twice, or follows mirostat.
    pub fn new(names: Vec<FilterName>) -> Result<Order, Error> {
        check_order(names.iter().copied())?;
        Ok(Order { names })
    }

    /// The order for mirostat: logit_bias, temperature, mirostat. As in llama.cpp, mirostat replaces all other
    /// truncation and the penalties.
    pub fn mirostat() -> Order {
        Order { names: vec![FilterName::LogitBias, FilterName::Temperature, FilterName::Mirostat] }
    }

    /// The filters' names, first to last.
    pub fn names(&self) -> &[FilterName] {
        &self.names
    }
}

impl Default for Order {
    /// llama.cpp's order: logit_bias, penalties, top_k, typical, top_p, min_p, temperature.
    fn default() -> Order {
        let names = FilterName::ALL.into_iter().filter(|&name| name != FilterName::Mirostat);
        Order { names: names.collect() }
    }
}

/// Checks that no filter is repeated and none follows mirostat.
pub(crate) fn check_order(names: impl Iterator<Item = FilterName> + Clone) -> Result<(), Error> {
    for (at, filter) in names.clone().enumerate() {
        let mut earlier = names.clone().take(at);
        if earlier.clone().any(|name| name == filter) {
            return Err(Error::RepeatedFilter { filter });
        }
        if earlier.any(|name| name == FilterName::Mirostat) {
            return Err(Error::AfterMirostat { filter });
        }
    }
    Ok(())
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(text: &str) -> Result<Order, Error> {
        if text.trim().is_empty() {
            return Order::new(Vec::new());
        }
        Order::new(text.split([';', ',']).map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Order {
    type Error = Error;

    fn try_from(text: String) -> Result<Order, Error> {
        text.parse()
    }
}

impl From<Order> for String {
    fn from(order: Order) -> String {
        order.to_string()
    }
}
