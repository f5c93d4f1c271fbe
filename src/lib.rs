//! The server mode of an AI coding agent, in synchronous Rust: one request, one thread.
//!
//! The modules are listed in reading order: the shared vocabulary, then the way of the data from
//! the bytes of a connection to a turn of an agent and back as one [`event::Event`].

pub mod cancel;
pub mod config;
pub mod error;
pub mod event;
pub mod http;
pub mod message;
pub mod os;
pub mod provider;
pub mod tool;
