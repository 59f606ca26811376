//! Prints what is in a GGUF or safetensors file: its metadata and its tensors.
//!
//! ```text
//! cargo run -p glassbox-tensor --example inspect_file -- model.gguf
//! ```

use std::error::Error;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use glassbox_tensor::file::TensorInfo;
use glassbox_tensor::file::gguf::{Gguf, Value};
use glassbox_tensor::file::safetensors::SafeTensors;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: inspect_file FILE.gguf | FILE.safetensors | INDEX.json | DIRECTORY");
        return ExitCode::from(2);
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match inspect(Path::new(&path), &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(error) if error.downcast_ref().is_some_and(|e: &io::Error| e.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn inspect(path: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    if path.extension().is_some_and(|extension| extension == "gguf") {
        let file = Gguf::open(path)?;
        writeln!(out, "GGUF version {}, alignment {}", file.version(), file.alignment())?;
        for (key, value) in file.metadata() {
            writeln!(out, "{key} = {}", describe(value))?;
        }
        print_tensors(out, file.tensors())?;
    } else {
        let files = SafeTensors::open(path)?;
        for (shard, path) in files.shard_paths().enumerate() {
            writeln!(out, "shard {shard}: {}", path.display())?;
        }
        for (key, value) in files.metadata() {
            writeln!(out, "{key} = {value:?}")?;
        }
        print_tensors(out, files.tensors())?;
    }
    out.flush()?;
    Ok(())
}

/// The value; of an array also its first elements.
fn describe(value: &Value) -> String {
    match value {
        Value::Array(array) => {
            let first: Vec<String> = array.iter().take(5).map(|element| element.to_string()).collect();
            let more = if array.len() > first.len() { ", …" } else { "" };
            format!("{value}: [{}{more}]", first.join(", "))
        }
        _ => value.to_string(),
    }
}

fn print_tensors(out: &mut impl Write, tensors: &[TensorInfo]) -> io::Result<()> {
    for TensorInfo { name, element, shape, bytes, .. } in tensors {
        writeln!(
            out,
            "{name:50} {:6} {:20} {:>12} bytes at {}",
            element.name(),
            shape.to_string(),
            bytes.len(),
            bytes.start
        )?;
    }
    let total: usize = tensors.iter().map(|info| info.bytes.len()).sum();
    writeln!(out, "{} tensors, {total} bytes", tensors.len())
}
