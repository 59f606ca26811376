//! Dequantises bytes as blocks of every format, and quantises the result to every format.
#![no_main]

use glassbox_tensor::format::Format;
use glassbox_tensor::quant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for format in Format::ALL {
        let blocks = bytes.len() / format.block_bytes();
        let mut values = vec![0.0; blocks * format.block_len()];
        quant::dequantize(format, &bytes[..blocks * format.block_bytes()], &mut values);
        for format in Format::ALL {
            let _ = quant::quantize(format, &values);
        }
    }
});
