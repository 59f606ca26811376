//! Which modules an adapter is for, by the rules of PEFT's `check_target_module_exists` and `get_pattern_key`.
//!
//! Names of modules are those of transformers, such as `model.layers.0.self_attn.q_proj`. Patterns are Python's regular
//! expressions; one that takes too long to match is an error.

use std::fmt;

use fancy_regex::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::Error;
use crate::fields::Fields;

/// A list of names, or one regular expression.
#[derive(Debug)]
enum Selection {
    /// A module has one of these names, or ends with it after a dot.
    Names(Vec<String>),
    /// The pattern matches the whole name.
    Pattern(Regex),
}

/// The rules that select the modules with a branch.
#[derive(Debug)]
pub(super) struct Targets {
    /// `None` leaves the choice to the tensors in the file.
    selected: Option<Selection>,
    /// `all-linear`: every linear layer but the unembedding.
    all_linear: bool,
    /// Modules with a branch by the name of their parameter, `X.weight`.
    parameters: Vec<String>,
    excluded: Option<Selection>,
    /// Modules that are replaced, and therefore have no branch.
    saved: Vec<Regex>,
    /// The blocks, if only some have branches.
    layers: Option<Vec<u64>>,
    /// Each finds the number of a module's block.
    layer_patterns: Vec<Regex>,
}

impl Selection {
    fn read(fields: &Fields, key: &str) -> Result<Option<Selection>, Error> {
        match fields.get(key) {
            Some(Value::String(pattern)) if pattern.is_empty() => Ok(None),
            Some(Value::String(pattern)) => {
                Ok(Some(Selection::Pattern(compile(fields, key, &format!("^(?:{pattern})$"))?)))
            }
            _ => {
                let names = list_or_text(fields, key)?;
                Ok((!names.is_empty()).then_some(Selection::Names(names)))
            }
        }
    }

    fn has(&self, fields: &Fields, key: &str, module: &str) -> Result<bool, Error> {
        match self {
            Selection::Names(names) => Ok(names.iter().any(|name| ends_with(module, name))),
            Selection::Pattern(pattern) => is_match(fields, key, pattern, module),
        }
    }
}

