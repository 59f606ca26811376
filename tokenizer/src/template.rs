//! The special tokens around a text, such as beginning and end of sequence.

use crate::error::Result;
use crate::limits;

/// A sequence of special tokens with a slot for the text's own tokens.
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

    /// A template with ids before and after the text.
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
    /// [`Error::TooLarge`](crate::Error::TooLarge), since nested templates could grow exponentially.
    pub(crate) fn with_text(&self, inner: &Template) -> Result<Template> {
        let texts = self.parts.iter().filter(|part| **part == TemplatePart::Text).count();
        let size = texts.saturating_mul(inner.size()).saturating_add(self.size() - texts);
        limits::check("the size of `post_processor`".to_owned(), size, limits::MAX_TEMPLATE_PARTS)?;
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

    /// Adds the template's tokens around those of a text. `token` makes a token from an id and whether it follows the
    /// text.
    pub(crate) fn apply<T: Clone>(&self, text: Vec<T>, token: impl Fn(u32, bool) -> T) -> Vec<T> {
        if let [TemplatePart::Text] = self.parts[..] {
            return text;
        }
        let mut all = Vec::with_capacity(text.len() + self.parts.len());
        let mut after_text = false;
        for part in &self.parts {
            match part {
                TemplatePart::Text => {
                    all.extend_from_slice(&text);
                    after_text = true;
                }
                TemplatePart::Ids(ids) => all.extend(ids.iter().map(|&id| token(id, after_text))),
            }
        }
        all
    }
}
