//! Says what a file or folder is that is no checkpoint: a web page, a pointer of Git LFS, an unfinished download, the
//! weights of another program.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use glassbox_tensor::file::gguf::Gguf;

use crate::error::Error;

/// Bytes at the start of a file that tell what it is.
const START: u64 = 512;

const CONVERT: &str = "convert it to model.safetensors with `save_pretrained` of Hugging Face transformers, or to a \
    GGUF with llama.cpp's convert_hf_to_gguf.py";

/// Opens a GGUF. If the file is another kind of file, the error says which and what to do.
///
/// # Errors
/// [`Error::OtherKind`], or those of [`Gguf::open`].
pub fn open_gguf(path: &Path) -> Result<Gguf, Error> {
    Gguf::open(path).map_err(|error| explain(path, error.into()))
}

/// The error that says what a file is, if `error` came from opening a file of another kind; otherwise `error`.
/// `opened` is the file that was asked for, which may name others.
pub(super) fn explain(opened: &Path, error: Error) -> Error {
    let missing = match &error {
        Error::Tensor(glassbox_tensor::Error::Io { path, source, .. }) => {
            (source.kind() == io::ErrorKind::NotFound && path != opened).then(|| path.clone())
        }
        _ => None,
    };
    if let Some(path) = missing {
        let found = format!("missing, but {} names it; download it too", opened.display());
        return Error::OtherKind { path, found };
    }
    let path = match &error {
        Error::Tensor(glassbox_tensor::Error::File { path, .. }) => path,
        Error::Json { path, .. } | Error::Io { path, .. } | Error::Tokenizer { path, .. } => path,
        _ => return error,
    };
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    match read.ok().and_then(|_| kind(&start, path)) {
        Some(found) => Error::OtherKind { path: path.clone(), found },
        None => error,
    }
}

/// What a file is by its first bytes, and what to do; `None` if they may be those of a checkpoint.
fn kind(start: &[u8], path: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let found = if start.is_empty() {
        "the file is empty; download it again"
    } else if start.iter().all(|&byte| byte == 0) {
        "it begins with zeros, as an unfinished download does; download it again"
    } else if text.starts_with("version https://git-lfs") {
        "a pointer of Git LFS instead of the file; fetch the file with `git lfs pull`"
    } else if ["<!doctype", "<html", "<head", "<?xml"].iter().any(|tag| text.starts_with(tag)) {
        "a web page; download the file itself, not the page about it"
    } else if start.starts_with(b"PK\x03\x04") && extension == "zip" {
        "a ZIP archive; unpack it first"
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(&[0x80, 2]) {
        return Some(format!("weights of PyTorch; {CONVERT}"));
    } else if start.starts_with(&[0x1f, 0x8b]) {
        "a gzip archive; unpack it first"
    } else if [&b"lmgg"[..], b"fmgg", b"tjgg"].iter().any(|magic| start.starts_with(magic)) {
        "weights of llama.cpp before GGUF; download or convert a GGUF"
    } else if start.starts_with(b"GGUF") && extension == "safetensors" {
        "a GGUF; give this file, not its folder, and name it .gguf"
    } else if start.get(8) == Some(&b'{') && extension != "json" && !start.starts_with(b"GGUF") {
        if extension == "safetensors" && path.with_file_name("config.json").is_file() {
            return None;
        }
        "a safetensors file; give the folder that has it as model.safetensors, with config.json"
    } else if text.starts_with('{') && extension != "json" {
        "a JSON file; give a GGUF, or the folder that has config.json and model.safetensors"
    } else {
        return None;
    };
    Some(found.to_owned())
}

/// Refuses a part of a split GGUF.
pub(crate) fn check_split(file: &Gguf) -> Result<(), Error> {
    match file.get_u32("split.count") {
        Ok(count @ 2..) => {
            let number =
                file.get_u32("split.no").map_or(String::new(), |no| format!("{} ", u64::from(no) + 1));
            let found = format!(
                "part {number}of {count} of a split GGUF; join the parts with llama.cpp's `llama-gguf-split --merge`"
            );
            Err(Error::OtherKind { path: file.path().into(), found })
        }
        _ => Ok(()),
    }
}

/// Why a folder without `config.json` is no checkpoint.
pub(super) fn without_config(folder: &Path) -> String {
    let names = names(folder);
    let has = |name: &str| names.iter().any(|known| known == name);
    let other = if let Some(gguf) = names.iter().find(|name| name.ends_with(".gguf")) {
        format!("; it has {gguf}: give that file")
    } else if has("adapter_config.json") {
        "; it is a LoRA adapter: give its base model with -m and this folder with --lora".to_owned()
    } else if has("snapshots") && has("blobs") {
        "; it is a folder of Hugging Face's cache: give the folder inside snapshots".to_owned()
    } else if has("params.json") {
        format!("; its params.json is of another layout: {CONVERT}")
    } else {
        String::new()
    };
    format!("config.json is missing{other}")
}

/// Why a folder with `config.json` but without weights is no checkpoint.
pub(super) fn without_weights(folder: &Path) -> String {
    let names = names(folder);
    let first = |test: &dyn Fn(&str) -> bool| names.iter().find(|name| test(name));
    let other_program = |name: &str| {
        ["bin", "pt", "pth", "ckpt", "h5", "msgpack", "onnx"]
            .iter()
            .any(|end| name.ends_with(&format!(".{end}")))
            && !name.starts_with("training_args")
            && !name.starts_with("optimizer")
    };
    let other = if let Some(gguf) = first(&|name| name.ends_with(".gguf")) {
        format!("; it has {gguf}: give that file")
    } else if let Some(shard) = first(&|name| name.contains("-of-") && name.ends_with(".safetensors")) {
        format!(
            "; it has {shard}, a shard that only its index can place: download model.safetensors.index.json"
        )
    } else if let Some(other) = first(&|name| name.ends_with(".safetensors")) {
        format!("; it has {other}, which is not named model.safetensors: rename it if it has the whole model")
    } else if let Some(other) = first(&other_program) {
        format!("; it has {other}, weights of another program: {CONVERT}")
    } else if let Some(part) = first(&|name| name.ends_with(".incomplete") || name.ends_with(".part")) {
        format!("; it has {part}, an unfinished download: download it again")
    } else {
        String::new()
    };
    format!("model.safetensors and model.safetensors.index.json are missing{other}")
}

/// The names of a folder's files, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
