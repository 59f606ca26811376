//! How much work a template may do.
//!
//! minijinja counts one unit for each instruction and one for each 64 bytes that a template makes. Real templates need
//! some hundred units, about a hundred more a message, and a few copies of the conversation. The budget is generous to
//! all of them, and bounds a hostile one to a moment and some megabytes.
//!
//! Some things escape the count. Expressions within expressions are read by recursion, and lists within lists are
//! compared and dropped so: the stack must be as deep as the source and the budget let them nest. A list that holds one
//! list twice, which holds one list twice, and so on, is small in memory but endless when it is compared or joined to a
//! string; so there is a time limit too. And the source is limited in length.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::error::Error;

const BASE: u64 = 20_000;
const PER_BYTE: u64 = 4;
const MOST: u64 = 2_000_000;

/// The longest source that is read. The longest templates in use have about a quarter of it.
pub(super) const LONGEST: usize = 1 << 17;

/// An assignment in a loop takes some seven units and can nest a list by one level, for which the recursion through it
/// takes less than a kilobyte of stack.
const STACK_PER_UNIT: usize = 160;
/// The worst case is `a()()()…`, with some four kilobytes for two bytes where the code is not optimised.
const STACK_PER_BYTE: usize = 2560;
const STACK: usize = 2 << 20;

const TIME: Duration = Duration::from_secs(3);

/// The budget for a template and a conversation of so many bytes.
pub(super) fn fuel(template_bytes: usize, conversation_bytes: usize) -> u64 {
    let bytes = (template_bytes as u64).saturating_add(conversation_bytes as u64);
    BASE.saturating_add(bytes.saturating_mul(PER_BYTE)).min(MOST)
}

/// Does the work on a thread whose stack fits a template of so many bytes and the budget. When the time is up the
/// thread is left to itself.
pub(super) fn run<T: Send + 'static>(
    template: &str,
    template_bytes: usize,
    fuel: u64,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let send = move || {
        // Nobody receives any more when the time was up.
        let _ = sender.send(work());
    };
    let no_thread = |message: String| Error::NoThread { template: template.to_owned(), message };
    thread::Builder::new()
        .name("chat template".to_owned())
        .stack_size(STACK + template_bytes * STACK_PER_BYTE + fuel as usize * STACK_PER_UNIT)
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
