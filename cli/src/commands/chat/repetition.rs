//! Notices an answer that repeats itself over and over.

/// Tokens that count as the same words again.
const WORDS: usize = 12;
/// How often they must occur, without overlap.
const TIMES: usize = 5;
/// Within this many last tokens.
const WINDOW: usize = 512;

/// Whether the last [`WORDS`] tokens have occurred [`TIMES`] times in the last [`WINDOW`]. A refrain or a table repeats
/// less; what is repeated may be up to a hundred tokens long.
pub(super) fn repeats(ids: &[u32]) -> bool {
    if ids.len() < WORDS * TIMES {
        return false;
    }
    let recent = &ids[ids.len().saturating_sub(WINDOW)..];
    let last = &recent[recent.len() - WORDS..];
    let mut times = 1;
    let mut end = recent.len() - WORDS;
    while end >= WORDS && times < TIMES {
        if recent[end - WORDS..end] == *last {
            times += 1;
            end -= WORDS;
        } else {
            end -= 1;
        }
    }
    times >= TIMES
}

#[cfg(test)]
mod tests {
    use super::{TIMES, WORDS, repeats};

    fn first_repeat(ids: &[u32]) -> Option<usize> {
        (1..=ids.len()).find(|&n| repeats(&ids[..n]))
    }

    #[test]
    fn a_phrase_of_any_length_is_noticed_when_it_comes_again_and_again() {
        assert_eq!(first_repeat(&[7; 100]), Some(WORDS * TIMES));
        for period in [2, 3, 5, 11, 12, 13, 40, 100] {
            let ids: Vec<u32> = (0..1000).map(|i| i % period).collect();
            let found = first_repeat(&ids).unwrap_or(usize::MAX);
            assert!(found <= TIMES * (period as usize + WORDS), "{period}: {found}");
        }
    }

    #[test]
    fn a_list_whose_lines_share_words_is_not_a_repetition() {
        // Lines of eight tokens, seven of them the same, the eighth counted.
        let ids: Vec<u32> = (0..2000).map(|i| if i % 8 == 0 { 1000 + i / 8 } else { i % 8 }).collect();
        assert_eq!(first_repeat(&ids), None);
        let unlike: Vec<u32> = (0..2000).collect();
        assert_eq!(first_repeat(&unlike), None);
        assert!(!repeats(&[]));
    }
}
