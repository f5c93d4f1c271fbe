//! One session as a Markdown document.

use std::fmt::Write as _;

use pulldown_cmark::{Event, Parser, TagEnd};
use serde_json::Value;

use crate::cli::output::subject;
use crate::cli::show::{cut, when};
use crate::text::{fence, plain};

/// The session with all that was said, and each tool folded. What a model thought before it spoke
/// is in the JSON alone.
pub(super) fn markdown(session: &Value) -> String {
    let line = |value: &Value| plain(value.as_str().unwrap_or("?")).replace(['\n', '\t'], " ");
    let mut text = format!(
        "# {}\n\nSession `{}`, agent {}, model {}, {}\n",
        line(&session["title"]),
        line(&session["id"]),
        line(&session["agent"]),
        line(&session["model"]),
        when(&session["createdAt"]),
    );
    for message in session["messages"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let who = if message["role"] == "user" { "You" } else { "Assistant" };
        let _ = writeln!(text, "\n## {who}");
        for part in message["parts"].as_array().map(Vec::as_slice).unwrap_or_default() {
            match part["type"].as_str() {
                Some("text") => {
                    let said = plain(part["text"].as_str().unwrap_or_default());
                    let said = said.trim_matches('\n');
                    let _ = writeln!(text, "\n{said}");
                    if let Some(fence) = open_fence(said) {
                        let _ = writeln!(text, "{fence}");
                    }
                }
                Some("tool") => tool(&mut text, part),
                _ => {}
            }
        }
        let error = message["error"].as_str();
        match (error, message["finishReason"].as_str()) {
            (Some(error), _) => _ = writeln!(text, "\n*Failed: {}*", plain(error)),
            (None, Some("aborted")) => text.push_str("\n*Stopped.*\n"),
            (None, Some("length")) => _ = writeln!(text, "\n*The answer was {}.*", cut(message)),
            _ => {}
        }
    }
    text
}

/// The fence of a block of code that a text leaves open, as an answer that was stopped may: what
/// follows would be code, too.
fn open_fence(text: &str) -> Option<&str> {
    let (last, place) = Parser::new(text).into_offset_iter().last()?;
    let block = text.get(place)?;
    let mark = block.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let (fence, _) = block.split_at(block.len() - block.trim_start_matches(mark).len());
    // It ends with a line of that fence, or of a longer one (CommonMark 0.31, section 4.5).
    let is_end = |line: &str| {
        let said = line.trim_start_matches(' ');
        line.len() - said.len() < 4
            && said.starts_with(fence)
            && said.trim_end().trim_start_matches(mark).is_empty()
    };
    let is_open = !block.lines().skip(1).last().is_some_and(is_end);
    (last == Event::End(TagEnd::CodeBlock) && is_open).then_some(fence)
}

fn tool(text: &mut String, part: &Value) {
    let name = plain(part["tool"].as_str().unwrap_or("?"));
    let about = subject(&part["args"]).replace('\n', " ");
    let state = match part["status"].as_str() {
        Some("error") => ", failed",
        Some("denied") => ", refused",
        _ => "",
    };
    let _ = writeln!(
        text,
        "\n<details>\n<summary><code>{}</code> {}{state}</summary>\n",
        as_html(&name),
        as_html(&plain(&about)),
    );
    fenced(text, "json", &format!("{:#}", part["args"]));
    if let Some(result) = part["result"].as_str() {
        text.push('\n');
        fenced(text, "", result);
    }
    text.push_str("\n</details>\n");
}

/// A block of code, its fence longer than any in it.
fn fenced(text: &mut String, language: &str, code: &str) {
    let code = plain(code);
    let fence = fence(&code);
    let end = if code.ends_with('\n') || code.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{fence}{language}\n{code}{end}{fence}");
}

fn as_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_block_of_code_that_is_left_open_ends_with_its_message() {
        for (said, end) in [
            ("so:\n```python\ndef f():", Some("```")),
            ("````\n```\ncode", Some("````")),
            ("~~~", Some("~~~")),
            ("```\n    ```", Some("```")),
            ("```\nx\n```", None),
            ("```\nx\n  `````  ", None),
            ("```\nx\n```\nwords", None),
            ("- item\n  ```\n  x", None),
            ("    indented\n    ```", None),
            ("`word`", None),
            ("", None),
        ] {
            assert_eq!(open_fence(said), end, "{said}");
        }
        let told = json!({ "messages": [
            { "role": "assistant", "finishReason": "aborted", "parts": [
                { "type": "text", "text": "```sh\nls" }] },
            { "role": "user", "parts": [{ "type": "text", "text": "go on" }] },
        ] });
        let text = markdown(&told);
        assert!(text.ends_with("```sh\nls\n```\n\n*Stopped.*\n\n## You\n\ngo on\n"), "{text}");
    }

    #[test]
    fn tools_are_folded_and_no_fence_in_them_ends_the_block() {
        let told = json!({
            "id": "01m8", "title": "Show it", "agent": "build", "model": "offline/guide",
            "createdAt": "2027-01-15T08:00:00Z",
            "messages": [
                { "role": "user", "parts": [{ "type": "text", "text": "show it\n" }] },
                { "role": "assistant", "finishReason": "stop", "parts": [
                    { "type": "tool", "tool": "bash", "args": { "command": "cat <a> & b" },
                      "status": "completed", "result": "```sh\nls\n```\n\u{1b}[1m" },
                    { "type": "text", "text": "There." }] },
            ],
        });
        let expected = "# Show it\n\n\
            Session `01m8`, agent build, model offline/guide, 2027-01-15 08:00 UTC\n\n\
            ## You\n\nshow it\n\n\
            ## Assistant\n\n\
            <details>\n<summary><code>bash</code> cat &lt;a&gt; &amp; b</summary>\n\n\
            ```json\n{\n  \"command\": \"cat <a> & b\"\n}\n```\n\n\
            ````\n```sh\nls\n```\n[1m\n````\n\n</details>\n\n\
            There.\n";
        assert_eq!(markdown(&told), expected);
    }
}
