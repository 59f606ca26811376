//! Validates recipes, and compares them.

use glassbox_model::families;

use super::Recipe;

impl Recipe {
    /// Checks all values.
    ///
    /// # Errors
    /// One sentence per problem.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, sentence: String| {
            if !holds {
                wrong.push(sentence);
            }
        };
        let (model, training) = (&self.model, &self.training);
        let known: Vec<&str> = families::trainable_from_scratch().collect();
        expect(
            known.contains(&model.family.as_str()),
            format!("model.family is {:?}, expected {}", model.family, known.join(" or ")),
        );
        let sizes = [
            ("model.d_model", model.d_model, 1 << 16),
            ("model.n_layers", model.n_layers, 1 << 10),
            ("model.n_heads", model.n_heads, 1 << 10),
            ("model.n_kv_heads", model.n_kv_heads.unwrap_or(1), 1 << 10),
            ("model.d_ff", model.d_ff.unwrap_or(1), 1 << 18),
            ("model.context_length", model.context_length, 1 << 20),
            ("training.batch", training.batch, 1 << 16),
        ];
        for (name, size, most) in sizes {
            expect((1..=most).contains(&size), format!("{name} is {size}, expected 1 to {most}"));
        }
        let heads = model.n_heads.max(1);
        expect(
            model.d_model.is_multiple_of(heads),
            format!("model.d_model {} is not a multiple of n_heads {heads}", model.d_model),
        );
        let kv_heads = model.n_kv_heads.unwrap_or(heads).max(1);
        expect(
            heads.is_multiple_of(kv_heads),
            format!("model.n_heads {heads} is not a multiple of n_kv_heads {kv_heads}"),
        );
        let (layer, head) = (self.report.watch_layer, self.report.watch_head);
        expect(
            layer < model.n_layers.max(1) && head < heads,
            format!("report.watch_layer {layer} and watch_head {head}: the model has no such head"),
        );
        let micro = training.micro_batch;
        expect(
            micro == 0 || training.batch.is_multiple_of(micro),
            format!("training.batch {} is not a multiple of micro_batch {micro}", training.batch),
        );
        let ranges = [
            ("data.validation", self.data.validation, 0.0, 0.5),
            ("training.learning_rate", training.learning_rate, 0.0, f64::MAX),
            ("training.final_learning_rate", training.final_learning_rate, 0.0, f64::MAX),
            ("training.weight_decay", training.weight_decay, 0.0, f64::MAX),
            ("training.beta1", training.beta1, 0.0, 0.999_999),
            ("training.beta2", training.beta2, 0.0, 0.999_999),
            ("training.epsilon", training.epsilon, 0.0, 1.0),
            ("training.clip", training.clip, 0.0, f64::MAX),
            ("training.dropout", training.dropout, 0.0, 0.9),
            ("report.checkpoint_minutes", self.report.checkpoint_minutes, 0.0, 1e6),
        ];
        for (name, value, least, most) in ranges {
            expect((least..=most).contains(&value), format!("{name} is {value}, expected {least} to {most}"));
        }
        expect(training.steps > 0, "training.steps is 0, expected at least 1".into());
        let vocab_size = self.tokenizer.vocab_size;
        expect(
            (257..=1 << 20).contains(&vocab_size),
            format!(
                "tokenizer.vocab_size is {vocab_size}, expected at least 257 (256 bytes and the end of text)"
            ),
        );
        // With sound sizes, what the family demands of them.
        if wrong.is_empty() {
            wrong.extend(families::contradictions(&self.config(1)));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The keys whose values differ between two recipes, except for reports, which do not change the result.
    pub fn differences(&self, other: &Recipe) -> Vec<String> {
        let table = |recipe: &Recipe| toml::Table::try_from(recipe).unwrap_or_default();
        let (here, there) = (table(self), table(other));
        let mut differences = Vec::new();
        for section in ["model", "tokenizer", "data", "training"] {
            let part = |table: &toml::Table| table.get(section).and_then(|part| part.as_table()).cloned();
            let (here, there) = (part(&here).unwrap_or_default(), part(&there).unwrap_or_default());
            let keys: std::collections::BTreeSet<&String> = here.keys().chain(there.keys()).collect();
            for key in keys.into_iter().filter(|key| here.get(*key) != there.get(*key)) {
                let value =
                    |table: &toml::Table| table.get(key).map_or("nothing".into(), ToString::to_string);
                differences.push(format!("{section}.{key} is {}, was {}", value(&there), value(&here)));
            }
        }
        differences
    }
}
