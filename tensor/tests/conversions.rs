//! Tensors, views, packed matrices and slices convert into one another, and every element stays what it is.

use glassbox_tensor::{Error, Format, Level, PackedMatrix, Pool, Tensor, View, ViewMut, quant};

fn counting(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

#[test]
fn a_view_of_a_tensor_has_its_strides() {
    let tensor = Tensor::from_f32([3, 4], counting(12)).unwrap();
    let transposed = tensor.transpose(0, 1).unwrap();
    let part = tensor.narrow(1, 1..3).unwrap();
    for tensor in [&tensor, &transposed, &part] {
        let view = View::try_from(tensor).unwrap();
        assert_eq!(view.shape(), [tensor.shape()[0], tensor.shape()[1]]);
        assert_eq!(view.strides(), tensor.strides());
        assert_eq!(view.to_vec(), tensor.to_f32());
        assert_eq!(Tensor::from(view).to_f32(), tensor.to_f32());
    }
    let row = transposed.row(2).unwrap();
    let view = View::try_from(&row).unwrap();
    assert_eq!((view.shape(), view.to_vec()), ([1, 3], vec![2.0, 6.0, 10.0]));
}

#[test]
fn what_cannot_be_viewed_in_place_says_so() {
    let halves = Tensor::from_bytes(Format::F16, [2, 2], vec![0; 8]).unwrap();
    assert!(matches!(View::try_from(&halves), Err(Error::NotF32Memory { format: Format::F16 })));
    let cube = Tensor::from_f32([1, 2, 2], counting(4)).unwrap();
    assert!(matches!(View::try_from(&cube), Err(Error::Rank { expected: 2, .. })));
    // Four bytes an element, but not at a multiple of four bytes.
    let bytes: &'static [u8] = Box::leak(vec![0u8; 24].into_boxed_slice());
    let odd = (0..4).find(|from| (bytes[*from..].as_ptr() as usize) % 4 == 1).unwrap();
    let tensor = Tensor::from_bytes(Format::F32, [2, 2], &bytes[odd..odd + 16]).unwrap();
    assert!(matches!(View::try_from(&tensor), Err(Error::NotF32Memory { format: Format::F32 })));
}

#[test]
fn slices_and_vectors_become_rows_and_tensors() {
    let values = counting(5);
    let view = View::from(&values[..]);
    assert_eq!((view.shape(), view.to_vec()), ([1, 5], values.clone()));
    assert_eq!(Tensor::from(&values[1..]).to_f32(), values[1..]);
    let tensor = Tensor::from(values.clone());
    assert_eq!(tensor.shape().dims(), [5]);
    assert_eq!(tensor.as_f32_slice(), Some(&values[..]));
}

#[test]
fn strided_views_reach_what_they_say_and_no_further() {
    let data = counting(10);
    let view = View::strided(&data, [3, 2], [3, 2]).unwrap();
    assert_eq!(view.to_vec(), [0.0, 2.0, 3.0, 5.0, 6.0, 8.0]);
    assert_eq!(view.row_range(1..3).to_vec(), [3.0, 5.0, 6.0, 8.0]);
    assert_eq!(view.columns(1..2).to_vec(), [2.0, 5.0, 8.0]);
    assert_eq!(View::strided(&data, [4, 2], [0, 1]).unwrap().to_vec(), [0.0, 1.0].repeat(4));
    assert!(View::strided(&data, [4, 1], [3, 9]).is_ok());
    assert!(View::strided(&[], [0, 7], [usize::MAX, usize::MAX]).is_ok());
    for (shape, strides) in [
        ([4, 2], [3, 1]),
        ([5, 1], [3, 1]),
        ([2, 2], [usize::MAX, 1]),
        ([usize::MAX, 2], [2, 1]),
        ([2, 2], [usize::MAX, usize::MAX]),
    ] {
        let error = View::strided(&data, shape, strides).unwrap_err();
        assert!(matches!(error, Error::ViewOutside { len: 10, .. }), "{shape:?} {strides:?}: {error}");
    }
    let error = View::strided(&data, [5, 1], [3, 1]).unwrap_err().to_string();
    assert_eq!(error, "a view of shape [5, 1] with strides [3, 1] reaches past 10 elements");
}

#[test]
fn a_written_view_is_inside_its_slice_and_its_rows_apart() {
    let mut data = counting(10);
    assert_eq!(ViewMut::strided(&mut data, [3, 2], 4).unwrap().shape(), [3, 2]);
    assert_eq!(ViewMut::new(&mut data, 2, 5).columns(3..5).shape(), [2, 2]);
    for (shape, stride) in [([3, 3], 4), ([2, 3], 2), ([2, 2], usize::MAX)] {
        assert!(matches!(ViewMut::strided(&mut data, shape, stride), Err(Error::ViewOutside { .. })));
    }
}

#[test]
fn strided_tensors_reach_what_they_say_and_keep_blocks_whole() {
    let tensor = Tensor::from(counting(10));
    let view = tensor.strided([2, 3], [4, 2], 1).unwrap();
    assert_eq!(view.to_f32(), [1.0, 3.0, 5.0, 5.0, 7.0, 9.0]);
    assert_eq!(View::try_from(&view).unwrap().to_vec(), view.to_f32());
    assert_eq!(tensor.strided([2, 0], [usize::MAX, 1], 99).unwrap().elements(), 0);
    assert!(matches!(tensor.strided([2, 3], [4, 2], 2), Err(Error::ViewOutside { len: 10, .. })));
    assert!(matches!(tensor.strided([2, 2], [usize::MAX, 1], 0), Err(Error::ViewOutside { .. })));
    assert!(matches!(tensor.strided([2, 2], [1], 0), Err(Error::Rank { .. })));
    let transposed = Tensor::from_f32([2, 5], counting(10)).unwrap().transpose(0, 1).unwrap();
    assert!(matches!(transposed.strided([2], [1], 0), Err(Error::NotContiguous { .. })));

    let numbers = counting(4 * 64);
    let bytes = quant::quantize(Format::Q8_0, &numbers).unwrap();
    let blocks = Tensor::from_bytes(Format::Q8_0, [4, 64], bytes).unwrap();
    let all = blocks.to_f32();
    // Every other row, its second block.
    let view = blocks.strided([2, 32], [128, 1], 32).unwrap();
    assert_eq!(view.to_f32(), [&all[32..64], &all[160..192]].concat());
    for (dims, strides, offset) in
        [([2, 32], [128, 1], 16), ([2, 16], [128, 1], 0), ([2, 32], [16, 1], 0), ([2, 32], [1, 1], 0)]
    {
        let error = blocks.strided(dims, strides, offset).unwrap_err();
        assert!(matches!(error, Error::PartialBlock { .. }), "{dims:?} {strides:?} {offset}: {error}");
    }
}

#[test]
fn a_packed_matrix_is_made_of_a_tensor_or_a_view_and_becomes_a_tensor() {
    Pool::new(1, Level::Scalar).unwrap().enter(|team| {
        let numbers = counting(37 * 64);
        for format in [Format::F32, Format::BF16, Format::Q4_1, Format::Q8_0] {
            let bytes = quant::quantize(format, &numbers).unwrap();
            let tensor = Tensor::from_bytes(format, [37, 64], bytes).unwrap();
            let packed = PackedMatrix::pack(team, &tensor).unwrap();
            assert_eq!(format!("{packed:?}"), format!("PackedMatrix({format}, [37, 64])"));
            let unpacked = Tensor::from(&packed);
            assert_eq!(unpacked.shape().dims(), [37, 64]);
            assert_eq!(unpacked.to_f32(), tensor.to_f32());
        }
        let view = View::new(&numbers, 64, 37).transposed();
        assert_eq!(PackedMatrix::pack_view(team, view).unwrap().to_f32(), view.to_vec());
    });
}
