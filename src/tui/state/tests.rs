//! The fold, as a person and a server move it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::chat::{Chat, Sync};
use super::{Effect, Scroll, Server, State, Wire};
use crate::message::{FinishReason, Message, Part, Role};
use crate::tui::api::{Answer, Opened, Query};
use crate::tui::keys::{Code, Key, Typed};
use crate::tui::link::{Heard, Told};

struct Desk {
    state: State,
    now: Instant,
}

const TURN: u64 = 1 << 32;

impl Desk {
    /// Connected, with a session `s` that is followed.
    fn new() -> Self {
        let mut state = State::new(Server::default(), Chat::fetching("s", "t"), (80, 24));
        let now = Instant::now();
        let effects = state.heard(Heard::Up, now);
        assert!(effects.contains(&Effect::Ask(Query::Open { session: "s".into() })));
        let mut desk = Self { state, now };
        let effects = desk.opened(vec![], 0, false);
        let follow = json!({ "type": "subscribe", "sessionId": "s", "after": 0 });
        assert_eq!(effects, [Effect::Say(follow)]);
        desk
    }

    fn opened(&mut self, messages: Vec<Message>, last: u64, is_running: bool) -> Vec<Effect> {
        let opened = Opened {
            id: "s".into(),
            title: "t".into(),
            agent: "build".into(),
            model: "m/m".into(),
            is_running,
            usage: crate::message::Usage::default(),
            messages,
            has_older: false,
            pending: vec![],
            last,
        };
        self.state.answered(Answer::Opened(Box::new(opened)), self.now)
    }

    fn tell(&mut self, id: u64, body: Value) -> Vec<Effect> {
        let body = serde_json::from_value(body).unwrap();
        let id = (id > 0).then_some(TURN + id);
        let told = Told { session: Some("s".into()), id, request: None, body };
        self.state.heard(Heard::Told(Box::new(told)), self.now)
    }

    /// A turn begins with event 1.
    fn begin(&mut self, message: &str) {
        self.tell(
            1,
            json!({ "type": "session", "sessionId": "s", "title": "t", "agent": "build",
                "model": "m/m", "messageId": "b", "userMessageId": "a", "message": message }),
        );
    }

    fn text(&mut self, id: u64, content: &str) -> Vec<Effect> {
        self.tell(id, json!({ "type": "text", "content": content }))
    }

    fn ask(&mut self) {
        let args = json!({ "command": "rm -r x" });
        self.tell(
            2,
            json!({ "type": "tool_start", "id": "c", "tool": "bash", "args": args, "step": 0 }),
        );
        self.tell(
            3,
            json!({ "type": "permission", "id": "p", "callId": "c", "tool": "bash", "args": args,
                "reason": "r", "always": ["rm *"] }),
        );
    }

    fn press(&mut self, code: Code) -> Vec<Effect> {
        self.state.typed(Typed::Key(Key::plain(code)), self.now)
    }

    fn write(&mut self, text: &str) -> Vec<Effect> {
        text.chars().flat_map(|c| self.press(Code::Char(c))).collect()
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        self.state.pass(self.now);
    }

    fn down(&mut self) {
        let again = self.now + Duration::from_secs(1);
        self.state.heard(Heard::Down { why: "gone".into(), again, is_refused: false }, self.now);
    }

    fn answer(&self) -> &str {
        self.state.chat.items.last().map_or("", |item| &item.message.content)
    }
}

fn message(id: &str, role: Role, text: &str) -> Message {
    Message {
        id: id.into(),
        role,
        created_at: String::new(),
        content: text.into(),
        parts: vec![Part::Text { text: text.into() }],
        model: None,
        usage: None,
        time: None,
        finish_reason: (role == Role::Assistant).then_some(FinishReason::Stop),
        limit: None,
        error: None,
    }
}

fn says(effects: &[Effect], kind: &str) -> Option<Value> {
    effects.iter().find_map(|effect| match effect {
        Effect::Say(message) if message["type"] == kind => Some(message.clone()),
        _ => None,
    })
}

