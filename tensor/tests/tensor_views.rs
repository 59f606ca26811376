//! Views against the plain definition: element (i, j, …) of a view is the element of the original that it stands for.

use std::fs::File;

use glassbox_tensor::error::Error;
use glassbox_tensor::format::Format;
use glassbox_tensor::quant;
use glassbox_tensor::shape::Shape;
use glassbox_tensor::storage::Storage;
use glassbox_tensor::tensor::Tensor;
use glassbox_tensor::{Level, PackedMatrix, Pool, Team};
use proptest::prelude::*;

/// The oracle: all elements in a nested order that is computed index by index.
#[derive(Clone, Debug)]
struct Plain {
    dims: Vec<usize>,
    values: Vec<f32>,
}

impl Plain {
    fn at(&self, index: &[usize]) -> f32 {
        let position = self.dims.iter().zip(index).fold(0, |position, (&dim, &i)| position * dim + i);
        self.values[position]
    }

    fn build(dims: Vec<usize>, value: impl Fn(&[usize]) -> f32) -> Plain {
        let count: usize = dims.iter().product();
        let values = (0..count).map(|mut position| {
            let mut index = vec![0; dims.len()];
            for (i, &dim) in index.iter_mut().zip(&dims).rev() {
                (*i, position) = (position % dim, position / dim);
            }
            value(&index)
        });
        let values = values.collect();
        Plain { dims, values }
    }

    fn transpose(&self, a: usize, b: usize) -> Plain {
        let mut dims = self.dims.clone();
        dims.swap(a, b);
        Plain::build(dims, |index| {
            let mut index = index.to_vec();
            index.swap(a, b);
            self.at(&index)
        })
    }

    fn narrow(&self, dim: usize, start: usize, end: usize) -> Plain {
        let mut dims = self.dims.clone();
        dims[dim] = end - start;
        Plain::build(dims, |index| {
            let mut index = index.to_vec();
            index[dim] += start;
            self.at(&index)
        })
    }

    fn select(&self, dim: usize, at: usize) -> Plain {
        let mut dims = self.dims.clone();
        dims.remove(dim);
        Plain::build(dims, |index| {
            let mut index = index.to_vec();
            index.insert(dim, at);
            self.at(&index)
        })
    }
}

