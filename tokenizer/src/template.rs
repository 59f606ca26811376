//! The tokens that are put around a text: beginning and end of sequence.

use crate::error::Result;
use crate::limits;

/// What stands around the text's own tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

/// One part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// The text.
    Text,
    /// These tokens.
    Ids(Vec<u32>),
}

impl Default for Template {
    /// The text alone.
    fn default() -> Template {
        Template { parts: vec![TemplatePart::Text] }
    }
}

impl Template {
    /// A template of these parts.
    pub fn new(parts: Vec<TemplatePart>) -> Template {
        Template { parts }
    }

    /// The text between two lists of ids.
    pub fn around(before: Vec<u32>, after: Vec<u32>) -> Template {
        let part = |ids: Vec<u32>| (!ids.is_empty()).then_some(TemplatePart::Ids(ids));
        Template { parts: part(before).into_iter().chain([TemplatePart::Text]).chain(part(after)).collect() }
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// This template with its text replaced by another template.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge): templates in templates could grow exponentially.
    pub(crate) fn with_text(&self, inner: &Template) -> Result<Template> {
        let texts = self.parts.iter().filter(|part| **part == TemplatePart::Text).count();
        let size = texts.saturating_mul(inner.size()).saturating_add(self.size() - texts);
        limits::check("the size of `post_processor`".to_owned(), size, limits::MOST_TEMPLATE_PARTS)?;
        let parts = self.parts.iter().flat_map(|part| match part {
            TemplatePart::Text => inner.parts.clone(),
            ids => vec![ids.clone()],
        });
        Ok(Template { parts: parts.collect() })
    }

    /// The number of texts and ids.
    fn size(&self) -> usize {
        let size = |part: &TemplatePart| match part {
            TemplatePart::Text => 1,
            TemplatePart::Ids(ids) => ids.len(),
        };
        self.parts.iter().map(size).sum()
    }

    /// Puts the template's tokens around a text's; `token` makes one of an id and the text's length.
    pub(crate) fn apply<T: Clone>(&self, text: Vec<T>, token: impl Fn(u32, bool) -> T) -> Vec<T> {
        if let [TemplatePart::Text] = self.parts[..] {
            return text;
        }
        let mut all = Vec::with_capacity(text.len() + self.parts.len());
        let mut text_is_behind = false;
        for part in &self.parts {
            match part {
                TemplatePart::Text => {
                    all.extend_from_slice(&text);
                    text_is_behind = true;
                }
                TemplatePart::Ids(ids) => all.extend(ids.iter().map(|&id| token(id, text_is_behind))),
            }
        }
        all
    }
}
