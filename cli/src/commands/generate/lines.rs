//! Lines of standard input, read on a separate thread, so that sequences in progress do not wait for the next line.
//! Only a few lines are read ahead.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use glassbox_tokenizer::text_file::without_mark;

use crate::exit::Usage;

/// Maximum length of a line in bytes: longer than any context, short enough to fit in memory.
const MAX_LINE_BYTES: usize = 16 << 20;

/// A non-empty line.
pub(super) struct Line {
    /// Counted from 1, empty lines included.
    pub(super) number: usize,
    /// Its bytes without the line break; `None` if there are more than [`MAX_LINE_BYTES`].
    pub(super) bytes: Option<Vec<u8>>,
}

/// The result of a read.
pub(super) enum Next {
    /// A line.
    Line(Line),
    /// No line is available yet.
    NotYet,
    /// The end of the input.
    End,
}

/// The lines of standard input.
pub(super) struct Lines(Receiver<io::Result<Line>>);

impl Lines {
    /// Starts reading, at most `ahead` lines ahead. It is wrong usage if standard input is a terminal.
    pub(super) fn of_stdin(ahead: usize) -> anyhow::Result<Lines> {
        if io::stdin().is_terminal() {
            let usage = "--json-lines reads prompts from standard input, one JSON object per line";
            return Err(Usage(usage.to_owned()).into());
        }
        let (sender, receiver) = sync_channel(ahead);
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            for number in 1.. {
                let mut read = read_line(&mut input, MAX_LINE_BYTES);
                if let (1, Ok(Some(Some(bytes)))) = (number, &mut read) {
                    *bytes = without_mark(bytes).to_vec();
                }
                let line = match read {
                    Ok(None) => return,
                    Ok(Some(bytes)) if bytes.as_ref().is_some_and(|bytes| bytes.trim_ascii().is_empty()) => {
                        continue;
                    }
                    Ok(Some(bytes)) => Ok(Line { number, bytes }),
                    Err(error) => Err(error),
                };
                let failed = line.is_err();
                // Sending fails once the receiver is dropped.
                if sender.send(line).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Lines(receiver))
    }

    /// The next line; `wait` blocks until there is one.
    pub(super) fn next(&mut self, wait: bool) -> io::Result<Next> {
        let received = if wait { self.0.recv().map_err(TryRecvError::from) } else { self.0.try_recv() };
        match received {
            Ok(line) => line.map(Next::Line),
            Err(TryRecvError::Empty) => Ok(Next::NotYet),
            Err(TryRecvError::Disconnected) => Ok(Next::End),
        }
    }
}

/// A line without its line break: `None` at the end of the input, `Some(None)` for a line of more than `max` bytes,
/// which is skipped.
fn read_line(input: &mut impl BufRead, max: usize) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut bytes = Vec::new();
    if input.by_ref().take(max as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.pop_if(|last| *last == b'\n').is_none() && bytes.len() > max {
        input.skip_until(b'\n')?;
        return Ok(Some(None));
    }
    Ok(Some(Some(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        let text = b"four\nfives!\n\nfour\nlast".as_slice();
        for buffer in [1, 2, 100] {
            let mut input = io::BufReader::with_capacity(buffer, text);
            let mut lines = Vec::new();
            while let Some(line) = read_line(&mut input, 4).unwrap() {
                lines.push(line.map(|bytes| String::from_utf8(bytes).unwrap()));
            }
            let line = |text: &str| Some(text.to_owned());
            assert_eq!(lines, [line("four"), None, line(""), line("four"), line("last")]);
        }
    }
}
