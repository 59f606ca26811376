//! Disjoint parts of one buffer for the threads of a team: the only place that lets several threads write to it.
//!
//! A buffer is lent mutably to a value that implements [`Parts`], and [`Team::run_on_parts`] hands each of its parts to
//! one call of a closure. A part is an exclusive value, such as an [`OutputTile`]: whoever has it may write, and nobody
//! else can reach its elements. What makes that true is arithmetic on indices, and each `SAFETY` comment here gives it:
//! - [`Grid`]: a matrix cut into tiles, some rows × some columns;
//! - [`Pieces`]: a slice cut into shorter ones;
//! - [`SideBySide`]: matrices of the same rows, whose columns are cut as if they were those of one matrix;
//! - [`RowBlocks`]: rows that are numbered across the matrix they lie in, cut into blocks;
//! - tuples and [`Chain`]: several of these, part by part or one after the other.

use std::marker::PhantomData;
use std::ops::Range;

use super::Team;
use crate::simd::LANES;

/// Data that falls into parts, which different threads may have at the same time.
///
/// # Safety
/// The data is borrowed exclusively by `self`, which gives access to it by its parts only; and for `i` and `j` below
/// `count()` and not equal, `part(i)` and `part(j)` have no element in common.
pub(crate) unsafe trait Parts: Sync {
    /// Exclusive access to the elements of a part.
    type Part: Send;

    /// How many parts there are.
    fn count(&self) -> usize;

    /// Part `i`.
    ///
    /// # Safety
    /// `i` is below `count()`, and no part `i` has been taken before.
    unsafe fn part(&self, i: usize) -> Self::Part;
}

impl Team<'_> {
    /// Runs `run(i, part)` on each part, split over the team.
    pub(crate) fn run_on_parts<P: Parts>(&self, parts: P, run: impl Fn(usize, P::Part) + Sync) {
        self.run(parts.count(), |i| {
            // SAFETY: `Team::run` calls this once for each `i` below the count, and `parts` is dropped afterwards: no
            // part is taken twice.
            run(i, unsafe { parts.part(i) });
        });
    }
}

/// Items `0..items`, cut at multiples of `unit` into `count` ranges that follow one another. Their lengths differ by
/// one unit at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    items: usize,
    unit: usize,
    count: usize,
}

impl Cut {
    /// # Panics
    /// If `unit` is zero, or there are so many ranges that their bounds cannot be computed.
    pub(crate) fn new(items: usize, unit: usize, count: usize) -> Cut {
        assert!(items.div_ceil(unit).checked_mul(count).is_some(), "{items} items cut into {count} ranges");
        Cut { items, unit, count }
    }

    /// Ranges of `len` items; the last may be shorter.
    ///
    /// # Panics
    /// If `len` is zero.
    pub(crate) fn every(items: usize, len: usize) -> Cut {
        Cut::new(items, len, items.div_ceil(len))
    }

    /// How many ranges there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Range `i`.
    ///
    /// Ranges do not overlap and end at `items` at most: range `i` is `bound(i)..bound(i + 1)`, and `bound` never
    /// decreases, since its first product does not overflow ([`Cut::new`] asserts it) and the second saturates.
    ///
    /// # Panics
    /// If there is no such range.
    pub(crate) fn range(&self, i: usize) -> Range<usize> {
        assert!(i < self.count, "range {i} of {}", self.count);
        let bound = |i: usize| {
            let units = i * self.items.div_ceil(self.unit) / self.count;
            units.saturating_mul(self.unit).min(self.items)
        };
        bound(i)..bound(i + 1)
    }
}

/// Exclusive access to some rows × some columns of a matrix. Rows and columns keep the numbers that they have in it.
#[derive(Debug)]
pub(crate) struct OutputTile<'a, T = f32> {
    /// Row 0, column 0 of the matrix.
    start: *mut T,
    row_step: usize,
    /// Invariant: for a `row` of these and a `column` of those, `start + row · row_step + column` is inside the
    /// matrix's memory, which is borrowed for `'a`, and no other live value gives access to it.
    rows: Range<usize>,
    columns: Range<usize>,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: a tile is to its elements what a `&mut [T]` is, by its invariant.
