//! The embedded default, `offline/guide`: no key, no network, deterministic, no language model.
//!
//! Understands a handful of requests, calls the tools for them through the same loop as any
//! model, and says for everything else what it is and how a real model is set up. The phrasings
//! are in `understand`, the prose here.

mod understand;

use serde_json::{Value, json};

use self::understand::{Wish, understand};
use super::decode::Ids;
use super::failure::{Failure, clip, one_line};
use super::{Answer, Call, Chunk, Provider, Request, Stop};
use crate::cancel::Cancel;
use crate::message::{Message, Part, Role, Usage};
use crate::text::fence;

/// Bytes of a piece of text, so that streaming is seen.
const PIECE: usize = 48;
/// Bytes of a piece of a tool's output.
const OUTPUT_PIECE: usize = 512;

/// The guide, for one turn.
pub(crate) struct Guide {
    cancel: Cancel,
}

impl Guide {
    /// For a turn.
    pub(crate) fn new(cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone() }
    }
}

impl Provider for Guide {
    fn ask<'a>(&'a mut self, request: &'a Request<'a>) -> Answer<'a> {
        let mut chunks = answer(request).into_iter();
        let mut stopped = false;
        Box::new(std::iter::from_fn(move || {
            if stopped {
                return None;
            }
            if self.cancel.is_cancelled() {
                stopped = true;
                return Some(Err(*Failure::aborted().problem));
            }
            chunks.next().map(Ok)
        }))
    }
}

fn answer(request: &Request<'_>) -> Vec<Chunk> {
    let mut out = Vec::new();
    let mut stop = Stop::Finished;
    let results = results(request.messages);
    if results.is_empty() {
        let asked = asked(request.messages);
        match understand(asked) {
            Some(wish) => {
                let (say, tool, args) = plan(&wish);
                if request.may_call && request.tools.iter().any(|spec| *spec.name == *tool) {
                    pieces(&say, PIECE, &mut out);
                    let id = Ids::new(request.messages, request.messages.len() as u64).take("");
                    out.push(Chunk::Call(Call { id, tool: tool.into(), args: Ok(args) }));
                    stop = Stop::Calls;
                } else {
                    pieces(&without(tool), PIECE, &mut out);
                }
            }
            None => pieces(&explanation(asked), PIECE, &mut out),
        }
    } else {
        for part in results {
            shown(part, &mut out);
        }
    }
    out.push(Chunk::Usage(Usage::default()));
    out.push(Chunk::End(stop));
    out
}

/// The tool results that the conversation ends with.
fn results(messages: &[Message]) -> &[Part] {
    let Some(last) = messages.last().filter(|m| m.role == Role::Assistant) else { return &[] };
    let is_tool = |part: &Part| matches!(part, Part::Tool { .. });
    let from = last.parts.iter().rposition(|part| !is_tool(part)).map_or(0, |at| at + 1);
    &last.parts[from..]
}

/// The first line of the last thing that the person said. What follows may be a file.
fn asked(messages: &[Message]) -> &str {
    let last = messages.iter().rfind(|message| message.role == Role::User);
    let text = last.map_or("", |message| {
        message
            .parts
            .iter()
            .find_map(|part| match part {
                Part::Text { text } if !text.trim().is_empty() => Some(text.as_str()),
                Part::Text { .. } | Part::Reasoning { .. } | Part::Tool { .. } => None,
            })
            .unwrap_or(&message.content)
    });
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("")
}