fn check(view: &Tensor, plain: &Plain) -> Result<(), TestCaseError> {
    prop_assert_eq!(view.shape().dims(), &plain.dims[..]);
    prop_assert_eq!(&view.to_f32(), &plain.values);
    if let Some(values) = view.as_f32_slice() {
        prop_assert_eq!(values, &plain.values[..]);
    }
    match view.to_contiguous() {
        Ok(copy) => {
            prop_assert!(copy.is_contiguous());
            prop_assert_eq!(copy.bytes().unwrap().len(), view.byte_len());
            prop_assert_eq!(&copy.to_f32(), &plain.values);
        }
        Err(error) => prop_assert!(view.format().is_quantized(), "{}", error),
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Transpose(usize, usize),
    Narrow(usize, usize, usize),
    Select(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = 0usize..1000;
    let step = prop_oneof![
        (any.clone(), any.clone()).prop_map(|(a, b)| Step::Transpose(a, b)),
        (any.clone(), any.clone(), any.clone()).prop_map(|(a, b, c)| Step::Narrow(a, b, c)),
        (any.clone(), any).prop_map(|(a, b)| Step::Select(a, b)),
    ];
    proptest::collection::vec(step, 0..6)
}

proptest! {
    #[test]
    fn views_are_what_they_stand_for(
        mut dims in proptest::collection::vec(1usize..5, 1..4),
        format in prop_oneof![Just(Format::F32), Just(Format::F16), Just(Format::BF16), Just(Format::Q8_0)],
        steps in steps(),
    ) {
        let block = format.block_len();
        *dims.last_mut().unwrap() *= block;
        let count = dims.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (i % 251) as f32 - 125.0).collect();
        let mut view = Tensor::from_bytes(format, dims.clone(), quant::quantize(format, &values).unwrap()).unwrap();
        let mut plain = Plain { dims, values: view.to_f32() };
        check(&view, &plain)?;
        for step in steps {
            let rank = plain.dims.len();
            if rank == 0 {
                break;
            }
            let (viewed, expected) = match step {
                Step::Transpose(a, b) => (view.transpose(a % rank, b % rank), plain.transpose(a % rank, b % rank)),
                Step::Narrow(dim, a, b) => {
                    let dim = dim % rank;
                    let (a, b) = (a % (plain.dims[dim] + 1), b % (plain.dims[dim] + 1));
                    let (start, end) = (a.min(b), a.max(b));
                    (view.narrow(dim, start..end), plain.narrow(dim, start, end))
                }
                Step::Select(dim, at) => {
                    let dim = dim % rank;
                    if plain.dims[dim] == 0 {
                        break;
                    }
                    let at = at % plain.dims[dim];
                    (view.select(dim, at), plain.select(dim, at))
                }
            };
            match viewed {
                Ok(viewed) => (view, plain) = (viewed, expected),
                // Blocks can be cut apart only between them; everything else must work.
                Err(Error::BlockBoundary { .. }) => prop_assert!(format.is_quantized()),
                Err(error) => prop_assert!(false, "{}", error),
            }
            check(&view, &plain)?;
        }
    }
}

#[test]
fn rows_of_a_quantized_matrix_are_its_rows() {
    let values: Vec<f32> = (0..5 * 64).map(|i| (i as f32).sin()).collect();
    let matrix =
        Tensor::from_bytes(Format::Q4_1, [5, 64], quant::quantize(Format::Q4_1, &values).unwrap()).unwrap();
    let all = matrix.to_f32();
    for (i, row) in all.chunks(64).enumerate() {
        assert_eq!(matrix.row_to_f32(i).unwrap(), row);
        assert_eq!(matrix.row(i).unwrap().bytes().unwrap().len(), 40);
    }
    let columns = matrix.narrow(1, 32..64).unwrap();
    assert!(!columns.is_contiguous() && columns.bytes().is_err());
    assert_eq!(columns.to_contiguous().unwrap().to_f32()[..32], all[32..64]);
    let transposed = matrix.transpose(0, 1).unwrap();
    assert_eq!(
        transposed.narrow(0, 0..32).unwrap().to_f32()[..5],
        [all[0], all[64], all[128], all[192], all[256]]
    );
    assert!(matches!(transposed.to_contiguous(), Err(Error::NotContiguous { .. })));
    assert!(matches!(transposed.row(3), Err(Error::BlockBoundary { start: 3, end: 4, .. })));
}

#[test]
fn large_transposed_views_are_copied_in_order() {
    let [planes, rows, columns] = [3, 37, 50];
    let values: Vec<f32> = (0..planes * rows * columns).map(|i| (i % 256) as f32).collect();
    for format in [Format::F32, Format::F16, Format::BF16] {
        let bytes = quant::quantize(format, &values).unwrap();
        let tensor = Tensor::from_bytes(format, [planes, rows, columns], bytes).unwrap();
        for (a, b) in [(1, 2), (0, 2), (0, 1)] {
            let view = tensor.transpose(a, b).unwrap().narrow(1, 1..3).unwrap();
            for view in [tensor.transpose(a, b).unwrap(), view] {
                assert_eq!(view.to_contiguous().unwrap().to_f32(), view.to_f32(), "{format}: {a} and {b}");
            }
        }
        let narrow = tensor.transpose(1, 2).unwrap().narrow(1, 5..29).unwrap().narrow(2, 3..36).unwrap();
        assert_eq!(narrow.to_contiguous().unwrap().to_f32(), narrow.to_f32(), "{format}");
    }
}

#[test]
fn reshape_keeps_the_elements_in_order() {
    let tensor = Tensor::from_f32([2, 6], (0..12).map(|i| i as f32).collect()).unwrap();
    let cube = tensor.reshape([3, 2, 2]).unwrap();
    assert_eq!(cube.to_f32(), tensor.to_f32());
    assert_eq!(cube.row(1).unwrap().reshape([4]).unwrap().to_f32(), [4.0, 5.0, 6.0, 7.0]);
    assert!(matches!(tensor.reshape([5]), Err(Error::ElementCount { expected: 5, found: 12, .. })));
    assert!(matches!(tensor.transpose(0, 1).unwrap().reshape([12]), Err(Error::NotContiguous { .. })));
    let scalar = tensor.row(1).unwrap().row(5).unwrap();
    assert_eq!((scalar.shape().rank(), scalar.to_f32()), (0, vec![11.0]));
}

#[test]
fn f32_slices_need_alignment() {
    let tensor = Tensor::from_f32([3], vec![1.0, 2.0, 3.0]).unwrap();
    assert_eq!(tensor.as_f32_slice(), Some(&[1.0, 2.0, 3.0][..]));
    let mut bytes = vec![0; 1];
    bytes.extend(tensor.bytes().unwrap().iter());
    let storage = Storage::from(bytes);
    let shifted = storage.slice(1..13).unwrap();
    let shifted = Tensor::from_storage(Format::F32, Shape::new([3]).unwrap(), shifted).unwrap();
    // Allocations are aligned to 4 at least in practice, so that one byte later is not.
    assert_eq!(shifted.as_f32_slice().is_some(), shifted.bytes().unwrap().as_ptr().addr().is_multiple_of(4));
    assert_eq!(shifted.to_f32(), [1.0, 2.0, 3.0]);
    let half = Tensor::from_bytes(Format::F16, [2], vec![0; 4]).unwrap();
    assert_eq!(half.as_f32_slice(), None);
}

#[test]
fn every_wrong_call_has_its_error() {
    let tensor = Tensor::from_f32([2, 3], vec![0.0; 6]).unwrap();
    assert!(matches!(
        Tensor::from_f32([2, 3], vec![0.0; 5]),
        Err(Error::ElementCount { expected: 6, found: 5, .. })
    ));
    let short = Tensor::from_bytes(Format::F16, [3], vec![0; 5]);
    assert!(matches!(short, Err(Error::ByteCount { expected: 6, found: 5, .. })));
    let partial = Tensor::from_bytes(Format::Q8_0, [2, 16], vec![0; 34]);
    assert!(matches!(partial, Err(Error::PartialBlock { elements: 16, .. })));
    assert!(matches!(Shape::new([usize::MAX, 2]), Err(Error::ShapeTooLarge { .. })));
    assert!(matches!(Shape::new([0, usize::MAX, 2]), Err(Error::ShapeTooLarge { .. })));
    assert!(matches!(tensor.transpose(0, 2), Err(Error::NoSuchDimension { dim: 2, .. })));
    assert!(matches!(tensor.narrow(1, 2..4), Err(Error::RangeOutside { dim: 1, start: 2, end: 4, .. })));
    let (start, end) = (2, 1);
    assert!(matches!(tensor.narrow(1, start..end), Err(Error::RangeOutside { .. })));
    assert!(matches!(tensor.row(usize::MAX), Err(Error::RangeOutside { .. })));
    assert!(matches!(tensor.select(7, 0), Err(Error::NoSuchDimension { dim: 7, .. })));
}

#[test]
fn empty_tensors_are_fine() {
    for dims in [vec![0], vec![3, 0], vec![0, 32], vec![2, 0, 4]] {
        let tensor = Tensor::from_f32(dims.clone(), vec![]).unwrap();
        assert!(tensor.is_contiguous() && tensor.to_f32().is_empty() && tensor.bytes().unwrap().is_empty());
        assert_eq!(tensor.to_contiguous().unwrap().shape().dims(), dims);
    }
    let tensor = Tensor::from_f32([2, 3], vec![1.0; 6]).unwrap();
    let empty = tensor.narrow(0, 2..2).unwrap().narrow(1, 3..3).unwrap();
    assert!(empty.to_f32().is_empty());
}

#[test]
fn storage_slices_stay_inside() {
    let storage = Storage::from(vec![1, 2, 3, 4, 5]);
    let middle = storage.slice(1..4).unwrap();
    assert_eq!(middle.bytes().unwrap(), [2, 3, 4].as_slice());
    assert_eq!(middle.slice(1..3).unwrap().bytes().unwrap(), [3, 4].as_slice());
    let (start, end) = (2, 1);
    assert!(middle.slice(2..4).is_none() && middle.slice(start..end).is_none());
    assert!(middle.slice(3..3).unwrap().is_empty());
}

#[cfg(all(target_os = "linux", feature = "mmap"))]
#[test]
fn released_pages_are_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("released-pages");
    std::fs::write(&path, vec![1; 4 << 20]).unwrap();
    // SAFETY: this test alone knows the file.
    let storage = unsafe { Storage::map(&path) }.unwrap();
    // The memory that the mapping of this file takes, in kB.
    let resident = || {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mapping = maps.split_once("/released-pages").unwrap().1;
        let line = mapping.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let bytes = storage.in_memory().unwrap();
    assert_eq!(bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 4 << 20);
    assert!(resident() >= 4096, "all of it was read");
    storage.release_pages(100..(2 << 20) + 100);
    // Larger pages than 4 KiB, where a file system has them, may stay at the ends.
    assert!((2048 - 64..=2048 + 64).contains(&resident()), "{} kB", resident());
}

#[cfg(feature = "mmap")]
#[test]
fn released_pages_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bytes");
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    // SAFETY: this test alone knows the file.
    let storage = unsafe { Storage::map(&path) }.unwrap();
    assert_eq!(storage.in_memory(), Some(&bytes[..]));
    storage.release_pages(10..99_990);
    assert_eq!(storage.in_memory(), Some(&bytes[..]));
    storage.slice(5000..6000).unwrap().release_pages(0..1000);
    storage.release_pages(0..usize::MAX);
    Storage::from(bytes.clone()).release_pages(0..bytes.len());
    assert_eq!(storage.in_memory(), Some(&bytes[..]));
    // SAFETY: nobody changes these while the test runs.
    let map = |name: &str| unsafe { Storage::map(directory.path().join(name)) };
    assert!(matches!(map(""), Err(Error::Io { .. })));
    assert!(matches!(map("none"), Err(Error::Io { doing: "open", .. })));
    std::fs::write(directory.path().join("empty"), []).unwrap();
    assert!(map("empty").unwrap().is_empty());
}

