//! Limits on what a file may request, far above what real tokenizers need.
//!
//! A few short steps that each double a text can fill any memory. So every step has a factor by which it can make a
//! text grow, and the product over all steps is limited when the file is loaded, before any text is encoded.

use crate::error::{Error, Result};

/// Maximum number of steps in a list.
const MAX_STEPS: usize = 256;
/// Maximum number of bytes that one byte may become over all steps of a list.
const MAX_GROWTH: usize = 4096;
/// Maximum number of ids and texts in a template.
pub(crate) const MAX_TEMPLATE_PARTS: usize = 256;
/// Maximum length in bytes of an added token, or of a subword prefix or suffix.
const MAX_MARKER_BYTES: usize = 4096;

/// Checks that a list of steps is not too long and cannot make a text grow too much.
pub(crate) fn check_growth(list: &'static str, factors: impl Iterator<Item = usize>) -> Result<()> {
    let (mut steps, mut growth) = (0, 1usize);
    for factor in factors {
        steps += 1;
        growth = growth.saturating_mul(factor.max(1));
    }
    check(format!("the number of steps in `{list}`"), steps, MAX_STEPS)?;
    check(format!("the factor by which `{list}` can make a text grow"), growth, MAX_GROWTH)
}

/// Checks the length of a text that is compared or copied often.
pub(crate) fn check_marker(what: &str, marker: &str) -> Result<()> {
    check(format!("the length of `{what}`"), marker.len(), MAX_MARKER_BYTES)
}

/// Checks that `found` is at most `max`.
pub(crate) fn check(what: String, found: usize, max: usize) -> Result<()> {
    if found > max { Err(Error::TooLarge { what, max, found }) } else { Ok(()) }
}
