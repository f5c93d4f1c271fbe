//! A request in the shape of Chat Completions.

use serde_json::{Map, Value, json};

use super::Quirks;
use crate::provider::Request;
use crate::provider::endpoint::Endpoint;
use crate::provider::history::{Answer, Entry, entries};

/// What Gemini accepts in place of a signature for a call that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// The longest call id that `OpenAI` accepts.
const ID_LENGTH: usize = 40;

/// The body.
pub(super) fn body(endpoint: &Endpoint, quirks: Quirks, request: &Request<'_>) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), endpoint.model.clone().into());
    body.insert("stream".into(), true.into());
    if quirks.asks_usage {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    if quirks.asks_price {
        body.insert("usage".into(), json!({"include": true}));
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), temperature.into());
    }
    if let Some(limit) = endpoint.output_limit {
        body.insert(quirks.output_key.into(), limit.into());
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.schema,
                },
            })
        });
        body.insert("tools".into(), tools.collect());
        if !request.may_call {
            body.insert("tool_choice".into(), "none".into());
        }
        if quirks.tools_without_reasoning {
            body.insert("reasoning_effort".into(), "none".into());
        }
    }
    let mut messages = Vec::new();
    if !request.system.trim().is_empty() {
        messages.push(json!({"role": "system", "content": request.system}));
    }
    for entry in entries(request.messages) {
        match entry {
            Entry::User(text) => user(quirks, &mut messages, text),
            Entry::Answer(answer) => answered(endpoint, quirks, &mut messages, &answer),
        }
    }
    if let Some(note) = request.note {
        match messages.last_mut() {
            Some(last) if quirks.is_mistral && last["role"] == "tool" => {
                append(Some(last), note, "\n\n");
            }
            _ => user(quirks, &mut messages, note),
        }
    }
    body.insert("messages".into(), messages.into());
    body.extend(endpoint.options.clone());
    Value::Object(body)
}

/// Adds to a user's message before it: the templates of many local models want roles in turn.
fn user(quirks: Quirks, messages: &mut Vec<Value>, text: &str) {
    let role = messages.last().and_then(|m| m["role"].as_str()).unwrap_or_default();
    match role {
        "user" => append(messages.last_mut(), text, "\n\n"),
        "tool" if quirks.is_mistral => {
            messages.push(json!({"role": "assistant", "content": "(interrupted)"}));
            messages.push(json!({"role": "user", "content": text}));
        }
        _ => messages.push(json!({"role": "user", "content": text})),
    }
}

fn append(message: Option<&mut Value>, text: &str, between: &str) {
    if let Some(Value::String(content)) = message.and_then(|m| m.get_mut("content")) {
        content.push_str(between);
        content.push_str(text);
    }
}

fn answered(endpoint: &Endpoint, quirks: Quirks, messages: &mut Vec<Value>, answer: &Answer<'_>) {
    let text: String = answer.text().collect();
    if answer.calls.is_empty() {
        let last = messages.last_mut();
        let spoke = |m: &Value| m["role"] == "assistant" && m.get("tool_calls").is_none();
        match last.filter(|message| spoke(message)) {
            Some(message) => append(Some(message), &text, "\n\n"),
            None => messages.push(json!({"role": "assistant", "content": text})),
        }
        return;
    }
    let own = answer.model.is_none_or(|model| model == endpoint.full_id);
    let opaque = |kind: &str| {
        let kind = kind.to_owned();
        let all = answer.reasoning().filter_map(|(_, opaque)| opaque);
        all.filter(move |o| own && o["type"] == kind.as_str())
    };
    let calls = answer.calls.iter().map(|call| {
        let args = if call.args.is_object() { call.args.to_string() } else { "{}".to_owned() };
        let mut value = json!({
            "id": wire_id(quirks, call.id),
            "type": "function",
            "function": {"name": call.tool, "arguments": args},
        });
        if quirks.signs_calls {
            let signed = opaque("call_extra").find(|o| o["id"] == call.id);
            value["extra_content"] = match signed {
                Some(signed) => signed["extra_content"].clone(),
                None if own => return value,
                None => json!({"google": {"thought_signature": NO_SIGNATURE}}),
            };
        }
        value
    });
    let content = if text.is_empty() { Value::Null } else { text.into() };
    let mut message = json!({"role": "assistant", "content": content});
    message["tool_calls"] = calls.collect();
    if quirks.returns_reasoning {
        let thought: String = answer.reasoning().map(|(text, _)| text).collect();
        message["reasoning_content"] = thought.into();
    }
    if quirks.returns_details {
        let details = opaque("reasoning_details").filter_map(|o| o["details"].as_array());
        let details: Vec<Value> = details.flatten().cloned().collect();
        if !details.is_empty() {
            message["reasoning_details"] = details.into();
        }
    }
    messages.push(message);
    for call in &answer.calls {
        messages.push(json!({
            "role": "tool",
            "tool_call_id": wire_id(quirks, call.id),
            "content": call.result,
        }));
    }
}