#[test]
fn the_bytes_of_a_file_are_read_where_they_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bytes");
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let storage = Storage::open(&path).unwrap();
    assert!(storage.in_memory().is_none());
    assert_eq!(storage.bytes().unwrap(), &bytes[..]);
    let middle = storage.slice(500..900).unwrap().slice(10..300).unwrap();
    assert_eq!(middle.bytes().unwrap(), &bytes[510..800]);
    let mut some = [0; 7];
    for storage in [middle.clone(), Storage::from(bytes[510..800].to_vec())] {
        storage.read(283, &mut some).unwrap();
        assert_eq!(some, bytes[793..800]);
        for from in [284, 290, usize::MAX] {
            let error = storage.read(from, &mut some).unwrap_err();
            assert!(matches!(error, Error::Io { doing: "read", .. }), "{error}");
        }
    }
    // What is not a regular file is an error, not a wait.
    assert!(matches!(Storage::open(directory.path()), Err(Error::Io { .. })));
    assert!(matches!(Storage::open(directory.path().join("none")), Err(Error::Io { doing: "open", .. })));
    std::fs::write(directory.path().join("empty"), []).unwrap();
    assert!(Storage::open(directory.path().join("empty")).unwrap().bytes().unwrap().is_empty());
}

#[test]
fn a_file_shortened_while_it_is_open_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tensor");
    let values: Vec<f32> = (0..4096).map(|i| i as f32).collect();
    std::fs::write(&path, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let shape = Shape::new([64, 64]).unwrap();
    let tensor = Tensor::from_storage(Format::F32, shape, Storage::open(&path).unwrap()).unwrap();
    assert_eq!(tensor.to_f32(), values);
    assert_eq!(tensor.transpose(0, 1).unwrap().row(3).unwrap().to_f32()[..2], [3.0, 67.0]);
    // As long as it is whole, a change is read.
    std::fs::write(&path, vec![0; 4 * 4096]).unwrap();
    assert_eq!(tensor.to_f32(), [0.0; 4096]);

    File::options().write(true).open(&path).unwrap().set_len(4 * 4095).unwrap();
    let pool = Pool::new(2, Level::detect()).unwrap();
    let packed = |tensor: &Tensor| pool.enter(|team| PackedMatrix::pack(team, tensor).map(drop));
    for result in [
        tensor.bytes().map(drop),
        tensor.try_to_f32().map(drop),
        tensor.row_to_f32(63).map(drop),
        tensor.transpose(0, 1).unwrap().try_to_f32().map(drop),
        tensor.transpose(0, 1).unwrap().to_contiguous().map(drop),
        packed(&tensor),
        packed(&tensor.transpose(0, 1).unwrap()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Io { path: found, doing: "read", .. } if *found == path), "{error}");
    }
    assert!(tensor.row_to_f32(62).is_ok() && packed(&tensor.narrow(0, 0..63).unwrap()).is_ok());
}

