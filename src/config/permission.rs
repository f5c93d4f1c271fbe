//! The shape of `permission`; what it means is the agent's.

use serde_json::Value;

use super::decode::At;
use super::error::Report;
use super::tools;
use super::tree::Tree;

/// One of `allow`, `ask` and `deny`, or an object of tools with one of them each, or with an object
/// of patterns. Returned as it stands.
pub(super) fn decode(at: &At<'_>, report: &mut Report) -> Value {
    let before = report.errors.len();
    check(at, 2, report);
    if let Tree::Object(_) = &at.node.value
        && let Some(section) = at.clone().section(report)
    {
        tools::check_permission(&section, report);
    }
    if report.errors.len() > before { Value::Null } else { at.json(report) }
}

fn check(at: &At<'_>, levels: u8, report: &mut Report) {
    match &at.node.value {
        Tree::Text(text) if matches!(text.value.as_str(), "allow" | "ask" | "deny") => {}
        Tree::Object(_) if levels > 0 => {
            if let Some(section) = at.clone().section(report) {
                for (_, member) in section.members() {
                    check(&member, levels - 1, report);
                }
            }
        }
        Tree::Null
        | Tree::Bool(_)
        | Tree::Number(_)
        | Tree::Text(_)
        | Tree::List(_)
        | Tree::Object(_) => {
            let expected = match levels {
                0 => "\"allow\", \"ask\" or \"deny\"",
                1 => "\"allow\", \"ask\" or \"deny\", or an object that gives one to each pattern",
                _ => "\"allow\", \"ask\" or \"deny\", or an object that gives one to each tool",
            };
            at.expected(expected, report);
        }
    }
}
