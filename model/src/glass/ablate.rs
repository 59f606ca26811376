//! Ablations one by one: what the prediction is without each part of a model.
//!
//! A part of layer `l` changes nothing before layer `l`. So its run starts there, from the residual stream of the run
//! without ablations, and has the bits of a whole run with this ablation.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::compare::divergence;
use super::lens::{Candidate, candidate, likeliest};
use crate::decoder::Start;
use crate::hooks::{
    HookPoint, Intervention, Interventions, Keep, NoObserver, Observer, Part, ViewError, check,
};
use crate::kv_cache::KvCache;
use crate::model::Wanted;
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::session::{PROMPT_CHUNK, pass};

/// The prediction without a part of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Ablation {
    /// The part.
    pub part: Part,
    /// The logit and the probability of the token in question.
    pub token: Candidate,
    /// The most likely token.
    pub likeliest: Candidate,
    /// The Kullback–Leibler divergence of all probabilities from those of the whole model, in nats.
    pub divergence: f64,
}

/// The effect of each of some parts on the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Ablations {
    /// The logit and the probability of the token with the whole model.
    pub before: Candidate,
    /// The prediction without each part, by layer, and as given within a layer.
    pub without: Vec<Ablation>,
}

impl Ablations {
    /// The ablations, those first that change the token's probability most.
    pub fn ranked(&self) -> Vec<&Ablation> {
        let change = |ablation: &Ablation| (ablation.token.probability - self.before.probability).abs();
        let mut ranked: Vec<&Ablation> = self.without.iter().collect();
        ranked.sort_by(|a, b| change(b).total_cmp(&change(a)));
        ranked
    }
}

/// Runs `model` on `ids` without each of `parts`, one at a time. The token is `token`, or the one that the whole model
/// finds most likely. If `model` has interventions, they apply to all runs.
///
/// `progress` is called before each ablation with the number of those done; on [`ControlFlow::Break`] the rest is left
/// out.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::{PartKind, ablate};
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.run_on(Pool::new(1, Level::detect())?)?;
/// let heads = PartKind::Head.all(&model.config, 0..model.config.n_layers);
/// let ablations = ablate(&model, &[1, 70, 71], &heads, None, |_| ControlFlow::Continue(()))?;
/// assert_eq!(ablations.without.len(), heads.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ViewError::OutOfRange`] or [`ViewError::NoSuchPart`] for a token or part, or errors of
/// [`Session::feed`](crate::Session::feed).
pub fn ablate(
    model: &Runtime,
    ids: &[u32],
    parts: &[Part],
    token: Option<u32>,
    mut progress: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Ablations, ViewError> {
    parts.iter().try_for_each(|part| part.check(&model.config))?;
    token.map_or(Ok(()), |token| check("token", token as usize, model.config.vocab_size))?;
    let before = model.session(usize::MAX).feed(ids)?.to_vec();
    let token = match token {
        Some(token) => token,
        None => likeliest(&before, 1).first().map_or(0, |candidate| candidate.id),
    };
    let mut order = parts.to_vec();
    order.sort_by_key(|part| part.layer());

    let mut runs = Runs::new(model, ids);
    let mut ablations = Ablations { before: candidate(&before, token), without: Vec::new() };
    for part in order {
        if progress(ablations.without.len()).is_break() {
            break;
        }
        let logits = runs.without(part);
        ablations.without.push(Ablation {
            part,
            token: candidate(logits, token),
            likeliest: likeliest(logits, 1)[0],
            divergence: divergence(logits, &before),
        });
    }
    Ok(ablations)
}

/// Runs that start at a layer.
struct Runs<'a> {
    model: &'a Runtime,
    ids: &'a [u32],
    /// The residual stream that enters block `layer`, if that is not the first one, `[tokens, d_model]`.
    stream: Vec<f32>,
    layer: usize,
    cache: KvCache,
    scratch: Scratch,
    /// `[vocab_size]`
    logits: Vec<f32>,
}

impl<'a> Runs<'a> {
    fn new(model: &'a Runtime, ids: &'a [u32]) -> Runs<'a> {
        let cache = KvCache::new(&model.config, model.cache_format);
        let logits = vec![0.0; model.config.vocab_size];
        Runs { model, ids, stream: Vec::new(), layer: 0, cache, scratch: Scratch::new(&model.config), logits }
    }

    /// The logits after the last token without `part`, whose layer is not before that of the last call.
    fn without(&mut self, part: Part) -> &[f32] {
        if part.layer() > self.layer {
            self.advance(part.layer());
        }
        let before = self.model.interventions.iter().flat_map(|before| before.list().iter().cloned());
        let list = before.chain([Intervention::Ablate(part)]).collect();
        let without = self.model.clone().with_interventions(Some(Arc::new(Interventions::checked(list))));
        self.run(&without, &mut NoObserver, true);
        &self.logits
    }

    /// Moves the start to `layer`.
    fn advance(&mut self, layer: usize) {
        let end = (HookPoint::ResidPost, Some(layer - 1));
        let mut keep = Keep::of_rows([end]);
        let model = self.model;
        self.run(model, &mut keep, false);
        if let Some(rows) = keep.rows(end.0, end.1) {
            self.stream.clone_from(&rows.values);
        }
        self.layer = layer;
    }

    fn run<O: Observer>(&mut self, model: &Runtime, observer: &mut O, predict: bool) {
        let Runs { ids, stream, layer, cache, scratch, logits, .. } = self;
        cache.truncate(0);
        let d_model = model.config.d_model;
        for (first, piece) in (0..).step_by(PROMPT_CHUNK).zip(ids.chunks(PROMPT_CHUNK)) {
            let end = first + piece.len();
            let start = match *layer {
                0 => Start::Ids(piece),
                layer => Start::Stream { layer, x: &stream[first * d_model..end * d_model] },
            };
            let is_last = predict && end == ids.len();
            let wanted = if is_last { Wanted::Last(&mut *logits) } else { Wanted::None };
            pass(model, start, cache, scratch, observer, wanted);
        }
    }
}