#[test]
fn a_message_is_sent_shown_and_answered() {
    let mut desk = Desk::new();
    desk.write("hello");
    let effects = desk.press(Code::Enter);
    let chat = says(&effects, "chat").unwrap();
    assert_eq!((&chat["message"], &chat["sessionId"]), (&json!("hello"), &json!("s")));
    assert_eq!(desk.state.chat.sending.as_ref().unwrap().text, "hello");
    desk.begin("hello");
    assert!(desk.state.chat.sending.is_none() && desk.state.chat.turn.is_some());
    desk.text(2, "Hi ");
    desk.text(3, "there");
    desk.text(3, "there");
    assert_eq!(desk.answer(), "Hi there");
    let usage = json!({ "inputTokens": 5, "outputTokens": 2 });
    desk.pass(1500);
    desk.tell(
        4,
        json!({ "type": "done", "messageId": "b", "finishReason": "stop", "usage": usage }),
    );
    assert!(desk.state.chat.turn.is_none());
    assert_eq!(desk.state.chat.usage.input_tokens, 5);
}

#[test]
fn a_refused_message_is_a_draft_again() {
    let mut desk = Desk::new();
    desk.write("hello");
    let request = says(&desk.press(Code::Enter), "chat").unwrap()["requestId"].as_u64();
    let body = json!({ "type": "error", "code": "session-busy", "message": "busy" });
    let body = serde_json::from_value(body).unwrap();
    let told = Told { session: None, id: None, request, body };
    desk.state.heard(Heard::Told(Box::new(told)), desk.now);
    assert_eq!(desk.state.draft.text(), "hello");
    assert_eq!(desk.state.notice.as_ref().unwrap().text, "busy");
}

#[test]
fn a_question_takes_keys_only_when_they_are_meant_for_it() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.ask();
    desk.pass(299);
    assert!(desk.press(Code::Char('y')).is_empty() && desk.press(Code::Enter).is_empty());
    assert!(desk.state.draft.is_empty());
    desk.pass(1);
    assert!(desk.press(Code::Enter).is_empty(), "there is no default");
    let mut writing = Desk::new();
    writing.begin("x");
    writing.write("no");
    writing.ask();
    writing.pass(1000);
    assert!(says(&writing.write(" yes"), "permission").is_none());
    assert_eq!(writing.state.draft.text(), "no yes");
    writing.press(Code::Tab);
    let reply = says(&writing.press(Code::Char('n')), "permission").unwrap();
    assert_eq!((&reply["id"], &reply["reply"]), (&json!("p"), &json!("reject")));
    let reply = says(&desk.press(Code::Char('a')), "permission").unwrap();
    assert_eq!(reply["reply"], "always");
    assert!(desk.press(Code::Char('a')).is_empty(), "it is answered once");
}

#[test]
fn what_is_not_in_sight_is_not_permitted() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.ask();
    desk.pass(1000);
    desk.state.follows = false;
    assert_eq!(desk.press(Code::Char('y')), [Effect::Scroll(Scroll::End)]);
    desk.state.follows = true;
    assert!(desk.press(Code::Char('y')).is_empty(), "it has just come in sight");
    desk.pass(300);
    assert!(says(&desk.press(Code::Char('y')), "permission").is_some());
}

#[test]
fn the_clock_stands_while_a_person_is_asked() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.pass(1000);
    desk.ask();
    desk.pass(60_000);
    desk.tell(4, json!({ "type": "permission_reply", "id": "p", "reply": "once" }));
    desk.pass(2000);
    let turn = desk.state.chat.turn.as_ref().unwrap();
    assert_eq!(turn.took(desk.now), (Duration::from_secs(3), Duration::from_secs(60)));
    assert_eq!(turn.ran("c", desk.now), Some(Duration::from_secs(2)));
}

