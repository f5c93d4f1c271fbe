//! What a model is told before the conversation: the agent's instructions, the project, the
//! platform, and the project's own instruction files.
//!
//! Kept short, and the same from turn to turn within a day, so that a provider's cache holds.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::agent::Agent;
use crate::tool;

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
/// Files that one pattern of `instructions` may match.
const FILES_PER_PATTERN: usize = 20;

/// The system prompt of a turn.
pub(super) fn system(agent: &Agent, root: &Path, instructions: &[String]) -> String {
    let mut text = agent.prompt.clone();
    let today = jiff::Timestamp::now().to_string();
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
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(INSTRUCTION_FILES.iter().map(PathBuf::from).find(|f| root.join(f).is_file()));
    for pattern in instructions {
        files.extend(matching(root, pattern));
    }
    let mut told = Vec::new();
    for file in files {
        if !told.contains(&file)
            && let Some(content) = read_inside(root, &file)
        {
            let content = tool::keep_both_ends(content.trim(), FILE_BYTES);
            let _ = write!(text, "\n\nInstructions from {}:\n{content}", file.display());
            told.push(file);
        }
    }
    text
}

/// Files that a path or a glob of `instructions` names, relative to the project.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    if root.join(pattern).is_file() {
        return vec![PathBuf::from(pattern)];
    }
    let Ok(glob) = globset::GlobBuilder::new(pattern).literal_separator(true).build() else {
        return Vec::new();
    };
    let matcher = glob.compile_matcher();
    let mut found: Vec<_> = ignore::WalkBuilder::new(root)
        .hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
        .flatten()
        .filter_map(|entry| entry.path().strip_prefix(root).ok().map(Path::to_path_buf))
        .filter(|path| matcher.is_match(path))
        .take(FILES_PER_PATTERN)
        .collect();
    found.sort();
    found
}

/// A file's text, if it lies inside the project, symlinks resolved.
fn read_inside(root: &Path, file: &Path) -> Option<String> {
    let path = root.join(file).canonicalize().ok()?;
    if !path.starts_with(root) || !path.is_file() {
        log::warn!("instructions {} are not a file in the project", file.display());
        return None;
    }
    let mut text = Vec::new();
    let opened = std::fs::File::open(path).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(opened, 1 << 20), &mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
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
        };
        let text = system(&agent, &root, &["docs/*.md".into(), "../AGENTS.md".into()]);
        std::fs::remove_dir_all(&root).unwrap();
        assert!(text.contains(&format!("Project directory: {}", root.display())), "{text}");
        assert!(text.contains("Instructions from AGENTS.md:\nUse tabs."), "{text}");
        assert!(text.contains("No globals."), "{text}");
        assert!(!text.contains("root:"), "a link out of the project is not followed: {text}");
    }
}
