//! The arguments of a call, and how they are bound to names.

use super::ast::Name;
use super::fault::{FaultKind, Result, fail};
use super::value::Value;

/// Evaluated arguments.
#[derive(Clone, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Name, Value)>,
}

impl Args {
    pub(super) fn of(positional: Vec<Value>) -> Args {
        Args { positional, named: Vec::new() }
    }

    /// The values of these parameters, by position or name; the first `required` must be given.
    pub(super) fn bind<const N: usize>(
        self,
        function: &str,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        if self.positional.len() > N {
            let found = self.positional.len();
            return fail(
                FaultKind::Type,
                format!("{function}: at most {N} arguments expected, found {found}"),
            );
        }
        let mut values = [const { None }; N];
        for (value, found) in values.iter_mut().zip(self.positional) {
            *value = Some(found);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| **known == *name) {
                Some(at) if values[at].is_none() => values[at] = Some(value),
                Some(_) => return fail(FaultKind::Type, format!("{function}: `{name}` is given twice")),
                None => return fail(FaultKind::Type, format!("{function}: no argument named `{name}`")),
            }
        }
        match values[..required].iter().position(Option::is_none) {
            Some(missing) => fail(FaultKind::Type, format!("{function}: `{}` is missing", names[missing])),
            None => Ok(values),
        }
    }

    /// Between `required` and `N` arguments without names.
    pub(super) fn positional<const N: usize>(
        self,
        function: &str,
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        if let Some((name, _)) = self.named.first() {
            return fail(FaultKind::Type, format!("{function}: no argument named `{name}`"));
        }
        let found = self.positional.len();
        if found < required || found > N {
            let expected = if required == N { format!("{N}") } else { format!("{required} to {N}") };
            return fail(
                FaultKind::Type,
                format!("{function}: {expected} arguments expected, found {found}"),
            );
        }
        let mut values = [const { None }; N];
        for (value, found) in values.iter_mut().zip(self.positional) {
            *value = Some(found);
        }
        Ok(values)
    }
}

/// An optional argument whose default is `None`.
pub(super) fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !matches!(value, Value::None))
}

/// An optional flag.
pub(super) fn flag(value: Option<Value>, default: bool) -> bool {
    value.map_or(default, |value| value.truth())
}

/// An optional integer.
pub(super) fn integer(value: Option<Value>, default: i128) -> Result<i128> {
    value.map_or(Ok(default), |value| value.index())
}
