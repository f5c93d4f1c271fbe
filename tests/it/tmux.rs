//! A terminal in the test's hands: a shell in tmux, of a server of its own.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal};
use rustix::termios::{Action, tcflow};

use crate::program::{World, binary, is_alive};
use crate::wire::PATIENCE;

/// What the shell asks with.
const PROMPT: &str = "shell>";

/// One terminal; it ends when it is dropped.
pub(crate) struct Tmux {
    socket: PathBuf,
    /// The server's process, which outlives its socket: a world may be gone before its terminal.
    server: Option<Pid>,
}

impl Tmux {
    /// A shell in a project, in a terminal of this size; `None` where there is no tmux.
    pub(crate) fn start(world: &World, size: (u16, u16), env: &[(&str, &str)]) -> Option<Self> {
        let is_here = Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok();
        if !is_here {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "tmux is not installed");
            eprintln!("left out: there is no tmux on this machine");
            return None;
        }
        let name = format!("tmux-{:08x}", opencode::id::random() as u32);
        let socket = world.home.path().join(name);
        let mut this = Self { socket, server: None };
        let mut shell = String::from("exec env -i");
        let path = std::env::var("PATH").unwrap_or_default();
        let home = world.home.path().to_str().unwrap().to_owned();
        let own = [
            ("PATH", path.as_str()),
            ("HOME", home.as_str()),
            ("PS1", PROMPT),
            ("TERM", "tmux-256color"),
            ("LANG", "C.UTF-8"),
            ("OLLAMA_HOST", "http://127.0.0.1:1"),
            // It would be written as the shell ends, into a home that is being removed.
            ("HISTFILE", "/dev/null"),
        ];
        for (name, value) in own.iter().chain(env) {
            shell = format!("{shell} '{name}={value}'");
        }
        shell.push_str(" bash --norc --noprofile -i");
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let folder = world.project.path().to_str().unwrap();
        let new = ["new-session", "-d", "-x", &width, "-y", &height, "-c", folder, &shell];
        this.tmux(&new);
        let pid = this.tmux(&["display-message", "-p", "#{pid}"]).trim().parse().unwrap();
        this.server = Pid::from_raw(pid);
        this.await_text(PROMPT);
        Some(this)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(["-u", "-f", "/dev/null"])
            .args(args)
            .env("LANG", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a text as it is.
    pub(crate) fn write(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses keys by their names.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Runs a command in the shell.
    pub(crate) fn run(&self, command: &str) {
        self.write(command);
        self.press(&["Enter"]);
    }

    /// Starts the program in the shell.
    pub(crate) fn attach(&self, args: &str) {
        self.run(&format!("{} attach {args}", binary()));
    }

    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen with its colours, as escape sequences.
    pub(crate) fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// What tmux knows of the terminal, by one of its variables.
    pub(crate) fn ask(&self, variable: &str) -> String {
        self.tmux(&["display-message", "-p", &format!("#{{{variable}}}")]).trim_end().to_owned()
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub(crate) fn await_that(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "it never came that {what}:\n{screen}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub(crate) fn await_text(&self, text: &str) -> String {
        self.await_that(&format!("{text:?} is shown"), |screen| screen.contains(text))
    }

    /// Waits until the shell asks again, and asserts that the terminal is as it was.
    #[track_caller]
    pub(crate) fn await_shell(&self) -> String {
        self.await_that("the shell asks again", |screen| {
            screen.trim_end().lines().last().is_some_and(|last| last.ends_with(PROMPT))
        });
        self.run("stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(echo|icanon|isig|opost|ixon)' | xargs echo modes");
        let screen = self.await_text("\nmodes ");
        let modes = screen.lines().rev().find(|line| line.starts_with("modes ")).unwrap();
        let mut modes: Vec<_> = modes.split(' ').skip(1).collect();
        modes.sort_unstable();
        assert_eq!(modes, ["echo", "icanon", "isig", "ixon", "opost"], "{screen}");
        assert_eq!(self.ask("alternate_on"), "0");
        assert_eq!(self.ask("cursor_flag"), "1");
        assert_eq!(self.ask("wrap_flag"), "1");
        screen
    }

    /// The status of the shell's last command, which must be over.
    #[track_caller]
    pub(crate) fn status(&self) -> i32 {
        // What an earlier command left on the screen is not taken for this one's.
        let name = format!("status-{:08x}=", opencode::id::random() as u32);
        self.run(&format!("echo {name}$?."));
        let told = |line: &str| {
            let status = line.strip_prefix(&name)?.strip_suffix('.')?;
            status.parse().ok()
        };
        let screen =
            self.await_that("a status is told", |screen| screen.lines().find_map(told).is_some());
        screen.lines().find_map(told).unwrap()
    }

    /// The program that the shell runs now.
    pub(crate) fn child(&self) -> u32 {
        let shell = self.ask("pane_pid");
        let path = format!("/proc/{shell}/task/{shell}/children");
        let children = std::fs::read_to_string(path).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Makes the terminal take nothing, as Ctrl-S does, until [`Tmux::take_on`].
    pub(crate) fn take_nothing(&self) {
        self.flow(Action::OOff);
    }

    pub(crate) fn take_on(&self) {
        self.flow(Action::OOn);
    }

    fn flow(&self, action: Action) {
        let path = self.ask("pane_tty");
        let terminal = OpenOptions::new().read(true).write(true).open(path).unwrap();
        tcflow(terminal, action).unwrap();
    }

    /// Closes the terminal, and waits until a program in it has ended.
    pub(crate) fn close_on(self, pid: u32) {
        drop(self);
        crate::program::await_that("the program ends with its terminal", || !is_alive(pid));
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let screen = Command::new("tmux")
                .arg("-S")
                .arg(&self.socket)
                .args(["capture-pane", "-p"])
                .output();
            if let Ok(output) = screen {
                eprintln!("the screen:\n{}", String::from_utf8_lossy(&output.stdout));
            }
        }
        // It hangs up on what runs in it.
        if let Some(server) = self.server {
            let _ = rustix::process::kill_process(server, Signal::TERM);
        }
    }
}