#[test]
fn escape_stops_a_turn_once() {
    let mut desk = Desk::new();
    assert!(desk.press(Code::Esc).is_empty());
    desk.begin("x");
    assert!(says(&desk.press(Code::Esc), "abort").is_some());
    assert!(desk.press(Code::Esc).is_empty());
}

#[test]
fn a_lost_connection_keeps_the_draft_and_resumes_behind_what_was_read() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.text(2, "one");
    desk.down();
    desk.write("next");
    assert_eq!(desk.press(Code::Enter), [Effect::Connect]);
    assert_eq!(desk.state.draft.text(), "next");
    let effects = desk.state.heard(Heard::Up, desk.now);
    let all = json!({ "type": "subscribe", "sessionId": "*" });
    assert_eq!(says(&effects, "subscribe"), Some(all));
    let resume = json!({ "type": "subscribe", "sessionId": "s", "after": TURN + 2 });
    assert!(effects.contains(&Effect::Say(resume)));
    desk.text(3, " two three");
    assert_eq!(desk.answer(), "one two three");
    assert_eq!(desk.state.back.as_ref().unwrap().words, 2);
}

#[test]
fn a_message_that_was_lost_on_its_way_is_a_draft_again_and_one_that_arrived_is_not() {
    let mut desk = Desk::new();
    desk.write("hello");
    desk.press(Code::Enter);
    desk.down();
    assert_eq!(desk.state.draft.text(), "hello");
    desk.state.heard(Heard::Up, desk.now);
    desk.begin("hello");
    assert!(desk.state.draft.is_empty());
}

#[test]
fn what_the_server_lost_is_kept_and_marked() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.text(2, "one two three four");
    desk.down();
    desk.state.heard(Heard::Up, desk.now);
    assert_eq!(
        desk.tell(0, json!({ "type": "gap" })),
        [Effect::Ask(Query::Open { session: "s".into() })]
    );
    assert!(desk.text(9, "not yet").is_empty(), "nothing is taken until the session is there");
    let mut answer = message("b", Role::Assistant, "one two");
    answer.finish_reason = Some(FinishReason::Error);
    desk.opened(vec![message("a", Role::User, "x"), answer], TURN + 5, false);
    assert_eq!(desk.answer(), "one two three four");
    let lost = desk.state.chat.items[1].lost.as_deref().unwrap();
    assert!(
        lost.starts_with("Server restarted: turn ended there") && lost.contains("2 words"),
        "{lost}"
    );
    assert!(desk.state.chat.turn.is_none());
    assert_eq!(desk.state.chat.items.len(), 2);
}

#[test]
fn a_hole_makes_it_ask_for_the_session() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.text(2, "one");
    let again = [Effect::Ask(Query::Open { session: "s".into() })];
    assert_eq!(desk.text(4, "three"), again);
    assert_eq!(desk.state.chat.sync, Sync::Fetching);
    let messages =
        vec![message("a", Role::User, "x"), message("b", Role::Assistant, "one two three")];
    desk.opened(messages, TURN + 4, true);
    desk.text(5, " four");
    assert_eq!(desk.answer(), "one two three four");
}

#[test]
fn a_turn_that_goes_on_has_lost_nothing() {
    let mut desk = Desk::new();
    desk.begin("x");
    desk.text(2, "one two three");
    desk.tell(0, json!({ "type": "gap" }));
    let mut answer = message("b", Role::Assistant, "one");
    answer.finish_reason = None;
    let messages = vec![message("a", Role::User, "x"), answer];
    // Text is told before it is stored: what is not stored yet is told again.
    desk.opened(messages.clone(), TURN + 1, true);
    assert!(desk.state.chat.items[1].lost.is_none());
    desk.text(2, " two three");
    desk.text(3, " four");
    assert_eq!(desk.answer(), "one two three four");
    // An answer to an older question is not taken for what is.
    desk.opened(messages, TURN + 1, true);
    assert_eq!(desk.answer(), "one two three four");
}

