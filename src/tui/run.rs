//! The loop between terminal, server, state and view: threads feed one channel, everything in it
//! is taken before anything is drawn, and nothing is drawn more than 60 times a second. While
//! nothing happens, nothing runs.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ratatui_core::terminal::Terminal;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};

use super::api::{Answer, Api};
use super::keys::{Keyboard, Typed};
use super::link::{Heard, Link};
use super::prompts;
use super::state::{Effect, State};
use super::terminal::{self, Ansi, Held};
use super::view::View;
use crate::client::Remote;
use crate::os::{self, Readable, Waker, wait_readable};

/// Between two drawings.
const FRAME: Duration = Duration::from_millis(16);
/// Whether an escape begins a sequence is known after this.
const ESCAPE: Duration = Duration::from_millis(40);
/// What happened and is not taken in yet. Who fills it waits: the server's queue is bounded too,
/// and what it does not keep is fetched again.
const WAITING: usize = 1024;
/// How long the loop may take to end after a signal.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The person left.
    Left,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// The terminal is gone.
    HungUp,
}

/// Anything that happens.
enum Event {
    Typed(Typed),
    Heard(Heard),
    Answered(Answer),
    Resized,
    /// Another program had the terminal.
    Continued,
    Ended(Ended),
}

/// Runs until the person leaves, or something else ends it.
///
/// # Errors
/// The terminal cannot be taken, or no thread started.
pub(super) fn run(
    remote: &Remote,
    mut state: State,
    view: View,
    kept: Option<PathBuf>,
) -> io::Result<Ended> {
    let (tell, hear) = bounded(WAITING);
    let held = Held::take()?;
    let result = Input::start(&held, &tell).and_then(|input| {
        let (to_link, to_api) = (tell.clone(), tell.clone());
        let api = Api::start(remote.clone(), move |answer| send(&to_api, Event::Answered(answer)))?;
        let link = Link::start(remote.clone(), move |heard| send(&to_link, Event::Heard(heard)))?;
        state.size = terminal::size();
        let terminal = Terminal::new(Ansi::on(held.clone()))?;
        let mut screen = Screen { terminal, view, kept, held: held.clone(), title: String::new() };
        let ended = screen.follow(&mut state, &hear, &link, &api);
        // Who still tells something is refused.
        drop(hear);
        // What is typed from now on is the shell's.
        let watch = input.end();
        held.give_back();
        watch.end();
        link.end();
        api.end();
        ended
    });
    held.give_back();
    result
}

fn send(to: &Sender<Event>, event: Event) -> Result<(), ()> {
    to.send(event).map_err(|_| ())
}

struct Screen {
    terminal: Terminal<Ansi>,
    view: View,
    /// Where prompts are kept.
    kept: Option<PathBuf>,
    held: Held,
    title: String,
}

impl Screen {
    fn follow(
        &mut self,
        state: &mut State,
        hear: &Receiver<Event>,
        link: &Link,
        api: &Api,
    ) -> io::Result<Ended> {
        let mut drawn: Option<Instant> = None;
        let mut is_stale = true;
        loop {
            let now = Instant::now();
            let next_frame = drawn.map_or(now, |drawn| drawn + FRAME);
            if is_stale && next_frame <= now {
                state.pass(now);
                self.draw(state, now, api)?;
                (drawn, is_stale) = (Some(now), false);
            }
            let until = if is_stale { Some(next_frame) } else { state.next_change(now) };
            let first = match until {
                Some(until) => match hear.recv_deadline(until) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Terminated),
                },
                None => match hear.recv() {
                    Ok(event) => Some(event),
                    Err(_) => return Ok(Ended::Terminated),
                },
            };
            is_stale = true;
            let mut next = first;
            // What is there is taken in before the next drawing, but one comes in any case.
            let mut taken = 0;
            while let Some(event) = next {
                if let Some(ended) = self.take(event, state, link, api)? {
                    return Ok(ended);
                }
                taken += 1;
                next = if taken < WAITING { hear.try_recv().ok() } else { None };
            }
        }
    }

    fn take(
        &mut self,
        event: Event,
        state: &mut State,
        link: &Link,
        api: &Api,
    ) -> io::Result<Option<Ended>> {
        let now = Instant::now();
        let effects = match event {
            Event::Typed(typed) => state.typed(typed, now),
            Event::Heard(heard) => state.heard(heard, now),
            Event::Answered(answer) => state.answered(answer, now),
            Event::Resized => {
                state.size = terminal::size();
                self.terminal.clear()?;
                Vec::new()
            }
            Event::Continued => {
                self.again(state)?;
                Vec::new()
            }
            Event::Ended(ended) => return Ok(Some(ended)),
        };
        for effect in effects {
            match effect {
                Effect::Say(message) => link.say(&message),
                Effect::Ask(query) => api.ask(query),
                Effect::Keep(prompt) => {
                    if let Some(path) = &self.kept {
                        // Where nothing can be kept, nothing is.
                        let _ = prompts::keep(path, &prompt);
                    }
                }
                Effect::Connect => link.now(),
                Effect::Scroll(scroll) => {
                    self.view.scroll(scroll, state, now);
                    state.follows = self.view.follows();
                }
                Effect::Reveal => {
                    self.view.reveal(state, now);
                    state.follows = self.view.follows();
                }
                Effect::Redraw => self.terminal.clear()?,
                Effect::Suspend => {
                    self.held.give_back();
                    // Returns when the shell continues the program, or at once where there is none.
                    let stop = rustix::process::Signal::TSTP;
                    let _ = rustix::process::kill_current_process_group(stop);
                    self.again(state)?;
                }
                Effect::Quit => return Ok(Some(Ended::Left)),
            }
        }
        Ok(None)
    }

    /// Takes the terminal once more.
    fn again(&mut self, state: &mut State) -> io::Result<()> {
        self.held.again()?;
        self.title.clear();
        state.size = terminal::size();
        self.terminal.clear()
    }

    fn draw(&mut self, state: &mut State, now: Instant, api: &Api) -> io::Result<()> {
        let title = state.title();
        if title != self.title {
            self.held.entitle(&title);
            self.title = title;
        }
        let view = &mut self.view;
        self.terminal.draw(|frame| {
            let area = frame.area();
            state.size = (area.width, area.height);
            if let Some(cursor) = view.draw(state, now, area, frame.buffer_mut()) {
                frame.set_cursor_position(cursor);
            }
        })?;
        state.follows = self.view.follows();
        if self.view.wants_older()
            && let Some(Effect::Ask(query)) = state.older()
        {
            api.ask(query);
        }
        Ok(())
    }
}