/// Whether `module` is `name`, or ends with it after a dot.
fn ends_with(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

impl Targets {
    pub(super) fn read(fields: &Fields) -> Result<Targets, Error> {
        let text = fields.get("target_modules").and_then(Value::as_str).unwrap_or("");
        let all_linear = text.to_lowercase() == "all-linear";
        let selected = if all_linear { None } else { Selection::read(fields, "target_modules")? };
        let layers = layers(fields)?;
        let patterns = list_or_text(fields, "layers_pattern")?;
        if layers.is_some() && !text.is_empty() {
            return Err(fields.wrong("layers_to_transform", "nothing beside a regular expression", "layers"));
        }
        let layer_patterns = match &patterns[..] {
            [] => vec![compile(fields, "layers_pattern", r"^.*?\.[^.]*\.(?P<idx>\d+)\.")?],
            patterns => patterns
                .iter()
                .map(|pattern| {
                    compile(fields, "layers_pattern", &format!(r"^(?:(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.)"))
                })
                .collect::<Result<_, _>>()?,
        };
        let saved = list_or_text(fields, "modules_to_save")?;
        let saved = saved
            .iter()
            .map(|name| compile(fields, "modules_to_save", &format!(r"^(?:(?:^|.*\.){name}(?:$|\..*))")));
        Ok(Targets {
            all_linear,
            selected,
            parameters: list_or_text(fields, "target_parameters")?,
            excluded: Selection::read(fields, "exclude_modules")?,
            saved: saved.collect::<Result<_, _>>()?,
            layers,
            layer_patterns,
        })
    }

    /// The key of the branch of `module`, by which patterns of ranks find it: the module's name, or that of its weight;
    /// `None` without a branch. `is_linear` says whether it is a linear layer other than the unembedding.
    ///
    /// # Errors
    /// If a pattern cannot be matched.
    pub(super) fn key(
        &self,
        fields: &Fields,
        module: &str,
        is_linear: bool,
    ) -> Result<Option<String>, Error> {
        if self.has(fields, module, is_linear)? {
            return Ok(Some(module.to_owned()));
        }
        let weight = format!("{module}.weight");
        Ok(self.parameters.iter().any(|parameter| ends_with(&weight, parameter)).then_some(weight))
    }

    fn has(&self, fields: &Fields, module: &str, is_linear: bool) -> Result<bool, Error> {
        if let Some(excluded) = &self.excluded
            && excluded.has(fields, "exclude_modules", module)?
        {
            return Ok(false);
        }
        for saved in &self.saved {
            if is_match(fields, "modules_to_save", saved, module)? {
                return Ok(false);
            }
        }
        if self.all_linear {
            return Ok(is_linear);
        }
        let Some(selected) = &self.selected else { return Ok(self.parameters.is_empty()) };
        if !selected.has(fields, "target_modules", module)? {
            return Ok(false);
        }
        match (&self.layers, selected) {
            // A name in full is a target in any block.
            (Some(_), Selection::Names(names)) if names.iter().any(|name| name == module) => Ok(true),
            (Some(layers), _) => {
                Ok(self.layer_of(fields, module)?.is_some_and(|layer| layers.contains(&layer)))
            }
            (None, _) => Ok(true),
        }
    }

    /// The number of a module's block.
    fn layer_of(&self, fields: &Fields, module: &str) -> Result<Option<u64>, Error> {
        for pattern in &self.layer_patterns {
            let found = pattern.captures(module).map_err(|error| {
                fields.wrong("layers_pattern", "a pattern that can be matched", &error.to_string())
            })?;
            if let Some(found) = found {
                return Ok(found.name("idx").and_then(|index| index.as_str().parse().ok()));
            }
        }
        Ok(None)
    }
}

/// `layers_to_transform`: a number or a list of them; an empty list means all layers.
fn layers(fields: &Fields) -> Result<Option<Vec<u64>>, Error> {
    let wrong = |found: &Value| {
        fields.wrong("layers_to_transform", "a layer or a list of layers", &found.to_string())
    };
    match fields.get("layers_to_transform") {
        None => Ok(None),
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(Value::Array(list)) => list
            .iter()
            .map(|layer| layer.as_u64().ok_or_else(|| wrong(layer)))
            .collect::<Result<_, _>>()
            .map(Some),
        Some(one) => Ok(Some(vec![one.as_u64().ok_or_else(|| wrong(one))?])),
    }
}

/// Numbers by regular expressions of module names, such as `rank_pattern`.
#[derive(Debug)]
pub(super) struct Patterns {
    key: &'static str,
    list: Vec<(Regex, f64)>,
}

impl Patterns {
    /// Compiles the patterns of the file's key `key`.
    pub(super) fn read(fields: &Fields, key: &'static str, ordered: Ordered) -> Result<Patterns, Error> {
        let mut list = Vec::new();
        for (pattern, value) in ordered.0 {
            let number = value.as_f64().filter(|x| x.is_finite());
            let number = number.ok_or_else(|| fields.wrong(key, "numbers by pattern", &value.to_string()))?;
            list.push((compile(fields, key, &format!(r"^(?:.*\.)?(?:{pattern})$"))?, number));
        }
        Ok(Patterns { key, list })
    }

    /// The number of the first pattern that matches the end of `module`, in the order of the file.
    pub(super) fn find(&self, fields: &Fields, module: &str) -> Result<Option<f64>, Error> {
        for (pattern, number) in &self.list {
            if is_match(fields, self.key, pattern, module)? {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }
}

/// A JSON object with its keys in the order of the file: the first pattern that matches decides.
#[derive(Debug, Default)]
pub(super) struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        deserializer.deserialize_any(OrderedVisitor)
    }
}

struct OrderedVisitor;

impl<'de> Visitor<'de> for OrderedVisitor {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of numbers by pattern, or null")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut list: Vec<(String, Value)> = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            // As in Python, a repeated key keeps its place and takes the last value.
            match list.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => list.push((key, value)),
            }
        }
        Ok(Ordered(list))
    }
}

/// A list of strings, or one string.
pub(super) fn list_or_text(fields: &Fields, key: &str) -> Result<Vec<String>, Error> {
    let wrong = |found: &Value| fields.wrong(key, "a list of strings", &found.to_string());
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value));
    match fields.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(Value::String(one)) if one.is_empty() => Ok(Vec::new()),
        Some(one) => Ok(vec![text(one)?]),
    }
}

/// Limit of a pattern's length: those in use are a line.
const LONGEST_PATTERN: usize = 1 << 16;

fn compile(fields: &Fields, key: &str, pattern: &str) -> Result<Regex, Error> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(fields.wrong(
            key,
            "a pattern of at most 65536 bytes",
            &format!("{} bytes", pattern.len()),
        ));
    }
    Regex::new(pattern).map_err(|error| fields.wrong(key, "a regular expression", &error.to_string()))
}

fn is_match(fields: &Fields, key: &str, pattern: &Regex, module: &str) -> Result<bool, Error> {
    let matched = pattern.is_match(module);
    matched.map_err(|error| fields.wrong(key, "a pattern that can be matched", &error.to_string()))
}
