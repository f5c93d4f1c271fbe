//! What is shown, and how it changes: by what the server tells, by what a person types, by time.
//!
//! Everything here is a fold of events into plain data. It knows no terminal, no socket and no
//! clock: time comes in, and what is to be done goes out as [`Effect`]s.

pub(crate) mod chat;
pub(crate) mod edit;
mod keys;
pub(crate) mod picker;
mod picking;
mod server;
pub(crate) mod turn;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::message::{Part, ToolStatus, is_diff};
use crate::tui::api::{Agent, Model, Query, Session};

pub(crate) use chat::Chat;
use chat::{Sending, Sync};
use edit::{Editor, History};
use picker::Overlay;

/// How long a passing word stays.
const NOTICE: Duration = Duration::from_secs(6);
/// Lines of a diff that opens by itself.
const SMALL_DIFF: usize = 16;
/// How long it is said that the server is back.
const BACK: Duration = Duration::from_secs(4);
/// A question takes no keys for this long, for they were meant for something else.
pub(crate) const UNREAD: Duration = Duration::from_millis(300);

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// Say this on the socket.
    Say(Value),
    /// Ask this by HTTP.
    Ask(Query),
    /// Keep this prompt for the next start.
    Keep(String),
    /// Connect now.
    Connect,
    /// Move what is shown.
    Scroll(Scroll),
    /// Show the selected card.
    Reveal,
    /// Draw everything anew.
    Redraw,
    /// Let the shell have the terminal for a while.
    Suspend,
    /// Leave.
    Quit,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scroll {
    /// So many screens, upwards if negative.
    Pages(i32),
    /// So many lines.
    Lines(i32),
    /// The first line that is here.
    Top,
    /// The end, and stay there.
    End,
}

/// What the server said of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) name: String,
    pub(crate) directory: String,
    pub(crate) model: String,
    pub(crate) agent: String,
}

/// How the connection stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wire {
    /// The first one is being opened.
    Opening,
    Up,
    /// Gone, and tried again.
    Gone {
        why: String,
        again: Instant,
        is_refused: bool,
    },
}

/// A passing word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) is_error: bool,
    until: Instant,
}

/// The server is there again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Back {
    pub(crate) words: usize,
    until: Instant,
}

/// Paths that complete the word at the cursor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Completion {
    pub(crate) query: String,
    pub(crate) paths: Vec<String>,
    pub(crate) selected: usize,
}

/// Everything that is shown.
pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) wire: Wire,
    pub(crate) back: Option<Back>,
    pub(crate) chat: Chat,
    pub(crate) draft: Editor,
    pub(crate) history: History,
    pub(crate) completion: Option<Completion>,
    pub(crate) overlay: Option<Overlay>,
    /// The selected card.
    pub(crate) card: Option<String>,
    /// Cards that a person opened or closed.
    pub(crate) opened: HashMap<String, bool>,
    pub(crate) notice: Option<Notice>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) models: Vec<Model>,
    pub(crate) agents: Vec<Agent>,
    /// What a person chose for the next message.
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    /// Columns and rows.
    pub(crate) size: (u16, u16),
    /// The end is shown, and what comes is followed.
    pub(crate) follows: bool,
    /// What was sent before the connection was lost: whether it arrived is not known.
    unsure: Option<String>,
    requests: u64,
    /// Leaving was asked for once.
    leaving: Option<Instant>,
}

impl State {
    pub(crate) fn new(server: Server, chat: Chat, size: (u16, u16)) -> Self {
        Self {
            server,
            wire: Wire::Opening,
            back: None,
            chat,
            draft: Editor::default(),
            history: History::default(),
            completion: None,
            overlay: None,
            card: None,
            opened: HashMap::new(),
            notice: None,
            sessions: Vec::new(),
            models: Vec::new(),
            agents: Vec::new(),
            agent: None,
            model: None,
            size,
            follows: true,
            unsure: None,
            requests: 0,
            leaving: None,
        }
    }

