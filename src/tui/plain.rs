//! A conversation line by line, for terminals that cannot place a cursor (`TERM=dumb`), and for
//! whoever reads with their ears: nothing is drawn over, and the terminal's own line editing stays.

use std::io::{self, BufRead, Write};

use crossbeam_channel::{Sender, bounded};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Wish;
use super::link::{Heard, Link, Told};
use super::run::Ended;
use super::state::Server;
use super::view::{outcome, subject};
use crate::client::Remote;
use crate::event::{Body, EventId};
use crate::message::{FinishReason, Limit, ToolStatus};
use crate::os;

const WAITING: usize = 256;
const HELP: &str = "Write a line to ask. /stop ends the turn, /quit or Ctrl+D leaves.\n";

enum Event {
    Line(String),
    Heard(Heard),
    /// Standard input has ended.
    Over,
    Ended(Ended),
}

/// Runs until the person leaves.
pub(super) fn run(
    remote: &Remote,
    server: &Server,
    session: Option<String>,
    wish: &Wish,
) -> io::Result<Ended> {
    let (tell, hear) = bounded(WAITING);
    let lines = tell.clone();
    let read = move || read_lines(&lines);
    // It ends with standard input or the program: a read of a terminal cannot be ended.
    os::thread("keyboard", read)?;
    // Who was asked for a password has these handled already, and by nobody who would end this.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let to = tell.clone();
    let watch = move || {
        for signal in signals.forever() {
            let ended = match signal {
                SIGINT => Ended::Interrupted,
                SIGHUP => Ended::HungUp,
                _ => Ended::Terminated,
            };
            if to.send(Event::Ended(ended)).is_err() {
                return;
            }
        }
    };
    os::thread("signals", watch)?;
    let link =
        Link::start(remote.clone(), move |heard| tell.send(Event::Heard(heard)).map_err(|_| ()))?;
    let mut talk = Talk {
        link,
        session,
        wish: wish.clone(),
        last: 0,
        is_running: false,
        is_up: false,
        at_line_start: true,
        question: None,
        waiting: None,
        unsent: None,
        args: Value::Null,
    };
    print(&format!("{} in {}. {HELP}", server.name, server.directory))?;
    let mut end = Ended::Left;
    while let Ok(event) = hear.recv() {
        match event {
            Event::Ended(ended) => {
                end = ended;
                break;
            }
            Event::Line(line) => {
                if !talk.line(line.trim_end())? {
                    break;
                }
            }
            Event::Heard(heard) => talk.heard(heard)?,
            Event::Over => break,
        }
    }
    talk.link.end();
    Ok(end)
}

fn read_lines(to: &Sender<Event>) {
    for line in io::stdin().lock().lines() {
        let event = line.map_or(Event::Over, Event::Line);
        let is_over = matches!(event, Event::Over);
        if to.send(event).is_err() || is_over {
            return;
        }
    }
    let _ = to.send(Event::Over);
}

struct Talk {
    link: Link,
    session: Option<String>,
    wish: Wish,
    last: EventId,
    is_running: bool,
    is_up: bool,
    at_line_start: bool,
    /// The tool that asks.
    question: Option<String>,
    /// Written while there was no connection.
    waiting: Option<String>,
    /// Sent, and not seen to have arrived.
    unsent: Option<String>,
    /// Of the tool that runs.
    args: Value,
}

impl Talk {
    /// Takes a line; `false` to leave.
    fn line(&mut self, line: &str) -> io::Result<bool> {
        self.at_line_start = true;
        if let Some(id) = &self.question {
            let reply = match line.trim() {
                "y" => "once",
                "a" => "always",
                "n" => "reject",
                _ => {
                    print("Answer y, a or n: ")?;
                    return Ok(true);
                }
            };
            self.link.say(&json!({ "type": "permission", "id": id, "reply": reply }));
            self.question = None;
            return Ok(true);
        }
        match (line.trim(), &self.session) {
            ("", _) => prompt()?,
            ("/quit" | "/exit", _) => return Ok(false),
            ("/help", _) => print(HELP)?,
            ("/stop", Some(session)) if self.is_running => {
                self.link.say(&json!({ "type": "abort", "sessionId": session }));
            }
            ("/stop", _) => print("No turn is running.\n")?,
            (text, _) if !self.is_up => {
                if self.waiting.is_some() {
                    print("Not connected, and a line waits already; this was not sent.\n")?;
                } else {
                    self.waiting = Some(text.to_owned());
                    print("Not connected; this is sent when the server is there.\n")?;
                }
            }
            _ if self.is_running => print("A turn is running; /stop ends it.\n")?,
            (text, session) => {
                let mut message = json!({ "type": "chat", "message": text, "requestId": 1 });
                for (name, value) in [
                    ("sessionId", session),
                    ("agent", &self.wish.agent),
                    ("model", &self.wish.model),
                ] {
                    if let Some(value) = value {
                        message[name] = json!(value);
                    }
                }
                self.unsent = Some(text.to_owned());
                self.is_running = true;
                self.link.say(&message);
            }
        }
        Ok(true)
    }

