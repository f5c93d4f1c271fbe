//! The session that is shown: its messages as the events tell them, the turn that runs in it, and
//! the tools that ask.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::event::{Body, EventId};
use crate::message::{FinishReason, Message, Part, Role, ToolStatus, Usage};
use crate::transcript::{Transcript, grow};
use crate::tui::api::{Opened, Pending};
use crate::tui::link::Told;
use crate::tui::state::turn::{Question, Turn};

/// Messages that are kept while their end is read; older ones can be fetched again.
const KEPT: usize = 200;

/// Where the shown session stands towards the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// There is none yet, or it is asked for.
    Fetching,
    /// It is followed.
    Live,
}

/// Whether older messages can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    None,
    Some,
    Fetching,
}

/// A message and what only this client knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) message: Message,
    /// Changes with everything that shows.
    pub(crate) revision: u64,
    /// The server no longer has all of it: why, in a sentence.
    pub(crate) lost: Option<String>,
}

/// A message on its way to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(crate) text: String,
    pub(crate) request: u64,
}

/// What an event means beyond the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folded {
    Taken,
    /// It was told before.
    Known,
    /// Something before it is missing.
    Hole,
}

/// The session that is shown, or the place of a new one.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) id: Option<String>,
    pub(crate) title: String,
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) items: Vec<Item>,
    pub(crate) usage: Usage,
    pub(crate) older: Older,
    pub(crate) sync: Sync,
    pub(crate) turn: Option<Turn>,
    pub(crate) questions: Vec<Question>,
    pub(crate) sending: Option<Sending>,
    /// The newest event that is folded in.
    pub(crate) last: EventId,
    revision: u64,
}

impl Chat {
    /// A session that is not there yet.
    pub(crate) fn new() -> Self {
        Self {
            id: None,
            title: String::new(),
            agent: None,
            model: None,
            items: Vec::new(),
            usage: Usage::default(),
            older: Older::None,
            sync: Sync::Live,
            turn: None,
            questions: Vec::new(),
            sending: None,
            last: 0,
            revision: 0,
        }
    }

    /// A session that is asked for.
    pub(crate) fn fetching(id: &str, title: &str) -> Self {
        let (id, title) = (Some(id.to_owned()), title.to_owned());
        Self { id, title, sync: Sync::Fetching, ..Self::new() }
    }

    /// Takes the server's word for what is in the session. What was read and the server no longer
    /// has stays, and says so.
    pub(crate) fn opened(&mut self, opened: Opened, now: Instant) {
        let before = std::mem::take(&mut self.items);
        let has_older = opened.has_older;
        self.older = if has_older { Older::Some } else { Older::None };
        self.id = Some(opened.id);
        self.title = opened.title;
        self.agent = Some(opened.agent);
        self.model = Some(opened.model);
        self.usage = opened.usage;
        self.last = opened.last;
        self.sync = Sync::Live;
        let had = before
            .iter()
            .any(|item| opened.messages.first().is_some_and(|first| item.message.id == first.id));
        let mut kept: HashMap<String, Item> = HashMap::new();
        for item in before {
            let is_older = opened.messages.first().is_some_and(|first| item.message.id < first.id);
            if is_older && has_older && had {
                self.items.push(item);
            } else {
                kept.insert(item.message.id.clone(), item);
            }
        }
        for message in opened.messages {
            let known = kept.remove(&message.id);
            let item = self.merged(message, known);
            self.items.push(item);
        }
        let mut gone: Vec<_> = kept.into_values().collect();
        gone.sort_by(|a, b| a.message.id.cmp(&b.message.id));
        for mut item in gone {
            let newest = self.items.last().is_none_or(|last| last.message.id < item.message.id);
            if newest {
                item.lost = Some("no longer on the server".to_owned());
                item.revision = self.next_revision();
                self.items.push(item);
            }
        }
        let is_running = opened.is_running;
        self.turn = match self.turn.take() {
            turn @ Some(_) if is_running => turn,
            _ => is_running.then(|| Turn::starting(now)),
        };
        let known = std::mem::take(&mut self.questions);
        for asked in opened.pending {
            let same = known.iter().find(|question| question.asked.id == asked.id).cloned();
            self.questions.push(same.unwrap_or_else(|| Question::new(asked, now)));
        }
        self.wait_or_go_on(now);
    }

