//! An interpreter of Jinja templates with Python's values: what `ImmutableSandboxedEnvironment` of jinja2 renders, as
//! transformers configures it.
//!
//! Templates were written for Python, and lean on how it prints a float, slices a string, divides a negative number or
//! scopes a variable. A template language that is almost Jinja renders almost the same prompt, and no error tells. So
//! the values, operators, methods, filters and scopes here are Python's. What is not supported is refused with its
//! name: integers of more than 127 bits, what Python prints as an address, random choices, other templates, and a few
//! filters that no chat needs.
//!
//! Source text → `lexer` → `parser` and `expressions` → `ast` → `interpreter`. Every step and every byte that it makes
//! are charged to a budget, so a template cannot hang or fill the memory.
//!
//! ```
//! use glassbox_jinja::{Data, Template};
//!
//! let template = Template::parse("{{ names | join(', ') | title }}")?;
//! let names = Data::from(&serde_json::json!(["ada", "grace"]));
//! assert_eq!(template.render(&[("names".into(), names)], 10_000, 0, false)?, "Ada, Grace");
//! # Ok::<(), Box<glassbox_jinja::Fault>>(())
//! ```
#![forbid(unsafe_code)]

mod arguments;
mod ast;
mod attributes;
mod data;
mod dict;
mod expressions;
mod fault;
mod filters;
mod format;
mod functions;
mod html;
mod interpreter;
mod iterate;
mod json;
mod lexer;
mod literals;
mod loops;
mod macros;
mod methods;
mod number_format;
mod operators;
mod parser;
mod repr;
mod strings;
mod tests;
mod time;
mod unicode;
mod unicode_tables;
mod value;

use std::sync::Arc;

pub use data::{Data, ValueKind};
pub use fault::{Fault, FaultKind};

/// The two characters that mark the start and end of a generation block's output. They are no characters of Unicode.
pub const MARKS: [char; 2] = ['\u{10fffe}', '\u{10ffff}'];

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    body: Arc<Vec<ast::Statement>>,
    marks_generations: bool,
}

impl Template {
    /// Parses a source with `\n` line ends.
    ///
    /// # Errors
    /// A [`Fault`] for what is no template, or uses what is not supported.
    pub fn parse(source: &str) -> Result<Template, Box<Fault>> {
        let (body, marks_generations) = parser::parse(source, lexer::tokens(source)?)?;
        Ok(Template { body: Arc::new(body), marks_generations })
    }

    /// Whether it has `{% generation %}`.
    pub fn marks_generations(&self) -> bool {
        self.marks_generations
    }

    /// Renders it with these variables, within a budget, at a time in seconds since 1970. With `marked`, the output of
    /// generation blocks is between [`MARKS`]. The budget is in units of a statement, an expression, an item or 16
    /// bytes.
    ///
    /// # Errors
    /// A [`Fault`], as the exception that Python or Jinja raises, or because the budget is used up.
    pub fn render(
        &self,
        variables: &[(String, Data)],
        budget: u64,
        seconds: i64,
        marked: bool,
    ) -> Result<String, Box<Fault>> {
        let values = variables.iter().map(|(name, data)| Ok((name.as_str().into(), data.value()?)));
        let values = values.collect::<fault::Result<Vec<_>>>()?;
        interpreter::Interpreter::new(budget, seconds, marked).render(&self.body, values)
    }
}
