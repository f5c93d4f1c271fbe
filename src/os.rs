//! The operating system where the standard library does not reach.
//!
//! The only room with `unsafe` code.

mod child;
mod pages;
mod process;
mod thread;
mod wait;

pub use child::{isolate, protect_environment};
pub use pages::{Waits, begin_stack, release_code, release_stack};
pub use process::{has_terminal, is_ignored, memory, monotonic, raise_descriptor_limit};
pub use thread::thread;
pub use wait::{
    Readable, Waker, Woken, takes, wait, wait_many, wait_readable, wait_ready, wait_unread,
};
