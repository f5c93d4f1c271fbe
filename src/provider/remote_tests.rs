//! Answers over real sockets, from a server that plays a script.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::endpoint::{Endpoint, Secret};
use super::remote::Remote;
use super::retry::Policy;
use super::testing::{
    Act, BlackHole, answer, chunked, endpoint, head, message, quick, server, stream, text,
};
use super::{Chunk, Provider, Request, Stop};
use crate::cancel::Cancel;
use crate::config::Protocol;
use crate::error::{Code, Problem};
use crate::message::Role;

const START: &str = r#"{"type":"message_start","message":{"usage":{"input_tokens":3}}}"#;
const HELLO: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;
const OVERLOADED: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

fn at(base: &str) -> Endpoint {
    Endpoint { base: base.into(), ..endpoint() }
}

fn openai_at(base: &str) -> Endpoint {
    let (provider, name) = ("mine".into(), "Mine".into());
    Endpoint { provider, name, protocol: Protocol::OpenAiChat, ..at(base) }
}

/// Everything an answer gives, its error included.
fn pull(endpoint: Endpoint, cancel: &Cancel) -> (Vec<Chunk>, Option<Problem>) {
    let messages = [message(Role::User, vec![text("hi")])];
    let request = Request::new("", &messages, &[]);
    let mut remote = Remote::new(endpoint.into(), cancel).unwrap();
    let mut chunks = Vec::new();
    for chunk in remote.ask(&request) {
        match chunk {
            Ok(chunk) => chunks.push(chunk),
            Err(problem) => return (chunks, Some(problem)),
        }
    }
    (chunks, None)
}

fn play(acts: Vec<Act>) -> (Vec<Chunk>, Option<Problem>, Vec<String>) {
    let (base, thread) = server(acts);
    let (chunks, problem) = pull(at(&base), &Cancel::new());
    (chunks, problem, thread.join().unwrap())
}

fn texts(chunks: &[Chunk]) -> String {
    chunks
        .iter()
        .filter_map(|c| if let Chunk::Text(t) = c { Some(t.as_str()) } else { None })
        .collect()
}

fn retries(chunks: &[Chunk]) -> Vec<(u32, u64, &str)> {
    let retry = |chunk| match chunk {
        &Chunk::Retry { attempt, wait_ms, ref reason, .. } => {
            Some((attempt, wait_ms, reason.as_str()))
        }
        _ => None,
    };
    chunks.iter().filter_map(retry).collect()
}

#[test]
fn large_heads_and_bodies_fit_both_ways() {
    let mut endpoint = at("");
    let long = "k".repeat(8 * 1024);
    endpoint.headers = vec![("x-long".into(), Secret::new(&long))];
    let fields = format!("x-field: {}\r\n", "v".repeat(300)).repeat(60);
    let words = "word ".repeat(20_000);
    let said = HELLO.replace("hello", &words);
    let whole = stream(&[START, &said, HELLO, STOP]).replacen("\r\n", &format!("\r\n{fields}"), 1);
    let (base, thread) = server(vec![Act::Send(whole)]);
    endpoint.base = base;

    let asked = "question ".repeat(20_000);
    let messages = [message(Role::User, vec![text(&asked)])];
    let request = Request::new("", &messages, &[]);
    let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
    let chunks: Vec<_> = remote.ask(&request).map(Result::unwrap).collect();
    assert_eq!(texts(&chunks), words + "hello");
    let request = &thread.join().unwrap()[0];
    assert!(request.contains(&long) && request.contains(&asked));
}

#[test]
fn an_answer_arrives_and_the_request_is_right() {
    let (chunks, problem, requests) = play(vec![Act::Send(stream(&[START, HELLO, STOP]))]);
    assert_eq!((texts(&chunks).as_str(), problem), ("hello", None));
    assert_eq!(chunks.last(), Some(&Chunk::End(Stop::Finished)));
    let request = &requests[0];
    assert!(request.starts_with("POST /v1/messages HTTP/1.1"), "{request}");
    for header in ["x-api-key: sk-very-secret", "anthropic-version: 2023-06-01"] {
        assert!(request.contains(header), "{request}");
    }
}