    /// The model that answers next.
    pub(crate) fn model(&self) -> &str {
        let chosen = self.model.as_ref().or(self.chat.model.as_ref());
        chosen.map_or(&self.server.model, |model| model)
    }

    /// The agent that answers next.
    pub(crate) fn agent(&self) -> &str {
        let chosen = self.agent.as_ref().or(self.chat.agent.as_ref());
        chosen.map_or(&self.server.agent, |agent| agent)
    }

    /// Tokens that the model can read, where that is known.
    pub(crate) fn context(&self) -> Option<u64> {
        let model = self.model();
        self.models.iter().find(|known| known.id == model)?.context_window
    }

    /// Other sessions in which a tool asks.
    pub(crate) fn asking_elsewhere(&self) -> usize {
        let here = self.chat.id.as_deref();
        self.sessions.iter().filter(|one| one.waiting && Some(&*one.id) != here).count()
    }

    /// Whether a question takes single keys: nothing is being written.
    pub(crate) fn is_asked(&self) -> bool {
        self.overlay.is_none()
            && self.chat.question().is_some()
            && (self.draft.is_empty() || self.card.is_some())
    }

    /// Whether a card is open. A small change of a file begins so where there is room.
    pub(crate) fn is_open(&self, card: &str, part: &Part) -> bool {
        if let Some(is_open) = self.opened.get(card) {
            return *is_open;
        }
        let has_room = self.size.0 >= 60 && self.size.1 >= 20;
        let is_small = matches!(part, Part::Tool { tool, result: Some(result), status, .. }
            if is_diff(tool, result)
                && *status == ToolStatus::Completed
                && result.lines().count() <= SMALL_DIFF);
        has_room && is_small
    }

    /// Whether a card shows what is in it.
    fn shows_open(&self, card: &str) -> bool {
        let items = self.chat.items.iter();
        let mut parts = items
            .flat_map(|item| item.message.parts.iter().enumerate().map(move |one| (item, one)));
        let part = parts.find(|(item, (at, part))| item.card(*at, part).as_deref() == Some(card));
        part.is_some_and(|(_, (_, part))| self.is_open(card, part))
    }

    /// What time alone changes.
    pub(crate) fn pass(&mut self, now: Instant) {
        if self.notice.as_ref().is_some_and(|notice| notice.until <= now) {
            self.notice = None;
        }
        if self.back.as_ref().is_some_and(|back| back.until <= now) {
            self.back = None;
        }
        if self.leaving.is_some_and(|until| until <= now) {
            self.leaving = None;
        }
        if self.chat.turn.is_some() {
            self.chat.touch();
        }
    }

