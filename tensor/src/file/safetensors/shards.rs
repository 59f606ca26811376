//! A model cut into several safetensors files, and the index that says which tensor is in which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use super::header::{self, MAX_HEADER_BYTES, UniqueMap};
use super::{SafeTensors, Shard};
use crate::error::{Error, FileProblem};
use crate::file::TensorList;
use crate::storage::Storage;

/// The part of `model.safetensors.index.json` that is needed. Its `metadata` holds a total size that tools count in
/// different ways.
#[derive(Deserialize)]
struct Index {
    /// From the name of a tensor to the name of its file, beside the index.
    weight_map: UniqueMap,
}

/// Opens all shards that the index names. A tensor must be in the shard that the index gives, and in no other.
pub(super) fn open(path: &Path) -> Result<SafeTensors, Error> {
    let index = read_index(path)?;
    let UniqueMap(weight_map) = index.weight_map;
    let names: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
    let mut shards = Vec::new();
    let mut tensors = TensorList::default();
    let mut metadata = BTreeMap::new();
    for &name in &names {
        if !is_plain_file_name(name) {
            return Err(FileProblem::BadShardName { found: name.to_owned() }.in_file(path));
        }
        let shard_path = path.with_file_name(name);
        let storage = Storage::open(&shard_path)?;
        let header = header::read(&shard_path, &storage)?;
        for mut info in header.tensors.infos {
            info.shard = shards.len();
            tensors.push(info).map_err(|problem| problem.in_file(&shard_path))?;
        }
        metadata.extend(header.metadata);
        shards.push(Shard { path: shard_path, storage });
    }
    let shard_numbers: BTreeMap<&str, usize> = names.into_iter().zip(0..).collect();
    for (tensor, shard) in &weight_map {
        if tensors.get(tensor).map(|info| info.shard) != shard_numbers.get(shard.as_str()).copied() {
            let (tensor, shard) = (tensor.clone(), shard.clone());
            return Err(FileProblem::NotInShard { tensor, shard }.in_file(path));
        }
    }
    Ok(SafeTensors { path: path.to_owned(), shards, tensors, metadata })
}

fn read_index(path: &Path) -> Result<Index, Error> {
    let json = Storage::open(path)?;
    let found = json.len() as u64;
    if found > MAX_HEADER_BYTES {
        return Err(FileProblem::HeaderTooLarge { found, limit: MAX_HEADER_BYTES }.in_file(path));
    }
    let index = serde_json::from_slice(&json.bytes()?);
    index.map_err(|source| FileProblem::BadJson { part: "index", source }.in_file(path))
}

/// Whether a name stays in its directory, whoever wrote it.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
        && !name.contains('\\')
}