/// The id in the form that a service takes; the same id always becomes the same.
fn wire_id(quirks: Quirks, id: &str) -> String {
    let fits = if quirks.is_mistral {
        id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())
    } else {
        id.len() <= ID_LENGTH
    };
    if fits {
        return id.to_owned();
    }
    // FNV-1a, 64 bit, in base 36: short, and different ids stay different.
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..9)
        .map(|_| {
            let digit = digits[(hash % 36) as usize];
            hash /= 36;
            char::from(digit)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Role};
    use crate::provider::ToolSpec;
    use crate::provider::testing::{endpoint, message, reasoning, text, tool};

    fn at(provider: &str) -> Endpoint {
        Endpoint {
            provider: provider.into(),
            full_id: format!("{provider}/m"),
            model: "m".into(),
            ..endpoint()
        }
    }

    fn ask(endpoint: &Endpoint, messages: &[Message]) -> Value {
        let tools = [ToolSpec {
            name: "read_file".into(),
            description: "Reads".into(),
            schema: json!({"type": "object"}).into(),
        }];
        let request = Request::new("Be brief.", messages, &tools);
        body(endpoint, Quirks::of(endpoint), &request)
    }

    fn conversation() -> Vec<Message> {
        vec![
            message(Role::User, vec![text("hi")]),
            message(Role::User, vec![text("there")]),
            message(
                Role::Assistant,
                vec![
                    reasoning("hm", None),
                    tool("call_1", 0, Some("one")),
                    tool("call_2", 0, None),
                    reasoning("so", None),
                    text("done"),
                ],
            ),
        ]
    }

    #[test]
    fn a_turn_becomes_messages() {
        let body = ask(&at("openai"), &conversation());
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["tools"][0]["function"]["parameters"]["type"], "object");
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(messages[0], json!({"role": "system", "content": "Be brief."}));
        assert_eq!(messages[1]["content"], "hi\n\nthere");
        assert_eq!(messages[2]["content"], Value::Null);
        assert_eq!(messages[2]["tool_calls"][0]["function"]["arguments"], "{\"path\":\"x\"}");
        assert_eq!(
            messages[3],
            json!({"role": "tool", "tool_call_id": "call_1", "content": "one"})
        );
        assert_eq!(messages[4]["tool_call_id"], "call_2");
        assert_eq!(messages[5], json!({"role": "assistant", "content": "done"}));
        assert_eq!(messages[2].get("reasoning_content"), None);
    }

    #[test]
    fn every_service_gets_what_it_wants() {
        let deepseek = ask(&at("deepseek"), &conversation());
        assert_eq!(deepseek["messages"][2]["reasoning_content"], "hm");
        assert_eq!(deepseek["messages"][5].get("reasoning_content"), None);

        let mistral = ask(&at("mistral"), &conversation());
        assert_eq!(mistral.get("stream_options"), None);
        let id = mistral["messages"][2]["tool_calls"][0]["id"].as_str().unwrap();
        assert!(id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(mistral["messages"][3]["tool_call_id"], id);

        assert_eq!(ask(&at("openrouter"), &[])["usage"]["include"], true);
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
        let last = |endpoint: &Endpoint| {
            let request = Request::new("Be brief.", &messages, &tools);
            let temperature = (endpoint.provider == "mistral").then_some(0.25);
            let request = Request { may_call: false, note: Some("Stop."), temperature, ..request };
            body(endpoint, Quirks::of(endpoint), &request)
        };
        let openai = last(&at("openai"));
        assert_eq!(openai.get("temperature"), None);
        assert_eq!((&openai["tool_choice"], openai["tools"].is_array()), (&json!("none"), true));
        let said = openai["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(*said, json!({"role": "user", "content": "Stop."}));
        let mistral = last(&at("mistral"));
        let said = mistral["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(mistral["temperature"], 0.25);
        assert_eq!((&said["role"], &said["content"]), (&json!("tool"), &json!("one\n\nStop.")));
    }

    #[test]
    fn the_output_is_bounded_only_when_the_configuration_says_so() {
        let mut endpoint = at("openai");
        assert_eq!(ask(&endpoint, &[]).get("max_completion_tokens"), None);
        endpoint.output_limit = Some(9);
        assert_eq!(ask(&endpoint, &[])["max_completion_tokens"], 9);
        endpoint.provider = "mine".into();
        endpoint.base = "http://127.0.0.1:1/v1".into();
        assert_eq!(ask(&endpoint, &[])["max_tokens"], 9);
    }

    #[test]
    fn what_a_service_wants_back_goes_only_back_to_it() {
        let extra = json!({"google": {"thought_signature": "sig"}});
        let mut turn = message(
            Role::Assistant,
            vec![
                reasoning(
                    "",
                    Some(json!({"type": "call_extra", "id": "c", "extra_content": extra})),
                ),
                reasoning("", Some(json!({"type": "reasoning_details", "details": [{"x": 1}]}))),
                tool("c", 0, Some("1")),
            ],
        );
        turn.model = Some("google/m".into());
        let call = |body: &Value| body["messages"][1]["tool_calls"][0].clone();
        assert_eq!(call(&ask(&at("google"), &[turn.clone()]))["extra_content"], extra);
        let other = ask(&at("openrouter"), &[turn.clone()]);
        assert_eq!(call(&other).get("extra_content"), None);
        assert_eq!(other["messages"][1].get("reasoning_details"), None);
        turn.model = Some("openrouter/m".into());
        let own = ask(&at("openrouter"), &[turn.clone()]);
        assert_eq!(own["messages"][1]["reasoning_details"], json!([{"x": 1}]));
        let foreign = call(&ask(&at("google"), &[turn]));
        assert_eq!(foreign["extra_content"]["google"]["thought_signature"], NO_SIGNATURE);
    }
}
