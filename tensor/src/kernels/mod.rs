//! The kernels: one thread's share of an operation, written once for every [`Level`](crate::simd::Level).
//!
//! Each kernel's order of summation is part of its contract and is the one in
//! [`reference`](crate::reference): that is why all levels, thread counts and tile sizes give the same bits.

pub(crate) mod attention;
#[cfg(feature = "train")]
pub(crate) mod backward;
pub(crate) mod blocked;
pub(crate) mod cache_page;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod inputs;
pub(crate) mod integer;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod output;
pub(crate) mod rowwise;
pub(crate) mod tile;
