//! A turn's connection between two of its requests.
//!
//! An answer is understood before it has ended as HTTP has it: the line that ends its body is
//! still on its way, and may never come. Nobody waits for it when an answer ends. It is read when
//! the next request wants the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::Transport;
use ureq_proto::client::state::RecvBody;
use ureq_proto::client::{Call, RecvBodyResult};

use super::exchange::{BRIEF, Line, patience};

/// How long a connection waits for a turn's next request.
const IDLE: Duration = Duration::from_secs(15);
/// How often what is left of an answer is looked for. Each look brings no more than one read.
const LOOKS: u32 = 4;
/// The least time of a look.
const MOMENT: Duration = Duration::from_millis(1);

/// What is left of an answer.
pub(super) type Rest = Box<Call<RecvBody>>;

/// The connection that a turn's next request may use.
// The lock protects the place alone: it is held for no read.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Option<Rested>>>);

struct Rested {
    line: Line,
    rest: Option<Rest>,
    since: Instant,
}

impl Idle {
    /// Keeps a connection on which another request can follow, once the rest has come.
    pub(super) fn put(&self, line: Line, rest: Option<Rest>) {
        *self.lock() = Some(Rested { line, rest, since: Instant::now() });
    }

    /// The connection, if it is there and can be used.
    #[inline(never)]
    pub(super) fn take(&self) -> Option<Line> {
        let Rested { mut line, rest, since } = self.lock().take()?;
        let is_sound = since.elapsed() < IDLE
            && rest.is_none_or(|rest| is_ended(&mut *line, rest, since))
            && line.buffers().input().is_empty();
        (is_sound && line.is_open()).then_some(line)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Rested>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the rest of an answer; whether that is all, and little, and came by now or comes at once.
fn is_ended(line: &mut dyn Transport, mut rest: Rest, since: Instant) -> bool {
    for _ in 0..LOOKS {
        loop {
            let Ok((used, _)) = rest.read(line.buffers().input(), &mut [0; 512]) else {
                return false;
            };
            line.buffers().input_consume(used);
            if used == 0 {
                break;
            }
        }
        if rest.can_proceed() {
            let ended = rest.proceed();
            return matches!(ended, Some(RecvBodyResult::Cleanup(call)) if !call.must_close_connection());
        }
        let time = (since + BRIEF).saturating_duration_since(Instant::now()).max(MOMENT);
        if !matches!(line.await_input(patience(time)), Ok(true)) {
            return false;
        }
    }
    false
}