unsafe impl<T: Send> Send for OutputTile<'_, T> {}
// SAFETY: what a `&OutputTile` gives is numbers; the elements need `&mut`. So `T` need not be `Sync`.
unsafe impl<T: Send> Sync for OutputTile<'_, T> {}

impl<'a, T> OutputTile<'a, T> {
    /// All of the matrix `[rows, columns]` whose rows begin `row_step` elements apart in `data`.
    ///
    /// # Panics
    /// If `data` is too short, or the rows overlap.
    pub(crate) fn new(data: &'a mut [T], rows: usize, columns: usize, row_step: usize) -> OutputTile<'a, T> {
        let end = rows.saturating_sub(1).checked_mul(row_step).and_then(|last| last.checked_add(columns));
        let fits = rows == 0 || end.is_some_and(|end| end <= data.len());
        assert!(
            fits && columns <= row_step,
            "an output of {rows} × {columns}, {row_step} apart, in {} elements",
            data.len()
        );
        // The invariant: the last row ends inside `data` by the assertion, and so do those before it.
        OutputTile {
            start: data.as_mut_ptr(),
            row_step,
            rows: 0..rows,
            columns: 0..columns,
            matrix: PhantomData,
        }
    }

    /// The rows of the tile.
    #[inline(always)]
    pub(crate) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns of the tile.
    #[inline(always)]
    pub(crate) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The panels of sixteen columns that the tile has; it begins at one, and only the last may be narrower.
    #[inline(always)]
    pub(crate) fn panels(&self) -> Range<usize> {
        self.columns.start / LANES..self.columns.end.div_ceil(LANES)
    }

    /// Columns `from..to` of row `row`.
    ///
    /// # Panics
    /// If they are not of the tile.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize, from: usize, to: usize) -> &mut [T] {
        let inside = self.rows.contains(&row) && self.columns.start <= from && to <= self.columns.end;
        assert!(inside && from <= to, "elements of the tile");
        // SAFETY: the tile's, by the assertion, so inside the memory and nobody else's by the invariant; and the tile
        // is borrowed mutably while the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row_step + from), to - from) }
    }

    /// The elements of a tile of one row.
    ///
    /// # Panics
    /// If it has another number of rows.
    fn into_row(self) -> &'a mut [T] {
        assert_eq!(self.rows.len(), 1, "a tile of one row");
        let at = self.rows.start * self.row_step + self.columns.start;
        // SAFETY: inside the memory and nobody else's by the invariant, and the tile is given up.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), self.columns.len()) }
    }

    /// The same tile for a shorter time.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> OutputTile<'_, T> {
        // SAFETY: `self` is borrowed mutably while the new tile lives.
        unsafe { self.part(self.rows(), self.columns()) }
    }

    /// The tile's columns before `column` and those from it on.
    ///
    /// # Panics
    /// If `column` is not among them or at their end.
    #[cfg(feature = "train")]
    pub(crate) fn split_columns(self, column: usize) -> (OutputTile<'a, T>, OutputTile<'a, T>) {
        let Range { start, end } = self.columns();
        assert!(start <= column && column <= end, "column {column} of {start}..{end}");
        // SAFETY: `self` is given up, and the two have no column in common.
        unsafe { (self.part(self.rows(), start..column), self.part(self.rows(), column..end)) }
    }

    /// A part of this tile.
    ///
    /// # Safety
    /// While the new tile lives, nobody reaches its elements through `self` or through another part of it.
    #[inline(always)]
    unsafe fn part<'b>(&self, rows: Range<usize>, columns: Range<usize>) -> OutputTile<'b, T>
    where
        'a: 'b,
    {
        let within = |part: &Range<usize>, all: &Range<usize>| {
            part.is_empty() || (all.start <= part.start && part.end <= all.end)
        };
        assert!(within(&rows, &self.rows) && within(&columns, &self.columns), "a part of the tile");
        OutputTile { start: self.start, row_step: self.row_step, rows, columns, matrix: PhantomData }
    }
}

