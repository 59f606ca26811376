//! Matches of regular expressions in the dialect of `tokenizer.json`, for comparison with other engines.
//!
//! Every line of the standard input is a JSON list of a pattern and a text; every line of the output is the list of the
//! matches' byte ranges, or the error as a string.
//!
//!     echo '["\\p{N}{1,3}+", "10000000"]' | cargo run -p glassbox-tokenizer --example matches

use std::io::{BufRead, Write};

use glassbox_tokenizer::pretokenize::Pattern;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let (pattern, text): (String, String) = serde_json::from_str(&line?)?;
        let found = Pattern::slow_oniguruma(pattern).and_then(|pattern| pattern.find_all(&text));
        match found {
            Ok(found) => {
                let ranges: Vec<(usize, usize)> =
                    found.into_iter().map(|range| (range.start, range.end)).collect();
                writeln!(output, "{}", serde_json::to_string(&ranges)?)?;
            }
            Err(error) => writeln!(output, "{}", serde_json::to_string(&error.to_string())?)?,
        }
    }
    Ok(())
}
