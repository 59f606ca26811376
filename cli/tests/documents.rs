//! The links, examples, benches and scripts that the repository's documents refer to exist.

use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every document in `folder`, except in hidden and build folders.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" {
                documents(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The names that follow `mark`, each up to the first character that cannot be in a name.
fn names_after<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = &'t str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    text.split(mark).skip(1).map(move |rest| {
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches('.')
    })
}

#[test]
fn references_in_documents_exist() {
    let root = repository();
    let mut found = Vec::new();
    documents(&root, &mut found);
    assert!(found.len() >= 5, "{found:?}");
    let mut references = 0;
    for document in found {
        let text = std::fs::read_to_string(&document).unwrap();
        let mut check = |path: PathBuf| {
            references += 1;
            assert!(
                path.exists(),
                "{} refers to {}, which does not exist",
                document.display(),
                path.display()
            );
        };
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !link.contains("://") {
                check(document.parent().unwrap().join(path));
            }
        }
        for package in text.split("-p glassbox-").skip(1) {
            let folder = package.split(' ').next().unwrap();
            let command = package.lines().next().unwrap();
            names_after(command, "--example ")
                .for_each(|name| check(root.join(format!("{folder}/examples/{name}.rs"))));
            names_after(command, "--bench ")
                .for_each(|name| check(root.join(format!("{folder}/benches/{name}.rs"))));
        }
        names_after(&text, "scripts/").for_each(|name| check(root.join("scripts").join(name)));
    }
    assert!(references >= 40, "only {references} references found");
}