#[test]
fn a_busy_provider_is_asked_again_and_says_why() {
    let busy = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let (chunks, problem, requests) = play(vec![
        Act::Send(answer(529, "", OVERLOADED)),
        Act::Send(answer(429, "retry-after-ms: 7\r\n", busy)),
        Act::Send(stream(&[START, HELLO, STOP])),
    ]);
    assert_eq!((texts(&chunks).as_str(), problem, requests.len()), ("hello", None, 3));
    let retries = retries(&chunks);
    assert_eq!(retries.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2]);
    assert!(retries[0].2.contains("Overloaded"));
    assert_eq!(retries[1].1, 7);
}

#[test]
fn an_error_or_a_cut_before_the_first_token_is_tried_again() {
    let (chunks, problem, _) = play(vec![
        Act::Send(stream(&[START, OVERLOADED])),
        Act::Drop,
        Act::Send(stream(&[START, HELLO, STOP])),
    ]);
    assert_eq!((texts(&chunks).as_str(), problem), ("hello", None));
    assert_eq!(retries(&chunks).len(), 2);

    let (chunks, problem, _) =
        play(vec![Act::Send(stream(&["{not json"])), Act::Send(stream(&[START, HELLO, STOP]))]);
    assert_eq!((texts(&chunks).as_str(), problem), ("hello", None));
    assert!(retries(&chunks)[0].2.contains("not JSON"));
}

#[test]
fn what_a_stream_reports_is_one_line() {
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no\n2026 error forged\u001b[2J"}}"#;
    let (_, problem, _) = play(vec![Act::Send(stream(&[START, error]))]);
    assert_eq!(problem.unwrap().detail, "Anthropic: no 2026 error forged [2J.");
}

#[test]
fn an_answer_with_nothing_in_it_is_tried_again() {
    let nothing = || Act::Send(stream(&[START, STOP]));
    let (chunks, problem, _) = play(vec![nothing(), Act::Send(stream(&[START, HELLO, STOP]))]);
    assert_eq!((texts(&chunks).as_str(), problem), ("hello", None));
    assert_eq!(retries(&chunks).len(), 1);
    let (chunks, problem, _) = play(vec![nothing(), nothing(), nothing()]);
    let problem = problem.unwrap();
    assert_eq!((retries(&chunks).len(), problem.code), (2, Code::ProviderFailed));
    assert!(problem.detail.contains("answered nothing"), "{}", problem.detail);
    // Hidden reasoning may use up all that an answer may have.
    let length = r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}"#;
    let (chunks, problem, _) = play(vec![Act::Send(stream(&[START, length, STOP]))]);
    assert_eq!((chunks.last(), problem), (Some(&Chunk::End(Stop::Length)), None));
}

#[test]
fn after_the_first_token_a_failure_is_an_error() {
    let (chunks, problem, requests) = play(vec![Act::Send(stream(&[START, HELLO]))]);
    let problem = problem.unwrap();
    assert_eq!((texts(&chunks).as_str(), requests.len()), ("hello", 1));
    assert_eq!(problem.code, Code::ProviderUnreachable);
    assert!(problem.detail.contains("the provider cut the stream"), "{}", problem.detail);

    let (_, problem, _) = play(vec![Act::Send(stream(&[START, HELLO, OVERLOADED]))]);
    assert!(problem.unwrap().detail.contains("Overloaded"));

    let (_, problem, _) = play(vec![Act::Send(head() + &chunked(HELLO) + "ff\r\ndata: {")]);
    assert!(problem.unwrap().detail.contains("cut the stream"));
}

