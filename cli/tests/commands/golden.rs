//! The reference values of the tiny checkpoints.

use std::fs;

use glassbox_tensor::file::safetensors::SafeTensors;

use crate::process::fixture;

/// A checkpoint's `golden.safetensors`.
pub(crate) struct Golden {
    file: SafeTensors,
    bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn open(checkpoint: &str) -> Golden {
        let path = fixture("tiny").join(checkpoint).join("golden.safetensors");
        Golden { bytes: fs::read(&path).unwrap(), file: SafeTensors::open(&path).unwrap() }
    }

    /// Integers: 32 bits each, little-endian.
    pub(crate) fn ids(&self, name: &str) -> Vec<u32> {
        let info = self.file.tensor_info(name).unwrap();
        assert_eq!(info.element.name(), "I32");
        let words = self.bytes[info.bytes.clone()].as_chunks::<4>().0;
        words.iter().map(|word| u32::from_le_bytes(*word)).collect()
    }

    /// Floating-point numbers.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f32> {
        self.file.tensor(name).unwrap().to_f32()
    }
}
