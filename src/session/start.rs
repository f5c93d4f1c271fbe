//! The start of a turn: what can be refused is refused here, and what was begun is undone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::agent::Wish;
use crate::cancel::Cancel;
use crate::context;
use crate::error::{Code, Problem};
use crate::os::Waker;
use crate::session::board::Running;
use crate::session::permission::Asker;
use crate::session::store::{Follower, Head, Lease, Store, StoreError};
use crate::session::{Sessions, problem, title, turn};

/// A message of a user is at most this long, in bytes.
pub const MESSAGE_BYTES: usize = 512 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// The user's words.
    pub message: String,
    /// The session to go on in; a new one otherwise.
    pub session: Option<String>,
    /// A title for a new session.
    pub title: Option<String>,
    /// The agent asked for.
    pub agent: Option<String>,
    /// `provider/model` asked for.
    pub model: Option<String>,
    /// Whether somebody can answer when a tool has to be permitted.
    pub can_ask: bool,
}

/// A turn that runs.
pub struct Started {
    /// The session it runs in.
    pub session_id: String,
    /// The id of the answer.
    pub message_id: String,
    /// The turn's events, from the first.
    pub events: Follower,
}

impl Sessions {
    /// Starts a turn. Its events come through the subscription, whose first is `session` and
    /// whose last is `done`; they come whether or not anybody reads them.
    ///
    /// # Errors
    /// Whatever can be refused before the turn begins; nothing is kept of it then.
    pub fn start(&self, prompt: Prompt) -> Result<Started, Problem> {
        self.start_for(prompt, Store::follow_turn)
    }

    /// The same for one who follows other sessions too, by a waker they share: the subscription
    /// goes on after the turn, and tells what else happens to the session.
    pub fn start_with(&self, prompt: Prompt, waker: Arc<Waker>) -> Result<Started, Problem> {
        self.start_for(prompt, |store, session| store.subscribe(session, None, waker))
    }

    fn start_for(
        &self,
        prompt: Prompt,
        follow: impl FnOnce(&Store, &str) -> Result<Follower, StoreError>,
    ) -> Result<Started, Problem> {
        check_message(&prompt.message)?;
        let known = match &prompt.session {
            Some(session) => Some(self.store.head(session).map_err(|e| problem(e, session))?.0),
            None => None,
        };
        let setup = self.setup();
        let choice = setup.engine.choose(&Wish {
            agent: prompt.agent.as_deref(),
            model: prompt.model.as_deref(),
            session_agent: known.as_ref().and_then(|head| head.agent.as_deref()),
            session_model: known.as_ref().and_then(|head| head.model.as_deref()),
        })?;

        self.lock().reserve(prompt.session.as_deref(), setup.bounds.turns)?;
        let is_new = known.is_none();
        let inside = self.turns.door.enter();
        let prepared = self.prepare(&prompt, known, follow);
        drop(inside);
        let (session_id, lease, events) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                self.turns.give_place_back();
                return Err(problem);
            }
        };

        let user_message_id = self.ids.next();
        let message_id = self.ids.next();
        let cancel = Cancel::new();
        let asker = Asker {
            store: Arc::clone(&self.store),
            desk: Arc::clone(&self.desk),
            session: session_id.clone(),
            cancel: cancel.clone(),
            time: setup.bounds.permission_time,
            can_ask: prompt.can_ask,
            always: Vec::new(),
            waited: Duration::ZERO,
        };
        let turn = Box::new(turn::Turn {
            asker: Mutex::new(asker),
            store: Arc::clone(&self.store),
            engine: Arc::clone(&setup.engine),
            meter: Arc::clone(&self.meter),
            cancel: cancel.clone(),
            choice,
            prompt,
            session_id: session_id.clone(),
            message_id: message_id.clone(),
            user_message_id,
            request: context::current(),
        });
        // The map stays locked until the turn stands in it: the thread's last act is to look.
        let mut turns = self.lock();
        match turn.spawn(lease, Arc::clone(&self.turns)) {
            Ok(thread) => {
                turns.begin(&session_id, &message_id, Running { cancel, thread });
                drop(turns);
                Ok(Started { session_id, message_id, events })
            }
            Err(lease) => {
                drop(turns);
                self.turns.give_place_back();
                self.give_back(lease, is_new);
                let detail = "no thread could be started for the turn; try again shortly";
                Err(Problem::new(Code::AtCapacity, detail).retry_after(1))
            }
        }
    }

    /// What a turn needs of the store: its session, made where it is new, the lease, and the
    /// first follower.
    fn prepare(
        &self,
        prompt: &Prompt,
        known: Option<Head>,
        follow: impl FnOnce(&Store, &str) -> Result<Follower, StoreError>,
    ) -> Result<(String, Lease, Follower), Problem> {
        let is_new = known.is_none();
        let head = known.unwrap_or_else(|| {
            let title = prompt.title.clone().unwrap_or_else(|| title::of(&prompt.message));
            self.new_head(title, prompt.agent.clone(), prompt.model.clone())
        });
        let id = head.id.clone();
        if is_new {
            self.store.create(&head).map_err(|e| problem(e, &id))?;
        }
        let mut lease = match self.store.acquire(&id) {
            Ok(lease) => lease,
            Err(error) => {
                if is_new {
                    self.store.uncreate(&id);
                }
                return Err(problem(error, &id));
            }
        };
        let ended = turn::end_unfinished(&self.store, &mut lease);
        // Followed from here: what is said before belongs to an earlier turn.
        match ended.and_then(|()| follow(&self.store, &id)) {
            Ok(events) => Ok((id, lease, events)),
            Err(error) => {
                self.give_back(lease, is_new);
                Err(problem(error, &id))
            }
        }
    }

    /// Undoes the start of a turn that could not start.
    fn give_back(&self, lease: Lease, is_new: bool) {
        let given =
            if is_new { self.store.delete(lease) } else { self.store.release(lease, Vec::new()) };
        if let Err(error) = given {
            log::error!("a session whose turn could not start: {error}");
        }
    }
}

fn check_message(message: &str) -> Result<(), Problem> {
    if message.trim().is_empty() {
        return Err(Problem::new(Code::BadField, "`message` is empty: say what to do"));
    }
    if message.len() > MESSAGE_BYTES {
        let detail = format!(
            "the message has {} bytes, and {MESSAGE_BYTES} are allowed: name a file in the \
             project for the agent to read instead",
            message.len()
        );
        return Err(Problem::new(Code::MessageTooLarge, detail));
    }
    Ok(())
}
