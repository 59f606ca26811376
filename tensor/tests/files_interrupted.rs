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
