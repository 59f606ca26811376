//! Converts a decoder's parameters from one arrangement to another: each new tensor is assembled from rows of the
//! stored ones.

use glassbox_tensor::Tensor;

use super::stored::{Stored, vocabulary_matrix};
use crate::error::Error;
use crate::names::{self, Names, RowMap, StoredTensor};
use crate::spec::{Parameter, Role};

/// A new tensor, assembled from rows of stored tensors.
pub(crate) struct Assembled {
    pub(crate) name: String,
    /// The shape in the new file.
    pub(crate) shape: Vec<usize>,
    /// The role of its parameter; of its first parameter if it is fused.
    pub(crate) role: Role,
    /// Whether the new file stores it as `[columns, rows]`.
    transposed: bool,
    pieces: Vec<Piece>,
}

/// The rows of one parameter.
struct Piece {
    /// The stored tensor, as `[outputs, inputs]`.
    tensor: Tensor,
    from: RowMap,
    to: RowMap,
    count: usize,
    /// The number to add to every value.
    offset: f32,
}

/// Assembles all tensors in the arrangement of `names` from those of `stored`. A tied vocabulary gives one matrix,
/// unless the file has two different ones.
pub(crate) fn assemble(stored: &Stored<'_>, names: &Names) -> Result<Vec<Assembled>, Error> {
    let config = stored.config;
    let mut tensors: Vec<StoredTensor> = names::tensors(config, names);
    let mut unembedding = stored.own_unembedding()?;
    if config.tied && names.always_unembedding {
        unembedding = unembedding.or_else(|| Some(vocabulary_matrix(config, Role::Embedding)));
    }
    if let Some(parameter) = unembedding
        && let Some(source) = names.source(config, &vocabulary_matrix(config, Role::Unembedding))
    {
        let parts = vec![(parameter, source.rows)];
        tensors.push(StoredTensor { name: source.name, shape: source.shape, transposed: false, parts });
    }
    let assembled = |tensor: StoredTensor| -> Result<Assembled, Error> {
        let StoredTensor { name, shape, transposed, parts } = tensor;
        let role = parts[0].0.site.role;
        let piece = |(parameter, to): (Parameter, RowMap)| {
            let (tensor, from) = stored.tensor(&parameter)?;
            let offset = stored.offset(&parameter) - names.offset(&parameter);
            Ok(Piece { tensor, from, to, count: parameter.shape[0], offset })
        };
        let pieces = parts.into_iter().map(piece).collect::<Result<_, Error>>()?;
        Ok(Assembled { name, shape, role, transposed, pieces })
    };
    tensors.into_iter().map(assembled).collect()
}

impl Assembled {
    /// The stored tensor, if the new one equals it: all rows in the same order, and no offset.
    pub(crate) fn unchanged(&self) -> Option<Tensor> {
        let [Piece { tensor, from, to, count, offset }] = &self.pieces[..] else { return None };
        let whole = from.in_order() == Some(0) && to.in_order() == Some(0) && *offset == 0.0;
        let whole = whole && tensor.shape().dims().first() == Some(count) && !self.transposed;
        whole.then(|| tensor.clone())
    }

    /// The format of the stored tensor; of the first one if there are several.
    pub(crate) fn format(&self) -> glassbox_tensor::Format {
        self.pieces[0].tensor.format()
    }

    /// For each row of the new tensor, its piece and its row in the piece's tensor.
    fn sources(&self) -> Vec<(usize, usize)> {
        let total = self.pieces.iter().map(|piece| piece.count).sum();
        let mut sources = vec![(0, 0); total];
        for (i, piece) in self.pieces.iter().enumerate() {
            (0..piece.count).for_each(|row| sources[piece.to.at(row)] = (i, piece.from.at(row)));
        }
        sources
    }

    /// A reader of the new tensor's rows, as `f32`.
    pub(crate) fn rows(&self) -> AssembledRows<'_> {
        AssembledRows { pieces: &self.pieces, sources: self.sources() }
    }

    /// Lets go of the old tensors' pages, if they are memory-mapped.
    pub(crate) fn release_pages(&self) {
        self.pieces.iter().for_each(|piece| piece.tensor.release_pages());
    }

    /// All values, in the order of the new file.
    pub(crate) fn to_f32(&self) -> Result<Vec<f32>, glassbox_tensor::Error> {
        let rows = self.rows();
        let values = rows.read(0..rows.len())?;
        if !self.transposed {
            return Ok(values);
        }
        let (outputs, inputs) = (rows.len(), values.len() / rows.len().max(1));
        Ok(Tensor::from_f32([outputs, inputs], values)?.transpose(0, 1)?.to_f32())
    }
}

/// The rows of an assembled tensor.
pub(crate) struct AssembledRows<'a> {
    pieces: &'a [Piece],
    sources: Vec<(usize, usize)>,
}

impl AssembledRows<'_> {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    /// The values of a range of rows.
    pub(crate) fn read(&self, rows: std::ops::Range<usize>) -> Result<Vec<f32>, glassbox_tensor::Error> {
        let mut values = Vec::new();
        let mut row = rows.start;
        while row < rows.end {
            let (piece, first) = self.sources[row];
            let run =
                (row..rows.end).zip(0..).take_while(|&(row, i)| self.sources[row] == (piece, first + i));
            let run = run.count();
            let Piece { tensor, offset, .. } = &self.pieces[piece];
            let start = values.len();
            values.extend(tensor.narrow(0, first..first + run)?.try_to_f32()?);
            values[start..].iter_mut().for_each(|x| *x += offset);
            row += run;
        }
        Ok(values)
    }
}
