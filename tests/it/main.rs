//! Behaviours of the program, seen from outside.

// A panic is how a test reports.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connection;
mod one_request_harms_nobody;
mod tiny_http_evidence;
mod wire;
