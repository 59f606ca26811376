//! Lines of standard input, read by a thread of its own: texts in progress need not wait for the next line, and never
//! more than a few lines are read ahead.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use crate::exit::Usage;

/// Bytes of a line at most: longer than any context, short enough to be held.
const LONGEST: usize = 16 << 20;

/// A line that is not empty.
pub(super) struct Line {
    /// Counted from 1, empty lines included.
    pub(super) number: usize,
    /// Its bytes, without the line break; `None` if there are more than [`LONGEST`].
    pub(super) bytes: Option<Vec<u8>>,
}

/// What there is to read.
pub(super) enum Next {
    /// A line.
    Line(Line),
    /// Nothing yet.
    NotYet,
    /// Nothing any more.
    End,
}

/// The lines of standard input.
pub(super) struct Lines(Receiver<io::Result<Line>>);

impl Lines {
    /// Begins to read, at most `ahead` lines more than are asked for. That standard input is a terminal is wrong usage.
    pub(super) fn of_stdin(ahead: usize) -> anyhow::Result<Lines> {
        if io::stdin().is_terminal() {
            let usage = "--json-lines reads prompts from standard input, one JSON object a line";
            return Err(Usage(usage.to_owned()).into());
        }
        let (sender, receiver) = sync_channel(ahead);
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            for number in 1.. {
                let line = match read_line(&mut input, LONGEST) {
                    Ok(None) => return,
                    Ok(Some(bytes)) if bytes.as_ref().is_some_and(|bytes| bytes.trim_ascii().is_empty()) => {
                        continue;
                    }
                    Ok(Some(bytes)) => Ok(Line { number, bytes }),
                    Err(error) => Err(error),
                };
                let failed = line.is_err();
                // Nobody waits for lines any more once the receiver has gone.
                if sender.send(line).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Lines(receiver))
    }

    /// The next line; waits for it if `wait` says so.
    pub(super) fn next(&mut self, wait: bool) -> io::Result<Next> {
        let received = if wait { self.0.recv().map_err(TryRecvError::from) } else { self.0.try_recv() };
        match received {
            Ok(line) => line.map(Next::Line),
            Err(TryRecvError::Empty) => Ok(Next::NotYet),
            Err(TryRecvError::Disconnected) => Ok(Next::End),
        }
    }
}

/// A line without its break: `None` at the end of the input, `Some(None)` if it has more than `longest` bytes, which are
/// passed over.
fn read_line(input: &mut impl BufRead, longest: usize) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut bytes = Vec::new();
    if input.by_ref().take(longest as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.pop_if(|last| *last == b'\n').is_none() && bytes.len() > longest {
        input.skip_until(b'\n')?;
        return Ok(Some(None));
    }
    Ok(Some(Some(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
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