#[test]
fn patience_ends_with_the_providers_words() {
    let gone = || Act::Send(answer(503, "", "<title>Maintenance</title>"));
    let (chunks, problem, _) = play(vec![gone(), gone(), gone()]);
    let problem = problem.unwrap();
    assert_eq!((retries(&chunks).len(), problem.code), (2, Code::ProviderFailed));
    assert!(problem.detail.contains("503: Maintenance"), "{}", problem.detail);

    let long = answer(429, "retry-after: 90\r\n", r#"{"error":{"message":"quota"}}"#);
    let (chunks, problem, _) = play(vec![Act::Send(long)]);
    let problem = problem.unwrap();
    assert_eq!((retries(&chunks).len(), problem.code), (0, Code::ProviderRateLimited));
    assert_eq!(problem.retry_after, Some(90));
    assert!(problem.detail.contains("90 s"), "{}", problem.detail);
}

#[test]
fn what_cannot_succeed_is_not_tried_again() {
    let key = r#"{"error":{"message":"invalid x-api-key sk-very-secret"}}"#;
    let (chunks, problem, _) = play(vec![Act::Send(answer(401, "", key))]);
    let problem = problem.unwrap();
    assert!(chunks.is_empty() && problem.code == Code::ProviderFailed);
    assert!(problem.detail.contains("ANTHROPIC_API_KEY"), "{}", problem.detail);
    assert!(!problem.detail.contains("sk-very-secret"), "{}", problem.detail);

    let (chunks, _, _) = play(vec![Act::Send(answer(500, "x-should-retry: false\r\n", "no"))]);
    assert!(chunks.is_empty());
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi";
    let (_, problem, _) = play(vec![Act::Send(page.into())]);
    assert!(problem.unwrap().detail.contains("base URL"));
    let (_, problem, _) = play(vec![Act::Send(answer(307, "location: http://evil/\r\n", ""))]);
    assert!(problem.unwrap().detail.contains("not followed"));
}

#[test]
fn a_key_that_cannot_be_sent_is_not_shown() {
    let mut endpoint = endpoint();
    endpoint.key = Some(super::endpoint::Secret::new("sk-very\nsecret"));
    let (_, problem) = pull(endpoint, &Cancel::new());
    let problem = problem.unwrap();
    assert_eq!(problem.code, Code::ProviderNotConfigured);
    assert!(problem.detail.contains("ANTHROPIC_API_KEY") && !problem.detail.contains("sk-very"));
}

#[test]
fn a_header_that_contradicts_the_request_is_the_configurations() {
    for (name, value) in [("Content-Length", "3"), ("Transfer-Encoding", "chunked")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut endpoint = at(&format!("http://{}/v1", listener.local_addr().unwrap()));
        endpoint.headers = vec![(name.into(), Secret::new(value))];
        let (chunks, problem) = pull(endpoint, &Cancel::new());
        let problem = problem.unwrap();
        assert_eq!((chunks, problem.code), (vec![], Code::ProviderNotConfigured), "{name}");
        assert!(problem.detail.contains("a header of the configuration"), "{}", problem.detail);
    }
}

#[test]
fn a_proxy_of_another_kind_is_refused_in_words() {
    let env = [("ALL_PROXY", "socks5://127.0.0.1:1080")].into_iter().collect();
    let proxies = super::proxy::Proxies::new(&env);
    let endpoint = Endpoint { proxies, ..at("https://far.example/v1") };
    let problem = Remote::new(endpoint.into(), &Cancel::new()).err().unwrap();
    assert_eq!(problem.code, Code::ProviderUnreachable);
    assert!(problem.detail.contains("begins with http://"), "{}", problem.detail);
}

#[test]
fn nobody_there_is_said_after_some_tries() {
    let base = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let (chunks, problem) = pull(at(&base), &Cancel::new());
    let problem = problem.unwrap();
    assert_eq!((retries(&chunks).len(), problem.code), (2, Code::ProviderUnreachable));
    assert!(problem.detail.contains(&base), "{}", problem.detail);
}

#[test]
fn silence_between_tokens_is_a_time_out() {
    let (base, thread) = server(vec![Act::Hold(head() + &chunked(HELLO))]);
    let endpoint = Endpoint { silence: Duration::from_millis(150), ..at(&base) };
    let began = Instant::now();
    let (chunks, problem) = pull(endpoint, &Cancel::new());
    assert_eq!(texts(&chunks), "hello");
    assert_eq!(problem.unwrap().code, Code::ProviderTimeout);
    assert!(began.elapsed() < Duration::from_secs(5));
    thread.join().unwrap();
}

/// Cancels when a request has come and this is answered; the answer must end at once and the
/// connection be closed.
fn stopped_in(said: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let cancel = Cancel::new();
    let (its, said) = (cancel.clone(), said.to_owned());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        std::io::Write::write_all(&mut stream, said.as_bytes()).unwrap();
        its.cancel();
        let stopped = Instant::now();
        // It sees that the client is gone.
        while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
        stopped
    });
    let (_, problem) = pull(at(&base), &cancel);
    let ended = Instant::now();
    assert_eq!(problem.unwrap().code, Code::Aborted);
    assert!(ended.saturating_duration_since(server.join().unwrap()) < Duration::from_secs(5));
}

