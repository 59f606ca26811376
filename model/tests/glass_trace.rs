//! Traces: the written values are those of a generation, bit for bit, on every engine and for every selection.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use glassbox_model::glass::{self, Error, Glob, Name, Selection, TraceOptions};
use glassbox_model::hooks::{HookPoint, Observed};
use glassbox_model::{Checkpoint, Generation, Runtime};
use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tensor::{Engine, Format, Level, Pool, quant};

const PROMPT: [u32; 7] = [5, 17, 3, 99, 42, 8, 23];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

fn load(name: &str, engine: impl Into<Engine>) -> Runtime {
    let path = fixtures().join(name);
    Checkpoint::open(path).unwrap().run_on(Pool::new(2, engine).unwrap()).unwrap()
}

fn checkpoints() -> Vec<String> {
    let entries = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap());
    let names: Vec<String> = entries
        .filter(|entry| entry.path().join("config.json").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(names.len() >= 20);
    names
}

fn record(model: &Runtime, ids: &[u32], globs: &[&str]) -> SafeTensors {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trace.safetensors");
    let selection = match globs {
        [] => Selection::all(model),
        globs => {
            let globs: Vec<Glob> = globs.iter().map(|glob| glob.parse().unwrap()).collect();
            Selection::matching(model, &globs).unwrap()
        }
    };
    glass::record(model, ids, &selection, &out, &BTreeMap::new(), &TraceOptions::default()).unwrap();
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["trace.safetensors"], "a temporary file stayed");
    SafeTensors::open(&out).unwrap()
}

#[test]
fn every_name_is_seen_once_in_order_with_its_shape() {
    for checkpoint in checkpoints() {
        let model = load(&checkpoint, Level::detect());
        let mut seen: Vec<(Name, Vec<usize>)> = Vec::new();
        let mut see = |observed: Observed<'_>| {
            let name = Name { point: observed.point, layer: observed.layer };
            assert_eq!(name.to_string(), observed.to_string());
            let expected = name.shape(&model.config, PROMPT.len());
            let mut filled = expected.clone();
            filled.resize(3, 1);
            assert_eq!(observed.shape[..], filled, "{checkpoint}: {observed}");
            seen.push((name, expected));
        };
        model.session(64).feed_all_observed(&PROMPT, &mut see, |_, _| {}).unwrap();
        let all: Vec<Name> = Name::all(&model.config);
        assert_eq!(seen.iter().map(|(name, _)| *name).collect::<Vec<_>>(), all, "{checkpoint}");
        assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len());
        assert_eq!(all.len(), all.iter().map(Name::to_string).collect::<HashSet<_>>().len());

        let trace = record(&model, &PROMPT, &[]);
        let written: Vec<(String, Vec<usize>)> =
            trace.tensors().iter().map(|info| (info.name.clone(), info.shape.to_vec())).collect();
        let expected: Vec<(String, Vec<usize>)> =
            seen.into_iter().map(|(name, shape)| (name.to_string(), shape)).collect();
        assert_eq!(written, expected, "{checkpoint}");
        assert_eq!(trace.metadata()["ids"], "[5, 17, 3, 99, 42, 8, 23]");
    }
}

