//! Exit statuses, and the failures that lead to them.

use std::fmt;

use crate::client::ClientError;
use crate::error::{Code, Problem};

/// What a script reads from the program's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Answered.
    Ok = 0,
    /// The turn failed or had too few steps, or the connection was lost in it.
    Failed = 1,
    /// Wrong usage, or an unknown session, agent or model.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
    /// The server wants other credentials.
    Unauthorized = 4,
    /// A tool was refused for want of anybody to permit it.
    Refused = 5,
    /// The time was over.
    TimedOut = 124,
    /// The terminal is gone: SIGHUP.
    HungUp = 129,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// Why a command ended early: one line for a person, one status for a script.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub exit: Exit,
    message: String,
    wants_password: bool,
}

impl Failure {
    /// A failure with its explanation.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), wants_password: false }
    }

    /// Whether a server refused for want of the right credentials.
    pub(super) fn wants_password(&self) -> bool {
        self.wants_password
    }

    /// Wrong usage of a command, with the way to its help.
    #[must_use]
    pub fn usage(command: &str, message: &str) -> Self {
        Self::new(
            Exit::Usage,
            format!("{message}. See `opencode {command} --help`.").replace("?.", "?"),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(exit_of(problem.code), spoken(problem))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Usage(_) => Exit::Usage,
            ClientError::Unreachable(_) => Exit::Unreachable,
            ClientError::Refused(problem) => exit_of(problem.code),
            ClientError::Lost(_) => Exit::Failed,
            ClientError::Cancelled => Exit::Interrupted,
        };
        let wants_password =
            matches!(&error, ClientError::Refused(problem) if problem.code == Code::Unauthorized);
        let message = match error {
            ClientError::Refused(problem) => spoken(problem),
            other => other.to_string(),
        };
        Self { exit, message, wants_password }
    }
}

/// Where to find the ids of sessions.
pub(super) const LISTS: &str =
    "`opencode sessions` lists them, those of a server with --attach URL";

/// What a refusal says at the command line, where advice to use the API helps nobody.
fn spoken(problem: Problem) -> String {
    match problem.code {
        Code::SessionNotFound => {
            format!("no session has this id; {LISTS}")
        }
        Code::SessionBusy => {
            "a turn runs in this session: wait for its end, or stop it where it was asked for"
                .to_owned()
        }
        _ => problem.detail,
    }
}

/// The status of a request that was refused.
#[must_use]
pub(super) fn exit_of(code: Code) -> Exit {
    match code {
        Code::Unauthorized
        | Code::OriginRefused
        | Code::HostRefused
        | Code::AddressRefused
        | Code::TooManyAttempts => Exit::Unauthorized,
        Code::BadRequest
        | Code::BadJson
        | Code::BadField
        | Code::NotFound
        | Code::SessionNotFound
        | Code::MethodNotAllowed
        | Code::BodyTooLarge
        | Code::MessageTooLarge
        | Code::NotJson
        | Code::ExpectationFailed
        | Code::UnknownAgent
        | Code::UnknownModel
        | Code::ProviderNotConfigured
        | Code::UpgradeRequired
        | Code::HeadTooLarge
        | Code::HttpVersion => Exit::Usage,
        Code::RequestTimeout
        | Code::SessionBusy
        | Code::NotRunning
        | Code::Internal
        | Code::StoreFailed
        | Code::ProviderRateLimited
        | Code::ProviderFailed
        | Code::ProviderUnreachable
        | Code::ProviderTimeout
        | Code::AtCapacity
        | Code::Stopping
        | Code::Aborted => Exit::Failed,
    }
}