/// A matrix cut into tiles: part `i` is rows `i / column_cut.count()` and columns `i % column_cut.count()` of the cuts.
pub(crate) struct Grid<'a, T = f32> {
    matrix: OutputTile<'a, T>,
    rows: Cut,
    columns: Cut,
}

impl<'a, T> Grid<'a, T> {
    /// The rows and the columns of `matrix` cut as told, counted from its first.
    ///
    /// # Panics
    /// If the cuts are not of so many rows and columns.
    pub(crate) fn new(matrix: OutputTile<'a, T>, rows: Cut, columns: Cut) -> Grid<'a, T> {
        assert_eq!((rows.items, columns.items), (matrix.rows.len(), matrix.columns.len()), "a cut of all");
        Grid { matrix, rows, columns }
    }
}

// SAFETY: tiles of different `i` differ in their range of rows or of columns, and different ranges of a `Cut` do not
// overlap. The matrix is a tile, which is exclusive.
unsafe impl<'a, T: Send> Parts for Grid<'a, T> {
    type Part = OutputTile<'a, T>;

    fn count(&self) -> usize {
        self.rows.count() * self.columns.count()
    }

    unsafe fn part(&self, i: usize) -> OutputTile<'a, T> {
        let from = |start: usize, range: Range<usize>| start + range.start..start + range.end;
        let rows = from(self.matrix.rows.start, self.rows.range(i / self.columns.count()));
        let columns = from(self.matrix.columns.start, self.columns.range(i % self.columns.count()));
        // SAFETY: the caller takes each part once, and no other part has an element of this one, see above.
        unsafe { self.matrix.part(rows, columns) }
    }
}

/// A slice cut into pieces.
pub(crate) struct Pieces<'a, T>(Grid<'a, T>);

impl<'a, T> Pieces<'a, T> {
    /// Pieces of `len` elements; the last may be shorter.
    ///
    /// # Panics
    /// If `len` is zero.
    pub(crate) fn new(data: &'a mut [T], len: usize) -> Pieces<'a, T> {
        let (rows, columns) = (Cut::every(1, 1), Cut::every(data.len(), len));
        let all = data.len();
        Pieces(Grid::new(OutputTile::new(data, 1, all, all), rows, columns))
    }
}

// SAFETY: the parts are those of the grid.
unsafe impl<'a, T: Send> Parts for Pieces<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.0.count()
    }

    unsafe fn part(&self, i: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise is the one that the grid asks for.
        unsafe { self.0.part(i) }.into_row()
    }
}

/// Matrices of the same rows, their panels of sixteen columns numbered from the first matrix to the last and cut as if
/// they were those of one.
pub(crate) struct SideBySide<'m, 'a> {
    /// Borrowed mutably by `new`, so nobody else reaches them during `'m`.
    matrices: &'m [OutputTile<'a>],
    rows: Cut,
    panels: Cut,
}

/// The tiles that one part of [`SideBySide`] has: an iterator of `(number of the matrix, tile)`.
pub(crate) struct TilesOfMatrices<'m, 'a> {
    matrices: std::iter::Enumerate<std::slice::Iter<'m, OutputTile<'a>>>,
    rows: Range<usize>,
    /// Which panels are left, counted from the next matrix's first.
    panels: Range<usize>,
}

impl<'m, 'a> SideBySide<'m, 'a> {
    /// # Panics
    /// If the cuts are not of all rows of each matrix and of the panels of all of them.
    pub(crate) fn new(matrices: &'m mut [OutputTile<'a>], rows: Cut, panels: Cut) -> SideBySide<'m, 'a> {
        assert!(matrices.iter().all(|matrix| matrix.rows == (0..rows.items)), "matrices of the same rows");
        assert!(matrices.iter().all(|matrix| matrix.columns.start == 0), "matrices with their first columns");
        assert_eq!(
            matrices.iter().map(|matrix| matrix.panels().len()).sum::<usize>(),
            panels.items,
            "a cut of all"
        );
        SideBySide { matrices, rows, panels }
    }
}

