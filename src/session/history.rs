//! What a model is told of its session: the newest turns, as many as it can read.
//!
//! They are read from the end of the log, so a turn in a long session costs what one in a session
//! costs that just fills the model's window.

use crate::agent::Past;
use crate::agent::permission::Grant;
use crate::event::Body;
use crate::message::{Message, Part};
use crate::session::store::{Head, Lease, Store, StoreError};
use crate::transcript::Transcript;

/// Tokens of a model whose window is not known.
const WINDOW: u64 = 128 * 1024;
/// A token has at least about this many bytes, in text and in code.
const TOKEN_BYTES: u64 = 3;

/// The past of a session up to the turn that has just begun, for a model that reads so many
/// tokens.
pub(super) fn past(
    store: &Store,
    lease: &Lease,
    head: &Head,
    window: Option<u64>,
) -> Result<Past, StoreError> {
    let mut room = window.unwrap_or(WINDOW).saturating_mul(TOKEN_BYTES);
    let mut kept: Vec<(u64, Vec<Message>)> = Vec::new();
    let mut is_cut = false;
    for turn in store.turns(lease.session(), None)? {
        let turn = turn?;
        let number = turn.first().map_or(0, |event| event.id >> 32);
        let messages = Transcript::of(&turn).into_messages();
        let bytes = messages.iter().map(bytes_of).sum();
        // The question itself goes out, and the provider says what it thinks of its length.
        is_cut = room < bytes && !kept.is_empty();
        if is_cut {
            break;
        }
        room = room.saturating_sub(bytes);
        kept.push((number, messages));
    }
    if is_cut {
        // A provider's cache holds while the beginning stays, so it moves on by several turns.
        let step = (kept.len() as u64 / 4).max(1);
        let step = 1 << step.ilog2();
        if let Some(oldest) = kept.iter().rposition(|(number, _)| number % step == 0) {
            kept.truncate(oldest + 1);
        }
        log::info!("session {}: the newest {} turns are told", lease.session(), kept.len());
    }
    let mut messages: Vec<_> = kept.into_iter().rev().flat_map(|(_, messages)| messages).collect();
    // A turn keeps them for as long as it lasts.
    messages.shrink_to_fit();
    Ok(Past { messages, is_cut, grants: grants(store, lease, head)? })
}

/// What a person allowed for good: the head knows, unless a turn was broken off before it was
/// told.
fn grants(store: &Store, lease: &Lease, head: &Head) -> Result<Vec<Grant>, StoreError> {
    if let (Some(always), false) = (&head.always, lease.is_unfinished()) {
        let grant = |(tool, pattern): &(String, String)| Grant {
            tool: tool.clone(),
            pattern: pattern.clone(),
        };
        return Ok(always.iter().map(grant).collect());
    }
    let mut events = Vec::new();
    for event in store.read(lease.session(), 0)? {
        let event = event?;
        if matches!(event.body, Body::Permission { .. } | Body::PermissionReply { .. }) {
            events.push(event);
        }
    }
    let grants = super::permission::grants(events.iter());
    let known = grants.iter().map(|grant| (grant.tool.clone(), grant.pattern.clone())).collect();
    store.set_head(lease, |head| head.always = Some(known))?;
    Ok(grants)
}

fn bytes_of(message: &Message) -> u64 {
    let bytes: usize = message
        .parts
        .iter()
        .map(|part| match part {
            Part::Text { text } | Part::Reasoning { text, .. } => text.len(),
            Part::Tool { args, result, .. } => {
                args.to_string().len() + result.as_ref().map_or(0, String::len)
            }
        })
        .sum();
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ids;
    use crate::message::{FinishReason, Usage};

    fn turn(store: &Store, session: &str, n: usize) {
        let mut lease = store.acquire(session).unwrap();
        store.append(&mut lease, vec![question(session, n)]).unwrap();
        let answer = Body::Text { content: "x".repeat(3000) };
        let done = Body::Done {
            message_id: "m".into(),
            finish_reason: FinishReason::Stop,
            limit: None,
            usage: Usage::default(),
            time: None,
        };
        store.release(lease, vec![answer, done]).unwrap();
    }

    fn question(session: &str, n: usize) -> Body {
        Body::Session {
            session_id: session.into(),
            title: "title".into(),
            agent: "build".into(),
            model: "offline/guide".into(),
            message_id: "m".into(),
            user_message_id: format!("u{n:02}"),
            message: n.to_string(),
        }
    }

    /// A store, and a session with thirty turns of a little more than a thousand tokens.
    fn long_session() -> (Store, String) {
        let store = Store::in_memory();
        let head = Head::new(Ids::default().next(), "title".into());
        store.create(&head).unwrap();
        for n in 0..30 {
            turn(&store, &head.id, n);
        }
        (store, head.id)
    }

    #[test]
    fn the_newest_turns_are_told_and_the_beginning_stays_for_some() {
        let (store, session) = long_session();
        let told = |window| {
            let mut lease = store.acquire(&session).unwrap();
            store.append(&mut lease, vec![question(&session, 99)]).unwrap();
            let head = store.head(&session).unwrap().0;
            let past = past(&store, &lease, &head, window).unwrap();
            store.release(lease, Vec::new()).unwrap();
            let questions = past.messages.iter().step_by(2).map(|message| message.content.clone());
            (past.is_cut, questions.collect::<Vec<_>>())
        };
        let (is_cut, all) = told(None);
        assert_eq!((is_cut, all.len()), (false, 31));
        let (is_cut, some) = told(Some(20_000));
        assert!(is_cut && (17..24).contains(&some.len()), "{some:?}");
        assert_eq!(some.last().map(String::as_str), Some("99"));
        let (_, later) = told(Some(20_000));
        assert_eq!((later[0].clone(), later.len()), (some[0].clone(), some.len() + 1));
        // The question goes out, whatever fits.
        assert_eq!(told(Some(0)), (true, vec!["99".to_owned()]));
    }

    #[test]
    fn what_was_allowed_for_good_is_told_however_long_ago() {
        let (store, session) = long_session();
        let mut lease = store.acquire(&session).unwrap();
        let permission = Body::Permission {
            id: "p".into(),
            call_id: "c".into(),
            tool: "bash".into(),
            args: serde_json::json!({}),
            reason: String::new(),
            always: vec!["ls *".into()],
        };
        let reply = Body::PermissionReply { id: "p".into(), reply: "always".into() };
        store.append(&mut lease, vec![permission, reply]).unwrap();
        let grant = Grant { tool: "bash".into(), pattern: "ls *".into() };
        let known = |head: &Head| past(&store, &lease, head, Some(0)).unwrap().grants;
        // A head that does not know is told by the log, and knows from then on.
        let head = store.set_head(&lease, |head| head.always = None).unwrap();
        assert_eq!(known(&head), std::slice::from_ref(&grant));
        let head = store.head(&session).unwrap().0;
        assert_eq!(head.always, Some(vec![("bash".to_owned(), "ls *".to_owned())]));
        assert_eq!(known(&head), [grant]);
    }
}
