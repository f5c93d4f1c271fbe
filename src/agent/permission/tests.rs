//! What is decided, as tables: a call, the rules, the answer.

use serde_json::json;

use super::*;

mod calls;
mod lines;
mod properties;

/// `allow`, `ask` or `deny`.
fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Deny { .. } => "deny",
        Decision::Ask { .. } => "ask",
    }
}

fn bash(rules: &Value, line: &str, grants: &[Grant]) -> Decision {
    let rules = json!({ "bash": rules });
    Policy::new(&rules, &Value::Null).decide("bash", &json!({ "command": line }), grants)
}

fn always(decision: Decision) -> Vec<String> {
    match decision {
        Decision::Ask { always, .. } => always,
        Decision::Allow | Decision::Deny { .. } => panic!("{decision:?}"),
    }
}

fn reason(decision: Decision) -> String {
    match decision {
        Decision::Ask { reason, .. } | Decision::Deny { reason } => reason,
        Decision::Allow => panic!("it is allowed"),
    }
}

fn grant(tool: &str, pattern: &str) -> Grant {
    Grant { tool: tool.to_owned(), pattern: pattern.to_owned() }
}