#[test]
fn a_cancel_ends_an_answer_at_once() {
    stopped_in(&(head() + &chunked(HELLO)));
    stopped_in("");
}

#[test]
fn a_cancel_does_not_wait_for_a_connection() {
    let hole = BlackHole::new();
    let (cancel, (told, ended)) = (Cancel::new(), std::sync::mpsc::channel());
    let (endpoint, its) = (at(&format!("http://{}/v1", hole.address)), cancel.clone());
    let thread = std::thread::spawn(move || told.send(pull(endpoint, &its)).unwrap());
    hole.wait_for_a_try();
    cancel.cancel();
    // Half of the time that a connection may take.
    let (chunks, problem) = ended.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!((chunks, problem.unwrap().code), (vec![], Code::Aborted));
    thread.join().unwrap();
}

#[test]
fn a_cancel_ends_a_wait_and_is_seen_before_the_first_byte() {
    let (base, thread) = server(vec![Act::Send(answer(503, "", ""))]);
    let mut endpoint = at(&base);
    endpoint.policy.first = Duration::from_secs(60);
    endpoint.policy.longest = Duration::from_secs(60);
    let cancel = Cancel::new();
    let messages = [message(Role::User, vec![text("hi")])];
    let request = Request::new("", &messages, &[]);
    let mut remote = Remote::new(endpoint.into(), &cancel).unwrap();
    let mut answer = remote.ask(&request);
    assert!(matches!(answer.next(), Some(Ok(Chunk::Retry { attempt: 1, .. }))));
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        cancel.cancel();
    });
    assert_eq!(answer.next().unwrap().unwrap_err().code, Code::Aborted);
    assert!(answer.next().is_none());
    drop(answer);
    stopper.join().unwrap();
    thread.join().unwrap();
    assert_eq!(remote.ask(&request).next().unwrap().unwrap_err().code, Code::Aborted);
}

#[test]
fn a_call_with_bad_arguments_keeps_what_was_written() {
    let call = json!({"choices": [{"delta": {"tool_calls": [
        {"index": 0, "id": "c", "function": {"name": "bash", "arguments": "{\"command\": ls}"}}
    ]}, "finish_reason": "tool_calls"}]});
    let (base, thread) = server(vec![Act::Send(stream(&[&call.to_string(), "[DONE]"]))]);
    let (chunks, problem) = pull(openai_at(&base), &Cancel::new());
    assert_eq!(problem, None);
    let [Chunk::Call(call), Chunk::End(Stop::Calls)] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(call.args.as_ref().unwrap_err().raw, "{\"command\": ls}");
    let requests = thread.join().unwrap();
    assert!(requests[0].starts_with("POST /v1/chat/completions "));
    assert!(requests[0].contains("authorization: Bearer sk-very-secret"));
}

