//! A request in Anthropic's shape.

use serde_json::{Map, Value, json};

use crate::provider::Request;
use crate::provider::endpoint::Endpoint;
use crate::provider::history::{Answer, Called, Entry, Said, entries};

/// Tokens that an answer may have where the model can write more: a bound on runaway answers.
const USUAL_OUTPUT: u64 = 32_000;

/// The body. Prompt caching is asked for twice: the instructions with the tools, and the whole
/// conversation so far.
pub(super) fn body(endpoint: &Endpoint, request: &Request<'_>) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), endpoint.model.clone().into());
    body.insert("max_tokens".into(), max_tokens(endpoint).into());
    body.insert("stream".into(), true.into());
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), temperature.into());
    }
    if !request.system.trim().is_empty() {
        let mut block = json!({"type": "text", "text": request.system});
        cached(&mut block);
        body.insert("system".into(), json!([block]));
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.schema,
            })
        });
        body.insert("tools".into(), tools.collect());
        if !request.may_call {
            body.insert("tool_choice".into(), json!({"type": "none"}));
        }
    }
    let mut messages = messages(endpoint, request);
    let last = messages.last_mut().and_then(|message| message.1.last_mut());
    if let Some(block) = last.filter(|block| !is_thinking(block)) {
        cached(block);
    }
    // Behind what is cached: it is said once.
    if let Some(note) = request.note {
        add(&mut messages, "user", [json!({"type": "text", "text": note})]);
    }
    let messages =
        messages.into_iter().map(|(role, content)| json!({"role": role, "content": content}));
    body.insert("messages".into(), messages.collect());
    body.extend(endpoint.options.clone());
    Value::Object(body)
}

fn max_tokens(endpoint: &Endpoint) -> u64 {
    let model = endpoint.model.as_str();
    let unknown = if model.starts_with("claude-3-5") || !model.starts_with("claude-") {
        8192
    } else if model.starts_with("claude-3-") && !model.starts_with("claude-3-7") {
        4096
    } else {
        USUAL_OUTPUT
    };
    let usual = endpoint.output_known.unwrap_or(unknown).min(USUAL_OUTPUT);
    endpoint.output_limit.unwrap_or(usual)
}

fn cached(block: &mut Value) {
    block["cache_control"] = json!({"type": "ephemeral"});
}

