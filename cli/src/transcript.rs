//! Generated text: takes tokens and returns text as soon as its characters are complete and no stop string can be in
//! it. Without a tokenizer the text is the ids.

use glassbox_tokenizer::{StreamDecoder, Tokenizer};

use crate::stop_strings::StopStrings;

/// The text so far.
pub(crate) struct Transcript<'t> {
    decoder: Option<StreamDecoder<'t>>,
    stops: StopStrings,
    /// All text shown so far.
    pub(crate) text: String,
    stopped: bool,
    until: Option<Until>,
}

/// A condition on the tokens so far that ends the text.
struct Until {
    holds: fn(&[u32]) -> bool,
    ids: Vec<u32>,
}

impl<'t> Transcript<'t> {
    pub(crate) fn new(
        tokenizer: Option<&'t Tokenizer>,
        skip_special: bool,
        stops: StopStrings,
    ) -> Transcript<'t> {
        let decoder = tokenizer.map(|tokenizer| tokenizer.stream(skip_special));
        Transcript { decoder, stops, text: String::new(), stopped: false, until: None }
    }

    /// Also stops when `holds` is true of the tokens so far.
    pub(crate) fn until(mut self, holds: fn(&[u32]) -> bool) -> Transcript<'t> {
        self.until = Some(Until { holds, ids: Vec::new() });
        self
    }

    /// Takes a token and returns the text to show.
    pub(crate) fn push(&mut self, id: u32) -> &str {
        let piece = match &mut self.decoder {
            Some(decoder) => decoder.push(id),
            None if self.text.is_empty() => id.to_string(),
            None => format!(" {id}"),
        };
        let ends = self.until.as_mut().is_some_and(|until| {
            until.ids.push(id);
            (until.holds)(&until.ids)
        });
        let from = self.text.len();
        self.take(&piece);
        self.stopped |= ends;
        &self.text[from..]
    }

    /// Whether a stop string was found, which ends the text.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Returns the text held back, unless a stop string has cut it off.
    pub(crate) fn finish(&mut self) -> &str {
        let from = self.text.len();
        if !self.stopped {
            let piece = self.decoder.as_mut().map_or(String::new(), StreamDecoder::finish);
            self.take(&piece);
            let rest = if self.stopped { String::new() } else { self.stops.finish() };
            self.text.push_str(&rest);
        }
        &self.text[from..]
    }

    fn take(&mut self, piece: &str) -> &str {
        let from = self.text.len();
        let (shown, stopped) = self.stops.push(piece);
        self.text.push_str(&shown);
        self.stopped |= stopped;
        &self.text[from..]
    }
}
