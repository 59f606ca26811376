//! The innermost loop of every matrix product here: a few rows × some panels of sixteen outputs, all sums in registers.

use super::element::Element;
use crate::simd::{LANES, Lanes};

/// For `k = 0, 1, 2, …`: `sums[r][p] = x[r][k] · weights[p][k · stride] + sums[r][p]`, rounded once.
///
/// All of `x` have one length; all of `weights` must reach to the last `k`. Panels side by side share the broadcast of an
/// input, and keep the arithmetic units busy where there are few rows.
///
/// # Panics
/// If the lengths do not fit.
#[inline(always)]
pub(crate) fn multiply_tile<S: Lanes, E: Element, const ROWS: usize, const PANELS: usize>(
    s: S,
    x: [&[f32]; ROWS],
    weights: [&[[E; LANES]]; PANELS],
    stride: usize,
    sums: &mut [[S::F; PANELS]; ROWS],
) {
    let len = x[0].len();
    if len == 0 {
        return;
    }
    assert!(x.iter().all(|x| x.len() == len), "rows of one length");
    assert!(weights.iter().all(|weights| (len - 1) * stride < weights.len()), "a weight for each input");
    // A pointer a row: then no address is computed from another.
    let x = x.each_ref().map(|x| x.as_ptr());
    for k in 0..len {
        let mut columns = [s.splat(0.0); PANELS];
        for p in 0..PANELS {
            // SAFETY: `k * stride` is at most `(len - 1) * stride`, inside every `weights[p]` by the assertion above.
            columns[p] = E::load(s, unsafe { weights[p].get_unchecked(k * stride) });
        }
        for r in 0..ROWS {
            // SAFETY: `k < len`, and every `x[r]` has that length by the assertion above.
            let input = s.splat(unsafe { *x[r].add(k) });
            for p in 0..PANELS {
                sums[r][p] = s.mul_add(input, columns[p], sums[r][p]);
            }
        }
    }
}
