//! The server mode of an AI coding agent, in synchronous Rust: one request, one thread.
//!
//! The modules are listed in reading order: the command line, then the way of the data from the
//! bytes of a connection to a turn of an agent and back as one [`event::Event`], then the
//! vocabulary they share.

pub mod cli;
pub mod config;

pub mod http;
pub mod api;
pub mod web;
pub mod session;
pub mod agent;
pub mod provider;
pub mod tool;
pub mod client;
pub mod discovery;
pub mod tui;

pub mod event;
pub mod message;
pub mod meter;
pub mod transcript;
pub mod error;
pub mod cancel;
pub mod context;
pub mod id;
pub mod tls;
pub mod percent;
pub mod sse;
pub mod text;
pub mod os;