fn is_thinking(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

type Turn = (&'static str, Vec<Value>);

fn messages(endpoint: &Endpoint, request: &Request<'_>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for entry in entries(request.messages) {
        match entry {
            Entry::User(text) => add(&mut turns, "user", [json!({"type": "text", "text": text})]),
            Entry::Answer(answer) => {
                add(&mut turns, "assistant", blocks(endpoint, &answer));
                add(&mut turns, "user", answer.calls.iter().map(result));
            }
        }
    }
    turns
}

/// Appends to the last message where it has the same role: the protocol wants them in turn.
fn add(turns: &mut Vec<Turn>, role: &'static str, blocks: impl IntoIterator<Item = Value>) {
    let blocks: Vec<Value> = blocks.into_iter().collect();
    match turns.last_mut() {
        _ if blocks.is_empty() => {}
        Some(last) if last.0 == role => last.1.extend(blocks),
        _ => turns.push((role, blocks)),
    }
}

fn blocks(endpoint: &Endpoint, answer: &Answer<'_>) -> Vec<Value> {
    // Only the model that thought it can read it again.
    let own = answer.model.is_none_or(|model| model == endpoint.full_id);
    let said = answer.said.iter().filter_map(|said| match said {
        Said::Text(text) => Some(json!({"type": "text", "text": text})),
        Said::Reasoning(text, opaque) if own => thinking(text, (*opaque)?),
        Said::Reasoning(..) => None,
    });
    let calls = answer.calls.iter().map(|call| {
        json!({
            "type": "tool_use",
            "id": wire_id(call.id),
            "name": call.tool,
            "input": if call.args.is_object() { call.args.clone() } else { json!({}) },
        })
    });
    let mut blocks: Vec<Value> = said.chain(calls).collect();
    // An answer that was cut may end in a thought, with which no message may end.
    while blocks.last().is_some_and(is_thinking) {
        blocks.pop();
    }
    blocks
}

fn thinking(text: &str, opaque: &Value) -> Option<Value> {
    match opaque["type"].as_str()? {
        "thinking" => Some(json!({
            "type": "thinking",
            "thinking": text,
            "signature": opaque.get("signature")?,
        })),
        "redacted_thinking" => Some(opaque.clone()),
        _ => None,
    }
}

fn result(call: &Called<'_>) -> Value {
    let content = if call.result.trim().is_empty() { "(no output)" } else { call.result };
    let mut block = json!({
        "type": "tool_result",
        "tool_use_id": wire_id(call.id),
        "content": content,
    });
    if call.is_error {
        block["is_error"] = true.into();
    }
    block
}

/// Ids have letters, digits, `_` and `-` here; other providers' have more.
fn wire_id(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    id.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Role};
    use crate::provider::ToolSpec;
    use crate::provider::testing::{endpoint, message, reasoning, text, tool};

    fn ask(messages: &[Message]) -> Value {
        let tools = [ToolSpec {
            name: "read_file".into(),
            description: "Reads".into(),
            schema: json!({"type": "object"}).into(),
        }];
        body(&endpoint(), &Request::new("Be brief.", messages, &tools))
    }

    #[test]
    fn the_instructions_and_the_conversation_are_cached() {
        let body = ask(&[message(Role::User, vec![text("hi")])]);
        assert_eq!(body["system"][0]["cache_control"]["type"], "ephemeral");
        assert_eq!(body["messages"][0]["content"][0]["cache_control"]["type"], "ephemeral");
        assert_eq!(body["tools"][0]["input_schema"]["type"], "object");
        assert_eq!((&body["stream"], &body["max_tokens"]), (&json!(true), &json!(32_000)));
    }

    #[test]
    fn a_turn_becomes_answers_and_results() {
        let signed = json!({"type": "thinking", "signature": "sig"});
        let hidden = json!({"type": "redacted_thinking", "data": "xyz"});
        let mut turn = message(
            Role::Assistant,
            vec![
                reasoning("hm", Some(signed)),
                reasoning("", Some(hidden.clone())),
                text("look"),
                tool("functions.read:0", 0, Some("one")),
                tool("b", 0, None),
                text("done"),
            ],
        );
        let messages = [
            message(Role::User, vec![text("hi")]),
            turn.clone(),
            message(Role::User, vec![text("more")]),
            message(Role::User, vec![text("please")]),
        ];
        let body = ask(&messages);
        let roles: Vec<_> =
            body["messages"].as_array().unwrap().iter().map(|m| m["role"].clone()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        let answer = &body["messages"][1]["content"];
        assert_eq!(answer[0], json!({"type": "thinking", "thinking": "hm", "signature": "sig"}));
        assert_eq!(answer[1], hidden);
        assert_eq!(answer[2]["text"], "look");
        assert_eq!(answer[3]["id"], "functions_read_0");
        let results = &body["messages"][2]["content"];
        assert_eq!(results[0]["content"], "one");
        assert_eq!(results[0].get("is_error"), None);
        assert_eq!(results[1]["is_error"], true);
        assert_eq!(body["messages"][4]["content"].as_array().unwrap().len(), 2);

        turn.model = Some("anthropic/another".into());
        let body = ask(&[messages[0].clone(), turn, messages[2].clone()]);
        assert_eq!(body["messages"][1]["content"][0]["text"], "look");
    }

    #[test]
    fn thoughts_go_back_where_they_were() {
        let signed = |signature: &str| Some(json!({"type": "thinking", "signature": signature}));
        let parts = vec![
            reasoning("one", signed("1")),
            text("look"),
            reasoning("two", signed("2")),
            tool("a", 0, Some("found")),
            text("so"),
            reasoning("cut", signed("3")),
        ];
        let messages = [message(Role::User, vec![text("hi")]), message(Role::Assistant, parts)];
        let body = ask(&messages);
        let kinds = |at: usize| -> Vec<String> {
            let blocks = body["messages"][at]["content"].as_array().unwrap();
            blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(kinds(1), ["thinking", "text", "thinking", "tool_use"]);
        assert_eq!(kinds(3), ["text"]);
    }

    #[test]
    fn a_last_step_keeps_the_tools_and_says_so_at_the_end() {
        let messages = [
            message(Role::User, vec![text("hi")]),
            message(Role::Assistant, vec![tool("a", 0, Some("one"))]),
        ];
        let tools = [ToolSpec {
            name: "read_file".into(),
            description: "Reads".into(),
            schema: json!({"type": "object"}).into(),
        }];
        let request = Request::new("Be brief.", &messages, &tools);
        let open = body(&endpoint(), &request);
        let request = Request { may_call: false, note: Some("Stop."), ..request };
        let last = body(&endpoint(), &request);
        assert_eq!(open.get("tool_choice"), None);
        assert_eq!(last["tool_choice"], json!({"type": "none"}));
        assert_eq!((&last["system"], &last["tools"]), (&open["system"], &open["tools"]));
        let results = last["messages"][2]["content"].as_array().unwrap();
        assert_eq!(results[0], open["messages"][2]["content"][0], "what is cached is the same");
        assert_eq!(results[1], json!({"type": "text", "text": "Stop."}));
    }

    #[test]
    fn the_configuration_wins() {
        let mut endpoint = endpoint();
        let request = Request::new(" ", &[], &[]);
        let request = Request { temperature: Some(0.5), ..request };
        assert_eq!(body(&endpoint, &request)["temperature"], 0.5);
        endpoint.options.insert("temperature".into(), json!(0));
        endpoint.output_limit = Some(77);
        let body = body(&endpoint, &request);
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0), &json!(77)));
        assert_eq!((body.get("system"), body.get("tools")), (None, None));
    }
}
