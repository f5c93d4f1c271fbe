//! `/metrics`: what the server has done, in the text format of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::markdown::Document;
use crate::program::{Serving, World, await_that};
use crate::scripted::{Act, Protocol, Scripted, answer, stream};
use crate::socket::Ws;
use crate::wire::Client;

/// The value of a line that begins so.
fn value(server: &Serving, line: &str) -> u64 {
    let reply = server.ask("GET", "/metrics", None);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(reply.body).unwrap();
    let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
}

#[test]
fn turns_tools_tokens_and_failures_are_counted_by_what_they_came_to() {
    let protocol = Protocol::OpenAi;
    let call = protocol.call(r#"{"path":"opencode.json"}"#) + &protocol.end(true);
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 3 } });
    let done = format!("{}data: {usage}\n\n{}", protocol.text("done"), protocol.end(false));
    let provider = Scripted::play([
        Act::Say(stream(&call)),
        Act::Say(stream(&done)),
        Act::Say(answer(400, &json!({ "error": { "message": "no" } }))),
    ]);
    let server = provider.world(protocol, &json!({})).serve();
    for status in [200, 502] {
        assert_eq!(server.post("/api/chat", &json!({ "message": "go" })).status, status);
    }
    assert_eq!(server.ask("GET", "/api/sessions/nobody", None).status, 404);
    for (line, wanted) in [
        ("opencode_turns_total{reason=\"stop\"}", 1),
        ("opencode_turns_total{reason=\"error\"}", 1),
        ("opencode_turns_total{reason=\"aborted\"}", 0),
        ("opencode_turn_errors_total{code=\"provider-failed\"}", 1),
        ("opencode_tool_runs_total{tool=\"read_file\",outcome=\"ok\"}", 1),
        ("opencode_tool_seconds_count", 1),
        ("opencode_tokens_total{kind=\"input\"}", 7),
        ("opencode_tokens_total{kind=\"output\"}", 3),
        ("opencode_provider_first_token_seconds_count", 2),
        ("opencode_turn_seconds_count", 2),
        ("opencode_provider_request_seconds_count", 3),
        ("opencode_provider_errors_total{provider=\"scripted\",kind=\"failed\"}", 1),
        ("opencode_http_requests_total{route=\"POST /api/chat\",status=\"200\"}", 1),
        ("opencode_http_requests_total{route=\"POST /api/chat\",status=\"502\"}", 1),
        ("opencode_http_requests_total{route=\"GET /api/sessions/{id}\",status=\"404\"}", 1),
        ("opencode_http_request_seconds_count{route=\"POST /api/chat\"}", 2),
        ("opencode_sessions", 2),
        ("opencode_turns_running", 0),
    ] {
        assert_eq!(value(&server, line), wanted, "{line}");
    }
}

/// One line of a family.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A family, as its comments name it.
struct Family {
    name: String,
    kind: String,
    samples: Vec<Sample>,
}

/// Whether a name is one that the format allows for a metric, or without colons for a label.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_part) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Reads a line such as `name{label="value"} 1`.
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(label), "{line}");
            let (mut value, mut chars) = (String::new(), after.char_indices());
            let end = loop {
                match chars.next().unwrap_or_else(|| panic!("{line}")) {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().unwrap().1 {
                        'n' => value.push('\n'),
                        c @ ('"' | '\\') => value.push(c),
                        c => panic!("\\{c} in {line}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice in {line}");
            inside = &after[end + 1..];
            if let Some(after) = inside.strip_prefix('}') {
                rest = after;
                break;
            }
            inside = inside.strip_prefix(',').unwrap_or_else(|| panic!("{line}"));
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap() }
}

/// Reads a page as strictly as the format is written (text format 0.0.4), and checks what promtool
/// would.
fn families(text: &str) -> Vec<Family> {
    assert!(text.ends_with('\n'));
    let mut families: Vec<Family> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, words) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(is_name(name) && words.ends_with('.') && !words.contains('\\'), "{help}");
        assert!(families.iter().all(|family| family.name != name), "{name} is there twice");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}: {kind}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let mut samples: Vec<Sample> = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let sample = sample(line);
            let suffix = sample.name.strip_prefix(name).unwrap_or_else(|| panic!("{line}"));
            let fits = match kind {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            assert!(fits && sample.value >= 0.0, "{line}");
            let is_other =
                |other: &Sample| other.name != sample.name || other.labels != sample.labels;
            assert!(samples.iter().all(is_other), "{line} is there twice");
            samples.push(sample);
        }
        families.push(Family { name: name.to_owned(), kind: kind.to_owned(), samples });
    }
    for family in families.iter().filter(|family| family.kind == "histogram") {
        check_histogram(family);
    }
    families
}