#[test]
fn leaving_is_asked_for_twice() {
    let mut desk = Desk::new();
    desk.write("draft");
    let leave = |desk: &mut Desk| desk.state.typed(Typed::Key(Key::ctrl('c')), desk.now);
    assert!(leave(&mut desk).is_empty() && desk.state.draft.is_empty());
    assert!(leave(&mut desk).is_empty());
    desk.pass(5000);
    assert!(leave(&mut desk).is_empty(), "that was long ago");
    assert_eq!(leave(&mut desk), [Effect::Quit]);
    desk.press(Code::Up);
    assert_eq!(desk.state.draft.text(), "draft", "what was cleared can be had again");
}

#[test]
fn nothing_wakes_it_while_nothing_happens() {
    let mut desk = Desk::new();
    desk.pass(60_000);
    assert_eq!(desk.state.next_change(desk.now), None);
    desk.begin("x");
    desk.pass(250);
    let next = desk.state.next_change(desk.now).unwrap();
    assert_eq!(next, desk.now + Duration::from_millis(750));
    desk.down();
    assert!(desk.state.next_change(desk.now).unwrap() <= desk.now + Duration::from_secs(1));
    assert!(matches!(desk.state.wire, Wire::Gone { .. }));
}

#[test]
fn another_session_is_opened_and_the_old_one_left() {
    let mut desk = Desk::new();
    desk.state.heard(
        Heard::Told(Box::new(Told {
            session: None,
            id: None,
            request: None,
            body: serde_json::from_value(json!({ "type": "session_changed", "sessionId": "other",
                "status": "running", "title": "Other", "waiting": true }))
            .unwrap(),
        })),
        desk.now,
    );
    assert_eq!(desk.state.asking_elsewhere(), 1);
    desk.press(Code::F(2));
    desk.write("oth");
    let effects = desk.press(Code::Enter);
    assert_eq!(says(&effects, "unsubscribe").unwrap()["sessionId"], "s");
    assert!(effects.contains(&Effect::Ask(Query::Open { session: "other".into() })));
    assert_eq!(desk.state.asking_elsewhere(), 0);
}

#[test]
fn a_paste_is_text_whatever_is_in_it() {
    let mut desk = Desk::new();
    let paste = Typed::Paste("one\n\x1b[31mtwo\u{9b}\tx".into());
    assert!(desk.state.typed(paste, desk.now).is_empty());
    assert_eq!(desk.state.draft.text(), "one\n[31mtwo\tx");
}

#[test]
fn a_mention_is_completed() {
    let mut desk = Desk::new();
    let effects = desk.write("see @ca");
    assert!(effects.contains(&Effect::Ask(Query::Files { query: "ca".into() })));
    let paths = vec!["src/".to_owned(), "src/cache.py".to_owned()];
    desk.state.answered(Answer::Files { query: "ca".into(), paths }, desk.now);
    desk.press(Code::Down);
    desk.press(Code::Tab);
    assert_eq!(desk.state.draft.text(), "see @src/cache.py ");
    assert!(desk.state.completion.is_none());
}

#[test]
fn a_name_with_a_space_is_mentioned_in_quotes() {
    let mut desk = Desk::new();
    desk.write("see @fi");
    let offered = |query: &str, path: &str| Answer::Files {
        query: query.to_owned(),
        paths: vec![path.to_owned()],
    };
    desk.state.answered(offered("fi", "my files/"), desk.now);
    let effects = desk.press(Code::Tab);
    assert_eq!(desk.state.draft.text(), "see @\"my files/");
    assert!(effects.contains(&Effect::Ask(Query::Files { query: "my files/".into() })));
    desk.state.answered(offered("my files/", "my files/one.txt"), desk.now);
    desk.press(Code::Tab);
    assert_eq!(desk.state.draft.text(), "see @\"my files/one.txt\" ");
    assert!(desk.state.completion.is_none());
}
