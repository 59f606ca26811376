//! The top k of many items.

use std::cmp::Ordering;

/// The first `count` items in the order of `compare`, sorted; stores at most twice as many.
pub(super) fn most<T>(
    items: impl IntoIterator<Item = T>,
    count: usize,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    let mut most = TopK::new(count);
    items.into_iter().for_each(|item| most.offer(item, &compare));
    most.sorted(&compare)
}

/// The same, for items that arrive incrementally.
pub(super) struct TopK<T> {
    count: usize,
    items: Vec<T>,
    /// Whether `items` begins with `count` sorted ones.
    full: bool,
}

impl<T> TopK<T> {
    pub(super) fn new(count: usize) -> TopK<T> {
        TopK { count, items: Vec::new(), full: false }
    }

    /// Adds `item` if it may be among the first.
    pub(super) fn offer(&mut self, item: T, compare: impl Fn(&T, &T) -> Ordering) {
        if self.count == 0 || self.full && compare(&item, &self.items[self.count - 1]).is_ge() {
            return;
        }
        self.items.push(item);
        if self.items.len() >= self.count.saturating_mul(2) {
            self.items.sort_by(compare);
            self.items.truncate(self.count);
            self.full = true;
        }
    }

    pub(super) fn sorted(mut self, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
        self.items.sort_by(compare);
        self.items.truncate(self.count);
        self.items
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_by_sorting_everything(items in prop::collection::vec(0u8..20, 0..200), count in 0usize..30) {
            let mut all = items.clone();
            all.sort_by(|a, b| b.cmp(a));
            all.truncate(count);
            prop_assert_eq!(most(items, count, |a, b| b.cmp(a)), all);
        }
    }
}
