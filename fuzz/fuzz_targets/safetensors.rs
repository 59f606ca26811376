//! Opens bytes as a safetensors file and reads every tensor.
#![no_main]

use glassbox_tensor::file::safetensors::SafeTensors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = SafeTensors::from_bytes("fuzz", bytes.to_vec()) else { return };
    for info in file.tensors() {
        let _ = file.tensor(&info.name).map(|tensor| tensor.to_f32());
    }
});
