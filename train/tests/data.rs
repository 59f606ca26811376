//! From files to batches: no text is lost, training never reads the validation split, and the examples of a step depend
//! only on the seed and its number.

use std::fs;
use std::path::{Path, PathBuf};

use glassbox_tokenizer::Tokenizer;
use glassbox_train::data::{
    Batches, Documents, END_OF_TEXT, Split, Splits, TokenFile, end_of_document, split_documents,
    train_tokenizer,
};
use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn texts(path: &Path) -> Vec<String> {
    let documents = Documents::open(path).unwrap();
    (0..documents.len()).map(|index| documents.get(index)).collect()
}

#[test]
fn documents_end_at_the_mark_or_with_the_file() {
    let folder = folder(&[
        ("b.txt", "\nthird\n"),
        ("a.txt", "first\nstill first\n<|endoftext|>\n\r\nsecond<|endoftext|>  \n<|endoftext|>\n"),
        ("deep/er/c.txt", "fourth"),
        (".hidden", "not read"),
    ]);
    assert_eq!(texts(folder.path()), ["first\nstill first", "second", "third", "fourth"]);
    assert_eq!(texts(&folder.path().join("b.txt")), ["third"]);
}

#[test]
fn files_that_are_not_text_are_errors_with_the_offset() {
    let folder = folder(&[("empty", ""), ("blank", " \n<|endoftext|>\n"), ("zero", "ab\0c")]);
    fs::write(folder.path().join("binary"), b"abc\xff\xfe").unwrap();
    let error = |name: &str| Documents::open(&folder.path().join(name)).err().expect(name).to_string();
    assert!(error("empty").contains("no text"), "{}", error("empty"));
    assert!(error("blank").contains("no text"));
    assert!(error("zero").contains("zero: expected UTF-8 text, but byte 2 is zero"), "{}", error("zero"));
    assert!(error("binary").contains("binary: expected UTF-8 text, but byte 3"), "{}", error("binary"));
    assert!(error("missing").contains("missing"));
}

#[test]
fn any_change_of_the_text_changes_the_fingerprint() {
    let of = |files: &[(&str, &str)]| Documents::open(folder(files).path()).unwrap().fingerprint();
    let all = [
        of(&[("a", "one<|endoftext|>two")]),
        of(&[("a", "onetwo")]),
        of(&[("a", "one<|endoftext|>twp")]),
        of(&[("a", "two<|endoftext|>one")]),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(all[i + 1..].iter().all(|other| other != one));
    }
    assert_eq!(all[0], of(&[("a", "one"), ("b", "two")]));
}

/// A hundred documents of differing length.
fn corpus() -> TempDir {
    let document = |i: usize| format!("Document {i} says: {}.", "once upon a time, ".repeat(1 + i % 13));
    let text: Vec<String> = (0..100).map(document).collect();
    folder(&[("all.txt", &text.join(&format!("\n{END_OF_TEXT}\n")))])
}

#[test]
fn whole_documents_are_split_off_by_seed() {
    let folder = corpus();
    let documents = Documents::open(folder.path()).unwrap();
    let parts = |seed| split_documents(&documents, 0.1, seed);
    let Splits { training, validation } = parts(3);
    let mut all: Vec<usize> = training.iter().chain(&validation).map(|piece| piece.0).collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    let kept: usize = validation.iter().map(|piece| documents.byte_len(piece.0)).sum();
    let share = kept as f64 / documents.total_bytes() as f64;
    assert!((0.07..=0.1).contains(&share), "{share}");
    assert_eq!(parts(3), Splits { training, validation });
    assert_ne!(parts(4), parts(3));
    assert!(split_documents(&documents, 0.0, 3).validation.is_empty());
}

#[test]
fn the_end_of_a_single_document_is_the_validation_split() {
    let folder = folder(&[("one.txt", &"snow é white ".repeat(100))]);
    let documents = Documents::open(folder.path()).unwrap();
    let parts = split_documents(&documents, 0.1, 1);
    let cut = parts.training[0].1;
    assert_eq!(parts, Splits { training: vec![(0, cut)], validation: vec![(0, cut)] });
    assert!((1255..=1265).contains(&cut) && documents.get(0).is_char_boundary(cut), "{cut}");
}

/// The corpus as a token file, with its tokenizer.
fn encoded(folder: &Path) -> (TokenFile, Tokenizer, PathBuf) {
    let documents = Documents::open(folder).unwrap();
    let parts = split_documents(&documents, 0.1, 3);
    let tokenizer = train_tokenizer(&documents, &parts, 300).unwrap();
    let path = folder.join("tokens.bin");
    TokenFile::write(&path, &documents, &parts, &tokenizer).unwrap();
    (TokenFile::open(&path).unwrap(), tokenizer, path)
}

#[test]
fn the_token_file_decodes_to_all_documents_each_with_its_end() {
    let folder = corpus();
    let documents = Documents::open(folder.path()).unwrap();
    let parts = split_documents(&documents, 0.1, 3);
    let (tokens, tokenizer, path) = encoded(folder.path());
    let end = end_of_document(&tokenizer).unwrap();
    assert_eq!(end, 0);
    for (part, pieces) in [(Split::Training, &parts.training), (Split::Validation, &parts.validation)] {
        let mut ids = Vec::new();
        tokens.read(part, 0, tokens.len(part), &mut ids).unwrap();
        let texts: Vec<String> =
            ids.split(|&id| id == end).map(|text| tokenizer.decode(text, false)).collect();
        assert_eq!(texts.len(), pieces.len() + 1);
        assert_eq!(texts.last().map(String::as_str), Some(""));
        for (text, piece) in texts.iter().zip(pieces) {
            assert_eq!(*text, documents.get(piece.0));
        }
    }
    // Truncated files, other files and ids outside the vocabulary are errors.
    let bytes = fs::read(&path).unwrap();
    let mut strange = bytes.clone();
    strange[32..34].copy_from_slice(&[0xff, 0xff]);
    for broken in
        [&bytes[..bytes.len() - 1], &bytes[..20], b"", &[&b"GLASSTO?"[..], &bytes[8..]].concat(), &strange]
    {
        fs::write(&path, broken).unwrap();
        assert!(TokenFile::open(&path).is_err());
    }
}

#[test]
fn an_example_depends_only_on_seed_and_number() {
    let folder = corpus();
    let (tokens, _, _) = encoded(folder.path());
    let batches = Batches::new(&tokens, 16, 5).unwrap();
    let (ids, targets) = batches.read(&tokens, 8, 8).unwrap();
    assert_eq!((ids.len(), targets.len()), (128, 128));
    // The same with another division into calls.
    let halves = [(8, 4), (12, 4)].map(|(first, rows)| batches.read(&tokens, first, rows).unwrap());
    assert_eq!(ids, [&halves[0].0[..], &halves[1].0].concat());
    assert_eq!(targets, [&halves[0].1[..], &halves[1].1].concat());
    for (ids, targets) in ids.chunks(16).zip(targets.chunks(16)) {
        assert_eq!(ids[1..], targets[..15]);
    }
    assert_ne!(ids, Batches::new(&tokens, 16, 6).unwrap().read(&tokens, 8, 8).unwrap().0);
    let too_long = tokens.len(Split::Training);
    assert!(Batches::new(&tokens, too_long, 5).unwrap_err().to_string().contains("shorter context_length"));
    assert_eq!(Batches::new(&tokens, too_long - 1, 5).unwrap().epoch_len(), 1);
}
