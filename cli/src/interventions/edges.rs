//! `edge 13.8 its→cat`: the attention of one token to another, in a head, a layer, or everywhere.

use anyhow::bail;
use glassbox_model::glass::{Intervention, Part, PartKind};

use super::{Places, number, usage};

const EXPECTED: &str = "\"edge LAYER.HEAD TOKEN→TOKEN\", such as \"edge 13.8 its→cat\" or \"edge 13.8 5→2\"";

/// The edges of an item; `None` if it is not about edges.
pub(super) fn edges(item: &str, places: &Places<'_>) -> anyhow::Result<Option<Vec<Intervention>>> {
    let Some(rest) =
        item.strip_prefix("edge").filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
    else {
        return Ok(None);
    };
    let rest = rest.trim();
    let (at, ends) = match rest.split_once(char::is_whitespace) {
        Some((first, ends)) if first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            (first, ends)
        }
        _ => ("", rest),
    };
    let config = places.source.checkpoint.config();
    let (layers, heads) = match at.split_once('.') {
        None if at.is_empty() => (0..config.n_layers, 0..config.n_heads),
        None => {
            let layer = number(at).ok_or_else(|| usage("without", item, EXPECTED))?;
            PartKind::Attention.part(layer, 0).check(config)?;
            (layer..layer + 1, 0..config.n_heads)
        }
        Some((layer, head)) => {
            let (Some(layer), Some(head)) = (number(layer), number(head)) else {
                return Err(usage("without", item, EXPECTED));
            };
            Part::Head { layer, head }.check(config)?;
            (layer..layer + 1, head..head + 1)
        }
    };
    let Some((query, key)) = split(ends) else { return Err(usage("without", item, EXPECTED)) };
    let query = places.find(query)?;
    // A word may occur again after the token that attends to it.
    let before =
        Places { ids: places.ids.map(|ids| &ids[..ids.len().min(query.saturating_add(1))]), ..*places };
    let key = before.find(key)?;
    if let Some(ids) = places.ids
        && query >= ids.len()
    {
        bail!(
            "{item}: there is no position {query} in the prompt: expected 0 to {}",
            ids.len().saturating_sub(1)
        );
    }
    let heads = move |layer| heads.clone().map(move |head| (layer, head));
    let cut = |(layer, head)| Intervention::CutEdge { layer, head, query, key };
    Ok(Some(layers.flat_map(heads).map(cut).collect()))
}

/// The two tokens: the first attends to the second, whichever way the arrow points, since tables of attention write
/// `its ← cat`.
fn split(ends: &str) -> Option<(&str, &str)> {
    let (query, key) = ["→", "->", "←", "<-"].iter().find_map(|arrow| ends.split_once(arrow))?;
    let (query, key) = (query.trim(), key.trim());
    (!query.is_empty() && !key.is_empty()).then_some((query, key))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_first_token_attends_to_the_second() {
        for ends in ["its→cat", "its->cat", " its ← cat", "its<-cat "] {
            assert_eq!(split(ends), Some(("its", "cat")));
        }
        assert_eq!(split("5→2"), Some(("5", "2")));
        for ends in ["its cat", "→cat", "its→", ""] {
            assert_eq!(split(ends), None);
        }
    }
}
