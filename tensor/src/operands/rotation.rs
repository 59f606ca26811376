//! The table of a rotary embedding: cosines and sines of every position (Su et al., "RoFormer", 2021).

/// The cosines and sines of every position so far, computed when they are needed.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Radians per position: `[pairs]`.
    frequencies: Vec<f32>,
    /// Factor of cosine and sine: 1, except with YaRN.
    magnitude: f32,
    /// `[positions, pairs]`
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotation {
    /// A table for the given radians per position, one for each pair of components.
    pub fn new(frequencies: Vec<f32>, magnitude: f32) -> Rotation {
        Rotation { frequencies, magnitude, cos: Vec::new(), sin: Vec::new() }
    }

    /// How many pairs of components are rotated.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Radians per position, one for each pair.
    pub fn frequencies(&self) -> &[f32] {
        &self.frequencies
    }

    /// Extends the table up to (not including) `position`, if it is shorter.
    ///
    /// Angles are rounded to `f32`, as in HF transformers; their sine and cosine are computed in `f64` and
    /// rounded once.
    pub fn extend_to(&mut self, position: usize) {
        if self.pairs() == 0 {
            return;
        }
        for position in self.cos.len() / self.pairs()..position {
            for &frequency in &self.frequencies {
                let angle = f64::from(position as f32 * frequency);
                self.cos.push(angle.cos() as f32 * self.magnitude);
                self.sin.push(angle.sin() as f32 * self.magnitude);
            }
        }
    }

    /// `(cos, sin)` of one position, each `[pairs]`.
    ///
    /// # Panics
    /// If the table is shorter.
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.pairs()..(position + 1) * self.pairs();
        (&self.cos[range.clone()], &self.sin[range])
    }
}