#[test]
fn a_matrix_in_a_file_is_packed_as_one_in_memory_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("matrix");
    let pool = Pool::new(2, Level::detect()).unwrap();
    for (format, outputs, inputs) in [(Format::F32, 1, 3), (Format::F16, 35, 5), (Format::Q4_1, 50, 64)] {
        let values: Vec<f32> = (0..outputs * inputs).map(|i| (i * 7 % 61) as f32 - 30.0).collect();
        let bytes = glassbox_tensor::quant::quantize(format, &values).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let shape = Shape::new([outputs, inputs]).unwrap();
        let stored = Tensor::from_storage(format, shape, Storage::open(&path).unwrap()).unwrap();
        let tensor = Tensor::from_bytes(format, [outputs, inputs], bytes).unwrap();
        // In the order of the file, and with some rows that follow one another and some that do not.
        for source in [|row: usize, _: usize| row, |row: usize, rows: usize| (row + row / 5 * 2) % rows] {
            let pack = |tensor: &Tensor| {
                let pack =
                    |team: &Team<'_>| PackedMatrix::pack_rows(team, tensor, |row| source(row, outputs));
                let packed = pool.enter(pack).unwrap();
                let mut all = vec![0.0; outputs * inputs];
                all.chunks_mut(inputs).enumerate().for_each(|(row, out)| packed.row(row, out));
                all
            };
            assert_eq!(pack(&stored), pack(&tensor), "{format}");
        }
    }
}