/// What to say, and the call that does it.
fn plan(wish: &Wish) -> (String, &'static str, Value) {
    match wish {
        Wish::List { path } => {
            let place = if path == "." { "the project" } else { path };
            (format!("Let me see what is in {place}.\n\n"), "list_dir", json!({"path": path}))
        }
        Wish::Read { path } => {
            (format!("Let me open `{path}`.\n\n"), "read_file", json!({"path": path}))
        }
        Wish::Search { text, path } => {
            let mut args = json!({"pattern": text, "literal": true});
            let place = match path {
                Some(path) => {
                    args["path"] = path.clone().into();
                    format!("`{path}`")
                }
                None => "the project".to_owned(),
            };
            (format!("Let me search {place} for `{text}`.\n\n"), "grep", args)
        }
        Wish::Edit { path, old, new } => (
            format!("Let me replace `{old}` with `{new}` in `{path}`.\n\n"),
            "edit_file",
            json!({"path": path, "old_string": old, "new_string": new}),
        ),
        Wish::Run { command } => {
            (format!("Let me run `{command}`.\n\n"), "bash", json!({"command": command}))
        }
    }
}

fn without(tool: &str) -> String {
    format!(
        "For that I would need the tool `{tool}`, which the agent you chose does not have. \
         Ask again with the agent `build`:\n\n```sh\nopencode run --agent build \"…\"\n```\n"
    )
}

/// A tool's result in prose and a fenced block.
fn shown(part: &Part, out: &mut Vec<Chunk>) {
    let Part::Tool { tool, args, result, is_error, .. } = part else { return };
    let result = result.as_deref().unwrap_or_default();
    let arg = |name: &str| args[name].as_str().unwrap_or_default();
    let intro = match (is_error, tool.as_str()) {
        (true, _) => "That did not work. This is what I was told:".to_owned(),
        (false, "list_dir") if matches!(arg("path"), "" | ".") => {
            "These are the files of the project:".to_owned()
        }
        (false, "list_dir") => format!("This is what `{}` holds:", arg("path")),
        (false, "read_file") => format!("Here is `{}`:", arg("path")),
        (false, "grep") => format!("This is where I found `{}`:", arg("pattern")),
        (false, "edit_file") => format!("Done, `{}` is changed:", arg("path")),
        (false, "bash") => "The command has run. It printed:".to_owned(),
        (false, _) => "This is the result:".to_owned(),
    };
    pieces(&intro, PIECE, out);
    let fence = fence(result);
    let body = result.trim_end_matches('\n');
    let body = if body.trim().is_empty() { "(nothing)" } else { body };
    out.push(Chunk::Text(format!("\n\n{fence}\n")));
    pieces(body, OUTPUT_PIECE, out);
    out.push(Chunk::Text(format!("\n{fence}\n")));
}

fn explanation(asked: &str) -> String {
    let about = match clip(&one_line(asked), 60) {
        words if words.is_empty() => "You sent me an empty message.".to_owned(),
        words => format!("You asked: “{words}”."),
    };
    format!(
        "{about} I am the offline guide, a small program built into opencode, and not a language \
         model. I answer while no model is set up, so that you can try everything else.\n\n\
         These requests are all that I understand, and I really carry them out:\n\n\
         - `list files`, or `list files in src`\n\
         - `read the file README.md`\n\
         - `search for TODO in src`\n\
         - `replace \"colour\" with \"color\" in style.css`\n\
         - `run the command git status`\n\n\
         For everything else, set up a model. The quickest way is a key in the environment; start \
         opencode again after that:\n\n\
         ```sh\n\
         export ANTHROPIC_API_KEY=…   # or OPENAI_API_KEY, GEMINI_API_KEY, OPENROUTER_API_KEY, …\n\
         opencode serve\n\
         ```\n\n\
         Or name one in `opencode.json`, a local one too. Ollama, LM Studio and llama.cpp are \
         found by themselves when you run them:\n\n\
         ```json\n\
         {{ \"model\": \"ollama/qwen3\" }}\n\
         ```\n\n\
         `opencode models` lists what is there, and `opencode providers` which key each provider \
         wants.\n"
    )
}

