//! safetensors files and shards: what is written is read back, and each thing that can be wrong has its error.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use glassbox_tensor::error::{Error, FileProblem};
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use glassbox_tensor::format::Format;
use glassbox_tensor::tensor::Tensor;
use proptest::prelude::*;

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn open(bytes: Vec<u8>) -> Result<SafeTensors, FileProblem> {
    SafeTensors::from_bytes("memory", bytes).map_err(problem)
}

fn problem(error: Error) -> FileProblem {
    match error {
        Error::File { problem, .. } => *problem,
        other => panic!("{other}"),
    }
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let format = prop_oneof![Just(Format::F32), Just(Format::F16), Just(Format::BF16)];
    (format, proptest::collection::vec(0usize..4, 0..5), any::<u64>()).prop_map(|(format, dims, seed)| {
        let count = format.bytes_for(dims.iter().product()).unwrap() as u64;
        let bytes: Vec<u8> = (0..count).map(|i| (seed.wrapping_mul(i + 1) >> 56) as u8).collect();
        Tensor::from_bytes(format, dims, bytes).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        metadata in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        tensors in proptest::collection::btree_map(any::<String>(), any_tensor(), 0..6),
    ) {
        let mut bytes = Vec::new();
        safetensors::write_to(&mut bytes, "memory", &metadata, &tensors).unwrap();
        let file = open(bytes.clone()).unwrap();
        prop_assert_eq!(file.metadata(), &metadata);
        prop_assert_eq!(file.tensors().len(), tensors.len());
        for (name, tensor) in &tensors {
            let read = file.tensor(name).unwrap();
            prop_assert_eq!(read.shape(), tensor.shape());
            prop_assert_eq!(read.format(), tensor.format());
            prop_assert_eq!(read.bytes().unwrap(), tensor.bytes().unwrap());
        }
        let tensors = tensors.keys().map(|name| (name, file.tensor(name).unwrap()));
        let mut again = Vec::new();
        safetensors::write_to(&mut again, "memory", file.metadata(), tensors).unwrap();
        prop_assert_eq!(again, bytes);
    }
}

#[test]
fn the_list_is_in_the_order_of_the_data() {
    let header = r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"__metadata__":{"format":"pt"},
        "a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"z":{"dtype":"X9","shape":[7],"data_offsets":[12,15]}}"#;
    let file = open(file(header, &[0; 15])).unwrap();
    let list: Vec<(&str, &str)> =
        file.tensors().iter().map(|info| (info.name.as_str(), info.element.name())).collect();
    assert_eq!(list, [("a", "I64"), ("b", "F32"), ("z", "X9")]);
    assert_eq!(file.metadata()["format"], "pt");
    assert_eq!(file.tensor_info("z").unwrap().bytes.len(), 3);
    let unsupported = file.tensor("a").unwrap_err().to_string();
    assert!(
        unsupported.starts_with("memory: tensor \"a\": elements of type I64 cannot be read"),
        "{unsupported}"
    );
    assert_eq!(file.tensor("c").unwrap_err().to_string(), "memory: tensor \"c\" is missing");
}

#[test]
fn each_broken_file_has_its_error() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |offsets: &str| {
        format!(
            r#"{{"v":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"w":{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}}}"#
        )
    };
    assert!(open(file(&entry("F32", "[2]", "[0,8]"), &[0; 8])).is_ok());
    let cases = [
        (
            vec![0; 7],
            "the file ends in the header length: 8 bytes needed at byte 0, 7 there; is it complete?",
        ),
        (
            vec![9, 0, 0, 0, 0, 0, 0, 0, b'{'],
            "the file ends in the header: 9 bytes needed at byte 8, 1 there; is it complete?",
        ),
        (vec![255; 8], "a header of 18446744073709551615 bytes; at most 100000000 allowed"),
        (file("", &[]), "header: EOF while parsing a value at line 1 column 0"),
        (file("{}x", &[]), "header: trailing characters at line 1 column 3"),
        (
            file("[]", &[]),
            "header: invalid type: sequence, expected an object with an entry for each tensor at line 1 column 0",
        ),
        (
            file("{\"w\":1}", &[]),
            "header: invalid type: integer `1`, expected struct Entry at line 1 column 6",
        ),
        (
            file(&entry("F32", "[-1]", "[0,8]"), &[]),
            "header: invalid value: integer `-1`, expected u64 at line 1 column 31",
        ),
        (
            file("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", &[]),
            "header: key \"a\" occurs twice at line 1 column 31",
        ),
        (
            file("{\"__metadata__\":{},\"__metadata__\":{}}", &[]),
            "header: __metadata__ occurs twice at line 1 column 33",
        ),
        (
            file(&entry("F32", "[3]", "[0,8]"), &[0; 8]),
            "tensor \"w\": shape and type take 12 bytes, the file gives it 8",
        ),
        (
            file(&entry("F4", "[3]", "[0,2]"), &[0; 2]),
            "tensor \"w\": its 3 elements of type F4 end inside a byte",
        ),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 9]), "bytes 8..9 of the data belong to no tensor"),
        (file(&entry("F32", "[2]", "[1,9]"), &[0; 9]), "bytes 0..1 of the data belong to no tensor"),
        (
            file(&entry("F32", "[2]", "[0,8]"), &[0; 7]),
            "tensor \"w\": bytes 0..8 of the data, which has only 7; is the file complete?",
        ),
        (
            file(&entry("F32", "[2]", "[8,0]"), &[0; 8]),
            "tensor \"w\": bytes 8..0 of the data, which has only 8; is the file complete?",
        ),
        (file(&two("[4,8]").replace("\"v\"", "\"w\""), &[0; 8]), "tensor \"w\" occurs twice"),
        (
            file(&two("[2,6]"), &[0; 6]),
            "tensor \"w\" begins at byte 2 of the data, inside another that ends at 4",
        ),
        (
            file(&entry("F32", "[4294967296,4294967296,0]", "[0,0]"), &[]),
            "tensor \"w\": shape [4294967296, 4294967296, 0] has more elements than memory",
        ),
    ];
    for (bytes, message) in cases {
        let problem = open(bytes).unwrap_err();
        assert_eq!(problem.to_string(), message, "{problem:?}");
    }
    let not_utf8 = [&[3, 0, 0, 0, 0, 0, 0, 0][..], b"{\"\xff"].concat();
    assert!(matches!(open(not_utf8), Err(FileProblem::BadJson { .. })));
    let nested = "[".repeat(100_000);
    assert!(matches!(open(file(&nested, &[])), Err(FileProblem::BadJson { .. })));
    let nested = format!("{{\"w\":{{\"x\":{nested}");
    assert!(matches!(open(file(&nested, &[])), Err(FileProblem::BadJson { .. })));
}

