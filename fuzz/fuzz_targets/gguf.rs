//! Opens bytes as a GGUF file, decodes every metadata array and reads every tensor.
#![no_main]

use glassbox_tensor::file::gguf::{Gguf, Value};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Gguf::from_bytes("fuzz", bytes.to_vec()) else { return };
    for (key, value) in file.metadata() {
        let _ = (file.get_str_array(key), file.get_i32_array(key), file.get_f32_array(key));
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len());
        }
    }
    for info in file.tensors() {
        let _ = file.tensor(&info.name).map(|tensor| tensor.to_f32());
    }
});
