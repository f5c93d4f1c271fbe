//! Behaviours of the program, seen from outside.

// A panic is how a test reports.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod connection;
mod edge;
mod event_replay;
mod house;
mod model;
mod one_request_harms_nobody;
mod program;
mod run_command;
mod seed_page;
mod slow_readers;
mod socket;
mod tiny_http_evidence;
mod turns;
mod websocket;
mod websocket_connection;
mod wire;