    fn heard(&mut self, heard: Heard) -> io::Result<()> {
        match heard {
            Heard::Up => {
                self.is_up = true;
                if let Some(session) = &self.session {
                    let mut message = json!({ "type": "subscribe", "sessionId": session });
                    if self.last > 0 {
                        message["after"] = json!(self.last);
                    }
                    self.link.say(&message);
                }
                if !self.is_running {
                    prompt()?;
                }
            }
            Heard::Down { why, .. } => {
                if std::mem::replace(&mut self.is_up, false) {
                    self.begin_line()?;
                    print(&format!("Server gone ({why}); trying again.\n"))?;
                }
                if let Some(text) = self.unsent.take() {
                    self.is_running = false;
                    print(&format!("Perhaps not sent: {text}\n"))?;
                }
            }
            Heard::Told(told) => self.told(*told)?,
        }
        // What was promised to be sent is, once it can be: a turn may still run.
        if self.is_up
            && !self.is_running
            && let Some(text) = self.waiting.take()
        {
            print(&format!("{text}\n"))?;
            self.line(&text)?;
        }
        Ok(())
    }

    fn told(&mut self, told: Told) -> io::Result<()> {
        if let Body::Session { session_id, .. } = &told.body
            && self.session.is_none()
        {
            self.session = Some(session_id.clone());
        }
        if let Some(id) = told.id {
            if id <= self.last {
                return Ok(());
            }
            self.last = id;
        }
        match told.body {
            Body::Session { message, .. } => {
                if self.unsent.take().is_none() {
                    self.begin_line()?;
                    print(&format!("> {message}\n"))?;
                }
                // What was wished for is the session's now.
                (self.wish.agent, self.wish.model) = (None, None);
                self.is_running = true;
            }
            Body::Text { content } => {
                self.at_line_start = content.ends_with('\n');
                print(&content)?;
            }
            Body::ToolStart { tool, args, .. } => {
                self.begin_line()?;
                print(&format!("[{tool} {}]\n", subject(&args).replace('\n', " ")))?;
                self.args = args;
            }
            Body::ToolEnd { tool, result, is_error, denied, .. } => {
                let status = match (denied, is_error) {
                    (Some(_), _) => ToolStatus::Denied,
                    (None, true) => ToolStatus::Error,
                    (None, false) => ToolStatus::Completed,
                };
                self.question = None;
                let outcome = outcome(&tool, &self.args, &result, status);
                print(&format!("[{tool}: {outcome}]\n"))?;
            }
            Body::Permission { id, tool, args, reason, always, .. } => {
                self.begin_line()?;
                let wanted =
                    args["command"].as_str().map_or_else(|| args.to_string(), str::to_owned);
                let always = always.join(", ");
                print(&format!(
                    "{tool} asks: {wanted}\n{reason}\ny once, a always ({always}), n refuse: "
                ))?;
                self.question = Some(id);
            }
            Body::Error { message, .. } => {
                self.begin_line()?;
                print(&format!("Failed: {message}\n"))?;
                if told.id.is_none() {
                    self.unsent = None;
                    self.is_running = false;
                    prompt()?;
                }
            }
            Body::Gap => print("\n[some of the answer was missed]\n")?,
            Body::Retry { reason, .. } => {
                self.begin_line()?;
                print(&format!("[the provider asked to wait: {reason}]\n"))?;
            }
            Body::Done { finish_reason, limit, .. } => {
                self.begin_line()?;
                match finish_reason {
                    FinishReason::Aborted => print("[stopped]\n")?,
                    FinishReason::Length => print(&format!("[{}]\n", Limit::words(limit)))?,
                    FinishReason::Stop | FinishReason::Error => {}
                }
                self.is_running = false;
                self.question = None;
                prompt()?;
            }
            Body::SessionDeleted { session_id } if self.session.as_ref() == Some(&session_id) => {
                self.begin_line()?;
                print("The session was deleted; the next line begins another.\n")?;
                (self.session, self.last, self.is_running) = (None, 0, false);
                self.question = None;
                prompt()?;
            }
            Body::Reasoning { .. }
            | Body::ToolOutput { .. }
            | Body::PermissionReply { .. }
            | Body::SessionChanged { .. }
            | Body::SessionDeleted { .. } => {}
        }
        Ok(())
    }

    fn begin_line(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.at_line_start, true) {
            print("\n")?;
        }
        Ok(())
    }
}

fn prompt() -> io::Result<()> {
    print("> ")
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