#[test]
fn a_trace_has_the_bits_of_the_generation() {
    for checkpoint in checkpoints() {
        let model = load(&checkpoint, Level::detect());
        // Generated without an observer, as `generate` does.
        let mut session = model.session(usize::MAX);
        let greedy = |logits: &[f32]| {
            let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            Ok::<_, Infallible>(best.unwrap() as u32)
        };
        let generation = Generation::new(&mut session, &PROMPT, 20, &[], greedy).unwrap();
        let generated: Vec<u32> = generation.map(Result::unwrap).collect();
        assert_eq!(generated.len(), 20);
        let ids = [&PROMPT[..], &generated].concat();
        let trace = record(&model, &ids, &[]);
        let values: HashMap<&str, Vec<f32>> = trace
            .tensors()
            .iter()
            .map(|info| (info.name.as_str(), trace.tensor(&info.name).unwrap().to_f32()))
            .collect();

        // Again with an observer: the prompt at once, then token by token, greedily.
        let tokens = ids.len();
        let mut compared: HashSet<String> = HashSet::new();
        let mut see = |observed: Observed<'_>| {
            let whole = &values[observed.to_string().as_str()];
            let (first, seen) = (observed.first_position, &*observed.values);
            let same = |a: &[f32], b: &[f32]| {
                assert!(
                    a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
                    "{checkpoint}: {observed}"
                );
            };
            if matches!(observed.point, HookPoint::Scores | HookPoint::Pattern) {
                let [heads, queries, positions] = observed.shape;
                let nothing = if observed.point == HookPoint::Pattern { 0.0 } else { f32::NEG_INFINITY };
                for (row, seen) in seen.chunks_exact(positions).enumerate().take(heads * queries) {
                    let (head, query) = (row / queries, first + row % queries);
                    let (looked_at, later) =
                        whole[(head * tokens + query) * tokens..][..tokens].split_at(positions);
                    same(seen, looked_at);
                    assert!(later.iter().all(|&x| x == nothing), "{checkpoint}: {observed}");
                }
            } else {
                let row = observed.shape[1] * observed.shape[2];
                same(seen, &whole[first * row..][..seen.len()]);
            }
            compared.insert(observed.to_string());
        };
        let mut session = model.session(usize::MAX);
        let mut logits = session.feed_observed(&PROMPT, &mut see).unwrap();
        for &id in &generated {
            assert_eq!(greedy(logits), Ok(id), "{checkpoint}");
            logits = session.feed_observed(&[id], &mut see).unwrap();
        }
        assert_eq!(compared.len(), values.len(), "{checkpoint}");
    }
}

#[test]
fn both_engines_write_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for checkpoint in ["gpt2-plain", "llama-gqa", "mistral-window", "qwen2-plain", "qwen3-plain"] {
        let written: Vec<Vec<u8>> = [Engine::Kernels(Level::detect()), Engine::Reference]
            .into_iter()
            .map(|engine| {
                let model = load(checkpoint, engine);
                let out = folder.path().join("trace.safetensors");
                glass::record(
                    &model,
                    &PROMPT,
                    &Selection::all(&model),
                    &out,
                    &BTreeMap::new(),
                    &TraceOptions::default(),
                )
                .unwrap();
                fs::read(out).unwrap()
            })
            .collect();
        assert!(written[0] == written[1], "{checkpoint}");
    }
}

#[test]
fn a_selection_is_written_with_the_same_values() {
    let model = load("gpt2-plain", Level::detect());
    let ids: Vec<u32> = (0..50).map(|i| i * 7 % 101).collect(); // more than one block of logits
    let all = record(&model, &ids, &[]);
    for globs in
        [&["blocks.*.attn.pattern"][..], &["blocks.1.*", "logits"], &["embed", "e*"], &["*.attn.[qk]"]]
    {
        let some = record(&model, &ids, globs);
        assert!(!some.tensors().is_empty() && some.tensors().len() < all.tensors().len());
        for info in some.tensors() {
            let value = |file: &SafeTensors| file.tensor(&info.name).unwrap().bytes().unwrap().to_vec();
            assert!(value(&some) == value(&all), "{}", info.name);
            let fits = |glob: &&str| glob.parse::<Glob>().unwrap().matches(&info.name);
            assert!(globs.iter().any(fits), "{}", info.name);
        }
    }
    assert_eq!(record(&model, &ids, &["*.attn.pattern"]).tensors().len(), 2);
}

/// A prompt is fed in chunks, and a chunk has only some rows of each value; scores and patterns of later chunks have
/// more positions.
#[test]
fn chunks_of_a_prompt_give_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trace.safetensors");
    let ids: Vec<u32> = (0..50).map(|i| i * 7 % 101).collect();
    for checkpoint in checkpoints() {
        let model = load(&checkpoint, Level::detect());
        let all = Selection::all(&model);
        let write = |chunk: usize| {
            let options = TraceOptions { chunk, ..TraceOptions::default() };
            glass::record(&model, &ids, &all, &out, &BTreeMap::new(), &options).unwrap();
            fs::read(&out).unwrap()
        };
        let (whole, summaries) = (write(50), glass::summarise(&model, &ids, &all, 50).unwrap());
        for chunk in [1, 7, 25, 49] {
            assert!(write(chunk) == whole, "{checkpoint}, chunks of {chunk}");
            let pieces = glass::summarise(&model, &ids, &all, chunk).unwrap();
            assert_eq!(pieces.len(), summaries.len());
            for (pieces, whole) in pieces.iter().zip(&summaries) {
                assert_eq!((pieces.name, pieces.min, pieces.max), (whole.name, whole.min, whole.max));
                assert_eq!(pieces.not_finite, whole.not_finite, "{checkpoint}: {}", whole.name);
                assert!(
                    (pieces.norm - whole.norm).abs() <= 1e-9 * whole.norm,
                    "{checkpoint}: {}",
                    whole.name
                );
            }
        }
    }
}

