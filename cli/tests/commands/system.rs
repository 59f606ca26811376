//! Closed pipes, full disks, terminals and Ctrl-C.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{arg, copy_of, glassbox, tiny};
#[cfg(target_os = "linux")]
use crate::terminal::Terminal;

#[test]
fn a_closed_pipe_is_not_an_error() {
    let text = "word ".repeat(50_000);
    let calls = [
        vec!["tokenize".to_owned(), "-m".to_owned(), tiny("llama-text")],
        vec!["tokenize".to_owned(), "-m".to_owned(), tiny("llama-text"), "--json".to_owned()],
    ];
    for call in calls {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut input).unwrap();
        let mut command = glassbox(&call).command();
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = [0];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{call:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let model = tiny("llama-text");
    for call in [
        &["generate", "-m", &model, "x", "-n", "3"][..],
        &["generate", "-m", &model, "x", "-n", "3", "--json"],
        &["predict", "-m", &model, "x"],
        &["tokenize", "-m", &model, "x"],
        &["detokenize", "-m", &model, "40"],
        &["neighbors", "-m", &model, "--ids", "40"],
        &["perplexity", "-m", &model, "--ids", "1,2,3,4", "-c", "4"],
        &["inspect", &model],
        &["doctor"],
        &["--help"],
    ] {
        let mut command = glassbox(call).command();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdin(Stdio::null()).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{call:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
        assert!(err.contains("error: ") || call == ["--help"], "{err}");
    }
}

#[test]
fn a_closed_stderr_is_ignored() {
    let mut command =
        glassbox(["generate", "-m", &tiny("llama-text"), "x", "-n", "3", "--temp", "0"]).command();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_colour_unless_it_is_disabled() {
    let binary = env!("CARGO_BIN_EXE_glassbox");
    let command = format!("{binary} predict -m {} --ids 40,41 --top 3 --top-k 1", tiny("llama-text"));
    let Some(coloured) = Terminal::start(&command, &[]) else { return };
    let (code, coloured) = coloured.ends();
    assert_eq!(code, Some(0));
    assert!(coloured.contains("\x1b[36m█"), "{coloured:?}");
    for setting in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (_, plain) = Terminal::start(&command, &[setting]).unwrap().ends();
        assert!(plain.contains('█') && !plain.contains('\x1b'), "{plain:?}");
    }
    let command = format!("{binary} generate -m {}", tiny("llama-text"));
    let (code, usage) = Terminal::start(&command, &[]).unwrap().ends();
    assert_eq!(code, Some(2));
    assert!(usage.contains("error: ") && usage.contains("standard input"), "{usage:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_chat_on_a_terminal_has_commands() {
    let folder = copy_of("llama-text");
    let template = "{{ messages | map(attribute='content') | join(' ') }}";
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let model = arg(folder.path());
    let call = ["generate", "-m", &model, "--temp", "0", "-n", "3", "--json", "the cat"];
    let report = glassbox(call).json();
    // Generated control characters must not reach the terminal.
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let answer: String = report["text"].as_str().unwrap().chars().map(harmless).collect();

    let command = format!("{} chat -m {model} -n 3 --temp 0", env!("CARGO_BIN_EXE_glassbox"));
    let Some(mut terminal) = Terminal::start(&command, &[]) else { return };
    terminal.waits_for_prompt();
    terminal.types("  \r"); // no turn
    terminal.waits_for_prompt();
    for _ in 0..2 {
        terminal.types("the cat\r");
        let shown = terminal.waits_for_prompt();
        assert!(shown.contains(&format!("\r\n{answer}\r\n")), "{answer:?} in {shown:?}");
        // After this, the conversation starts again.
        terminal.types("/reset\r");
        terminal.waits_for_prompt();
    }
    terminal.types("/exit\r");
    assert_eq!(terminal.ends().0, Some(0));
    // While a line is edited, Ctrl-D ends the program. Ctrl-C ends it when pressed twice: the first may have been meant
    // for an answer that had just ended.
    for (keys, code) in [(&["\x04"][..], 0), (&["\x03", "\x03"], 130), (&["half a line\x03", "\x04"], 0)] {
        let mut terminal = Terminal::start(&command, &[]).unwrap();
        for key in keys {
            terminal.waits_for_prompt();
            terminal.types(key);
        }
        assert_eq!(terminal.ends().0, Some(code), "{keys:?}");
    }
}

/// Whether a process handles SIGINT, according to /proc.
fn handles_interrupts(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 2 != 0)
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_with_130() {
    let mut command = glassbox(["tokenize", "-m", &tiny("llama-text")]).command();
    // The program waits for standard input, which stays open.
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // `wait` closes the child's standard input, which must stay open until it has ended.
    let stdin = child.stdin.take();
    let start = Instant::now();
    while !handles_interrupts(child.id()) {
        assert!(start.elapsed() < Duration::from_secs(20), "the handler is installed at the start");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
}
