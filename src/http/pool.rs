//! The threads of the connections: one each, started when needed and kept for a while.
//!
//! A connection goes to a thread that waits at this instant, else to a new one; none ever queues
//! behind a busy thread. This module does not know what a connection is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::os::{self, Waker};

/// Enough for a debug build to parse the deepest JSON allowed. Only touched pages count.
const STACK: usize = 512 * 1024;
/// How long a thread waits for its next connection.
const IDLE: Duration = Duration::from_secs(10);
/// How long it keeps the pages of its stack meanwhile.
const BRIEF: Duration = Duration::from_millis(100);
/// How long a connection waits when there are as many threads as connections are allowed: one
/// of them has just ended its connection and is about to wait.
const TURNOVER: Duration = Duration::from_secs(1);

/// The work of one thread, until a connection ends.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The threads, owned by the one that accepts.
pub(super) struct Pool {
    /// Holds nothing: a job passes only to a thread that waits.
    sender: Sender<Job>,
    receiver: Receiver<Job>,
    threads: HashMap<u64, JoinHandle<()>>,
    limit: usize,
    started: u64,
    /// The threads that end, each by its own word.
    left: Arc<Mutex<Vec<u64>>>,
    waker: Arc<Waker>,
}

/// Says that a thread ends, a panic included.
struct Leave {
    id: u64,
    left: Arc<Mutex<Vec<u64>>>,
    waker: Arc<Waker>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        lock(&self.left).push(self.id);
        self.waker.wake();
    }
}

impl Pool {
    /// No threads, and room for `limit`. The waker is woken when one ends, and then
    /// [`Pool::join_left`] is to be called: a thread that is not joined keeps its stack.
    pub(super) fn new(limit: usize, waker: Arc<Waker>) -> Self {
        let (sender, receiver) = bounded(0);
        let (threads, left) = (HashMap::new(), Arc::default());
        Self { sender, receiver, threads, limit, started: 0, left, waker }
    }

    /// Hands a job to a thread, or gives it back when there is none and none can be started.
    pub(super) fn hand_over(&mut self, job: Job) -> Result<(), Job> {
        let Err(refused) = self.sender.try_send(job) else { return Ok(()) };
        self.join_left();
        if self.threads.len() >= self.limit {
            let waited = self.sender.send_timeout(refused.into_inner(), TURNOVER);
            return waited.map_err(crossbeam_channel::SendTimeoutError::into_inner);
        }
        self.start(refused.into_inner())
    }

    fn start(&mut self, job: Job) -> Result<(), Job> {
        // The job stays in reach in case the thread cannot be started.
        let slot = Arc::new(Mutex::new(Some(job)));
        let (first, receiver) = (slot.clone(), self.receiver.clone());
        let id = self.started;
        let leave = Leave { id, left: self.left.clone(), waker: self.waker.clone() };
        let builder = Builder::new().name(format!("http-{id}")).stack_size(STACK);
        let thread = builder.spawn(move || {
            let _leave = leave;
            os::begin_stack(STACK);
            let mut job = lock(&first).take();
            while let Some(work) = job {
                work();
                job = receiver.recv_timeout(BRIEF).ok().or_else(|| {
                    os::release_stack();
                    receiver.recv_timeout(IDLE).ok()
                });
            }
        });
        self.started += 1;
        match thread {
            Ok(thread) => {
                self.threads.insert(id, thread);
                Ok(())
            }
            Err(_) => lock(&slot).take().map_or(Ok(()), Err),
        }
    }

    /// Joins the threads that have said that they end.
    pub(super) fn join_left(&mut self) {
        let left = std::mem::take(&mut *lock(&self.left));
        for id in left {
            if let Some(thread) = self.threads.remove(&id) {
                join(thread);
            }
        }
    }

    /// Sends the waiting threads home and joins them: all of them, or, where some may not end,
    /// those that have ended.
    pub(super) fn end(mut self, all: bool) {
        self.join_left();
        let Self { sender, threads, .. } = self;
        drop(sender);
        if all {
            threads.into_values().for_each(join);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(thread: JoinHandle<()>) {
    // A panic beyond the guards of a request has been printed, and took one connection.
    let _ = thread.join();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_is_used_again_and_again() {
        let mut pool = Pool::new(1, Arc::new(Waker::new().unwrap()));
        let (told, tells) = bounded(100);
        for _ in 0..100 {
            let told = told.clone();
            let job = Box::new(move || told.send(std::thread::current().id()).unwrap());
            assert!(pool.hand_over(job).is_ok());
        }
        drop(told);
        let mut threads: Vec<_> = tells.iter().collect();
        assert_eq!(threads.len(), 100);
        threads.dedup();
        assert_eq!((threads.len(), pool.threads.len()), (1, 1));
        pool.end(true);
    }

    #[test]
    fn no_job_waits_behind_a_busy_thread() {
        let mut pool = Pool::new(50, Arc::new(Waker::new().unwrap()));
        let (arrive, arrived) = bounded(50);
        let (leave, left) = bounded::<()>(0);
        for _ in 0..50 {
            let (arrive, left) = (arrive.clone(), left.clone());
            let job = Box::new(move || {
                arrive.send(()).unwrap();
                let _ = left.recv();
            });
            assert!(pool.hand_over(job).is_ok());
        }
        (0..50).for_each(|_| arrived.recv().unwrap());
        assert!(pool.hand_over(Box::new(|| ())).is_err(), "a job beyond the limit comes back");
        drop(leave);
        pool.end(true);
    }
}
