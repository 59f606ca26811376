//! `C = A · B` for matrices in memory as they are: the three products of a linear layer that is trained.
//!
//! **Order of summation.** `C[m][n]` starts where [`Start`] says, and for `k = 0, 1, 2, …` becomes
//! `A[m][k] · B[k][n] + C[m][n]`, rounded once; the bias is added at the end. One chain an output.
//!
//! The loops are those of [`blocked`](super::blocked). What differs from [`matmul`](super::matmul) is that every matrix
//! changes from step to step, so that all copying counts:
//! - B is packed as a whole if many rows will use it ([`PackPanels`]), else a block at a time;
//! - rows of A are read where they lie if `k` runs along them; if `k` runs down the columns (the gradient of a weight),
//!   a block of A is packed first.

mod pack;

use std::cell::RefCell;
use std::ops::Range;

pub(crate) use self::pack::PackPanels;
use super::blocked::{Blocked, Blocking, even_blocks, multiply_blocked};
use super::tile::{BlockOfRows, Tiles};
use crate::operands::{Start, View};
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Tile, TileSizes};

/// kc at most: a tile loads its sums anew for each block of `k`, so a block is long.
const KC: usize = 1024;

/// mc: 264 × 1024 `f32` are 1 MiB of A. A multiple of [`ROWS`].
pub(crate) const MC: usize = 264;

/// nc in panels, where B is packed a block at a time: 48 × 1024 × 16 `f32` are 3 MiB of B. Fewer would be nearer to the
/// core, but then the rows of a gradient's A are packed more often, and that costs more.
const NC_PANELS: usize = 48;

/// A multiple of the rows of every level's tile.
pub(crate) const ROWS: usize = 12;

/// The second factor, `[k, n]`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Factor<'a> {
    /// As it lies in memory; its column stride is 1.
    View(View<'a>),
    /// As [`PackPanels`] packs it: `[panels][k][16]`.
    Packed {
        panels: &'a [[f32; LANES]],
        /// Steps of `k` that were packed; at least as many as the product has.
        k: usize,
    },
}

/// One thread's share of a product: some rows × some panels of sixteen columns.
pub(crate) struct GemmPart<'a> {
    /// `[m, k]`; one of its strides is 1.
    pub(crate) a: View<'a>,
    pub(crate) b: Factor<'a>,
    pub(crate) start: Start<'a>,
    /// `[n]`
    pub(crate) bias: Option<&'a [f32]>,
    /// Which rows and panels of `[m, n]` to compute.
    pub(crate) out: OutputTile<'a>,
}

/// Packed blocks of A and B.
#[derive(Default)]
struct Blocks {
    a: Vec<f32>,
    b: Vec<[f32; LANES]>,
}

thread_local! {
    static SCRATCH: RefCell<Blocks> = RefCell::default();
}

impl Kernel for GemmPart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(self, s: S) {
        SCRATCH.with_borrow_mut(|blocks| {
            blocks.a.resize(MC * KC, 0.0);
            blocks.b.resize(NC_PANELS * panel_stride(KC), [0.0; LANES]);
            s.out_of_line(BlockedGemm { gemm: self, blocks, first_panel: 0 });
        });
    }
}

/// How far apart the panels of a packed block of B begin: an odd number of cache lines, so that panels do not share the
/// few places of a cache that lines a power of two apart have.
const fn panel_stride(k: usize) -> usize {
    k | 1
}

struct BlockedGemm<'a, 'b> {
    gemm: GemmPart<'a>,
    blocks: &'b mut Blocks,
    /// The first panel of the packed block of B.
    first_panel: usize,
}

impl Kernel for BlockedGemm<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(mut self, s: S) {
        let (rows, panels, k) = (self.gemm.out.rows(), self.gemm.out.panels(), self.gemm.a.columns);
        let blocking = Blocking {
            rows: MC,
            panels: match self.gemm.b {
                Factor::View(_) => NC_PANELS,
                Factor::Packed { .. } => panels.len().next_multiple_of(S::Size::PANELS).max(1),
            },
            k: even_blocks(k, 1, KC),
            tile_panels: S::Size::PANELS,
        };
        multiply_blocked(s, &mut self, blocking, rows, panels, k);
    }
}

impl Blocked for BlockedGemm<'_, '_> {
    #[inline(always)]
    fn pack_b<S: Tile>(&mut self, s: S, panels: Range<usize>, k: Range<usize>) {
        if let Factor::View(b) = self.gemm.b {
            self.first_panel = panels.start;
            pack::pack_block(s, b, panels, k.clone(), (&mut self.blocks.b, panel_stride(k.len())));
        }
    }

    #[inline(always)]
    fn pack_a<S: Tile>(&mut self, s: S, rows: Range<usize>, k: Range<usize>) {
        if self.gemm.a.column_stride != 1 {
            S::Size::run(s, pack::PackRows { a: self.gemm.a, rows, k, out: &mut self.blocks.a });
        }
    }

    #[inline(always)]
    fn multiply<S: Tile>(&mut self, s: S, rows: Range<usize>, panels: Range<usize>, k: Range<usize>) {
        let GemmPart { a, b, start, bias, out } = &mut self.gemm;
        let mut b_panels: [&[[f32; LANES]]; 2] = [&[]; 2];
        for (b_panel, panel) in b_panels.iter_mut().zip(panels.clone()) {
            *b_panel = match *b {
                Factor::View(_) => {
                    &self.blocks.b[(panel - self.first_panel) * panel_stride(k.len())..][..k.len()]
                }
                Factor::Packed { panels, k: all } => &panels[panel * all..][k.clone()],
            };
        }
        s.out_of_line(Tiles {
            a: match a.column_stride {
                1 => BlockOfRows::InPlace {
                    data: &a.data[(rows.start * a.row_stride + k.start).min(a.data.len())..],
                    row_stride: a.row_stride,
                },
                _ => BlockOfRows::Packed(&self.blocks.a),
            },
            b: b_panels,
            k: k.len(),
            rows,
            panels,
            start: if k.start == 0 { *start } else { Start::Out },
            bias: bias.filter(|_| k.end == a.columns),
            out: out.reborrow(),
        });
    }
}
