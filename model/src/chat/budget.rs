//! The work budget of a template.
//!
//! The interpreter charges one unit per statement, expression and item, and per 16 bytes it makes. Real templates need
//! a few hundred units, about a hundred more per message, and a few copies of the conversation. The budget is several
//! times that, and limits a hostile template to a moment and a few dozen megabytes. Nesting is limited where it is
//! parsed and where it runs, to what the thread's stack holds even in unoptimised builds. The source is limited in
//! length. The time limit is for slow machines.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::error::Error;

const BASE: u64 = 100_000;
const PER_BYTE: u64 = 8;
const MOST: u64 = 4_000_000;

/// Maximum length of the source in bytes, about four times that of the longest templates in use.
pub(super) const LONGEST: usize = 1 << 17;

/// Reserved, not used, unless a template nests deeply.
const STACK: usize = 64 << 20;

const TIME: Duration = Duration::from_secs(10);

/// The budget for a template and a conversation of these sizes in bytes.
pub(super) fn fuel(template_bytes: usize, conversation_bytes: usize) -> u64 {
    let bytes = (template_bytes as u64).saturating_add(conversation_bytes as u64);
    BASE.saturating_add(bytes.saturating_mul(PER_BYTE)).min(MOST)
}

/// Runs the work on a thread whose stack is sufficient for the limits of nesting. When the time limit expires, the
/// thread is abandoned.
pub(super) fn run<T: Send + 'static>(
    template: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let send = move || {
        // The receiver is gone if the time limit expired.
        let _ = sender.send(work());
    };
    let no_thread = |message: String| Error::NoThread { template: template.to_owned(), message };
    thread::Builder::new()
        .name("chat template".to_owned())
        .stack_size(STACK)
        .spawn(send)
        .map_err(|error| no_thread(error.to_string()))?;
    match receiver.recv_timeout(TIME) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(Error::TooMuchWork { template: template.to_owned(), line: None })
        }
        Err(RecvTimeoutError::Disconnected) => Err(no_thread("it ended without a result".to_owned())),
    }
}
