//! Ctrl-C: it ends the program at once, except during generation or training, which then stop cleanly.

use std::sync::atomic::{AtomicU8, Ordering};

use glassbox_tensor::file::temporary;

use crate::exit;

/// What the program is doing when Ctrl-C comes. One atomic value, so that the handler reads and updates it in one step:
/// with two, generation could end in between and the Ctrl-C would end the program.
static STATE: AtomicU8 = AtomicU8::new(IDLE);

/// Nothing that needs a clean stop.
const IDLE: u8 = 0;
/// Generation or training is running.
const GENERATING: u8 = 1;
/// Generation or training is running, and Ctrl-C was pressed.
const PRESSED: u8 = 2;

/// Installs the handler.
pub(crate) fn install() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(|| {
        if STATE.compare_exchange(GENERATING, PRESSED, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            // `exit` runs no destructors, so half-written files must be removed here.
            let _none_left = temporary::remove_all();
            std::process::exit(exit::INTERRUPTED.into());
        }
    })?)
}

/// While a value of this type lives, the first Ctrl-C only sets [`Graceful::pressed`]; the second ends the program.
/// Nested values act as one.
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