/// The threads that hear the person: keys, and signals.
struct Input {
    waker: Arc<Waker>,
    keyboard: JoinHandle<()>,
    watch: Watch,
}

/// The thread that hears signals.
struct Watch {
    signals: Handle,
    watcher: JoinHandle<()>,
    /// Closed when the terminal was given back in time.
    ending: Sender<()>,
}

impl Watch {
    fn end(self) {
        drop(self.ending);
        self.signals.close();
        let _ = self.watcher.join();
    }
}

impl Input {
    fn start(held: &Held, tell: &Sender<Event>) -> io::Result<Self> {
        let waker = Arc::new(Waker::new()?);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT])?;
        let handle = signals.handle();
        let (ending, ended) = bounded::<()>(0);
        let (to, held) = (tell.clone(), held.clone());
        let watch = move || {
            for signal in signals.forever() {
                let event = match signal {
                    SIGWINCH => Event::Resized,
                    SIGCONT => Event::Continued,
                    SIGINT => Event::Ended(Ended::Interrupted),
                    SIGHUP => Event::Ended(Ended::HungUp),
                    _ => Event::Ended(Ended::Terminated),
                };
                let is_last = matches!(event, Event::Ended(_));
                let told = to.send_timeout(event, LAST_WORDS);
                if is_last {
                    // A terminal that takes nothing any more must not keep the program.
                    let is_stuck = ended.recv_timeout(LAST_WORDS).is_err_and(|e| e.is_timeout());
                    if is_stuck || told.is_err() {
                        held.abandon();
                        std::process::exit(128 + signal);
                    }
                    return;
                }
            }
        };
        let watcher = os::thread("signals", watch)?;
        let (to, until) = (tell.clone(), Arc::clone(&waker));
        let read = move || {
            // A terminal that is gone, or that nobody reads from any more.
            let ended = read_keys(&to, &until).is_err();
            if ended {
                let _ = send(&to, Event::Ended(Ended::HungUp));
            }
        };
        let keyboard = os::thread("keyboard", read)?;
        Ok(Self { waker, keyboard, watch: Watch { signals: handle, watcher, ending } })
    }

    /// Lets what is typed alone. Signals are heard until the terminal is given back: that may take
    /// for ever.
    fn end(self) -> Watch {
        self.waker.wake();
        let _ = self.keyboard.join();
        self.watch
    }
}

/// Reads keys until nobody wants them; fails when there will be no more.
fn read_keys(to: &Sender<Event>, until: &Waker) -> io::Result<()> {
    let stdin = io::stdin();
    let mut keyboard = Keyboard::default();
    let mut buffer = [0; 4096];
    loop {
        let time = if keyboard.is_waiting() { ESCAPE } else { LONG };
        let mut typed = Vec::new();
        match wait_readable(until, stdin.as_fd(), time)? {
            Readable::Woken => return Ok(()),
            Readable::TimedOut => keyboard.settle(&mut typed),
            Readable::Ready => match rustix::io::read(stdin.as_fd(), &mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => keyboard.feed(&buffer[..count], &mut typed),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            },
        }
        for one in typed {
            if send(to, Event::Typed(one)).is_err() {
                return Ok(());
            }
        }
    }
}
