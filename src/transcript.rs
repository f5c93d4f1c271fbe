//! Events folded into messages: the one place where a turn's events become its history.
//!
//! The turn uses it for the answer under way, the sessions for what is stored, and `run` for
//! what it prints, so all three show the same.

use crate::event::{Body, Event};
use crate::id;
use crate::message::{Message, Part, Role, ToolStatus};

/// Messages as the events so far tell them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    messages: Vec<Message>,
}

impl Transcript {
    /// Messages as these events tell them.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut transcript = Self::default();
        for event in events {
            transcript.apply(&event.body);
        }
        transcript
    }

    /// The messages so far, the newest last.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The messages, to keep.
    #[must_use]
    pub fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// The answer of a turn whose first event may not have come: of nothing, if need be.
    #[must_use]
    pub fn into_answer(self) -> Message {
        let last = self.messages.into_iter().last();
        last.unwrap_or_else(|| new_message("", Role::Assistant, Vec::new()))
    }

    /// Takes one more event in.
    pub fn apply(&mut self, body: &Body) {
        if let Body::Session { message_id, user_message_id, message, model, .. } = body {
            let text = vec![Part::Text { text: message.clone() }];
            self.messages.push(new_message(user_message_id, Role::User, text));
            let mut answer = new_message(message_id, Role::Assistant, Vec::new());
            answer.model = Some(model.clone());
            self.messages.push(answer);
            return;
        }
        if self.messages.is_empty() && matches!(body, Body::Error { .. }) {
            // A turn that could not even be stored says why, and nothing else.
            self.messages.push(new_message("", Role::Assistant, Vec::new()));
        }
        if let Some(answer) = self.messages.last_mut() {
            grow(answer, body);
        }
    }
}

fn new_message(id: &str, role: Role, parts: Vec<Part>) -> Message {
    let mut message = Message {
        id: id.to_owned(),
        role,
        created_at: id::rfc3339(id::time_ms(id).unwrap_or(0)),
        content: String::new(),
        parts,
        model: None,
        usage: None,
        time: None,
        finish_reason: None,
        limit: None,
        error: None,
    };
    for part in &message.parts {
        if let Part::Text { text } = part {
            message.content.push_str(text);
        }
    }
    message
}

/// Adds to an assistant's message what an event says of it.
pub fn grow(message: &mut Message, body: &Body) {
    match body {
        Body::Text { content } => {
            message.content.push_str(content);
            if let Some(Part::Text { text }) = message.parts.last_mut() {
                text.push_str(content);
            } else {
                if message.parts.is_empty() {
                    // Most answers have one, and a vector would begin with room for four.
                    message.parts.reserve_exact(1);
                }
                message.parts.push(Part::Text { text: content.clone() });
            }
        }
        Body::Reasoning { content, opaque } => {
            if let Some(Part::Reasoning { text, opaque: end @ None }) = message.parts.last_mut() {
                text.push_str(content);
                end.clone_from(opaque);
            } else {
                let part = Part::Reasoning { text: content.clone(), opaque: opaque.clone() };
                message.parts.push(part);
            }
        }
        Body::ToolStart { id, tool, args, step } => message.parts.push(Part::Tool {
            id: id.clone(),
            tool: tool.clone(),
            args: args.clone(),
            result: None,
            is_error: false,
            status: ToolStatus::Running,
            duration_ms: None,
            step: *step,
        }),
        Body::ToolEnd {
            id: ended,
            result: told,
            is_error: failed,
            denied,
            duration_ms: ran,
            ..
        } => {
            let call = message.parts.iter_mut().rev().find_map(|part| match part {
                Part::Tool { id, result, is_error, status, duration_ms, .. } if id == ended => {
                    Some((result, is_error, status, duration_ms))
                }
                _ => None,
            });
            if let Some((result, is_error, status, duration_ms)) = call {
                *duration_ms = *ran;
                *result = Some(told.clone());
                *is_error = *failed;
                *status = match (denied.is_some(), failed) {
                    (true, _) => ToolStatus::Denied,
                    (false, true) => ToolStatus::Error,
                    (false, false) => ToolStatus::Completed,
                };
            }
        }
        Body::Error { message: why, .. } => message.error = Some(why.clone()),
        Body::Done { finish_reason, limit, usage, time, .. } => {
            message.limit = *limit;
            message.time = *time;
            message.finish_reason = Some(*finish_reason);
            message.usage = Some(*usage);
        }
        Body::Session { .. }
        | Body::ToolOutput { .. }
        | Body::Permission { .. }
        | Body::PermissionReply { .. }
        | Body::Retry { .. }
        | Body::Gap
        | Body::SessionChanged { .. }
        | Body::SessionDeleted { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FinishReason, Usage};
    use serde_json::json;

    #[test]
    fn a_turn_folds_into_a_user_message_and_an_answer() {
        let text = |content: &str| Body::Text { content: content.into() };
        let events = [
            Body::Session {
                session_id: "s".into(),
                title: "t".into(),
                agent: "build".into(),
                model: "offline/guide".into(),
                message_id: "m2".into(),
                user_message_id: "m1".into(),
                message: "read it".into(),
            },
            text("Let me "),
            text("look."),
            Body::ToolStart { id: "c".into(), tool: "bash".into(), args: json!({}), step: 0 },
            Body::ToolOutput { id: "c".into(), content: "x".into() },
            Body::ToolEnd {
                id: "c".into(),
                tool: "bash".into(),
                result: "x".into(),
                is_error: true,
                duration_ms: Some(7),
                denied: None,
            },
            text("Done."),
            Body::Done {
                message_id: "m2".into(),
                finish_reason: FinishReason::Stop,
                limit: None,
                usage: Usage { output_tokens: 3, ..Usage::default() },
                time: None,
            },
        ];
        let mut transcript = Transcript::default();
        for event in &events {
            transcript.apply(event);
        }
        let [user, answer] = transcript.messages() else { panic!("two messages") };
        assert_eq!((user.role, user.content.as_str()), (Role::User, "read it"));
        assert_eq!(answer.content, "Let me look.Done.");
        assert_eq!(answer.parts.len(), 3);
        assert!(
            matches!(&answer.parts[1], Part::Tool { status: ToolStatus::Error, result: Some(r), .. } if r == "x")
        );
        assert_eq!(answer.usage.unwrap().output_tokens, 3);
        assert_eq!(answer.finish_reason, Some(FinishReason::Stop));
    }
}
