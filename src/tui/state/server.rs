//! How what the server tells changes what is shown.

use std::time::{Duration, Instant};

use serde_json::json;

use super::chat::{Folded, Older, Sync};
use super::{BACK, Back, Chat, Effect, Scroll, State, Wire};
use crate::event::Body;
use crate::message::Role;
use crate::tui::api::{Answer, Query, Session};
use crate::tui::link::{Heard, Told};

/// For so long after a connection what comes is what was missed.
const CATCH_UP: Duration = Duration::from_secs(1);

impl State {
    /// Takes in what happened on the connection.
    pub(in crate::tui) fn heard(&mut self, heard: Heard, now: Instant) -> Vec<Effect> {
        match heard {
            Heard::Up => self.up(now),
            Heard::Down { why, again, is_refused } => {
                self.back = None;
                self.wire = Wire::Gone { why, again, is_refused };
                if let Some(sending) = self.chat.sending.take() {
                    // It may have arrived; its `session` event would tell.
                    if self.draft.is_empty() {
                        self.draft.set(&sending.text);
                    }
                    self.unsure = Some(sending.text);
                }
                for question in &mut self.chat.questions {
                    question.is_answered = false;
                }
                if let Some(turn) = &mut self.chat.turn {
                    turn.is_stopping = false;
                }
                self.chat.touch();
                Vec::new()
            }
            Heard::Told(told) => self.told(&told, now),
        }
    }

    fn up(&mut self, now: Instant) -> Vec<Effect> {
        if let Wire::Gone { .. } = self.wire {
            self.back = Some(Back { words: 0, until: now + BACK });
        }
        self.wire = Wire::Up;
        let mut effects = vec![
            Effect::Say(json!({ "type": "subscribe", "sessionId": "*" })),
            Effect::Ask(Query::Sessions),
        ];
        if self.models.is_empty() {
            effects.push(Effect::Ask(Query::Models));
        }
        if let Some(id) = &self.chat.id {
            effects.push(match self.chat.sync {
                Sync::Live => self.follow(id),
                Sync::Fetching => Effect::Ask(Query::Open { session: id.clone() }),
            });
        }
        effects
    }

    /// Follows the session from behind what is known of it.
    fn follow(&self, id: &str) -> Effect {
        let after = self.chat.last;
        Effect::Say(json!({ "type": "subscribe", "sessionId": id, "after": after }))
    }

    fn told(&mut self, told: &Told, now: Instant) -> Vec<Effect> {
        match &told.body {
            Body::SessionChanged { session_id, status, title, waiting } => {
                return self.changed(session_id, status, title, *waiting);
            }
            Body::SessionDeleted { session_id } => {
                self.sessions.retain(|known| known.id != *session_id);
                if self.chat.id.as_ref() == Some(session_id) {
                    self.tell("This session was deleted", false, now);
                    self.chat = Chat::new();
                }
                return Vec::new();
            }
            // It ended just before it was stopped.
            Body::Error { code, .. } if told.id.is_none() && code == "not-running" => {
                return Vec::new();
            }
            Body::Error { message, .. } if told.id.is_none() => {
                return self.refused(told.request, message, now);
            }
            Body::Session { session_id, .. } if self.chat.id.is_none() => {
                let is_ours = self.chat.sending.as_ref().map(|sending| sending.request);
                if is_ours.is_none() || told.request != is_ours {
                    return Vec::new();
                }
                self.chat.id = Some(session_id.clone());
            }
            _ => {}
        }
        let session = match &told.body {
            Body::Session { session_id, .. } => Some(session_id),
            _ => told.session.as_ref(),
        };
        if session.is_none() || session != self.chat.id.as_ref() || self.chat.sync != Sync::Live {
            return Vec::new();
        }
        if told.body == Body::Gap {
            return self.fetch_again();
        }
        match self.chat.fold(told, now) {
            Folded::Known => Vec::new(),
            Folded::Hole => self.fetch_again(),
            Folded::Taken => {
                self.taken(&told.body, now);
                Vec::new()
            }
        }
    }

    /// What an event of the shown session means beside its messages.
    fn taken(&mut self, body: &Body, now: Instant) {
        match body {
            Body::Text { content } => {
                if let Some(back) = &mut self.back
                    && now + BACK < back.until + CATCH_UP
                {
                    back.words += content.split_whitespace().count();
                }
            }
            Body::Session { message, .. } => {
                (self.agent, self.model) = (None, None);
                if self.follows {
                    self.chat.trim();
                }
                if self.unsure.take().is_some_and(|unsure| unsure == *message)
                    && self.draft.text().trim_end() == message
                {
                    self.draft.take();
                }
            }
            _ => {}
        }
    }

    /// Asks for the session as the server has it; what comes until then is in that.
    fn fetch_again(&mut self) -> Vec<Effect> {
        let Some(id) = self.chat.id.clone() else { return Vec::new() };
        self.chat.sync = Sync::Fetching;
        vec![Effect::Ask(Query::Open { session: id })]
    }

