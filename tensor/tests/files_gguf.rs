//! GGUF files: what is written is read back, and each thing that can be wrong has its error.

use std::path::Path;

use glassbox_tensor::error::{Error, FileProblem};
use glassbox_tensor::file::gguf::{self, Array, Gguf, Optional, Value, ValueType};
use glassbox_tensor::format::{ElementType, Format};
use glassbox_tensor::tensor::Tensor;
use proptest::prelude::*;

fn encode(metadata: &[(String, Value)], tensors: &[(&str, Tensor)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    gguf::write_to(&mut bytes, "memory", metadata, tensors.iter().map(|(name, tensor)| (name, tensor)))
        .unwrap();
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Gguf, FileProblem> {
    Gguf::from_bytes("memory", bytes).map_err(problem)
}

fn problem(error: Error) -> FileProblem {
    match error {
        Error::File { path, problem } => {
            assert_eq!(path, Path::new("memory"));
            *problem
        }
        other => panic!("{other}"),
    }
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<f32>().prop_map(Value::F32),
        any::<bool>().prop_map(Value::Bool),
        any::<String>().prop_map(Value::String),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::F64),
    ]
}

/// Values of every type, arrays and arrays of arrays among them.
fn any_value() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(3, 20, 5, |inner| {
        proptest::collection::vec(inner, 0..5).prop_map(|mut values| {
            let element_type = values.first().map_or(ValueType::U8, Value::value_type);
            values.retain(|value| value.value_type() == element_type);
            Value::Array(Array::new(element_type, &values).unwrap())
        })
    })
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let dims = proptest::collection::vec(0usize..4, 0..4);
    (0..Format::ALL.len(), dims, 1usize..3, any::<u64>()).prop_map(|(format, mut dims, blocks, seed)| {
        let format = Format::ALL[format];
        dims.push(blocks * format.block_len());
        let count = format.bytes_for(dims.iter().product()).unwrap();
        let bytes: Vec<u8> = (0..count as u64).map(|i| (seed.wrapping_mul(i + 1) >> 56) as u8).collect();
        Tensor::from_bytes(format, dims, bytes).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        metadata in proptest::collection::btree_map("[a-z.]{1,9}", any_value(), 0..6),
        tensors in proptest::collection::btree_map(any::<String>(), any_tensor(), 0..5),
        alignment in proptest::option::of(0u32..10),
    ) {
        let mut metadata: Vec<(String, Value)> = metadata.into_iter().collect();
        if let Some(power) = alignment {
            metadata.push(("general.alignment".to_owned(), Value::U32(1 << power)));
        }
        let mut bytes = Vec::new();
        gguf::write_to(&mut bytes, "memory", &metadata, &tensors).unwrap();
        let file = open(bytes.clone()).unwrap();
        // Compared as they are encoded, since NaN is not equal to itself.
        prop_assert_eq!(file.metadata().len(), metadata.len());
        for (key, value) in &metadata {
            prop_assert_eq!(format!("{:?}", file.value(key).unwrap()), format!("{value:?}"));
        }
        prop_assert_eq!(file.tensors().len(), tensors.len());
        for (info, (name, tensor)) in file.tensors().iter().zip(&tensors) {
            prop_assert_eq!(&info.name, name);
            let read = file.tensor(name).unwrap();
            prop_assert_eq!(read.shape(), tensor.shape());
            prop_assert_eq!(read.format(), tensor.format());
            prop_assert_eq!(read.bytes().unwrap(), tensor.bytes().unwrap());
        }
        // The same again, from what was read, gives the same file.
        let tensors = file.tensors().iter().map(|info| (&info.name, file.tensor(&info.name).unwrap()));
        let mut again = Vec::new();
        gguf::write_to(&mut again, "memory", file.metadata(), tensors).unwrap();
        prop_assert_eq!(again, bytes);
    }
}

