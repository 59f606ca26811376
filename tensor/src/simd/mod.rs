//! SIMD levels: which vector instructions the kernels run on. Found once at run time, passed by value, forcible.
//!
//! A kernel is written once, against a vector of sixteen `f32` whatever the machine has: AVX2 holds it in two
//! registers, NEON in four, plain Rust in an array. Running a kernel at a [`Level`] compiles it for that level's
//! instructions, so the build needs no `target-cpu` flag.
//!
//! All levels give the same bits: every vector operation is one correctly rounded IEEE 754 operation a lane (or an
//! exact conversion), and the kernels fix the order in which operations are applied.
//!
//! The traits behind this are sealed: only this crate can name and implement vectors (`Lanes`, `Tile`) and computations
//! (`Kernel`). [`Level`] is what a program needs.
//!
//! ```compile_fail,E0603
//! use glassbox_tensor::simd::{Kernel, Lanes};
//! ```

mod lanes;
mod precision;
mod scalar;
mod tile;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

pub(crate) use lanes::{LANES, Lanes, fold_max, fold_sum};
pub(crate) use precision::{Int8, Int16, Precision};
pub(crate) use tile::{Tile, TileKernel, TileSize, TileSizes};

use std::fmt;
use std::str::FromStr;

/// An instruction set that kernels can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Plain Rust, no intrinsics: every machine has it.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C (Haswell, Zen and later).
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL (Skylake-X, Zen 4 and later).
    Avx512,
    /// The same with VNNI, products of bytes (Ice Lake, Zen 4 and later).
    Avx512Vnni,
    /// AArch64 with NEON (nearly every one).
    Neon,
    /// The same with dot products of bytes (Cortex-A76, Neoverse N1, Apple A12 and M1, and later).
    NeonDotprod,
}

/// A computation that runs at any [`Level`]: it is handed the vector operations of that level.
///
/// `run` must be `#[inline(always)]`, so that it is compiled with the level's instructions. A kernel that needs no
/// matrix tile asks for [`Lanes`] only.
pub(crate) trait Kernel {
    /// What the computation returns.
    type Output;
    /// Does the work with the operations of `s`.
    fn run<S: Tile>(self, s: S) -> Self::Output;
}

impl Level {
    /// Every level this crate knows, plainest first.
    pub const ALL: [Level; 6] =
        [Level::Scalar, Level::Avx2, Level::Avx512, Level::Avx512Vnni, Level::Neon, Level::NeonDotprod];

    /// The best level of this machine.
    pub fn detect() -> Level {
        Level::available().last().copied().unwrap_or(Level::Scalar)
    }

    /// The levels this machine can run, plainest first.
    pub fn available() -> Vec<Level> {
        Level::ALL.into_iter().filter(|level| level.is_available()).collect()
    }

    /// Whether this machine can run the level.
    pub fn is_available(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::Avx512::<false>::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => avx512::Avx512::<true>::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => neon::Neon::<false>::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod => neon::Neon::<true>::new().is_some(),
            _ => false,
        }
    }

    /// The level's name, as [`Level::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Neon => "neon",
            Level::NeonDotprod => "neondotprod",
        }
    }

    /// Runs `kernel` with this level's instructions.
    ///
    /// # Panics
    /// If the machine cannot run the level (see [`Level::is_available`]).
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Level::Scalar => scalar::run(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::Avx2::new().expect("this machine has no AVX2, FMA and F16C").run(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::Avx512::<false>::new().expect("this machine has no AVX-512").run(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => {
                avx512::Avx512::<true>::new().expect("this machine has no AVX-512 with VNNI").run(kernel)
            }
            #[cfg(target_arch = "aarch64")]
            Level::Neon => neon::Neon::<false>::new().expect("this machine has no NEON").run(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod => {
                neon::Neon::<true>::new().expect("this machine has no NEON with dot products").run(kernel)
            }
            other => panic!("this machine cannot run {other}"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level's name that is unknown or that this machine cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelError {
    asked: String,
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Level::available().into_iter().map(Level::name).collect();
        write!(f, "SIMD level {:?} is not available here; this machine has: {}", self.asked, names.join(", "))
    }
}

impl std::error::Error for LevelError {}

impl FromStr for Level {
    type Err = LevelError;

    /// Reads a level's name; a level that this machine cannot run is an error.
    fn from_str(name: &str) -> Result<Level, LevelError> {
        Level::available()
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| LevelError { asked: name.to_string() })
    }
}