// SAFETY: parts of different `i` differ in their range of rows or of panels, and different ranges of a `Cut` do not
// overlap.
unsafe impl<'m, 'a> Parts for SideBySide<'m, 'a> {
    type Part = TilesOfMatrices<'m, 'a>;

    fn count(&self) -> usize {
        self.rows.count() * self.panels.count()
    }

    unsafe fn part(&self, i: usize) -> TilesOfMatrices<'m, 'a> {
        TilesOfMatrices {
            matrices: self.matrices.iter().enumerate(),
            rows: self.rows.range(i / self.panels.count()),
            panels: self.panels.range(i % self.panels.count()),
        }
    }
}

impl<'m, 'a> Iterator for TilesOfMatrices<'m, 'a> {
    type Item = (usize, OutputTile<'m>);

    fn next(&mut self) -> Option<(usize, OutputTile<'m>)> {
        if self.rows.is_empty() {
            return None;
        }
        loop {
            let (number, matrix) = self.matrices.next()?;
            let (here, all) = (self.panels.clone(), matrix.panels().end);
            self.panels = here.start.saturating_sub(all)..here.end.saturating_sub(all);
            let columns = here.start * LANES..(here.end * LANES).min(matrix.columns.end);
            if !columns.is_empty() {
                // SAFETY: `part` gives these panels of these rows to this iterator alone, see there, and it gives them
                // out once, because it goes from matrix to matrix.
                return Some((number, unsafe { matrix.part(self.rows.clone(), columns) }));
            }
        }
    }
}

/// A matrix whose rows are numbered by three indices `(i, j, k)`, `i` the slowest: the row begins at
/// `i · steps[0] + j · steps[1] + k · steps[2]`.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    start: *mut f32,
    sizes: [usize; 3],
    steps: [usize; 3],
    columns: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is to its elements what a `&mut [f32]` is: `new` borrows them mutably, and nothing here is `Clone`.
unsafe impl Send for Rows<'_> {}
// SAFETY: as above; a `&Rows` gives no element.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    /// # Panics
    /// If two rows would overlap, or one lie outside `data`.
    pub(crate) fn new(data: &'a mut [f32], sizes: [usize; 3], steps: [usize; 3], columns: usize) -> Rows<'a> {
        let mut indices = [(steps[0], sizes[0]), (steps[1], sizes[1]), (steps[2], sizes[2])];
        indices.sort_unstable();
        // From the smallest step on: one more step leads past everything that the indices before can reach.
        let mut reach = Some(columns);
        for (step, size) in indices {
            assert!(size <= 1 || reach.is_some_and(|reach| reach <= step), "rows that do not overlap");
            let last = size.saturating_sub(1).checked_mul(step);
            reach = reach.and_then(|reach| last.and_then(|last| reach.checked_add(last)));
        }
        let fits = sizes.contains(&0) || reach.is_some_and(|reach| reach <= data.len());
        assert!(fits, "{sizes:?} rows of {columns}, {steps:?} apart, in {} elements", data.len());
        Rows { start: data.as_mut_ptr(), sizes, steps, columns, matrix: PhantomData }
    }

    /// Cuts the rows of each `i` at multiples of `block`, and all columns as told. Part `n` has, of `i` and block `b`,
    /// the column range `c`: `n = (b · (number of i) + i) · (number of c) + c`.
    ///
    /// # Panics
    /// If `block` is zero, or `columns` cuts another number of columns.
    pub(crate) fn blocks(self, block: usize, columns: Cut) -> RowBlocks<'a> {
        assert_eq!(columns.items, self.columns, "a cut of all");
        let rows = Cut::every(self.sizes[1] * self.sizes[2], block);
        RowBlocks { matrix: self, rows, columns }
    }

    /// [`Rows::blocks`] with all columns.
    pub(crate) fn whole_blocks(self, block: usize) -> RowBlocks<'a> {
        let columns = Cut::new(self.columns, 1, 1);
        self.blocks(block, columns)
    }
}

/// The parts of [`Rows::blocks`].
pub(crate) struct RowBlocks<'a> {
    matrix: Rows<'a>,
    rows: Cut,
    columns: Cut,
}