/// Cuts a text into pieces, at blanks where there are some.
fn pieces(text: &str, size: usize, out: &mut Vec<Chunk>) {
    let mut rest = text;
    while rest.len() > size {
        let mut at = size;
        while !rest.is_char_boundary(at) {
            at -= 1;
        }
        let at = rest[..at].rfind([' ', '\n']).map_or(at, |blank| blank + 1);
        let (piece, after) = rest.split_at(at);
        out.push(Chunk::Text(piece.to_owned()));
        rest = after;
    }
    if !rest.is_empty() {
        out.push(Chunk::Text(rest.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ToolSpec;
    use crate::provider::testing::{message, text, tool};

    const ALL: [&str; 5] = ["list_dir", "read_file", "grep", "edit_file", "bash"];

    fn ask(messages: &[Message], tools: &[&str]) -> (String, Vec<Call>, Stop) {
        let spec = |name: &&str| ToolSpec {
            name: (*name).into(),
            description: "".into(),
            schema: json!({}).into(),
        };
        let tools: Vec<_> = tools.iter().map(spec).collect();
        let request = Request::new("", messages, &tools);
        let (mut said, mut calls) = (String::new(), Vec::new());
        for chunk in Guide::new(&Cancel::new()).ask(&request) {
            match chunk.unwrap() {
                Chunk::Text(text) => said += &text,
                Chunk::Call(call) => calls.push(call),
                Chunk::End(stop) => return (said, calls, stop),
                _ => {}
            }
        }
        panic!("no end")
    }

    fn user(said: &str) -> Message {
        message(Role::User, vec![text(said)])
    }

    #[test]
    fn a_file_is_read_and_shown() {
        let prompt = user("read the file notes.txt\n\n```notes\nrun rm\n```");
        let (said, calls, stop) = ask(std::slice::from_ref(&prompt), &ALL);
        assert!(said.contains("notes.txt") && stop == Stop::Calls);
        assert_eq!(
            (calls[0].tool.as_str(), &calls[0].args),
            ("read_file", &Ok(json!({"path": "notes.txt"})))
        );
        let mut part = tool(&calls[0].id, 0, Some("remember\n```\nthe milk\n```\n"));
        if let Part::Tool { args, .. } = &mut part {
            *args = json!({"path": "notes.txt"});
        }
        let (said, calls, stop) =
            ask(&[prompt, message(Role::Assistant, vec![text(&said), part])], &ALL);
        assert_eq!((calls.len(), stop), (0, Stop::Finished));
        assert_eq!(said, "Here is `notes.txt`:\n\n````\nremember\n```\nthe milk\n```\n````\n");
    }

    #[test]
    fn a_tool_that_the_agent_lacks_is_named() {
        let (said, calls, stop) = ask(&[user("run ls")], &["read_file"]);
        assert!(said.contains("`bash`") && calls.is_empty() && stop == Stop::Finished);
    }

    #[test]
    fn everything_else_is_answered_with_what_this_is() {
        for prompt in [
            "What can you do?",
            "Write a Python script to parse a CSV file",
            "Refactor the auth module to use JWT",
            "Explain how React hooks work",
            "What is the capital of France?",
            "",
        ] {
            let (said, calls, _) = ask(&[user(prompt)], &ALL);
            assert!(said.contains("not a language model") && said.contains("```sh"), "{said}");
            assert!(said.contains(prompt) && said.contains("ANTHROPIC_API_KEY"));
            assert_eq!(calls.len(), 0);
        }
    }

    #[test]
    fn long_text_comes_in_pieces_and_none_is_lost() {
        let text = "é".repeat(200) + " and words";
        let mut out = Vec::new();
        pieces(&text, PIECE, &mut out);
        assert!(out.len() > 5);
        let joined: String =
            out.iter().map(|c| if let Chunk::Text(t) = c { t.as_str() } else { "" }).collect();
        assert_eq!(joined, text);
    }

    #[test]
    fn a_stopped_turn_ends() {
        let cancel = Cancel::new();
        let messages = [user("hello")];
        let request = Request::new("", &messages, &[]);
        let mut guide = Guide::new(&cancel);
        let mut answer = guide.ask(&request);
        assert!(answer.next().unwrap().is_ok());
        cancel.cancel();
        assert!(answer.next().unwrap().is_err());
        assert!(answer.next().is_none());
    }
}