    fn merged(&mut self, message: Message, known: Option<Item>) -> Item {
        let revision = self.next_revision();
        let Some(known) = known else { return Item::new(message, revision) };
        let read = known.message.content.len();
        let mut item = Item { revision, ..known };
        // Text is told before it is stored: what a turn that goes on has told more is told again,
        // and of one that has ended it is lost.
        let has_ended = message.finish_reason.is_some();
        if has_ended
            && read > message.content.len()
            && item.message.content.starts_with(&message.content)
        {
            let words = item.message.content[message.content.len()..].split_whitespace().count();
            item.lost = Some(format!(
                "Server restarted: turn ended there; the last {words} words are kept here alone"
            ));
            item.message.finish_reason = message.finish_reason.or(Some(FinishReason::Error));
            item.message.limit = message.limit;
            item.message.usage = message.usage;
            item.message.time = message.time;
            item.message.error = message.error;
            end_tools(&mut item.message);
        } else {
            item.message = message;
        }
        item
    }

    /// Adds a page of older messages.
    pub(crate) fn add_older(&mut self, messages: Vec<Message>, has_more: bool) {
        self.older = if has_more { Older::Some } else { Older::None };
        let first = self.items.first().map(|item| item.message.id.clone());
        let mut items: Vec<_> = messages
            .into_iter()
            .filter(|message| first.as_ref().is_none_or(|first| message.id < *first))
            .map(|message| Item::new(message, 0))
            .collect();
        for item in &mut items {
            item.revision = self.next_revision();
        }
        items.append(&mut self.items);
        self.items = items;
    }

    /// Lets older messages go that nobody looks at.
    pub(crate) fn trim(&mut self) {
        if self.items.len() > 2 * KEPT {
            self.items.drain(..self.items.len() - KEPT);
            self.older = Older::Some;
        }
    }

    /// Takes an event of this session in.
    pub(crate) fn fold(&mut self, told: &Told, now: Instant) -> Folded {
        if let Some(id) = told.id {
            if id <= self.last {
                return Folded::Known;
            }
            // Ids are dense within a turn, and every turn begins at one.
            let follows = id == self.last + 1 || id & 0xffff_ffff == 1;
            if self.last != 0 && !follows {
                return Folded::Hole;
            }
            self.last = id;
        }
        self.apply(&told.body, now);
        Folded::Taken
    }

