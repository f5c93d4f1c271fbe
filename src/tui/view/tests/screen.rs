//! A screen without a terminal: state and view, driven as the loop drives them.

use std::time::{Duration, Instant};

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use serde_json::{Value, json};

use crate::tui::api::{Agent, Answer, Model};
use crate::tui::keys::{Code, Key, Typed};
use crate::tui::link::{Heard, Told};
use crate::tui::state::{Chat, Effect, Server, State};
use crate::tui::view::look::Look;
use crate::tui::view::{self, View};

/// A screen without a terminal.
pub(super) struct Screen {
    pub(super) state: State,
    pub(super) view: View,
    pub(super) now: Instant,
    pub(super) event: u64,
}

impl Screen {
    /// Connected, a session that is not there yet.
    pub(super) fn new(size: (u16, u16), look: Look) -> Self {
        let server = Server {
            name: "127.0.0.1:4096".into(),
            directory: "/home/ann/proj".into(),
            model: "mock/fast".into(),
            agent: "build".into(),
        };
        let state = State::new(server, Chat::new(), size);
        let mut screen = Self { state, view: View::new(look), now: Instant::now(), event: 1 << 32 };
        screen.heard(Heard::Up);
        let model = |id: &str, wants: Option<&str>| Model {
            id: id.into(),
            name: id.into(),
            context_window: Some(128_000),
            available: wants.is_none(),
            wants: wants.map(str::to_owned),
        };
        screen.answered(Answer::Models(vec![
            model("anthropic/claude-sonnet-4", Some("ANTHROPIC_API_KEY")),
            model("mock/fast", None),
            model("offline/guide", None),
        ]));
        let agent =
            |id: &str, description: &str| Agent { id: id.into(), description: description.into() };
        screen.answered(Answer::Agents(vec![
            agent("build", "Works in the project with all tools"),
            agent("plan", "Reads the project and makes a plan"),
        ]));
        screen
    }

    pub(super) fn heard(&mut self, heard: Heard) {
        self.state.heard(heard, self.now);
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        self.state.answered(answer, self.now);
    }

    pub(super) fn press(&mut self, key: Key) {
        let effects = self.state.typed(Typed::Key(key), self.now);
        for effect in effects {
            match effect {
                Effect::Scroll(scroll) => self.view.scroll(scroll, &self.state, self.now),
                Effect::Reveal => self.view.reveal(&self.state, self.now),
                _ => {}
            }
        }
        self.state.follows = self.view.follows();
    }

    pub(super) fn write(&mut self, text: &str) {
        for c in text.chars() {
            self.press(Key::plain(Code::Char(c)));
        }
    }

    pub(super) fn tell(&mut self, mut body: Value) {
        self.event += 1;
        body["sessionId"] = json!("s1");
        let session = Some("s1".to_owned());
        let request = (body["type"] == "session").then_some(1);
        let body = serde_json::from_value(body).unwrap();
        self.heard(Heard::Told(Box::new(Told { session, id: Some(self.event), request, body })));
    }

    /// A prompt that was sent and taken.
    pub(super) fn ask(&mut self, text: &str) {
        self.write(text);
        self.press(Key::plain(Code::Enter));
        self.tell(json!({
            "type": "session", "title": "Cache lookup without KeyError", "agent": "build",
            "model": "mock/fast", "messageId": format!("m{}b", self.event),
            "userMessageId": format!("m{}a", self.event), "message": text,
        }));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.tell(json!({ "type": "text", "content": text }));
    }

    pub(super) fn start(&mut self, id: &str, tool: &str, args: &Value) {
        self.tell(json!({ "type": "tool_start", "id": id, "tool": tool, "args": args, "step": 0 }));
    }

    pub(super) fn end(&mut self, id: &str, tool: &str, result: &str) {
        self.pass(0.1);
        self.tell(json!({
            "type": "tool_end", "id": id, "tool": tool, "result": result, "isError": false,
            "durationMs": 104,
        }));
    }

    pub(super) fn done(&mut self) {
        self.tell(json!({
            "type": "done", "messageId": "m", "finishReason": "stop",
            "durationMs": 4100, "waitedMs": 120_000,
            "usage": { "inputTokens": 2600, "outputTokens": 182, "cost": 0.03 },
        }));
    }

    pub(super) fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.state.pass(self.now);
    }

    pub(super) fn draw(&mut self) -> Buffer {
        let (width, height) = self.state.size;
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let cursor = self.view.draw(&self.state, self.now, area, &mut buffer);
        self.state.follows = self.view.follows();
        assert!(cursor.is_none_or(|at| at.x < width && at.y < height), "{cursor:?}");
        buffer
    }

    pub(super) fn shown(&mut self) -> String {
        let buffer = self.draw();
        let (width, height) = self.state.size;
        let mut text = String::new();
        for y in 0..height {
            let mut row = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                row.push_str(symbol);
                x += (view::width(symbol) as u16).max(1);
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}