fn example() -> Gguf {
    let metadata = [
        ("a.u16", Value::U16(7)),
        ("a.i64", Value::I64(-3)),
        ("a.u64", Value::U64(1 << 40)),
        ("a.f32", Value::F32(0.5)),
        ("a.f64", Value::F64(0.1)),
        ("a.bool", Value::Bool(true)),
        ("a.text", Value::String("héllo".to_owned())),
        ("a.texts", Value::Array(Array::from_strings(&["one", "", "三"]))),
        ("a.floats", Value::Array(Array::from_f32(&[1.5, -2.0]))),
        ("a.doubles", Value::Array(Array::new(ValueType::F64, &[Value::F64(0.1)]).unwrap())),
        ("a.ints", Value::Array(Array::from_i32(&[1, -2, 3]))),
        ("a.bytes", Value::Array(Array::new(ValueType::U8, &[Value::U8(200)]).unwrap())),
        ("a.large", Value::Array(Array::new(ValueType::U32, &[Value::U32(u32::MAX)]).unwrap())),
        (
            "a.bools",
            Value::Array(Array::new(ValueType::Bool, &[Value::Bool(true), Value::Bool(false)]).unwrap()),
        ),
    ];
    let metadata: Vec<(String, Value)> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let weight = Tensor::from_f32([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    open(encode(&metadata, &[("weight", weight)])).unwrap()
}

#[test]
fn values_are_found_by_type() {
    let file = example();
    assert_eq!((file.get_u32("a.u16").unwrap(), file.get_i32("a.i64").unwrap()), (7, -3));
    assert_eq!((file.get_u64("a.u64").unwrap(), file.get_bool("a.bool").unwrap()), (1 << 40, true));
    assert_eq!((file.get_f32("a.f32").unwrap(), file.get_f32("a.f64").unwrap()), (0.5, 0.1));
    assert_eq!(file.get_str("a.text").unwrap(), "héllo");
    assert_eq!(file.get_str_array("a.texts").unwrap(), ["one", "", "三"]);
    assert_eq!(file.get_f32_array("a.floats").unwrap(), [1.5, -2.0]);
    assert_eq!(file.get_f32_array("a.doubles").unwrap(), [0.1]);
    assert_eq!(file.get_i32_array("a.ints").unwrap(), [1, -2, 3]);
    assert_eq!(file.get_i32_array("a.bytes").unwrap(), [200]);
    assert_eq!(file.get_bool_array("a.bools").unwrap(), [true, false]);
    assert_eq!(file.get_u32("a.none").optional().unwrap(), None);
    assert_eq!(file.get_u32("a.u16").optional().unwrap(), Some(7));
    assert_eq!(file.tensor("weight").unwrap().to_f32(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let Some(Value::Array(texts)) = file.value("a.texts") else { panic!("not an array") };
    let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
    assert_eq!(texts, ["\"one\"", "\"\"", "\"三\""]);
}

#[test]
fn a_wrong_type_names_key_expected_and_found() {
    let file = example();
    let message = |error: Error| error.to_string();
    assert_eq!(message(file.get_u32("a.none").unwrap_err()), "memory: metadata key \"a.none\" is missing");
    assert_eq!(
        message(file.get_u32("a.i64").unwrap_err()),
        "memory: metadata key \"a.i64\": expected an unsigned 32-bit integer, found i64 -3"
    );
    assert_eq!(
        message(file.get_f32("a.text").optional().unwrap_err()),
        "memory: metadata key \"a.text\": expected a floating-point number, found \"héllo\""
    );
    assert_eq!(
        message(file.get_str_array("a.ints").unwrap_err()),
        "memory: metadata key \"a.ints\": expected an array of strings, found array of 3 i32"
    );
    for key in ["a.large", "a.floats", "a.texts"] {
        assert!(
            matches!(problem(file.get_i32_array(key).unwrap_err()), FileProblem::WrongValue { .. }),
            "{key}"
        );
    }
    assert!(matches!(problem(file.get_u32("a.u64").unwrap_err()), FileProblem::WrongValue { .. }));
    assert!(matches!(problem(file.get_bool("a.u16").unwrap_err()), FileProblem::WrongValue { .. }));
    let missing = problem(file.tensor("nothing").unwrap_err());
    assert!(matches!(missing, FileProblem::MissingTensor { tensor } if tensor == "nothing"));
}

/// A GGUF built by hand, so that it can lie.
#[derive(Default)]
struct Builder(Vec<u8>);

impl Builder {
    fn new(tensors: u64, metadata: u64) -> Builder {
        Builder(b"GGUF".to_vec()).u32(3).u64(tensors).u64(metadata)
    }

    fn u8(mut self, value: u8) -> Builder {
        self.0.push(value);
        self
    }

    fn u32(mut self, value: u32) -> Builder {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Builder {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(mut self, text: &[u8]) -> Builder {
        self = self.u64(text.len() as u64);
        self.0.extend(text);
        self
    }

    /// An entry of the tensor list, sizes innermost first.
    fn tensor(mut self, name: &str, sizes: &[u64], ggml_type: u32, offset: u64) -> Builder {
        self = self.text(name.as_bytes()).u32(sizes.len() as u32);
        for &size in sizes {
            self = self.u64(size);
        }
        self.u32(ggml_type).u64(offset)
    }

    /// Padding to 32 bytes and this much data.
    fn data(mut self, len: usize) -> Builder {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 0);
        self
    }

    fn problem(self) -> FileProblem {
        open(self.0).unwrap_err()
    }
}

/// Asserts that a problem is the expected one and that its message says so.
macro_rules! assert_problem {
    ($problem:expr, $pattern:pat $(if $guard:expr)?, $message:expr) => {
        let problem = $problem;
        assert!(matches!(&problem, $pattern $(if $guard)?), "{problem:?}");
        assert_eq!(problem.to_string(), $message);
    };
}

#[test]
fn each_broken_header_has_its_error() {
    use FileProblem::*;
    assert_problem!(
        open(vec![]).unwrap_err(),
        Truncated { at: 0, .. },
        "the file ends in the magic number: 4 bytes needed at byte 0, 0 there; is it complete?"
    );
    assert_problem!(
        open(b"GGML....".to_vec()).unwrap_err(),
        BadMagic { .. },
        "the file begins with \"GGML\", expected \"GGUF\""
    );
    assert_problem!(
        open(b"GGUF\0\0\0\x03".to_vec()).unwrap_err(),
        BigEndian,
        "a big-endian GGUF; convert it to little-endian"
    );
    assert_problem!(
        open(b"GGUF\x01\0\0\0".to_vec()).unwrap_err(),
        UnsupportedVersion { found: 1, .. },
        "version 1 of the format; supported: 2 and 3"
    );
    assert_problem!(
        Builder::new(0, u64::MAX).problem(),
        CountTooLarge { .. },
        "18446744073709551615 metadata entries, but the rest of the file has room for 0 at most"
    );
    assert_problem!(
        Builder::new(u64::MAX, 0).u64(0).problem(),
        CountTooLarge { .. },
        "18446744073709551615 tensors, but the rest of the file has room for 0 at most"
    );
}

/// llama.cpp reads keys and strings as bytes. An author's name in Latin-1 must not make a file unreadable.
#[test]
fn metadata_that_are_not_utf8_are_read_and_listed() {
    let file = Builder::new(0, 4)
        .text(b"fine")
        .u32(8)
        .text(b"\xc3\xa9")
        .text(b"author")
        .u32(8)
        .text(b"Andr\xe9")
        .text(b"\xff")
        .u32(0)
        .u8(1)
        .text(b"\xfe")
        .u32(8)
        .text(b"\xff");
    let file = open(file.0).unwrap();
    assert_eq!(file.get_str("fine").unwrap(), "é");
    assert_eq!(file.get_str("author").unwrap(), "Andr\u{fffd}");
    assert_eq!(file.get_u32("\u{fffd}").unwrap(), 1);
    assert_eq!(file.metadata().len(), 4);
    assert_eq!(file.not_utf8(), ["author", "\u{fffd}", "\u{fffd}"]);
}

#[test]
fn each_broken_metadata_entry_has_its_error() {
    use FileProblem::*;
    let one = || Builder::new(0, 1).text(b"key");
    assert_problem!(
        one().u32(13).u64(0).problem(),
        UnknownValueType { found: 13, .. },
        "metadata key \"key\": unknown value type 13"
    );
    assert_problem!(
        one().u32(7).u8(2).problem(),
        WrongValue { .. },
        "metadata key \"key\": expected 0 or 1 as a truth value, found 2"
    );
    assert_problem!(
        one().u32(9).u32(7).u64(2).u8(1).u8(9).problem(),
        WrongValue { .. },
        "metadata key \"key\": expected 0 or 1 as a truth value, found 9"
    );
    assert_problem!(
        one().u32(9).u32(8).u64(1 << 60).u64(0).problem(),
        CountTooLarge { limit: 1, .. },
        "1152921504606846976 elements in metadata key \"key\", but the rest of the file has room for 1 at most"
    );
    assert_problem!(
        one().u32(8).u64(u64::MAX).problem(),
        Truncated { needed: u64::MAX, .. },
        "the file ends in key: 18446744073709551615 bytes needed at byte 47, 0 there; is it complete?"
    );
    let mut nested = one().u32(9);
    for _ in 0..8 {
        nested = nested.u32(9).u64(1);
    }
    assert_problem!(
        nested.u32(0).u64(0).problem(),
        NestedTooDeep { .. },
        "metadata key \"key\": arrays nested more than 8 deep"
    );
    let twice = Builder::new(0, 2).text(b"key").u32(0).u8(1).text(b"key").u32(0).u8(1);
    assert_problem!(twice.problem(), DuplicateKey { .. }, "metadata key \"key\" occurs twice");
    let alignment = || Builder::new(0, 1).text(b"general.alignment");
    assert_problem!(
        alignment().u32(4).u32(24).problem(),
        WrongValue { .. },
        "metadata key \"general.alignment\": expected a power of two as u32, found u32 24"
    );
    assert!(matches!(alignment().u32(4).u32(0).problem(), WrongValue { .. }));
    assert!(matches!(alignment().u32(10).u64(32).problem(), WrongValue { .. }));
    let texts = one().u32(9).u32(8).u64(2).text(b"fine").text(b"\xff\xfe");
    let file = open(texts.0).unwrap();
    assert_problem!(
        problem(file.get_str_array("key").unwrap_err()),
        NotUtf8 { .. },
        "element 1 of metadata key \"key\" is not valid UTF-8"
    );
}

#[test]
fn each_broken_tensor_entry_has_its_error() {
    use FileProblem::*;
    let one =
        |sizes: &[u64], ggml_type, offset| Builder::new(1, 0).tensor("w", sizes, ggml_type, offset).data(64);
    assert!(open(one(&[16], 0, 0).0).is_ok());
    assert_problem!(
        one(&[1; 5], 0, 0).problem(),
        TooManyDimensions { .. },
        "tensor \"w\": 5 dimensions; at most 4 allowed"
    );
    assert_problem!(
        one(&[1 << 40, 1 << 40], 0, 0).problem(),
        TensorTooLarge { .. },
        "tensor \"w\": shape [1099511627776, 1099511627776] has more elements than memory"
    );
    assert!(matches!(one(&[u64::MAX], 0, 0).problem(), TensorTooLarge { .. }));
    assert!(matches!(one(&[1 << 62], 0, 0).problem(), TensorTooLarge { .. }));
    assert_problem!(
        one(&[31, 2], 8, 0).problem(),
        PartialBlock { .. },
        "tensor \"w\": rows of 31 elements are not whole Q8_0 blocks"
    );
    assert_problem!(
        one(&[4], 0, 16).problem(),
        Misaligned { .. },
        "tensor \"w\": offset 16 is not a multiple of 32"
    );
    assert_problem!(
        one(&[17], 0, 0).problem(),
        OutsideFile { .. },
        "tensor \"w\": bytes 0..68 of the data, which has only 64; is the file complete?"
    );
    assert_problem!(
        one(&[1], 0, u64::MAX - 31).problem(),
        OutsideFile { .. },
        "tensor \"w\": bytes 18446744073709551584..18446744073709551588 of the data, which has only 64; is the file complete?"
    );
    let twice = Builder::new(2, 0).tensor("w", &[1], 0, 0).tensor("w", &[1], 0, 32).data(64);
    assert_problem!(twice.problem(), DuplicateTensor { .. }, "tensor \"w\" occurs twice");
    let over = Builder::new(2, 0).tensor("a", &[9], 0, 0).tensor("b", &[1], 0, 32).data(64);
    assert_problem!(
        over.problem(),
        Overlap { .. },
        "tensor \"b\" begins at byte 32 of the data, inside another that ends at 36"
    );
    assert!(matches!(Builder::new(1, 0).text(b"\xff").data(64).problem(), NotUtf8 { .. }));
}

#[test]
fn other_types_are_listed_but_not_read() {
    let types =
        Builder::new(3, 0).tensor("ids", &[4], 26, 0).tensor("iq", &[256], 17, 32).tensor("new", &[5], 99, 0);
    let file = open(types.data(128).0).unwrap();
    let names: Vec<&str> = file.tensors().iter().map(|info| info.element.name()).collect();
    assert_eq!(names, ["I32", "IQ2_XS", "ggml type 99"]);
    assert_eq!(file.tensors()[1].bytes.len(), 74);
    assert_eq!(file.tensor_info("ids").unwrap().element, ElementType::Other("I32".to_owned()));
    assert_problem!(
        problem(file.tensor("ids").unwrap_err()),
        FileProblem::UnsupportedType { .. },
        "tensor \"ids\": elements of type I32 cannot be read; expected one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, \
         Q5_1, Q4_K, Q5_K, Q6_K"
    );
}

#[test]
fn version_2_is_read_and_shapes_are_turned_round() {
    let mut bytes = Builder::new(1, 0).tensor("w", &[3, 2], 0, 0).data(24).0;
    bytes[4] = 2;
    let file = open(bytes).unwrap();
    assert_eq!(file.version(), 2);
    assert_eq!(file.tensor("w").unwrap().shape().dims(), [2, 3]);
}

#[test]
fn a_file_replaces_another_only_when_it_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.gguf");
    let tensor = |value| Tensor::from_f32([2], vec![value; 2]).unwrap();
    gguf::write(&path, &[], [("w", tensor(1.0))]).unwrap();
    let old = Gguf::open(&path).unwrap();
    // The same name twice is an error: nothing is left of the attempt.
    let error = gguf::write(&path, &[], [("w", tensor(2.0)), ("w", tensor(2.0))]).unwrap_err();
    assert!(error.to_string().ends_with("tensor \"w\" occurs twice"), "{error}");
    assert_eq!(Gguf::open(&path).unwrap().tensor("w").unwrap().to_f32(), [1.0, 1.0]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    // Replacing a file leaves those who have it mapped with the old one.
    gguf::write(&path, &[], [("w", tensor(3.0))]).unwrap();
    assert_eq!(Gguf::open(&path).unwrap().tensor("w").unwrap().to_f32(), [3.0, 3.0]);
    assert_eq!(old.tensor("w").unwrap().to_f32(), [1.0, 1.0]);
    let nowhere = gguf::write(directory.path().join("none/model.gguf"), &[], [("w", tensor(1.0))]);
    assert!(matches!(nowhere, Err(Error::Io { doing: "create", .. })));
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let write = |metadata: &[(String, Value)], name: &str, tensor: Tensor| {
        problem(gguf::write_to(Vec::new(), "memory", metadata, [(name, tensor)]).unwrap_err())
    };
    let scalar = || Tensor::from_f32([1], vec![0.0]).unwrap();
    let key = |value| ("k".to_owned(), value);
    let twice = write(&[key(Value::U8(1)), key(Value::U8(2))], "w", scalar());
    assert!(matches!(twice, FileProblem::DuplicateKey { .. }));
    let alignment = write(&[("general.alignment".to_owned(), Value::U32(3))], "w", scalar());
    assert!(matches!(alignment, FileProblem::WrongValue { .. }));
    let deep = write(&[], "w", scalar().reshape([1; 5]).unwrap());
    assert!(matches!(deep, FileProblem::TooManyDimensions { found: 5, .. }));
    let blocks = Tensor::from_bytes(Format::Q8_0, [2, 32], vec![0; 68]).unwrap().transpose(0, 1).unwrap();
    assert!(matches!(write(&[], "w", blocks), FileProblem::ScatteredBlocks { .. }));
    // Views that can be brought in order are.
    let matrix = Tensor::from_f32([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap().transpose(0, 1).unwrap();
    assert_eq!(
        open(encode(&[], &[("w", matrix)])).unwrap().tensor("w").unwrap().to_f32(),
        [1.0, 3.0, 2.0, 4.0]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let tensor = Tensor::from_f32([1000], vec![0.0; 1000]).unwrap();
    let error = gguf::write_to(std::io::BufWriter::new(full), "/dev/full", &[], [("w", tensor)]).unwrap_err();
    assert!(matches!(&error, Error::Io { doing: "write", .. }), "{error:?}");
    assert!(error.to_string().starts_with("cannot write /dev/full: "), "{error}");
}
