//! Files that lie: whatever is done to a valid file, opening it and reading all of it ends in values or in an error,
//! never in a panic, and never with more memory than is in proportion to the file.

mod counting_allocator;
mod mutations;

use std::collections::BTreeMap;

use counting_allocator::memory_of;
use glassbox_tensor::file::gguf::{self, Array, Gguf, Value, ValueType};
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use glassbox_tensor::format::Format;
use glassbox_tensor::storage::Storage;
use glassbox_tensor::tensor::Tensor;
use mutations::{Random, mutate};

/// Opens `bytes` and looks at everything in them. True if they could be opened.
fn read_gguf(bytes: &[u8]) -> bool {
    let Ok(file) = Gguf::from_bytes("hostile", Storage::from(bytes.to_vec())) else { return false };
    for (key, value) in file.metadata() {
        let _ = (file.get_u32(key), file.get_f32(key), file.get_str(key), file.get_bool(key));
        let _ = (file.get_str_array(key), file.get_f32_array(key), file.get_i32_array(key));
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len(), "every element of a checked array can be decoded");
        }
    }
    for info in file.tensors() {
        if let Ok(tensor) = file.tensor(&info.name) {
            assert_eq!(tensor.to_f32().len(), info.shape.elements());
        }
    }
    true
}

fn read_safetensors(bytes: &[u8]) -> bool {
    let Ok(file) = SafeTensors::from_bytes("hostile", Storage::from(bytes.to_vec())) else { return false };
    for info in file.tensors() {
        if let Ok(tensor) = file.tensor(&info.name) {
            assert_eq!(tensor.to_f32().len(), info.shape.elements());
        }
    }
    true
}

fn gguf_file() -> Vec<u8> {
    let nested = [1, 2].map(|n| Value::Array(Array::from_i32(&[n; 2])));
    let metadata = [
        ("general.alignment", Value::U32(16)),
        ("text", Value::String("some text".to_owned())),
        ("tokens", Value::Array(Array::from_strings(&["a", "bc", "def"]))),
        ("scores", Value::Array(Array::from_f32(&[0.0, -1.0, -2.0]))),
        ("types", Value::Array(Array::from_i32(&[1, 1, 3]))),
        ("nested", Value::Array(Array::new(ValueType::Array, &nested).unwrap())),
        ("flag", Value::Bool(true)),
        ("base", Value::F32(10_000.0)),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
    let tensors = Format::ALL.map(|format| {
        let bytes = (0..format.bytes_for(512).unwrap()).map(|i| (i * 37) as u8).collect::<Vec<u8>>();
        (format.name(), Tensor::from_bytes(format, [2, 256], bytes).unwrap())
    });
    let mut bytes = Vec::new();
    gguf::write_to(&mut bytes, "memory", &metadata, tensors).unwrap();
    bytes
}

fn safetensors_file() -> Vec<u8> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let tensors = [Format::F32, Format::F16, Format::BF16].map(|format| {
        let bytes = vec![7; format.bytes_for(12).unwrap()];
        (format.name(), Tensor::from_bytes(format, [3, 4], bytes).unwrap())
    });
    let mut bytes = Vec::new();
    safetensors::write_to(&mut bytes, "memory", &metadata, tensors).unwrap();
    bytes
}

/// Memory allowed for a file of this many bytes: some copies of it, its tensors as f32, and lists of their names.
fn allowed(len: usize) -> isize {
    64 * 1024 + 64 * len as isize
}

fn survive(file: &[u8], header_len: usize, data_end: usize, mutations: u64, read: fn(&[u8]) -> bool) {
    assert!(read(file));
    for len in 0..data_end {
        let memory = memory_of(|| assert!(!read(&file[..len]), "cut to {len} bytes, it still opens"));
        assert!(memory <= allowed(len), "cut to {len} bytes, it takes {memory} bytes");
    }
    let mut opened = 0;
    for seed in 0..mutations {
        let mut bytes = file.to_vec();
        mutate(&mut Random(seed), &mut bytes, header_len);
        let memory = memory_of(|| opened += u64::from(read(&bytes)));
        assert!(memory <= allowed(bytes.len()), "mutation {seed} takes {memory} bytes");
    }
    // If nearly all mutations were seen at once, or hardly any, the test would not test much.
    assert!((mutations / 100..mutations / 2).contains(&opened), "{opened} of {mutations} mutated files open");
}

#[test]
fn mutated_gguf() {
    let file = gguf_file();
    let opened = Gguf::from_bytes("memory", file.clone()).unwrap();
    // The padding after the last tensor may be missing.
    let (header_len, data_end) =
        (opened.tensors()[0].bytes.start, opened.tensors().last().unwrap().bytes.end);
    survive(&file, header_len, data_end, 6000, read_gguf);
}

#[test]
fn mutated_safetensors() {
    let file = safetensors_file();
    let header_len = file.len() - 12 * 8;
    survive(&file, header_len, file.len(), 6000, read_safetensors);
}

#[test]
fn many_empty_arrays_take_little_memory() {
    // The most list entries a byte can buy: empty keys are taken only once, so that keys of two bytes follow.
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(60_000u64.to_le_bytes());
    for key in (0u32..0x1_0000).filter(|key| key & 0x8080 == 0 && *key < 0x7f7f) {
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(&key.to_le_bytes()[..2]);
        bytes.extend([0, 0, 0, 0, 1]);
    }
    let count = (bytes.len() - 24) / 15;
    bytes[16..24].copy_from_slice(&(count as u64).to_le_bytes());
    let memory = memory_of(|| assert!(read_gguf(&bytes)));
    assert!(memory <= allowed(bytes.len()), "{count} entries in {} bytes take {memory}", bytes.len());
}