/// The buckets of each series grow to the one without a bound, which has the count.
fn check_histogram(family: &Family) {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        assert_eq!(bound.is_some(), sample.name.ends_with("_bucket"), "{}", sample.name);
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let [buckets @ .., sum, count] = &samples[..] else { panic!("{}", family.name) };
        assert!(sum.name.ends_with("_sum") && count.name.ends_with("_count"), "{labels:?}");
        let bounds: Vec<f64> = buckets.iter().map(|b| b.labels["le"].parse().unwrap()).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        assert!(buckets.is_sorted_by(|a, b| a.value <= b.value), "{} {labels:?}", family.name);
        let last = buckets.last().unwrap();
        assert_eq!((last.labels["le"].as_str(), last.value), ("+Inf", count.value), "{labels:?}");
        assert!(sum.value == 0.0 || count.value > 0.0, "{} {labels:?}", family.name);
    }
}

#[test]
fn the_page_is_as_strict_as_the_format_and_every_family_is_documented() {
    let protocol = Protocol::OpenAi;
    let provider = Scripted::a_tool_then_a_refusal(protocol);
    let server = provider.world(protocol, &json!({})).serve();
    for _ in 0..2 {
        server.post("/api/chat", &json!({ "message": "go" }));
    }
    for path in ["/healthz", "/api/status", "/nothing\"here\\"] {
        server.ask("GET", path, None);
    }
    let text = String::from_utf8(server.ask("GET", "/metrics", None).body).unwrap();
    let families = families(&text);
    let empty: Vec<_> = families.iter().filter(|f| f.samples.is_empty()).map(|f| &f.name).collect();
    assert_eq!(empty, Vec::<&String>::new(), "everything of it has happened");
    // A client cannot make series.
    assert!(!text.contains("nothing"), "{text}");

    let page = Document::read("docs/operations.md").text;
    let (_, table) =
        page.split_once("| metric | type | labels | |\n| --- | --- | --- | --- |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut documented = BTreeMap::new();
    for row in table.lines() {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let labels: BTreeSet<_> =
            cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        documented.insert(cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), labels));
    }
    let there: BTreeMap<_, _> = families
        .iter()
        .map(|family| {
            let labels = family.samples.iter().flat_map(|sample| sample.labels.keys().cloned());
            let labels: BTreeSet<_> = labels.filter(|label| label != "le").collect();
            (family.name.clone(), (family.kind.clone(), labels))
        })
        .collect();
    assert_eq!(documented, there);
}

#[test]
fn open_streams_are_counted_while_they_are_open() {
    let server = World::new().serve();
    let session = server.post("/api/sessions", &json!({})).json();
    let path = format!("/api/sessions/{}/events", session["id"].as_str().unwrap());
    let mut client = Client::connect(server.address);
    client.send(server.request("GET", &path, &[], None));
    client.head();
    let ws = Ws::open(&server);
    await_that("both are counted", || {
        value(&server, "opencode_streams{kind=\"events\"}") == 1
            && value(&server, "opencode_streams{kind=\"websocket\"}") == 1
    });
    assert!(value(&server, "opencode_followers") >= 1);
    drop((client, ws));
    await_that("none is", || {
        value(&server, "opencode_streams{kind=\"events\"}") == 0
            && value(&server, "opencode_streams{kind=\"websocket\"}") == 0
    });
}

#[test]
fn a_reload_counts_on() {
    let protocol = Protocol::OpenAi;
    let no = || Act::Say(answer(400, &json!({ "error": { "message": "no" } })));
    let provider = Scripted::play([no(), no()]);
    let server = provider.world(protocol, &json!({})).serve();
    server.post("/api/chat", &json!({ "message": "go" }));
    server.signal(rustix::process::Signal::HUP);
    await_that("it is reloaded", || server.log.text().contains("reloaded: "));
    server.post("/api/chat", &json!({ "message": "go" }));
    let line = "opencode_provider_errors_total{provider=\"scripted\",kind=\"failed\"}";
    assert_eq!(value(&server, line), 2);
}

#[test]
fn the_counts_need_the_password() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "correct-horse").serve();
    assert_eq!(server.ask("GET", "/metrics", None).status, 401);
}
