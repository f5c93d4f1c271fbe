//! Behaviours of the program, seen from outside.

mod connection;
mod one_request_harms_nobody;
mod tiny_http_evidence;
mod wire;
