//! The main states as they look at three sizes, kept as text in `src/tui/snapshots`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --lib tui::` writes them anew; look at each one before it is kept.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier};
use serde_json::{Value, json};

use super::View;
use super::look::{Depth, Look};
use crate::tui::api::{Agent, Answer, Model, Session};
use crate::tui::keys::{Code, Key, Typed};
use crate::tui::link::{Heard, Told};
use crate::tui::state::{Chat, Effect, Server, State};

const LOOK: Look = Look { depth: Depth::Named, is_light: false };
const SIZES: [(u16, u16); 3] = [(80, 24), (40, 15), (200, 60)];

/// A screen without a terminal.
struct Screen {
    state: State,
    view: View,
    now: Instant,
    event: u64,
}

impl Screen {
    /// Connected, a session that is not there yet.
    fn new(size: (u16, u16), look: Look) -> Self {
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

    fn heard(&mut self, heard: Heard) {
        self.state.heard(heard, self.now);
    }

    fn answered(&mut self, answer: Answer) {
        self.state.answered(answer, self.now);
    }

    fn press(&mut self, key: Key) {
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

    fn write(&mut self, text: &str) {
        for c in text.chars() {
            self.press(Key::plain(Code::Char(c)));
        }
    }

    fn tell(&mut self, mut body: Value) {
        self.event += 1;
        body["sessionId"] = json!("s1");
        let session = Some("s1".to_owned());
        let request = (body["type"] == "session").then_some(1);
        let body = serde_json::from_value(body).unwrap();
        self.heard(Heard::Told(Box::new(Told { session, id: Some(self.event), request, body })));
    }

    /// A prompt that was sent and taken.
    fn ask(&mut self, text: &str) {
        self.write(text);
        self.press(Key::plain(Code::Enter));
        self.tell(json!({
            "type": "session", "title": "Cache lookup without KeyError", "agent": "build",
            "model": "mock/fast", "messageId": format!("m{}b", self.event),
            "userMessageId": format!("m{}a", self.event), "message": text,
        }));
    }

    fn text(&mut self, text: &str) {
        self.tell(json!({ "type": "text", "content": text }));
    }

    fn start(&mut self, id: &str, tool: &str, args: &Value) {
        self.tell(json!({ "type": "tool_start", "id": id, "tool": tool, "args": args, "step": 0 }));
    }

    fn end(&mut self, id: &str, tool: &str, result: &str) {
        self.pass(0.1);
        self.tell(json!({
            "type": "tool_end", "id": id, "tool": tool, "result": result, "isError": false,
            "durationMs": 104,
        }));
    }

    fn done(&mut self) {
        self.tell(json!({
            "type": "done", "messageId": "m", "finishReason": "stop",
            "durationMs": 4100, "waitedMs": 120_000,
            "usage": { "inputTokens": 2600, "outputTokens": 182, "cost": 0.03 },
        }));
    }

    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.state.pass(self.now);
    }

    fn draw(&mut self) -> Buffer {
        let (width, height) = self.state.size;
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let cursor = self.view.draw(&self.state, self.now, area, &mut buffer);
        self.state.follows = self.view.follows();
        assert!(cursor.is_none_or(|at| at.x < width && at.y < height), "{cursor:?}");
        buffer
    }

    fn shown(&mut self) -> String {
        let buffer = self.draw();
        let (width, height) = self.state.size;
        let mut text = String::new();
        for y in 0..height {
            let mut row = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                row.push_str(symbol);
                x += (super::width(symbol) as u16).max(1);
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Compares a state at every size with what is kept.
fn snapshot(name: &str, make: impl Fn(&mut Screen)) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tui/snapshots");
    let mut wrong = Vec::new();
    for (width, height) in SIZES {
        let mut screen = Screen::new((width, height), LOOK);
        make(&mut screen);
        let shown = screen.shown();
        let path = folder.join(format!("{name}-{width}x{height}.txt"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &shown).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != shown {
            wrong.push(format!("{}:\n{shown}\nand was:\n{kept}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const ANSWER: &str = "# Field notes\n\nA **bold** word, *emphasis*, `code` and a \
    [link](https://example.org/notes).\n\n1. The first item, which is long enough for a second \
    line on a narrow screen\n   - nested\n2. The second\n\n> Quoted.\n\n| Name | Size |\n|:--|--:|\n\
    | cache.py | 22 |\n| 世界.txt | 1024 |\n\n```python\ndef get(self, key):\n    # said once\n    \
    return self.items.get(key, \"none\")\n```\n\nDone.";

const DIFF: &str = "--- a/src/cache.py\n+++ b/src/cache.py\n@@ -9,5 +9,6 @@\n     def get(self, \
    key):\n         \"\"\"The value, if it is fresh.\"\"\"\n-        value, stamp = \
    self.items[key]\n+        entry = self.items.get(key)\n+        value, stamp = entry or (None, \
    0)\n         return value if stamp > self.now() else None\n";

fn edited(screen: &mut Screen) {
    screen.ask("tidy src/cache.py: a missing key must not raise");
    screen.text("Let me look at the file first.\n\n");
    screen.start("c1", "read_file", &json!({ "path": "src/cache.py" }));
    screen.end("c1", "read_file", &"line\n".repeat(22));
    let args = json!({ "path": "src/cache.py", "old_string": "a", "new_string": "b" });
    screen.start("c2", "edit_file", &args);
    screen.end("c2", "edit_file", DIFF);
}

fn asking(screen: &mut Screen) {
    edited(screen);
    let command = json!({ "command": "df -h / && du -sh . | sort -h" });
    screen.start("c3", "bash", &command);
    screen.tell(json!({
        "type": "permission", "id": "p1", "callId": "c3", "tool": "bash", "args": command,
        "reason": "the configuration asks before `bash`", "always": ["df *", "du *", "sort *"],
    }));
    screen.pass(120.0);
}

#[test]
fn empty() {
    snapshot("empty", |_| {});
}

#[test]
fn streaming() {
    snapshot("streaming", |screen| {
        screen.ask("write field notes");
        for word in ANSWER.split_inclusive(' ') {
            screen.text(word);
        }
        screen.pass(12.3);
    });
}

#[test]
fn finished() {
    snapshot("finished", |screen| {
        edited(screen);
        screen.text("\n\nDone. `get` now takes a default.");
        screen.done();
        screen.write("and then\ncompare");
    });
}

#[test]
fn tool_running() {
    snapshot("tool-running", |screen| {
        screen.ask("run the tests");
        screen.start("c1", "bash", &json!({ "command": "cargo test --workspace 2>&1 | tail -40" }));
        let content = "   Compiling one\n   Compiling two v0.1.0 (/home/ann/proj)\n";
        screen.tell(json!({ "type": "tool_output", "id": "c1", "content": content }));
        screen.pass(3.2);
    });
}

#[test]
fn tool_opened() {
    snapshot("tool-opened", |screen| {
        screen.ask("run the tests");
        screen.start("c1", "bash", &json!({ "command": "cargo test\ncargo doc" }));
        screen.end(
            "c1",
            "bash",
            "test one ... ok\ntest two\twith a tab ... FAILED\n\nfailures: two",
        );
        screen.text("One fails.");
        screen.done();
        screen.press(Key::plain(Code::Tab));
        screen.press(Key::plain(Code::Enter));
    });
}

#[test]
fn permission() {
    snapshot("permission", asking);
}

#[test]
fn permission_while_writing() {
    snapshot("permission-while-writing", |screen| {
        asking(screen);
        screen.write("wait, I");
    });
}

#[test]
fn diff_opened() {
    snapshot("diff", |screen| {
        edited(screen);
        screen.done();
        screen.press(Key::plain(Code::Tab));
        if screen.state.size.0 < 60 {
            screen.press(Key::plain(Code::Enter));
        }
    });
}

#[test]
fn failed() {
    snapshot("error", |screen| {
        screen.ask("write field notes");
        screen.text("I will ");
        screen.tell(json!({
            "type": "error", "code": "provider-failed",
            "message": "the provider answered 400: this model does not take tools; choose another model",
        }));
        screen.tell(json!({
            "type": "done", "messageId": "m", "finishReason": "error", "usage": {},
        }));
    });
}

#[test]
fn server_gone() {
    snapshot("server-gone", |screen| {
        screen.ask("write long field notes");
        screen.text("Part 10. This is paragraph 10 of a long streamed answer. It goes on and on so that one can watch");
        let again = screen.now + Duration::from_secs(1);
        screen.heard(Heard::Down { why: "gone".into(), again, is_refused: false });
        screen.write("and then compare pa");
    });
}

#[test]
fn sessions() {
    snapshot("sessions", |screen| {
        edited(screen);
        let session = |id: &str, title: &str, status: &str, waiting| Session {
            id: id.into(),
            title: title.into(),
            updated_at: format!("2026-11-25T02:2{}:00Z", id.len()),
            age: format!("{} min", id.len()),
            status: status.into(),
            message_count: 2,
            waiting,
        };
        screen.answered(Answer::Sessions(vec![
            session("s1", "Cache lookup without KeyError", "running", false),
            session("s2", "Disk space", "running", false),
            session(
                "s3",
                "Field notes, with a title that is longer than most screens are wide, to be cut",
                "idle",
                false,
            ),
        ]));
        let body = json!({ "type": "session_changed", "sessionId": "s2", "status": "running",
            "title": "Disk space", "waiting": true });
        let body = serde_json::from_value(body).unwrap();
        screen.heard(Heard::Told(Box::new(Told { session: None, id: None, request: None, body })));
        screen.press(Key::plain(Code::F(2)));
        screen.press(Key::plain(Code::Down));
    });
}

#[test]
fn models() {
    snapshot("models", |screen| {
        screen.press(Key::plain(Code::F(3)));
        screen.press(Key::plain(Code::Down));
    });
}

#[test]
fn keys() {
    snapshot("keys", |screen| screen.press(Key::plain(Code::F(1))));
}

#[test]
fn scrolled_up() {
    snapshot("scrolled-up", |screen| {
        screen.ask("count");
        for number in 0..100 {
            screen.text(&format!("{number}\n\n"));
        }
        screen.draw();
        screen.press(Key::plain(Code::PageUp));
        let before = screen.shown();
        for number in 100..110 {
            screen.text(&format!("{number}\n\n"));
        }
        let after = screen.shown();
        let rows = |text: &str| text.lines().take(9).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rows(&before), rows(&after), "reading is not disturbed");
    });
}

#[test]
fn completion() {
    snapshot("completion", |screen| {
        screen.write("look at @ca");
        let paths = ["src/cache.py", "tests/test_cache.py"].map(str::to_owned).to_vec();
        screen.answered(Answer::Files { query: "ca".into(), paths });
        screen.press(Key::plain(Code::Down));
    });
}

#[test]
fn what_streams_looks_as_it_will() {
    for size in SIZES {
        let mut whole = Screen::new(size, LOOK);
        whole.ask("x");
        whole.text(ANSWER);
        whole.done();
        let mut parts = Screen::new(size, LOOK);
        parts.ask("x");
        for c in ANSWER.chars() {
            parts.text(&c.to_string());
            parts.draw();
        }
        parts.done();
        assert_eq!(parts.shown(), whole.shown());
    }
}

#[test]
fn no_size_is_too_small() {
    for width in 1..50 {
        for height in 1..20 {
            let mut screen = Screen::new((width, height), LOOK);
            screen.draw();
            asking(&mut screen);
            screen.draw();
            for key in
                [Code::F(1), Code::Esc, Code::F(2), Code::Esc, Code::F(3), Code::Tab, Code::Enter]
            {
                screen.press(Key::plain(key));
                screen.draw();
            }
        }
    }
}

#[test]
fn colours_are_those_there_are() {
    let cells = |depth| {
        let mut screen = Screen::new((80, 30), Look { depth, is_light: false });
        edited(&mut screen);
        screen.text(ANSWER);
        screen.draw().content
    };
    for cell in cells(Depth::None) {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
    }
    for cell in cells(Depth::Named) {
        assert!(!matches!(cell.fg, Color::Rgb(..) | Color::Indexed(_) | Color::DarkGray));
        assert_eq!(cell.bg, Color::Reset);
    }
    let tinted = |depth, color| cells(depth).iter().any(|cell| cell.bg == color);
    assert!(
        tinted(Depth::Indexed, Color::Indexed(22)) && tinted(Depth::Indexed, Color::Indexed(52))
    );
    assert!(tinted(Depth::True, Color::Rgb(0x15, 0x30, 0x1f)));
    // Without colours the cursor's row in a list is still to be seen.
    let mut screen = Screen::new((80, 24), Look { depth: Depth::None, is_light: false });
    screen.press(Key::plain(Code::F(3)));
    let reversed = |cell: &ratatui_core::buffer::Cell| cell.modifier.contains(Modifier::REVERSED);
    assert!(screen.draw().content.iter().any(reversed));
}
