//! An interactive terminal, emulated by the tool `script`, if this machine has it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A running program and its output so far.
pub(crate) struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: Vec<u8>,
    /// Dropped at the end; until then a watchdog thread waits for it and kills a program that hangs.
    alive: Option<Sender<()>>,
}

/// Seconds after which a program counts as hanging.
const TIMEOUT: u64 = 60;

impl Terminal {
    /// Starts a program on a terminal; `None` if there is no `script`.
    pub(crate) fn start(command: &str, settings: &[(&str, &str)]) -> Option<Terminal> {
        // `exec` replaces the shell; otherwise Ctrl-C would end the shell too and its exit code would be reported.
        let command = format!("exec {command}");
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).env_remove("NO_COLOR");
        script.env("SHELL", "/bin/sh").env("TERM", "xterm");
        script.envs(settings.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut script) = script.stderr(Stdio::null()).spawn() else {
            println!("skipped: there is no `script` to run a terminal with");
            return None;
        };
        let (keyboard, screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let (alive, over) = channel::<()>();
        let id = script.id().to_string();
        std::thread::spawn(move || {
            if over.recv_timeout(Duration::from_secs(TIMEOUT)) == Err(RecvTimeoutError::Timeout) {
                drop(Command::new("kill").arg(id).status());
            }
        });
        Some(Terminal { script, keyboard, screen, shown: Vec::new(), alive: Some(alive) })
    }

    /// Types keys.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `done` holds for the output since the last call, and returns that output.
    pub(crate) fn waits(&mut self, done: impl Fn(&str) -> bool) -> String {
        let mut new = Vec::new();
        let mut byte = [0];
        while !done(&String::from_utf8_lossy(&new)) {
            assert_eq!(self.screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&new));
            new.push(byte[0]);
        }
        self.shown.extend(&new);
        String::from_utf8_lossy(&new).into_owned()
    }

    /// Waits until a line can be edited; keys typed before that are lost.
    pub(crate) fn waits_for_prompt(&mut self) -> String {
        // The prompt, and the cursor after it.
        self.waits(|shown| shown.ends_with("> \r\x1b[2C\x1b[?2026l"))
    }

    /// Waits for the program to end. Returns its exit code and all its output.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        drop(self.keyboard);
        self.screen.read_to_end(&mut self.shown).unwrap();
        drop(self.alive.take());
        (self.script.wait().unwrap().code(), String::from_utf8_lossy(&self.shown).into_owned())
    }
}