    fn changed(&mut self, id: &str, status: &str, title: &str, waiting: bool) -> Vec<Effect> {
        if self.chat.id.as_deref() == Some(id) {
            title.clone_into(&mut self.chat.title);
        }
        if let Some(known) = self.sessions.iter_mut().find(|known| known.id == id) {
            status.clone_into(&mut known.status);
            title.clone_into(&mut known.title);
            known.waiting = waiting;
        } else {
            let session = Session {
                id: id.to_owned(),
                title: title.to_owned(),
                updated_at: String::new(),
                age: "now".to_owned(),
                status: status.to_owned(),
                message_count: 0,
                waiting,
            };
            self.sessions.insert(0, session);
        }
        Vec::new()
    }

    /// Something that was said was refused.
    fn refused(&mut self, request: Option<u64>, message: &str, now: Instant) -> Vec<Effect> {
        let is_chat = self.chat.sending.as_ref().map(|sending| sending.request) == request;
        if request.is_some()
            && is_chat
            && let Some(sending) = self.chat.sending.take()
            && self.draft.is_empty()
        {
            self.draft.set(&sending.text);
        }
        for question in &mut self.chat.questions {
            question.is_answered = false;
        }
        self.tell(message, true, now);
        Vec::new()
    }

    /// Takes in what was asked for.
    pub(in crate::tui) fn answered(&mut self, answer: Answer, now: Instant) -> Vec<Effect> {
        match answer {
            Answer::Opened(opened) => {
                // What is followed already is newer than what was asked for before.
                let is_wanted = self.chat.sync == Sync::Fetching;
                if !is_wanted || self.chat.id.as_deref() != Some(&*opened.id) {
                    return Vec::new();
                }
                self.chat.opened(*opened, now);
                for item in &self.chat.items {
                    if item.message.role == Role::User {
                        self.history.add(&item.message.content);
                    }
                }
                if let Some(unsure) = self.unsure.take() {
                    let mut said = self.chat.items.iter().rev();
                    let last = said.find(|item| item.message.role == Role::User);
                    if last.is_some_and(|last| last.message.content == unsure)
                        && self.draft.text().trim_end() == unsure
                    {
                        self.draft.take();
                    }
                }
                match (&self.wire, &self.chat.id) {
                    (Wire::Up, Some(id)) => vec![self.follow(id)],
                    _ => Vec::new(),
                }
            }
            Answer::Older { session, messages, has_more } => {
                if self.chat.id.as_ref() == Some(&session) && self.chat.older == Older::Fetching {
                    self.chat.add_older(messages, has_more);
                }
                Vec::new()
            }
            Answer::Sessions(mut sessions) => {
                sessions.sort_by(|a, b| b.updated_at.cmp(&a.updated_at));
                self.sessions = sessions;
                Vec::new()
            }
            Answer::Models(models) => {
                self.models = models;
                Vec::new()
            }
            Answer::Agents(agents) => {
                self.agents = agents;
                Vec::new()
            }
            Answer::Files { query, paths } => {
                if let Some(completion) = &mut self.completion
                    && completion.query == query
                {
                    completion.paths = paths;
                    completion.selected = 0;
                }
                Vec::new()
            }
            Answer::Renamed(session) => {
                self.changed(&session.id, &session.status, &session.title, session.waiting)
            }
            Answer::Deleted(id) => {
                self.sessions.retain(|known| known.id != id);
                if self.chat.id.as_ref() == Some(&id) {
                    self.chat = Chat::new();
                    return vec![Effect::Scroll(Scroll::End)];
                }
                Vec::new()
            }
            Answer::Failed { query, why, is_missing } => self.failed(&query, &why, is_missing, now),
        }
    }

    fn failed(&mut self, query: &Query, why: &str, is_missing: bool, now: Instant) -> Vec<Effect> {
        match query {
            Query::Open { session } if self.chat.id.as_ref() == Some(session) => {
                if is_missing {
                    // What was read stays; what is sent next begins a new session.
                    (self.chat.id, self.chat.sync, self.chat.last) = (None, Sync::Live, 0);
                    self.chat.turn = None;
                    self.chat.questions.clear();
                    if let Some(last) = self.chat.items.last_mut() {
                        let text = "The server no longer has this session; it is shown here alone";
                        last.lost = Some(text.to_owned());
                    }
                    self.chat.touch();
                    self.tell("The session is no longer on the server", true, now);
                } else if self.wire == Wire::Up {
                    self.tell(why, true, now);
                }
                Vec::new()
            }
            Query::Older { .. } => {
                self.chat.older = Older::Some;
                Vec::new()
            }
            // A word without completion is no failure.
            Query::Files { .. } => Vec::new(),
            _ => {
                if self.wire == Wire::Up {
                    self.tell(why, true, now);
                }
                Vec::new()
            }
        }
    }
}
