//! `completions` and `man`: what other programs read is in their language.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{arg, glassbox};

/// Whether a program accepts a file, called as `program arguments file`; `None` if it is not installed.
fn accepts(program: &str, arguments: &[&str], file: &Path) -> Option<Result<(), String>> {
    let mut command = Command::new(program);
    let Ok(output) = command.args(arguments).arg(file).stdin(Stdio::null()).output() else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) })
}

#[test]
fn shells_accept_their_completions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = glassbox(["completions", shell]).text();
        for word in ["generate", "compare-models", "completions", "temp", "top-k", "prompt-chunk"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        let file = folder.path().join(shell);
        fs::write(&file, script).unwrap();
        if ["bash", "zsh", "fish"].contains(&shell)
            && let Some(Err(said)) = accepts(shell, &["-n"], &file)
        {
            panic!("{shell} -n: {said}");
        }
    }
    // bash completes with it: the second word is a command, and after it come its options.
    let file = folder.path().join("bash");
    let complete = format!(
        "source {}; COMP_WORDS=(glassbox attri); COMP_CWORD=1; _glassbox glassbox attri glassbox; \
         echo ${{COMPREPLY[*]}}; COMP_WORDS=(glassbox lens --la); COMP_CWORD=2; _glassbox glassbox --la lens; \
         echo ${{COMPREPLY[*]}}",
        file.display()
    );
    if let Ok(output) = Command::new("bash").args(["-c", &complete]).output() {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "attribute\n--layer\n");
    }
    glassbox(["completions", "tcsh"]).fails(2, &["tcsh", "bash"]);
}

#[test]
fn every_command_has_a_manual_page_without_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    assert_eq!(glassbox(["man", &arg(&pages)]).text(), "");
    let overview = glassbox(["--help"]).text();
    let names = crate::usage::commands(&overview);
    assert!(names.len() > 20, "{names:?}");
    for page in names.iter().map(|name| format!("glassbox-{name}.1")).chain(["glassbox.1".to_owned()]) {
        let file = pages.join(&page);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{page}: {error}"));
        for section in [".TH glassbox", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(text.contains(section), "{page}: {section}");
        }
        if let Some(Err(said)) = accepts("mandoc", &["-T", "lint", "-W", "error"], &file) {
            panic!("{page}: {said}");
        }
        if let Some(Err(said)) = accepts("groff", &["-man", "-Tutf8", "-ww", "-K", "utf8", "-z"], &file) {
            panic!("{page}: {said}");
        }
    }
    assert_eq!(fs::read_dir(&pages).unwrap().count(), names.len() + 1);
    let lens = fs::read_to_string(pages.join("glassbox-lens.1")).unwrap();
    let (own, machine) = (lens.find("\\-\\-layer\\fR").unwrap(), lens.find(".SH MACHINE").unwrap());
    assert!(own < lens.rfind("\\-\\-layer\\fR").unwrap() && machine > own, "{lens}");
    let page = fs::read_to_string(pages.join("glassbox.1")).unwrap();
    assert_eq!(glassbox(["man"]).text().lines().next(), page.lines().next());
    glassbox(["man", "/dev/null/man1"]).fails(1, &["manual pages", "/dev/null/man1"]);
}
