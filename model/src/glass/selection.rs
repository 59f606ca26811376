//! Selections of a model's values.

use std::collections::HashSet;

use super::error::Error;
use super::glob::Glob;
use crate::hooks::Name;
use crate::model::Model;

/// A selection of values.
#[derive(Clone, Debug)]
pub struct Selection {
    wanted: HashSet<Name>,
}

impl Selection {
    /// All values of a model.
    pub fn all(model: &Model) -> Selection {
        Name::all(&model.config).into_iter().collect()
    }

    /// The values of a model that match any of the globs.
    ///
    /// # Errors
    /// [`Error::NoSuchName`] for a glob without a match.
    pub fn matching(model: &Model, globs: &[Glob]) -> Result<Selection, Error> {
        let names: Vec<(Name, String)> =
            Name::all(&model.config).into_iter().map(|name| (name, name.to_string())).collect();
        let mut wanted = HashSet::new();
        for glob in globs {
            let fitting: Vec<Name> =
                names.iter().filter(|(_, text)| glob.matches(text)).map(|(name, _)| *name).collect();
            if fitting.is_empty() {
                let names = names.iter().map(|(_, text)| text.clone()).collect();
                return Err(Error::NoSuchName { glob: glob.to_string(), names });
            }
            wanted.extend(fitting);
        }
        Ok(Selection { wanted })
    }

    /// Whether a value is selected.
    pub fn wants(&self, name: Name) -> bool {
        self.wanted.contains(&name)
    }

    /// Number of selected values.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }
}

impl FromIterator<Name> for Selection {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Selection {
        Selection { wanted: names.into_iter().collect() }
    }
}
