//! Many on one session over `/ws`: who reads slowly harms nobody, and is told so.

use serde_json::{Value, json};

use crate::model::Model;
use crate::program::await_that;
use crate::socket::{Ended, Ws, assert_dense, ids};

#[test]
fn a_busy_session_keeps_neither_words_nor_other_sessions_waiting() {
    let server = Model::start().world(json!({})).serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "say 100000000 words of 20 bytes", "requestId": "busy" }));
    ws.hear_until(|event| event["type"] == "text");
    ws.say(&json!({ "type": "chat", "message": "hello", "requestId": "short" }));
    let is_short = |event: &Value| event["requestId"] == "short";
    let events = ws.hear_until(|event| is_short(event) && event["type"] == "done");
    let busy = events[0]["sessionId"].clone();
    assert!(!events.iter().any(|event| event["type"] == "done" && !is_short(event)));
    ws.sync();
    ws.say(&json!({ "type": "abort", "sessionId": busy }));
    let events = ws.hear_until(|event| event["type"] == "done");
    assert_eq!(events[events.len() - 1]["requestId"], "busy");
}

#[test]
fn thirty_two_see_the_same_in_the_same_order_while_one_never_reads() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let session = server.post("/api/sessions", &json!({})).json()["id"].clone();
    let mut all: Vec<_> = (0..33)
        .map(|_| {
            let mut ws = Ws::open(&server);
            ws.say(&json!({ "type": "subscribe", "sessionId": session }));
            assert_eq!(ws.sync(), Vec::<Value>::new());
            ws
        })
        .collect();
    let silent = all.pop().unwrap();
    all[0].say(&json!({
        "type": "chat", "message": "say 500 words of 600 bytes", "sessionId": session,
    }));
    let readers: Vec<_> =
        all.into_iter().map(|mut ws| std::thread::spawn(move || ws.hear_turn())).collect();
    let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert_eq!(ids(&seen[0]).len(), 502);
    assert_dense(&ids(&seen[0]));
    for other in &seen[1..] {
        assert!(*other == seen[0]);
    }
    drop(silent);
}

#[test]
fn a_reader_that_is_too_slow_is_cut_off_with_a_word_and_can_go_on() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let session = server.post("/api/sessions", &json!({})).json()["id"].clone();
    let (mut slow, mut quick) = (Ws::open(&server), Ws::open(&server));
    for ws in [&mut slow, &mut quick] {
        ws.say(&json!({ "type": "subscribe", "sessionId": session }));
        ws.sync();
    }
    // More than the kernel and the queue hold for one who does not read.
    // At the pace of the one who reads.
    let mut all = Vec::new();
    for _ in 0..10 {
        let message = "step 60 words of 60000 bytes";
        quick.say(&json!({ "type": "chat", "message": message, "sessionId": session }));
        model.ask_for(10);
        let turn = quick.hear_until(|event| {
            model.ask_for(1);
            event["type"] == "done"
        });
        assert_dense(&ids(&turn));
        assert_eq!(turn[turn.len() - 1]["finishReason"], "stop", "the turn did not wait");
        all.extend(turn);
    }
    let (some, ended) = slow.rest();
    let Ended::Closed(code, reason) = ended else { panic!("cut off without a word") };
    assert_eq!(code, 1013);
    assert!(reason.contains("`after`"), "{reason}");
    let (some, all) = (ids(&some), ids(&all));
    assert!(some.len() < all.len());
    assert_eq!(some, all[..some.len()], "what it got has no hole");
    let mut again = Ws::open(&server);
    let after = some.last().copied().unwrap();
    again.say(&json!({ "type": "subscribe", "sessionId": session, "after": after }));
    let last = *all.last().unwrap();
    let rest = again.hear_until(|event| event["eventId"] == last);
    assert_eq!(ids(&rest).last(), Some(&last));
    assert!(ids(&rest)[0] > after);
}

#[test]
fn one_that_never_reads_is_dropped_in_time() {
    let limits =
        json!({ "server": { "limits": { "writeSeconds": 0.2, "heartbeatSeconds": 0.1 } } });
    let server = Model::start().world(limits).serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "say 60 words of 60000 bytes" }));
    let session = ws.hear()["sessionId"].clone();
    let path = format!("/api/sessions/{}", session.as_str().unwrap());
    await_that("the turn ends", || server.get(&path)["status"] == "idle");
    for _ in 0..10 {
        let more = json!({ "message": "say 60 words of 60000 bytes", "sessionId": session });
        let reply = server.post("/api/chat", &more).json();
        assert_eq!(reply["finishReason"], "stop", "it did not wait");
    }
    // Its own requests are connections too.
    await_that("the connection ends", || server.get("/api/status")["connections"] == 1);
}