/// Exclusive access to some columns of the rows `(i, j, k)` of one `i` with `j · sizes[2] + k` in a range.
#[derive(Debug)]
pub(crate) struct RowBlock<'a> {
    /// Row `(i, 0, 0)`, column 0.
    start: *mut f32,
    /// The last of the sizes, and the steps of `j` and `k`.
    size: usize,
    steps: [usize; 2],
    /// Invariant: for these rows and columns, the element is inside the matrix's memory, which is borrowed for `'a`,
    /// and no other live value gives access to it.
    rows: Range<usize>,
    columns: Range<usize>,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block is to its elements what a `&mut [f32]` is, by its invariant.
unsafe impl Send for RowBlock<'_> {}

// SAFETY: parts of different numbers differ in `i`, in their range of rows or in their range of columns, and different
// ranges of a `Cut` do not overlap. Rows with different indices do not overlap either, for `Rows::new` has asserted
// that the steps are those of a mixed-radix number. `Rows` borrows the data exclusively.
unsafe impl<'a> Parts for RowBlocks<'a> {
    type Part = RowBlock<'a>;

    fn count(&self) -> usize {
        self.matrix.sizes[0] * self.rows.count() * self.columns.count()
    }

    unsafe fn part(&self, n: usize) -> RowBlock<'a> {
        let Rows { start, sizes, steps, .. } = self.matrix;
        let (n, columns) = (n / self.columns.count(), self.columns.range(n % self.columns.count()));
        let (i, rows) = (n % sizes[0], self.rows.range(n / sizes[0]));
        // The invariant: the caller takes each part once, and no other part has an element of this one, see above.
        RowBlock {
            // SAFETY: `i` is below its size, and row `(i, 0, 0)` exists unless there are no rows, which leaves no part.
            start: unsafe { start.add(i * steps[0]) },
            size: sizes[2],
            steps: [steps[1], steps[2]],
            rows,
            columns,
            matrix: PhantomData,
        }
    }
}

impl RowBlock<'_> {
    /// Which columns the block has.
    pub(crate) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Columns `from..to` of row `row`, which is `j · sizes[2] + k`.
    ///
    /// # Panics
    /// If they are not of the block.
    pub(crate) fn row(&mut self, row: usize, from: usize, to: usize) -> &mut [f32] {
        let inside = self.rows.contains(&row) && self.columns.start <= from && to <= self.columns.end;
        assert!(inside && from <= to, "elements of the block");
        let at = row / self.size * self.steps[0] + row % self.size * self.steps[1] + from;
        // SAFETY: the block's, by the assertion, so inside the memory and nobody else's by the invariant; and the block
        // is borrowed mutably while the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), to - from) }
    }
}

// SAFETY: part `i` is made of part `i` of each, which are disjoint from their other parts; and what `A` and `B` give
// access to is disjoint, because each holds its data exclusively.
unsafe impl<A: Parts, B: Parts> Parts for (A, B) {
    type Part = (A::Part, B::Part);

    fn count(&self) -> usize {
        self.0.count().min(self.1.count())
    }

    unsafe fn part(&self, i: usize) -> (A::Part, B::Part) {
        // SAFETY: `i` is below both counts, and taken once by the caller's promise.
        unsafe { (self.0.part(i), self.1.part(i)) }
    }
}

/// The parts of the first, then those of the second, and so on.
pub(crate) struct Chain<P>(pub(crate) Vec<P>);

// SAFETY: each part is a part of one member, a different one for each number; members hold their data exclusively.
unsafe impl<P: Parts> Parts for Chain<P> {
    /// The number of the member, the number of the part in it, and the part.
    type Part = (usize, usize, P::Part);

    fn count(&self) -> usize {
        self.0.iter().map(P::count).sum()
    }

    unsafe fn part(&self, mut i: usize) -> (usize, usize, P::Part) {
        for (member, parts) in self.0.iter().enumerate() {
            if i < parts.count() {
                // SAFETY: `i` is below this member's count, and no other number leads to it.
                return (member, i, unsafe { parts.part(i) });
            }
            i -= parts.count();
        }
        unreachable!("a part below the count")
    }
}
