//! The vectors of the vocabulary: the nearest tokens of a word, the similarity of several words, and sums of words.
//!
//! Tokens that are used alike have embeddings in similar directions. Mikolov et al., "Linguistic regularities in
//! continuous space word representations" (2013), for sums such as king − man + woman.

use std::collections::{BTreeSet, HashMap};

use glassbox_tokenizer::Tokenizer;

use super::baseline::{RandomCosines, cosine};
use super::direction::widened;
use super::word_forms::{bases, is_whole_word};
use crate::adapted::MatrixOf;
use crate::hooks::{ViewError, check};
use crate::runtime::Runtime;
use crate::spec::Role;

/// A token in a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The token.
    pub id: u32,
    /// Its factor, 1 or −1.
    pub factor: f64,
}

/// Selects the nearest tokens.
#[derive(Clone, Copy, Debug)]
pub struct NearbyOptions<'a> {
    /// Number of tokens.
    pub top: usize,
    /// The tokenizer, to tell words apart; without it, every token counts as a word of its own.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Whether to fold the forms of a word: those of the terms are left out, and of any other word only the nearest is
    /// an entry of its own. [`are_forms_of_one_word`](super::are_forms_of_one_word) decides.
    pub fold_forms: bool,
    /// Whether to leave out what is not a whole word ([`is_whole_word`]).
    pub whole_words: bool,
}

/// A token near a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearby {
    /// The token.
    pub id: u32,
    /// The cosine of its embedding and the vector.
    pub cosine: f64,
    /// Other forms of the same word, nearer than the next entries but not than this one.
    pub forms: Vec<u32>,
}

/// The tokens whose embeddings are nearest to a sum of embeddings, each scaled to length 1; nearest first. The terms
/// themselves are left out.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a token.
pub fn nearest_embeddings(
    model: &Runtime,
    terms: &[Term],
    options: &NearbyOptions<'_>,
) -> Result<Vec<Nearby>, ViewError> {
    let embeddings = Embeddings::of(model)?;
    let mut sum = vec![0.0; model.config.d_model];
    for term in terms {
        let row = embeddings.row(term.id)?;
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        sum.iter_mut().zip(&row).for_each(|(sum, x)| *sum += term.factor * x / length);
    }
    let ids = 0..model.config.vocab_size as u32;
    let mut order = Vec::with_capacity(ids.len());
    for id in ids {
        order.push((cosine(&sum, &embeddings.row(id)?), id));
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));

    let words = |id: u32| {
        let bytes = options.tokenizer.filter(|_| options.fold_forms)?.token_bytes(id)?;
        Some(bases(std::str::from_utf8(&bytes).ok()?))
    };
    // The entry of each word; `None` for the words of the terms.
    let mut entries: HashMap<String, Option<usize>> = HashMap::new();
    for term in terms {
        entries.extend(words(term.id).into_iter().flatten().map(|word| (word, None)));
    }
    let mut nearest: Vec<Nearby> = Vec::new();
    for (cosine, id) in order {
        if nearest.len() == options.top {
            break;
        }
        let fragment = || options.tokenizer.is_some_and(|tokenizer| !is_whole_word(tokenizer, id));
        if terms.iter().any(|term| term.id == id) || options.whole_words && fragment() {
            continue;
        }
        let words = words(id).unwrap_or_default();
        match words.iter().find_map(|word| entries.get(word)) {
            Some(Some(entry)) => nearest[*entry].forms.push(id),
            Some(None) => {}
            None => {
                entries.extend(words.into_iter().map(|word| (word, Some(nearest.len()))));
                nearest.push(Nearby { id, cosine, forms: Vec::new() });
            }
        }
    }
    Ok(nearest)
}

/// The cosines of the embeddings of all pairs of `ids`, `[ids, ids]`.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a token.
pub fn mutual_cosines(model: &Runtime, ids: &[u32]) -> Result<Vec<Vec<f64>>, ViewError> {
    let embeddings = Embeddings::of(model)?;
    let rows = ids.iter().map(|&id| embeddings.row(id)).collect::<Result<Vec<_>, _>>()?;
    Ok(rows.iter().map(|a| rows.iter().map(|b| cosine(a, b)).collect()).collect())
}

/// The cosines of random pairs of embeddings, from up to 200 tokens spread over the vocabulary.
///
/// # Errors
/// If the adapter's embedding cannot be built.
pub fn random_embedding_cosines(model: &Runtime) -> Result<RandomCosines, ViewError> {
    let embeddings = Embeddings::of(model)?;
    let ids: BTreeSet<u32> = spread_ids(model.config.vocab_size).take(200).collect();
    let rows = ids.into_iter().map(|id| embeddings.row(id)).collect::<Result<Vec<_>, _>>()?;
    let pairs = rows.iter().enumerate().flat_map(|(i, a)| rows[..i].iter().map(move |b| cosine(a, b)));
    Ok(RandomCosines::of(pairs.collect()))
}

/// Ids spread over the vocabulary, always the same ones. They repeat if the vocabulary is small.
pub(super) fn spread_ids(vocab_size: usize) -> impl Iterator<Item = u32> {
    // Multiplying by a large prime spreads neighbouring numbers.
    (1..).map(move |i: u64| (i * 2_654_435_761 % vocab_size.max(1) as u64) as u32)
}

/// The rows of the embedding.
struct Embeddings<'m>(MatrixOf<'m>);

impl Embeddings<'_> {
    fn of(model: &Runtime) -> Result<Embeddings<'_>, ViewError> {
        Ok(Embeddings(model.adapted_vocabulary(Role::Embedding)?))
    }

    fn row(&self, id: u32) -> Result<Vec<f64>, ViewError> {
        check("token", id as usize, self.0.outputs())?;
        let mut row = vec![0.0; self.0.inputs()];
        self.0.row(id as usize, &mut row);
        Ok(widened(&row))
    }
}
