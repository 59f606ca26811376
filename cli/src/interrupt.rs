//! Ctrl-C: ends the program at once, except while a text is being generated, which then ends in good order.

use std::sync::atomic::{AtomicU8, Ordering};

use glassbox_tensor::file::temporary;

use crate::exit;

/// What a Ctrl-C would meet. One value, so that the listener's look and its answer are one step: with two, a text that
/// ends in between would leave it a Ctrl-C to end the program with.
static STATE: AtomicU8 = AtomicU8::new(IDLE);

/// Nothing that needs a good end.
const IDLE: u8 = 0;
/// A text is being generated.
const GENERATING: u8 = 1;
/// A text is being generated, and Ctrl-C was pressed.
const PRESSED: u8 = 2;

/// Begins to listen.
pub(crate) fn install() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(|| {
        if STATE.compare_exchange(GENERATING, PRESSED, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            // Exiting drops nothing, so half-written files would stay.
            let _none_left = temporary::remove_all();
            std::process::exit(exit::INTERRUPTED.into());
        }
    })?)
}

/// While this lives, the first Ctrl-C only sets [`Graceful::pressed`]; the second ends the program all the same. One may
/// live inside another: they are one text's.
pub(crate) struct Graceful {
    outermost: bool,
}

impl Graceful {
    pub(crate) fn begin() -> Graceful {
        let before = STATE.compare_exchange(IDLE, GENERATING, Ordering::SeqCst, Ordering::SeqCst);
        Graceful { outermost: before.is_ok() }
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn pressed(&self) -> bool {
        STATE.load(Ordering::SeqCst) == PRESSED
    }
}

impl Drop for Graceful {
    fn drop(&mut self) {
        if self.outermost {
            STATE.store(IDLE, Ordering::SeqCst);
        }
    }
}
