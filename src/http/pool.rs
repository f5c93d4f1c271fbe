//! The threads of the connections: one each, started when needed and kept for a while.
//!
//! A connection goes to a thread that waits at this instant, else to a new one; none ever queues
//! behind a busy thread. Of those that wait the last one to come goes first: so what a crowd needed
//! goes home, though connections keep coming. This module does not know what a connection is.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{SendError, Sender, bounded};

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
    waiting: Arc<Waiting>,
    threads: HashMap<u64, JoinHandle<()>>,
    limit: usize,
    started: u64,
    /// The threads that end, each by its own word.
    left: Arc<Mutex<Vec<u64>>>,
    waker: Arc<Waker>,
}

/// The threads that wait for a job.
#[derive(Default)]
struct Waiting {
    /// Protects who waits.
    seats: Mutex<Seats>,
    /// One more waits.
    more: Condvar,
}

#[derive(Default)]
struct Seats {
    /// Each thread and where it gets its one job; the last one has come last.
    taken: Vec<(u64, Sender<Job>)>,
    /// Nobody is to wait any more.
    over: bool,
}

impl Waiting {
    /// Waits for a job; none if none comes for a while, or all are sent home.
    fn next(&self, id: u64) -> Option<Job> {
        let (sender, receiver) = bounded(1);
        {
            let mut seats = lock(&self.seats);
            if seats.over {
                return None;
            }
            seats.taken.push((id, sender));
        }
        self.more.notify_one();
        let given = receiver.recv_timeout(BRIEF).or_else(|_| {
            os::release_stack();
            receiver.recv_timeout(IDLE)
        });
        given.ok().or_else(|| {
            lock(&self.seats).taken.retain(|(waits, _)| *waits != id);
            // One that was given at the last instant is on its way.
            receiver.recv().ok()
        })
    }

    /// Gives a job to the thread that came last, or gives it back.
    fn give(&self, job: Job) -> Result<(), Job> {
        let last = lock(&self.seats).taken.pop();
        Self::give_to(last, job)
    }

    /// The same, after waiting for one to come.
    fn give_within(&self, job: Job, time: Duration) -> Result<(), Job> {
        let seats = lock(&self.seats);
        let waited = self.more.wait_timeout_while(seats, time, |seats| seats.taken.is_empty());
        let last = waited.unwrap_or_else(PoisonError::into_inner).0.taken.pop();
        Self::give_to(last, job)
    }

    fn give_to(seat: Option<(u64, Sender<Job>)>, job: Job) -> Result<(), Job> {
        let Some((_, sender)) = seat else { return Err(job) };
        sender.send(job).map_err(SendError::into_inner)
    }

    fn send_home(&self) {
        let mut seats = lock(&self.seats);
        seats.over = true;
        seats.taken.clear();
    }
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
        let (threads, left) = (HashMap::new(), Arc::default());
        Self { waiting: Arc::default(), threads, limit, started: 0, left, waker }
    }

    /// Hands a job to a thread, or gives it back when there is none and none can be started.
    pub(super) fn hand_over(&mut self, job: Job) -> Result<(), Job> {
        let Err(refused) = self.waiting.give(job) else { return Ok(()) };
        self.join_left();
        if self.threads.len() >= self.limit {
            return self.waiting.give_within(refused, TURNOVER);
        }
        self.start(refused)
    }

    fn start(&mut self, job: Job) -> Result<(), Job> {
        // The job stays in reach in case the thread cannot be started.
        let slot = Arc::new(Mutex::new(Some(job)));
        let (first, waiting) = (slot.clone(), self.waiting.clone());
        let id = self.started;
        let leave = Leave { id, left: self.left.clone(), waker: self.waker.clone() };
        let builder = Builder::new().name(format!("http-{id}")).stack_size(STACK);
        let thread = builder.spawn(move || {
            let _leave = leave;
            os::begin_stack(STACK);
            let mut job = lock(&first).take();
            while let Some(work) = job {
                work();
                job = waiting.next(id);
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
        self.waiting.send_home();
        if all {
            self.threads.into_values().for_each(join);
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
    use std::thread::ThreadId;

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

    /// Gives every thread of a pool of fifty a job, which tells its thread and ends when it may.
    fn crowd(pool: &mut Pool, arrive: &Sender<ThreadId>) -> Sender<()> {
        let (leave, left) = bounded::<()>(0);
        for _ in 0..50 {
            let (arrive, left) = (arrive.clone(), left.clone());
            let job = Box::new(move || {
                arrive.send(std::thread::current().id()).unwrap();
                let _ = left.recv();
            });
            assert!(pool.hand_over(job).is_ok());
        }
        leave
    }

    #[test]
    fn who_waited_last_works_first_so_that_the_others_can_go_home() {
        let mut pool = Pool::new(50, Arc::new(Waker::new().unwrap()));
        let (arrive, arrived) = bounded(50);
        let leave = crowd(&mut pool, &arrive);
        assert_eq!(arrived.iter().take(50).count(), 50);
        drop(leave);
        let mut workers = Vec::new();
        for _ in 0..100 {
            while lock(&pool.waiting.seats).taken.len() < 50 {
                std::thread::yield_now();
            }
            let arrive = arrive.clone();
            let job = Box::new(move || arrive.send(std::thread::current().id()).unwrap());
            assert!(pool.hand_over(job).is_ok());
            workers.push(arrived.recv().unwrap());
        }
        workers.dedup();
        assert_eq!(workers.len(), 1);
        pool.end(true);
    }

    #[test]
    fn no_job_waits_behind_a_busy_thread() {
        let mut pool = Pool::new(50, Arc::new(Waker::new().unwrap()));
        let (arrive, arrived) = bounded(50);
        let leave = crowd(&mut pool, &arrive);
        assert_eq!(arrived.iter().take(50).count(), 50);
        assert!(pool.hand_over(Box::new(|| ())).is_err(), "a job beyond the limit comes back");
        drop(leave);
        pool.end(true);
    }
}
