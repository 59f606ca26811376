//! A model with a thread pool: the factory of sessions and batches.

use std::ops::Deref;
use std::sync::Arc;

use glassbox_tensor::{CacheFormat, Pool};

use crate::adapter::Adapter;
use crate::hooks::Interventions;
use crate::model::Model;

/// A model, a thread pool, and the defaults of new sequences.
///
/// All parts are reference-counted: cloning is cheap, and sessions and batches can be moved to any thread and outlive
/// the handle that they were created from. It dereferences to the [`Model`].
#[derive(Clone)]
pub struct Runtime {
    /// The model.
    pub model: Arc<Model>,
    /// The thread pool.
    pub pool: Arc<Pool>,
    /// The number format of cached keys and values.
    pub cache_format: CacheFormat,
    /// The adapter of new sequences, if any.
    pub adapter: Option<Arc<Adapter>>,
    /// The changes to values in every run of new sequences, if any.
    pub interventions: Option<Arc<Interventions>>,
}

impl Runtime {
    /// Combines `model` and `pool`, with a cache in `f32`, without adapter and interventions.
    pub fn new(model: Arc<Model>, pool: impl Into<Arc<Pool>>) -> Runtime {
        Runtime {
            model,
            pool: pool.into(),
            cache_format: CacheFormat::F32,
            adapter: None,
            interventions: None,
        }
    }

    /// The same with another number format of cached keys and values.
    pub fn with_cache_format(mut self, format: CacheFormat) -> Runtime {
        self.cache_format = format;
        self
    }

    /// The same with another adapter; `None` for the model without one.
    pub fn with_adapter(mut self, adapter: Option<Arc<Adapter>>) -> Runtime {
        self.adapter = adapter;
        self
    }

    /// The same with other interventions; `None` for the model as it is. Their positions are those of each sequence.
    pub fn with_interventions(mut self, interventions: Option<Arc<Interventions>>) -> Runtime {
        self.interventions = interventions;
        self
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Runtime { model, pool, cache_format, adapter, interventions } = self;
        f.debug_struct("Runtime")
            .field("model", model)
            .field("threads", &pool.threads())
            .field("cache_format", cache_format)
            .field("adapter", adapter)
            .field("interventions", &interventions.as_ref().map(|interventions| interventions.list().len()))
            .finish()
    }
}

impl Deref for Runtime {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}
