//! Behaviours of the program, seen from outside.

// A panic is how a test reports.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod behind_nginx;
mod broken_providers;
mod completions_in_shells;
mod connection;
mod crash;
mod curl_examples;
mod edge;
mod event_replay;
mod exit_statuses;
mod house;
mod left_behind;
mod mdns;
mod model;
mod nothing_secret;
mod one_request_harms_nobody;
mod other_pages;
mod peers;
mod permissions;
mod program;
mod providers_by_aimock;
mod real_model;
mod requests_of_others;
mod room_for_everybody;
mod run_command;
mod scripted;
mod seed_page;
mod sessions_command;
mod sessions_survive;
mod sign_in;
mod slow_clients;
mod slow_readers;
mod socket;
mod standard_streams;
mod stopping;
mod tiny_http_evidence;
mod trust;
mod turns;
mod web_page_served;
mod websocket;
mod websocket_connection;
mod wire;
