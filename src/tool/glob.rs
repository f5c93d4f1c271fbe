//! `glob`: files by the pattern of their path.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use serde_json::Value;

use super::field::{Field, Kind};
use super::list_dir::one_line;
use super::root::Root;
use super::walk::{Bounds, walk};
use super::{Context, Effect, RESULT_BYTES, Tool, arguments};

/// As many paths are shown.
const SHOWN: usize = 1000;

/// Finds files by name.
pub struct Glob;

#[derive(Deserialize)]
struct Args {
    pattern: String,
    path: Option<String>,
}

impl Tool for Glob {
    fn name(&self) -> &'static str {
        "glob"
    }

    fn description(&self) -> &'static str {
        "Finds files of the project by a glob like `*.rs`, `src/**/*.{ts,tsx}` or `**/test_*`. A \
         pattern without `/` matches at any depth. Files that git ignores are left out. Results \
         are sorted by path."
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::required("pattern", Kind::Text, "The glob, relative to path"),
            Field::optional(
                "path",
                Kind::Text,
                "Directory to search in, relative to the project; without it, the project itself",
            ),
        ]
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        let root = Root::open(context.root)?;
        let start = root.place(args.path.as_deref().unwrap_or("."))?;
        root.open_directory(&start)?;
        let mut pattern = args.pattern.as_str();
        if pattern.starts_with('/') {
            let project = root.path().to_string_lossy();
            let inside = pattern.strip_prefix(&*project).and_then(|rest| rest.strip_prefix('/'));
            pattern =
                inside.filter(|_| start.relative().as_os_str().is_empty()).ok_or_else(|| {
                    format!("the pattern `{}` must be relative to the path", args.pattern)
                })?;
        }
        let glob = path_glob(pattern)?;
        let (mut text, mut shown, mut more) = (String::new(), 0, false);
        let unseen = walk(&root, &start, Bounds::of(context.cancel), &mut |place, _| {
            let relative = place.relative().strip_prefix(start.relative());
            if !relative.is_ok_and(|relative| glob.is_match(relative)) {
                return ControlFlow::Continue(());
            }
            let line = one_line(place.relative().as_os_str());
            if shown == SHOWN || text.len() + line.len() > RESULT_BYTES - 256 {
                more = true;
                return ControlFlow::Break(());
            }
            text.push_str(&line);
            text.push('\n');
            shown += 1;
            ControlFlow::Continue(())
        })?;
        if text.is_empty() {
            text.push_str("[no file matches; files that git ignores are not looked at]\n");
        }
        if more {
            text.push_str("[there are more: narrow the pattern or the path]\n");
        }
        text.extend(unseen.note());
        Ok(text)
    }
}

/// A glob over paths; without `/` it matches a name at any depth.
pub(super) fn path_glob(pattern: &str) -> Result<GlobMatcher, String> {
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    if pattern.split('/').any(|part| OsStr::new(part) == "..") {
        return Err(format!("the pattern `{pattern}` leads outside the project"));
    }
    let anywhere = if pattern.contains('/') { String::new() } else { "**/".to_owned() };
    GlobBuilder::new(&(anywhere + pattern))
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("the pattern `{pattern}` is no glob: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::list_dir::LOOKED_AT;
    use crate::tool::project::Project;

    fn glob(project: &Project, pattern: &str, path: &str) -> Result<String, String> {
        project.run(&Glob, json!({"pattern": pattern, "path": path}))
    }

    fn sample() -> Project {
        let project = Project::new();
        project.write(".gitignore", "target/\n");
        for name in ["a.rs", "src/b.rs", "src/deep/c.rs", "src/d.ts", "target/e.rs", ".ci/f.rs"] {
            project.write(name, "");
        }
        project
    }

    #[test]
    fn patterns_match_as_a_model_means_them() {
        let project = sample();
        let all = Ok(".ci/f.rs\na.rs\nsrc/b.rs\nsrc/deep/c.rs\n".to_owned());
        assert_eq!(glob(&project, "*.rs", "."), all);
        assert_eq!(glob(&project, "**/*.rs", "."), all);
        assert_eq!(glob(&project, "src/*.{rs,ts}", ".").as_deref(), Ok("src/b.rs\nsrc/d.ts\n"));
        assert_eq!(glob(&project, "./src/**", ".").unwrap().lines().count(), 3);
        assert_eq!(glob(&project, "deep/*", "src").as_deref(), Ok("src/deep/c.rs\n"));
        let absolute = format!("{}/src/*.ts", project.path().display());
        assert_eq!(glob(&project, &absolute, ".").as_deref(), Ok("src/d.ts\n"));
        assert!(glob(&project, "*.none", ".").unwrap().contains("no file matches"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let project = sample();
        assert!(glob(&project, "a[", ".").unwrap_err().contains("is no glob"));
        assert!(glob(&project, "../*", ".").unwrap_err().contains("outside the project"));
        assert!(glob(&project, "/etc/*", ".").unwrap_err().contains("relative"));
        assert!(glob(&project, "*", "..").unwrap_err().contains("outside the project"));
        assert!(glob(&project, "*", "a.rs").unwrap_err().contains("not a directory"));
    }

    #[test]
    fn a_crowded_directory_is_not_passed_over_in_silence() {
        let project = Project::new();
        for n in 0..=LOOKED_AT {
            project.write(&format!("crowd/{n:05}"), "");
        }
        project.write("z.x", "");
        let said =
            format!("[`crowd` has more than {LOOKED_AT} entries: the rest was not looked at]\n");
        assert_eq!(glob(&project, "*.x", "."), Ok(format!("z.x\n{said}")));
        assert!(glob(&project, "*.none", ".").unwrap().ends_with(&said));
        let found = project.run(&crate::tool::Grep, json!({"pattern": "fish"}));
        assert!(found.unwrap().ends_with(&said));
    }

    #[test]
    fn many_results_are_cut_and_say_so() {
        let project = Project::new();
        for n in 0..=SHOWN {
            project.write(&format!("{n}.x"), "");
        }
        let text = glob(&project, "*.x", ".").unwrap();
        assert_eq!(text.lines().count(), SHOWN + 1);
        assert!(text.ends_with("[there are more: narrow the pattern or the path]\n"));
    }
}
