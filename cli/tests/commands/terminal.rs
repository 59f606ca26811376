//! A terminal with a person at it, by way of the tool `script`, where this machine has it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A running program and what it has shown.
pub(crate) struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: Vec<u8>,
    /// Dropped when all is over; until then the patience of a thread that kills what hangs.
    alive: Option<Sender<()>>,
}

/// Seconds after which a program hangs, and the test with it.
const PATIENCE: u64 = 60;

impl Terminal {
    /// Starts a program on a terminal; `None` where there is no `script`.
    pub(crate) fn start(command: &str, settings: &[(&str, &str)]) -> Option<Terminal> {
        // The program takes the place of the shell, or Ctrl-C would end the shell beside it and its exit code be shown.
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
            if over.recv_timeout(Duration::from_secs(PATIENCE)) == Err(RecvTimeoutError::Timeout) {
                drop(Command::new("kill").arg(id).status());
            }
        });
        Some(Terminal { script, keyboard, screen, shown: Vec::new(), alive: Some(alive) })
    }

    /// Types.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen has shown `done` since the last call, and gives all of what was shown since.
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

    /// Waits until a line can be edited: what is typed ahead is lost.
    pub(crate) fn waits_for_prompt(&mut self) -> String {
        // The prompt, and the cursor behind it.
        self.waits(|shown| shown.ends_with("> \r\x1b[2C\x1b[?2026l"))
    }

    /// Waits for the program's end: its exit code, and everything that was shown.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        drop(self.keyboard);
        self.screen.read_to_end(&mut self.shown).unwrap();
        drop(self.alive.take());
        (self.script.wait().unwrap().code(), String::from_utf8_lossy(&self.shown).into_owned())
    }
}
