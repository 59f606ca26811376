//! A program that is interrupted leaves no half-written file. A binary of its own, since it removes what others write.

use std::fs;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use glassbox_tensor::Error;
use glassbox_tensor::file::gguf::{Entry, Gguf, write_made};
use glassbox_tensor::file::temporary::{Temporary, remove_all};
use glassbox_tensor::{Format, Shape};

#[test]
fn temporary_files_go_and_none_come_while_the_program_ends() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    let count = || fs::read_dir(folder.path()).unwrap().count();

    let (temporary, mut file) = Temporary::beside(&target).unwrap();
    file.write_all(b"half").unwrap();
    assert!(temporary.path().exists());
    drop(temporary);
    assert_eq!(count(), 0);

    let entries = ["a", "b"].map(|name| Entry {
        name: name.to_owned(),
        format: Format::F32,
        shape: Shape::new([2]).unwrap(),
    });
    // Interrupted at the second tensor: what was written of the first is gone, and the write fails.
    let mut ending = None;
    let result = write_made(&target, &[], &entries, |i| {
        if i == 1 {
            assert_eq!(count(), 1);
            ending = Some(remove_all());
            assert_eq!(count(), 0);
            // Of a thread that would begin to write now nothing is heard until all is over.
            let (started, heard) = mpsc::channel();
            let target = target.clone();
            std::thread::spawn(move || started.send(Temporary::beside(&target).is_ok()));
            assert!(heard.recv_timeout(Duration::from_millis(50)).is_err());
            drop(ending.take());
            assert_eq!(heard.recv(), Ok(true));
        }
        Ok::<_, Error>(vec![0; 8])
    });
    assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    assert!(!target.exists());

    write_made(&target, &[], &entries, |i| Ok::<_, Error>(vec![i as u8; 8])).unwrap();
    let file = Gguf::open(&target).unwrap();
    assert_eq!(file.tensor("b").unwrap().bytes().unwrap(), [1; 8].as_slice());
    let wrong = write_made(&target, &[], &entries, |_| Ok::<_, Error>(vec![0; 7]));
    assert!(matches!(wrong, Err(Error::ByteCount { expected: 8, found: 7, .. })), "{wrong:?}");
    let twice =
        write_made(&target, &[], &[entries[0].clone(), entries[0].clone()], |_| Ok::<_, Error>(vec![0; 8]));
    assert!(twice.unwrap_err().to_string().contains("occurs twice"));
    assert_eq!(Gguf::open(&target).unwrap().tensor("b").unwrap().bytes().unwrap(), [1; 8].as_slice());
}

/// A program that is killed cannot remove what it wrote; until now it stayed for ever.
#[test]
fn what_a_killed_program_left_is_removed_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.gguf");
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "half").unwrap();
        path
    };
    let abandoned = [file(".model.gguf.4000001-1.tmp"), file(".model.gguf.17-203.tmp")];
    let others = [
        ".model.gguf.tmp",
        ".model.gguf.x-1.tmp",
        ".model.gguf.1-2-3.tmp",
        ".other.gguf.4000001-1.tmp",
        "model.gguf.4000001-1.tmp",
        ".model.gguf.4000001-1.tmp.bak",
    ]
    .map(file);
    // A file that a living program writes is locked.
    let (living, mut writer) = Temporary::beside(&target).unwrap();
    assert!(abandoned.iter().all(|path| !path.exists()));
    let (second, _file) = Temporary::beside(&target).unwrap();
    assert!(living.path().exists() && second.path().exists() && living.path() != second.path());
    assert!(others.iter().all(|path| path.exists()));
    writer.write_all(b"whole").unwrap();
    drop(writer);
    // Its handle is closed, but the file has not got its name yet.
    drop(Temporary::beside(&target).unwrap());
    living.rename(&target).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"whole");
}
