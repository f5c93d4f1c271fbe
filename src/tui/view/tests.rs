//! The main states as they look at three sizes, kept as text in `src/tui/snapshots`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --lib tui::` writes them anew; look at each one before it is kept.

mod screen;

use std::path::PathBuf;
use std::time::Duration;

use ratatui_core::style::{Color, Modifier};
use serde_json::json;

use self::screen::Screen;
use super::look::{Depth, Look};
use crate::tui::api::{Answer, Session};
use crate::tui::keys::{Code, Key};
use crate::tui::link::{Heard, Told};

const LOOK: Look = Look { depth: Depth::Named, is_light: false };
const SIZES: [(u16, u16); 3] = [(80, 24), (40, 15), (200, 60)];

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
fn written() {
    snapshot("written", |screen| {
        screen.ask("write it anew");
        let args = json!({ "path": "src/cache.py", "content": "one\ntwo\n" });
        screen.start("c1", "write_file", &args);
        screen.end("c1", "write_file", DIFF);
        screen.start("c2", "write_file", &args);
        screen.end("c2", "write_file", "`src/cache.py` created: 2 lines, 8 bytes");
        screen.start("c3", "write_file", &args);
        screen.end("c3", "write_file", "`src/cache.py` unchanged: 2 lines, 8 bytes");
        screen.done();
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
fn out_of_steps() {
    snapshot("out-of-steps", |screen| {
        screen.ask("write field notes");
        screen.text("I look around first.");
        screen.tell(json!({
            "type": "done", "messageId": "m", "finishReason": "length", "limit": "steps",
            "usage": {},
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