    fn apply(&mut self, body: &Body, now: Instant) {
        match body {
            Body::Session { title, agent, model, message, .. } => {
                self.begin(body, message, now);
                self.title.clone_from(title);
                self.agent = Some(agent.clone());
                self.model = Some(model.clone());
            }
            Body::Permission { id, call_id, tool, args, reason, always } => {
                let asked = Pending {
                    id: id.clone(),
                    call_id: call_id.clone(),
                    tool: tool.clone(),
                    args: args.clone(),
                    reason: reason.clone(),
                    always: always.clone(),
                };
                if self.questions.iter().all(|known| known.asked.id != *id) {
                    self.questions.push(Question::new(asked, now));
                }
                self.wait_or_go_on(now);
            }
            Body::PermissionReply { id, .. } => {
                self.questions.retain(|known| known.asked.id != *id);
                self.wait_or_go_on(now);
            }
            Body::ToolStart { id, .. } => {
                if let Some(turn) = &mut self.turn {
                    turn.began.insert(id.clone(), now);
                }
            }
            Body::ToolOutput { id, content } => {
                if let Some(turn) = &mut self.turn {
                    turn.print(id, content);
                }
            }
            Body::ToolEnd { id, .. } => {
                self.questions.retain(|known| known.asked.call_id != *id);
                self.wait_or_go_on(now);
                if let Some(turn) = &mut self.turn {
                    turn.output.remove(id);
                    turn.began.remove(id);
                }
            }
            Body::Retry { wait_ms, reason, .. } => {
                if let Some(turn) = &mut self.turn {
                    turn.retry = Some((reason.clone(), now + Duration::from_millis(*wait_ms)));
                }
            }
            Body::Done { usage, .. } => {
                self.questions.clear();
                self.usage.add(usage);
                self.turn = None;
            }
            _ => {}
        }
        if matches!(body, Body::Text { .. } | Body::Reasoning { .. } | Body::ToolStart { .. })
            && let Some(turn) = &mut self.turn
        {
            turn.retry = None;
        }
        let revision = self.next_revision();
        if let Some(item) = self.items.last_mut() {
            if item.message.role == Role::Assistant && !matches!(body, Body::Session { .. }) {
                grow(&mut item.message, body);
            }
            item.revision = revision;
        }
    }

    /// A turn begins.
    fn begin(&mut self, body: &Body, message: &str, now: Instant) {
        let mut transcript = Transcript::default();
        transcript.apply(body);
        for message in transcript.into_messages() {
            let revision = self.next_revision();
            self.items.push(Item::new(message, revision));
        }
        if self.sending.as_ref().is_some_and(|sending| sending.text == message) {
            self.sending = None;
        }
        self.questions.clear();
        self.turn = Some(Turn::starting(now));
    }

    /// The clock stands while a person is asked.
    fn wait_or_go_on(&mut self, now: Instant) {
        let is_asking = !self.questions.is_empty();
        if let Some(turn) = &mut self.turn {
            turn.wait(is_asking, now);
            self.touch();
        }
    }

    /// The question that is to be answered first.
    pub(crate) fn question(&self) -> Option<&Question> {
        self.questions.iter().find(|question| !question.is_answered)
    }

    /// The last message shows something else now.
    pub(crate) fn touch(&mut self) {
        let revision = self.next_revision();
        if let Some(item) = self.items.last_mut() {
            item.revision = revision;
        }
    }

    /// A message shows something else now.
    pub(crate) fn touch_card(&mut self, card: &str) {
        let revision = self.next_revision();
        let item = self.items.iter_mut().find(|item| item.cards().any(|known| known == card));
        if let Some(item) = item {
            item.revision = revision;
        }
    }

    /// Everything that can be opened, from the top.
    pub(crate) fn cards(&self) -> Vec<String> {
        self.items.iter().flat_map(Item::cards).collect()
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

impl Item {
    fn new(message: Message, revision: u64) -> Self {
        Self { message, revision, lost: None }
    }

    /// The names of what can be opened in it.
    pub(crate) fn cards(&self) -> impl Iterator<Item = String> + '_ {
        let parts = self.message.parts.iter().enumerate();
        parts.filter_map(|(at, part)| self.card(at, part))
    }

    /// The name of a part that can be opened.
    pub(crate) fn card(&self, at: usize, part: &Part) -> Option<String> {
        match part {
            Part::Tool { .. } => Some(format!("{}/{at}", self.message.id)),
            Part::Reasoning { text, .. } if !text.trim().is_empty() => {
                Some(format!("{}/{at}", self.message.id))
            }
            Part::Reasoning { .. } | Part::Text { .. } => None,
        }
    }
}

/// No tool runs in a turn that has ended.
fn end_tools(message: &mut Message) {
    for part in &mut message.parts {
        if let Part::Tool { status, is_error, .. } = part
            && *status == ToolStatus::Running
        {
            (*status, *is_error) = (ToolStatus::Error, true);
        }
    }
}