    /// When time alone changes something next.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let notice = self.notice.as_ref().map(|notice| notice.until);
        let back = self.back.as_ref().map(|back| back.until);
        let whole = |from: Instant| {
            let passed = now.saturating_duration_since(from);
            from + Duration::from_secs(passed.as_secs() + 1)
        };
        let turn = self.chat.turn.as_ref().map(|turn| whole(turn.since));
        let gone = match &self.wire {
            Wire::Gone { again, .. } => {
                let left = again.saturating_duration_since(now);
                let part = Duration::from_nanos(u64::from(left.subsec_nanos()).max(1));
                (!left.is_zero()).then(|| now + part)
            }
            Wire::Opening | Wire::Up => None,
        };
        [notice, back, self.leaving, turn, gone].into_iter().flatten().min()
    }

    /// The window's title: who works, who asks.
    pub(crate) fn title(&self) -> String {
        let mark = if self.chat.question().is_some() || self.asking_elsewhere() > 0 {
            "? "
        } else if self.chat.turn.is_some() {
            "● "
        } else {
            ""
        };
        let name = if self.chat.title.is_empty() { "opencode" } else { &self.chat.title };
        format!("{mark}{name}")
    }

    fn tell(&mut self, text: impl Into<String>, is_error: bool, now: Instant) {
        self.notice = Some(Notice { text: text.into(), is_error, until: now + NOTICE });
    }

    /// Sends the draft.
    fn send(&mut self, now: Instant) -> Vec<Effect> {
        if let Wire::Gone { .. } = self.wire {
            return vec![Effect::Connect];
        }
        let text = self.draft.text().trim_end().to_owned();
        if text.trim().is_empty() {
            return Vec::new();
        }
        let reason = if self.wire == Wire::Opening || self.chat.sync == Sync::Fetching {
            Some("Not connected yet; your text is kept")
        } else if self.chat.sending.is_some() || self.chat.turn.is_some() {
            Some("A turn is running: wait for its end, or stop it with Esc; your text is kept")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.tell(reason, false, now);
            return Vec::new();
        }
        self.history.add(&text);
        self.draft.take();
        self.completion = None;
        self.notice = None;
        self.unsure = None;
        self.card = None;
        self.requests += 1;
        let request = self.requests;
        let mut message = json!({ "type": "chat", "message": text, "requestId": request });
        for (name, value) in
            [("sessionId", &self.chat.id), ("agent", &self.agent), ("model", &self.model)]
        {
            if let Some(value) = value {
                message[name] = json!(value);
            }
        }
        self.chat.sending = Some(Sending { text: text.clone(), request });
        self.chat.trim();
        vec![Effect::Say(message), Effect::Keep(text), Effect::Scroll(Scroll::End)]
    }

    /// Stops the turn, once.
    fn stop(&mut self) -> Vec<Effect> {
        let Some(id) = self.chat.id.clone() else { return Vec::new() };
        match &mut self.chat.turn {
            Some(turn) if !turn.is_stopping => {
                turn.is_stopping = true;
                self.chat.touch();
                vec![Effect::Say(json!({ "type": "abort", "sessionId": id }))]
            }
            _ => Vec::new(),
        }
    }

    /// Answers the question that is shown.
    fn reply(&mut self, reply: &str, now: Instant) -> Vec<Effect> {
        let is_up = self.wire == Wire::Up;
        let open = self.chat.questions.iter_mut().find(|question| !question.is_answered);
        let Some(question) = open else { return Vec::new() };
        if !is_up || now.saturating_duration_since(question.since) < UNREAD {
            return Vec::new();
        }
        if !self.follows {
            // Nobody permits what is not in sight.
            question.since = now;
            return vec![Effect::Scroll(Scroll::End)];
        }
        question.is_answered = true;
        let id = question.asked.id.clone();
        // The next one is seen from now on.
        if let Some(next) = self.chat.questions.iter_mut().find(|question| !question.is_answered) {
            next.since = now;
        }
        self.chat.touch();
        self.card = None;
        vec![Effect::Say(json!({ "type": "permission", "id": id, "reply": reply }))]
    }

    /// Shows another session, or the place of a new one.
    pub(crate) fn show(&mut self, session: Option<(&str, &str)>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(old) = &self.chat.id {
            effects.push(Effect::Say(json!({ "type": "unsubscribe", "sessionId": old })));
        }
        self.opened.clear();
        (self.card, self.agent, self.model, self.unsure) = (None, None, None, None);
        self.chat = match session {
            Some((id, title)) => {
                effects.push(Effect::Ask(Query::Open { session: id.to_owned() }));
                Chat::fetching(id, title)
            }
            None => Chat::new(),
        };
        effects.push(Effect::Scroll(Scroll::End));
        effects
    }

    /// Asks for older messages, if there are some.
    pub(crate) fn older(&mut self) -> Option<Effect> {
        if self.chat.older != chat::Older::Some || self.wire != Wire::Up {
            return None;
        }
        let session = self.chat.id.clone()?;
        let before = self.chat.items.first()?.message.id.clone();
        self.chat.older = chat::Older::Fetching;
        Some(Effect::Ask(Query::Older { session, before }))
    }
}

#[cfg(test)]
mod tests;