#[test]
fn half_precision_takes_half_the_space_and_rounds_each_value() {
    let folder = tempfile::tempdir().unwrap();
    let model = load("llama-gqa", Level::detect());
    let all = Selection::all(&model);
    let exact = record(&model, &PROMPT, &[]);
    for format in [Format::F16, Format::BF16] {
        let out = folder.path().join("trace.safetensors");
        let options = TraceOptions { format, ..TraceOptions::default() };
        let overflowed = glass::record(&model, &PROMPT, &all, &out, &BTreeMap::new(), &options).unwrap();
        assert_eq!(overflowed, 0);
        let trace = SafeTensors::open(&out).unwrap();
        assert_eq!(trace.tensors().len(), exact.tensors().len());
        for info in exact.tensors() {
            let values = exact.tensor(&info.name).unwrap().to_f32();
            let rounded = quant::quantize(format, &values).unwrap();
            let found = trace.tensor(&info.name).unwrap();
            assert_eq!((found.format(), found.shape().dims()), (format, info.shape.dims()));
            assert!(found.bytes().unwrap()[..] == rounded[..], "{format}: {}", info.name);
        }
    }
}

#[test]
fn summaries_are_of_the_values_written() {
    let model = load("llama-gqa", Level::detect());
    let ids: Vec<u32> = (0..50).map(|i| i * 7 % 101).collect();
    let (trace, all) = (record(&model, &ids, &[]), Selection::all(&model));
    let summaries = glass::summarise(&model, &ids, &all, ids.len()).unwrap();
    assert_eq!(summaries.len(), trace.tensors().len());
    for (summary, info) in summaries.iter().zip(trace.tensors()) {
        assert_eq!((summary.name.to_string(), &summary.shape[..]), (info.name.clone(), info.shape.dims()));
        let values = trace.tensor(&info.name).unwrap().to_f32();
        let finite: Vec<f64> = values.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x)).collect();
        assert_eq!(summary.not_finite, values.len() - finite.len());
        assert_eq!(summary.not_finite > 0, summary.name.point == HookPoint::Scores);
        let mean = finite.iter().sum::<f64>() / finite.len() as f64;
        let variance = finite.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / finite.len() as f64;
        let norm = finite.iter().map(|x| x * x).sum::<f64>().sqrt();
        for (found, expected) in [(summary.mean, mean), (summary.std, variance.sqrt()), (summary.norm, norm)]
        {
            assert!((found - expected).abs() <= 1e-10 * (1.0 + expected.abs()), "{}", info.name);
        }
        let extremes = finite.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        assert_eq!((f64::from(summary.min), f64::from(summary.max)), extremes);
    }
}

#[test]
fn errors_are_reported_and_leave_no_files() {
    let model = load("gpt2-plain", Level::detect());
    let all = Selection::all(&model);
    let folder = tempfile::tempdir().unwrap();
    let record = |ids: &[u32], out: &Path| {
        glass::record(&model, ids, &all, out, &BTreeMap::new(), &TraceOptions::default())
    };
    let out = folder.path().join("trace.safetensors");

    let glob: Glob = "blocks.99.*".parse().unwrap();
    let error = Selection::matching(&model, &[glob]).unwrap_err();
    assert!(matches!(&error, Error::NoSuchName { .. }), "{error}");
    assert!(error.to_string().contains("blocks.99.*") && error.to_string().contains("embed"), "{error}");

    for (ids, expected) in [(&[][..], "no tokens"), (&[1, 101], "101"), (&[1; 65], "64")] {
        fs::write(&out, "as it was").unwrap();
        let error = record(ids, &out).unwrap_err();
        assert!(matches!(error, Error::Model(_)) && error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read(&out).unwrap(), b"as it was");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "a temporary file stayed");
    }
    for out in [folder.path().join("no/such/folder/trace.safetensors"), folder.path().to_owned(), "/".into()]
    {
        let error = record(&PROMPT, &out).unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
        assert!(error.to_string().contains(&out.display().to_string()), "{error}");
    }
}
