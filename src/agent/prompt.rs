//! What a model is told before the conversation: the agent's instructions, the project, the
//! platform, and the project's own instruction files.
//!
//! Kept short, and the same from turn to turn within a day, so that a provider's cache holds.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::cancel::Cancel;
use crate::id::{now_ms, rfc3339};
use crate::text;
use crate::tool::named::{Named, Reach, named};

/// Instructions of the `build` agent.
pub(super) const BUILD: &str = "You are a coding agent working in the user's project. Use the \
tools to look before you answer and to do what is asked. Make the smallest change that does it, \
in the style of the code around it. Check your work by running the project's own tests or \
commands where there are any. Do not commit, push or delete beyond what was asked. When you are \
done, say briefly what you did and what you saw; never claim what you did not see.";

/// Instructions of the `plan` agent.
pub(super) const PLAN: &str = "You are a planning agent for the user's project. You can read and \
search, and you change nothing. Look at the code that matters, then answer with a short, concrete \
plan: which files, which changes, in which order, how to test it, and what is still unclear.";

/// Instruction files in the project directory; the first that is there is read.
const INSTRUCTION_FILES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];
/// An instruction file is told up to this many bytes.
const FILE_BYTES: usize = 32 * 1024;
/// A turn does not wait longer for its instruction files.
const TIME: Duration = Duration::from_secs(2);

/// Told where a conversation is longer than the model can read.
pub(super) const CUT: &str = "\n\nThis conversation is long, and its beginning is left out. If \
you need what was said there, ask for it.";

/// Files that the configuration names.
pub(super) struct Instructions {
    /// Paths and globs.
    pub(super) names: Vec<String>,
    /// How far they reach.
    pub(super) reach: Reach,
}

/// The system prompt of a turn.
#[inline(never)]
pub(super) fn system(
    agent: &Agent,
    root: &Path,
    instructions: &Instructions,
    cancel: &Cancel,
) -> String {
    let mut text = agent.prompt.clone();
    let today = rfc3339(now_ms());
    let _ = write!(
        text,
        "\n\nProject directory: {}\nGit repository: {}\nPlatform: {} {}\nToday: {}\n\
         Paths are relative to the project directory.",
        root.display(),
        if root.join(".git").exists() { "yes" } else { "no" },
        std::env::consts::OS,
        std::env::consts::ARCH,
        &today[..10],
    );
    let until = Instant::now() + TIME;
    let find = |name: &str, reach| named(root, name, reach, cancel, until);
    let own = INSTRUCTION_FILES.iter().find_map(|name| find(name, Reach::Project).ok());
    let mut files = own.unwrap_or_default();
    for name in &instructions.names {
        match find(name, instructions.reach) {
            Ok(found) => files.extend(found),
            Err(why) => log::warn!("the instructions {name} are left out: {why}"),
        }
    }
    let mut told = Vec::new();
    for Named { path, text: content } in files {
        if !told.contains(&path) {
            let content = text::keep_both_ends(content.trim(), FILE_BYTES);
            let _ = write!(text, "\n\nInstructions from {}:\n{content}", path.display());
            told.push(path);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_names_the_project_and_holds_its_instructions() {
        let root = std::env::temp_dir().join(format!("prompt-{}", crate::id::random()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        let root = root.canonicalize().unwrap();
        std::fs::write(root.join("AGENTS.md"), "Use tabs.\n").unwrap();
        std::fs::write(root.join("docs/style.md"), "No globals.").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("docs/secret.md")).unwrap();
        let agent = Agent {
            id: "build".into(),
            description: String::new(),
            mode: "primary".into(),
            model: None,
            prompt: BUILD.into(),
            temperature: None,
            tools: std::collections::BTreeSet::default(),
            policy: crate::agent::permission::Policy::new(
                &serde_json::Value::Null,
                &serde_json::Value::Null,
            ),
        };
        let names = vec![
            "docs/*.md".into(),
            "../AGENTS.md".into(),
            "./AGENTS.md".into(),
            "/etc/passwd".into(),
        ];
        let mut instructions = Instructions { names, reach: Reach::Project };
        let text = system(&agent, &root, &instructions, &Cancel::new());
        instructions.reach = Reach::Anywhere;
        let of_person = system(&agent, &root, &instructions, &Cancel::new());
        std::fs::remove_dir_all(&root).unwrap();
        assert!(text.contains(&format!("Project directory: {}", root.display())), "{text}");
        assert!(text.contains("Instructions from AGENTS.md:\nUse tabs."), "{text}");
        assert!(text.contains("No globals."), "{text}");
        assert!(!text.contains("root:"), "a link out of the project is not followed: {text}");
        assert_eq!(text.matches("Use tabs.").count(), 1, "each file once: {text}");
        assert!(of_person.contains("Instructions from /etc/passwd:\nroot:"), "{of_person}");
    }
}
