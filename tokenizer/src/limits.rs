//! What a file may ask for: bounds that no honest tokenizer comes near.
//!
//! A few short steps, each of which doubles a text, are enough to fill any memory. So every step states by what factor it
//! can make a text grow, and the product over all steps is bounded when the file is read, not when a text comes.

use crate::error::{Error, Result};

/// Steps in a list.
const MOST_STEPS: usize = 256;
/// Bytes that one byte may become over all steps of a list.
const MOST_GROWTH: usize = 4096;
/// Ids and texts in a template.
pub(crate) const MOST_TEMPLATE_PARTS: usize = 256;
/// Bytes of an added token, or of the mark of a word's parts.
const LONGEST_MARK: usize = 4096;

/// Refuses a list of steps that is too long or could make a text grow too much.
pub(crate) fn check_growth(list: &'static str, factors: impl Iterator<Item = usize>) -> Result<()> {
    let (mut steps, mut growth) = (0, 1usize);
    for factor in factors {
        steps += 1;
        growth = growth.saturating_mul(factor.max(1));
    }
    check(format!("the number of steps in `{list}`"), steps, MOST_STEPS)?;
    check(format!("how many times longer `{list}` can make a text"), growth, MOST_GROWTH)
}

/// Refuses a text that is compared or copied too often to be this long.
pub(crate) fn check_mark(what: &str, mark: &str) -> Result<()> {
    check(format!("the length of `{what}`"), mark.len(), LONGEST_MARK)
}

/// Refuses what is larger than it may be.
pub(crate) fn check(what: String, found: usize, most: usize) -> Result<()> {
    if found > most { Err(Error::TooLarge { what, most, found }) } else { Ok(()) }
}