#[test]
fn half_a_call_is_an_error_and_no_call() {
    let half = json!({"choices": [{"delta": {"tool_calls": [
        {"index": 0, "id": "c", "function": {"name": "bash", "arguments": "{\"comm"}}
    ]}}]});
    let (base, thread) = server((0..3).map(|_| Act::Send(stream(&[&half.to_string()]))).collect());
    let (chunks, problem) = pull(openai_at(&base), &Cancel::new());
    assert!(problem.unwrap().detail.contains("cut the stream"));
    assert!(chunks.iter().all(|chunk| matches!(chunk, Chunk::Retry { .. })));
    thread.join().unwrap();
}

#[test]
fn an_answer_in_one_piece_is_understood() {
    let whole = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let reply = answer(200, "content-type: application/json\r\n", whole);
    let (base, thread) = server(vec![Act::Send(reply)]);
    let (chunks, problem) = pull(openai_at(&base), &Cancel::new());
    assert_eq!((texts(&chunks).as_str(), problem), ("hi", None));
    thread.join().unwrap();
}

#[test]
fn configured_prices_and_headers_are_used() {
    let usage = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000000,"completion_tokens":500000}}"#;
    let (base, thread) = server(vec![Act::Send(stream(&[usage, "[DONE]"]))]);
    let mut endpoint = openai_at(&base);
    endpoint.cost =
        Some(crate::config::Cost { input: 1.0, output: 4.0, cache_read: 0.0, cache_write: 0.0 });
    endpoint.headers = vec![("Authorization".into(), super::endpoint::Secret::new("Basic own"))];
    let (chunks, _) = pull(endpoint, &Cancel::new());
    let Chunk::Usage(usage) = &chunks[1] else { panic!("{chunks:?}") };
    assert!((usage.cost.unwrap() - 3.0).abs() < 1e-9);
    let request = thread.join().unwrap().remove(0).to_ascii_lowercase();
    assert!(request.contains("authorization: basic own") && !request.contains("bearer"));
}

#[test]
fn a_turn_asks_more_than_once() {
    let (base, thread) = server(vec![
        Act::Send(stream(&[START, HELLO, STOP])),
        Act::Send(stream(&[START, HELLO, STOP])),
    ]);
    let messages = [message(Role::User, vec![text("hi")])];
    let request = Request::new("", &messages, &[]);
    let mut remote = Remote::new(at(&base).into(), &Cancel::new()).unwrap();
    for _ in 0..2 {
        assert!(remote.ask(&request).all(|chunk| chunk.is_ok()));
    }
    assert_eq!(thread.join().unwrap().len(), 2);
}

/// What is said of an answer that begins so and goes on with 64 MB of the same byte.
fn endless(start: &'static str) -> Problem {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let mut sent = std::io::Write::write_all(&mut stream, start.as_bytes());
        let block = [b'x'; 8192];
        for _ in 0..8000 {
            if sent.is_err() {
                return true;
            }
            sent = std::io::Write::write_all(&mut stream, &block);
        }
        false
    });
    let policy = Policy { retries: 0, ..quick() };
    let (_, problem) = pull(Endpoint { policy, ..at(&base) }, &Cancel::new());
    assert!(thread.join().unwrap(), "the server was let go on");
    problem.unwrap()
}

#[test]
fn an_endless_event_is_refused() {
    let problem = endless("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ");
    assert!(problem.detail.contains("4 MiB"), "{problem:?}");
}

#[test]
fn an_endless_line_between_chunks_is_no_answer() {
    for start in ["", "5\r\nhello\r\n", "0\r\nx: "] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let start: &'static str = format!("{head}{start}").leak();
        let problem = endless(start);
        assert!(problem.detail.contains("ended before it was complete"), "{problem:?}");
    }
}
