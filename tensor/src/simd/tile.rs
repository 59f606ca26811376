//! What matrix products ask of a level: the sizes of their tiles, and dot products of bytes.

use super::{Kernel, Lanes};

/// The operations of a matrix product's tile, beside those of [`Lanes`].
///
/// The sizes of tiles are a level's own, because the sums of a tile have to stay in its registers. No result depends on
/// them.
pub(crate) trait Tile: Lanes {
    /// The tile of an `f32` product.
    type Size: TileSizes;
    /// Rows of the tile of an integer product, which is one panel wide: 4 or 8.
    const INTEGER_ROWS: usize;

    /// Runs `kernel` as a function of its own rather than inlined into the caller: for work that many
    /// kernels share, so that it is compiled once.
    fn out_of_line<K: Kernel>(self, kernel: K) -> K::Output;

    /// Sixteen integers in `-127..=127` as [`Tile::dot8`] wants them.
    fn inputs8(self, x: Self::I) -> [u32; 4];
    /// Sixteen integers in `-32512..=32512` as [`Tile::dot16`] wants them.
    fn inputs16(self, x: Self::I) -> [u32; 8];
    /// For each of `R` rows of inputs, in each lane the sum of the products of `16 · N` weights with them.
    ///
    /// Byte `b` (the lowest is 0) of word `weights[n][w]` is the lane's weight of input `16n + 4w + b`, unsigned and at
    /// most `MAX`; the inputs are those that [`Tile::inputs8`] made and the same for all lanes.
    fn dot8<const N: usize, const MAX: u32, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [Self::I; R];
    /// As [`Tile::dot8`], with the inputs that [`Tile::inputs16`] made.
    fn dot16<const N: usize, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [Self::I; R];
}

/// A tile of `ROWS` rows × `PANELS` panels of sixteen columns: `mr` × `nr` of Van Zee and van de Geijn, "BLIS" (2015).
pub(crate) struct TileSize<const ROWS: usize, const PANELS: usize>;

/// A [`TileSize`] as an associated type, from which constants for arrays cannot be taken otherwise.
pub(crate) trait TileSizes {
    /// Rows, `mr`.
    const ROWS: usize;
    /// Panels side by side, `nr / 16`. One broadcast of an input serves all of them.
    const PANELS: usize;
    /// Vectors of sums that stay in registers.
    const SUMS: usize = Self::ROWS * Self::PANELS;

    /// Runs `kernel` for this size of tile.
    fn run<S: Tile, K: TileKernel>(s: S, kernel: K) -> K::Output;
}

impl<const ROWS: usize, const PANELS: usize> TileSizes for TileSize<ROWS, PANELS> {
    const ROWS: usize = ROWS;
    const PANELS: usize = PANELS;

    #[inline(always)]
    fn run<S: Tile, K: TileKernel>(s: S, kernel: K) -> K::Output {
        kernel.run::<S, ROWS, PANELS>(s)
    }
}

/// A computation that runs for any size of tile, as a [`Kernel`] does at any level.
pub(crate) trait TileKernel {
    /// What the computation returns.
    type Output;
    /// Does the work in tiles of `ROWS` rows × `PANELS` panels. Must be `#[inline(always)]`.
    fn run<S: Tile, const ROWS: usize, const PANELS: usize>(self, s: S) -> Self::Output;
}

/// How many products of two neighbouring bytes, weights of at most `max` with signed inputs, add up in 16 bits.
#[cfg(target_arch = "x86_64")]
pub(super) const fn sums_in_16_bits(max: u32) -> usize {
    (i16::MAX as u32 / (2 * 127 * max)) as usize
}