fn scalar(value: f32) -> Tensor {
    Tensor::from_f32([1], vec![value]).unwrap()
}

fn write(path: &Path, tensors: &[(&str, f32)]) {
    let tensors = tensors.iter().map(|&(name, value)| (name, scalar(value)));
    safetensors::write(path, &BTreeMap::new(), tensors).unwrap();
}

/// A directory with two shards of two tensors, and the index given.
fn sharded(index: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("model-1.safetensors"), &[("a", 1.0), ("b", 2.0)]);
    write(&directory.path().join("model-2.safetensors"), &[("c", 3.0), ("d", 4.0)]);
    fs::write(directory.path().join("model.safetensors.index.json"), index).unwrap();
    directory
}

const INDEX: &str = r#"{"metadata":{"total_size":16},"weight_map":{"a":"model-1.safetensors",
    "b":"model-1.safetensors","c":"model-2.safetensors","d":"model-2.safetensors"}}"#;

#[test]
fn shards_are_one_model() {
    let directory = sharded(INDEX);
    let index = directory.path().join("model.safetensors.index.json");
    for path in [directory.path(), &index] {
        let model = SafeTensors::open(path).unwrap();
        let values = ["a", "b", "c", "d"].map(|name| model.tensor(name).unwrap().to_f32()[0]);
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(model.tensor_info("c").unwrap().shard, 1);
        assert_eq!(model.shard_paths().count(), 2);
    }
    // A single file goes before an index, and can be opened by its own name.
    write(&directory.path().join("model.safetensors"), &[("a", 9.0)]);
    for path in [directory.path(), &directory.path().join("model.safetensors")] {
        assert_eq!(SafeTensors::open(path).unwrap().tensor("a").unwrap().to_f32(), [9.0]);
    }
}

#[test]
fn each_broken_index_has_its_error() {
    let cases = [
        (INDEX.replace("\"d\":\"model-2", "\"d\":\"model-1"), "should be in shard \"model-1.safetensors\""),
        (INDEX.replace("\"d\"", "\"e\""), "tensor \"e\" should be in shard \"model-2.safetensors\""),
        (INDEX.replace("\"d\"", "\"c\""), "index: key \"c\" occurs twice"),
        (
            INDEX.replace("model-2", "../model-2"),
            "shard name \"../model-2.safetensors\" is not a plain file name",
        ),
        (
            INDEX.replace("model-2", "/model-2"),
            "shard name \"/model-2.safetensors\" is not a plain file name",
        ),
        (INDEX.replace("model-2", "x\\\\model-2"), "is not a plain file name"),
        (INDEX.replace("model-2.safetensors", ""), "shard name \"\" is not a plain file name"),
        (INDEX.replace("model-2", "model-3"), "cannot open"),
        (INDEX.replace("weight_map", "weights"), "index: missing field `weight_map`"),
        ("{".to_owned(), "index: EOF while parsing"),
    ];
    for (index, expected) in cases {
        let error = SafeTensors::open(sharded(&index).path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let directory = sharded(INDEX);
    write(&directory.path().join("model-2.safetensors"), &[("c", 3.0), ("d", 4.0), ("a", 5.0)]);
    let error = SafeTensors::open(directory.path()).unwrap_err().to_string();
    assert!(error.ends_with("model-2.safetensors: tensor \"a\" occurs twice"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = SafeTensors::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("looked for model.safetensors and model.safetensors.index.json"), "{error}");
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let none = BTreeMap::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let blocks = Tensor::from_bytes(Format::Q8_0, [32], vec![0; 34]).unwrap();
    let result = safetensors::write(&path, &none, [("w", blocks)]).map_err(problem);
    assert!(matches!(result, Err(FileProblem::CannotStore { format: Format::Q8_0, .. })));
    let result = safetensors::write(&path, &none, [("__metadata__", scalar(0.0))]).map_err(problem);
    assert!(matches!(result, Err(FileProblem::ReservedName { .. })));
    let result = safetensors::write(&path, &none, [("w", scalar(0.0)), ("w", scalar(0.0))]).map_err(problem);
    assert!(matches!(result, Err(FileProblem::DuplicateTensor { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left of failed attempts");
    assert!(matches!(
        safetensors::write("/", &none, [("w", scalar(0.0))]),
        Err(Error::Io { doing: "create", .. })
    ));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = safetensors::write_to(full, "/dev/full", &BTreeMap::new(), [("w", scalar(0.0))]).unwrap_err();
    assert!(matches!(&error, Error::Io { doing: "write", .. }), "{error:?}");
}
