//! Stop strings: text that ends generation, found even if it spans several tokens.

use crate::exit::Usage;

/// Searches for stop strings in a text that arrives in pieces, and holds back text that may become one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    /// Text not returned yet: it may be the beginning of a stop string.
    held: String,
}

impl StopStrings {
    pub(crate) fn new(stops: &[String]) -> anyhow::Result<StopStrings> {
        if stops.iter().any(String::is_empty) {
            return Err(Usage("--stop: the text must not be empty".into()).into());
        }
        Ok(StopStrings { stops: stops.to_vec(), held: String::new() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }

    /// Takes a piece of text. Returns the text that is safe to show, and whether a stop string follows it.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop)).min();
        if let Some(at) = found {
            let shown = self.held[..at].to_owned();
            self.held.clear();
            return (shown, true);
        }
        let starts = self.held.char_indices().map(|(at, _)| at);
        let keep = starts
            .into_iter()
            .find(|&at| self.stops.iter().any(|stop| stop.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Returns the text held back; no more text follows.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `size` characters.
    fn run(stops: &[&str], text: &str, size: usize) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
        let mut search = StopStrings::new(&stops).unwrap();
        let characters: Vec<char> = text.chars().collect();
        let mut shown = String::new();
        for piece in characters.chunks(size) {
            let (safe, found) = search.push(&piece.iter().collect::<String>());
            shown.push_str(&safe);
            if found {
                return (shown, true);
            }
        }
        shown.push_str(&search.finish());
        (shown, false)
    }

    #[test]
    fn the_first_stop_string_ends_the_text_however_it_is_split() {
        let cases: [(&[&str], &str, &str, bool); 7] = [
            (&["###"], "a # b ## c ### d", "a # b ## c ", true),
            (&["###"], "a # b ##", "a # b ##", false),
            (&["aab"], "aaab", "a", true),
            (&["\n\n", "END"], "one\ntwo END\n\n", "one\ntwo ", true),
            (&["é!", "日本"], "né 日 日本", "né 日 ", true),
            (&[], "anything", "anything", false),
            (&["x"], "xyz", "", true),
        ];
        for (stops, text, shown, found) in cases {
            for size in 1..=text.chars().count() {
                assert_eq!(run(stops, text, size), (shown.to_owned(), found), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn text_that_cannot_be_a_stop_string_is_not_held_back() {
        let mut search = StopStrings::new(&["stop".to_owned()]).unwrap();
        assert_eq!(search.push("go st"), ("go ".to_owned(), false));
        assert_eq!(search.push("ay"), ("stay".to_owned(), false));
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        assert!(StopStrings::new(&[String::new()]).is_err());
    }
}
