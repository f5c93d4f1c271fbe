//! A turn's requests share a connection to its provider, for as long as that keeps it.

use serde_json::json;

use crate::program::{text, types};
use crate::scripted::{Act, Protocol, Scripted, chunked, stream};

/// What a turn with two tools is told.
const TOLD: [&str; 7] =
    ["session", "tool_start", "tool_end", "tool_start", "tool_end", "text", "done"];

/// Asserts that a turn of two tools goes well that is answered in these three ways, and tells how
/// many connections it took.
fn connections(protocol: Protocol, acts: [fn(&str) -> Act; 3]) -> usize {
    let call = protocol.call(r#"{"path":"opencode.json"}"#) + &protocol.end(true);
    let done = protocol.text("done") + &protocol.end(false);
    let [first, second, third] = acts;
    let provider = Scripted::play([first(&call), second(&call), third(&done)]);
    let server = provider.world(protocol, &json!({})).serve();
    let told = server.stream(&json!({ "message": "hello" }));
    assert_eq!((types(&told), &*text(&told)), (TOLD.to_vec(), "done"), "{told:?}");
    assert_eq!(provider.asked().len(), 3);
    provider.connections()
}

#[test]
fn a_turn_with_two_tools_makes_one_connection() {
    let keep = |events: &str| Act::Keep(chunked(events));
    let last = |events: &str| Act::Say(chunked(events));
    for protocol in Protocol::BOTH {
        assert_eq!(connections(protocol, [keep, keep, last]), 1, "{protocol:?}");
    }
}

#[test]
fn a_provider_that_closes_the_idle_connection_is_asked_over_another() {
    let close = |events: &str| Act::Say(chunked(events));
    for protocol in Protocol::BOTH {
        assert_eq!(connections(protocol, [close; 3]), 3, "{protocol:?}");
    }
}

#[test]
fn a_provider_that_does_not_end_its_stream_is_asked_over_another() {
    let unended = |events: &str| Act::Hold(chunked(events).replace("\r\n0\r\n\r\n", "\r\n"));
    let last = |events: &str| Act::Say(stream(events));
    for protocol in Protocol::BOTH {
        assert_eq!(connections(protocol, [unended, unended, last]), 3, "{protocol:?}");
    }
}
