//! `write_file`: a file's whole content, in one step.

use serde::Deserialize;
use serde_json::Value;

use super::edit_file::{FILE_BYTES, changed};
use super::field::{Field, Kind};
use super::root::Root;
use super::{Context, Effect, Tool, arguments, file};

/// Creates or overwrites a file.
pub struct WriteFile;

#[derive(Deserialize)]
struct Args {
    path: String,
    content: String,
}

impl Tool for WriteFile {
    fn name(&self) -> &'static str {
        "write_file"
    }

    fn description(&self) -> &'static str {
        "Creates a file in the project, or overwrites the one that is there, with exactly this \
         content; makes missing directories, and returns the diff to what was there. To change a part of a file use edit_file."
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::required("path", Kind::Text, "Path of the file, relative to the project"),
            Field::required("content", Kind::Text, "The whole content of the file"),
        ]
    }

    fn effect(&self) -> Effect {
        Effect::Writes
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        let root = Root::open(context.root)?;
        let place = root.place(&args.path)?;
        if args.path.ends_with('/') {
            return Err(format!("`{}` names a directory: give the path of a file", args.path));
        }
        // What is no text, too much of it or not to be read is overwritten without a diff.
        let has_diff = context.may_read && args.content.len() as u64 <= FILE_BYTES;
        let old = has_diff.then(|| file::read_bytes(&root, &place, FILE_BYTES).ok()).flatten();
        let created = file::replace(&root, &place, args.content.as_bytes())?;
        let (done, more) = match old.map(String::from_utf8) {
            _ if created => ("created", ""),
            Some(Ok(old)) if old == args.content => ("unchanged", ""),
            Some(Ok(old)) if !old.contains('\0') => {
                return Ok(changed(&args.path, &old, &args.content));
            }
            Some(Err(_)) => ("overwritten", "; what was there was not UTF-8"),
            Some(Ok(_)) | None => ("overwritten", ""),
        };
        let (lines, bytes) = (args.content.lines().count(), args.content.len());
        Ok(format!("`{}` {done}: {lines} lines, {bytes} bytes{more}", args.path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::RESULT_BYTES;
    use crate::tool::project::Project;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn write(project: &Project, path: &str, content: &str) -> Result<String, String> {
        project.run(&WriteFile, json!({"path": path, "content": content}))
    }

    #[test]
    fn a_file_and_its_directories_are_made_then_overwritten() {
        let project = Project::new();
        let result = write(&project, "new/deep/a.txt", "one\ntwo\n");
        assert_eq!(result.as_deref(), Ok("`new/deep/a.txt` created: 2 lines, 8 bytes"));
        let absolute = format!("{}/new/deep/a.txt", project.path().display());
        let diff = write(&project, &absolute, "one\n2\n").unwrap();
        let header = format!("--- a/{absolute}\n+++ b/{absolute}\n");
        assert_eq!(diff, header + "@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
        let same = write(&project, "new/deep/a.txt", "one\n2\n");
        assert_eq!(same.as_deref(), Ok("`new/deep/a.txt` unchanged: 2 lines, 6 bytes"));
        write(&project, "new/deep/a.txt", "3").unwrap();
        assert_eq!(project.read("new/deep/a.txt"), "3");
        let names: Vec<_> = fs::read_dir(project.path().join("new/deep")).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left");
    }

    #[test]
    fn only_texts_of_some_size_are_compared_and_a_long_diff_is_cut() {
        let project = Project::new();
        project.write("a", b"one\0two");
        let result = write(&project, "a", "text");
        assert_eq!(result.as_deref(), Ok("`a` overwritten: 1 lines, 4 bytes"));
        project.write("a", b"caf\xe9");
        let result = write(&project, "a", "text");
        let expected = "`a` overwritten: 1 lines, 4 bytes; what was there was not UTF-8";
        assert_eq!(result.as_deref(), Ok(expected));
        let large = "x".repeat(FILE_BYTES as usize + 1);
        assert!(write(&project, "a", &large).unwrap().contains("overwritten: 1 lines"));
        assert!(write(&project, "a", "text").unwrap().contains("overwritten: 1 lines"));
        let long = "line\n".repeat(20_000);
        let diff = write(&project, "a", &long).unwrap();
        assert!(diff.starts_with("--- a/a\n") && diff.ends_with("+line\n"), "{}", diff.len());
        assert!(diff.len() < RESULT_BYTES + 200 && project.read("a") == long, "{}", diff.len());
    }

    #[test]
    fn who_may_not_read_a_file_is_shown_none_of_it() {
        let project = Project::new();
        project.write("a", "secret");
        let args = json!({"path": "a", "content": "new"});
        let result = project.run_unread(&WriteFile, &args);
        assert_eq!(result.as_deref(), Ok("`a` overwritten: 1 lines, 3 bytes"));
    }

    #[test]
    fn permissions_stay_and_a_read_only_file_too() {
        let project = Project::new();
        project.write("run.sh", "old");
        let path = project.path().join("run.sh");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        write(&project, "run.sh", "new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(write(&project, "run.sh", "x").unwrap_err().contains("read-only"));
        assert_eq!(project.read("run.sh"), "new");
    }

    #[test]
    fn a_link_inside_is_written_through_and_one_that_leaves_is_not() {
        let project = Project::new();
        let other = Project::new();
        project.write("real/a.txt", "old");
        other.write("secret", "kept");
        symlink("real/a.txt", project.path().join("link")).unwrap();
        symlink("real/new.txt", project.path().join("dangling")).unwrap();
        symlink(other.path().join("secret"), project.path().join("out")).unwrap();
        symlink(other.path(), project.path().join("outdir")).unwrap();
        write(&project, "link", "new").unwrap();
        write(&project, "dangling", "made").unwrap();
        assert!(project.path().join("link").is_symlink());
        assert_eq!(project.read("real/a.txt") + &project.read("real/new.txt"), "newmade");
        for path in ["out", "outdir/secret", "outdir/fresh"] {
            let error = write(&project, path, "x").unwrap_err();
            assert!(error.contains("outside the project"), "{error}");
        }
        assert_eq!(other.read("secret"), "kept");
        assert!(!other.path().join("fresh").exists());
    }

    #[test]
    fn nothing_of_version_control_is_written() {
        let project = Project::new();
        for name in [".git/config", "sub/.hg/hgrc", "meta/config", "deep/er/.git/hooks/old"] {
            project.write(name, "old");
        }
        project.write("sub/module/.git", "gitdir: elsewhere");
        let link = |to: &str, name: &str| symlink(to, project.path().join(name)).unwrap();
        link(".git", "link");
        link("../deep/er/.git/hooks", "sub/hooks");
        link("link/config", "through");
        link("fresh/../link/config", "later");
        // What such a link leads to is the repository's as well.
        link("meta", ".svn");
        for path in [
            ".git/config",
            ".git/hooks/post-commit",
            ".GIT/config",
            ".git./config",
            ".git",
            "new/.git/config",
            "sub/module/.git",
            "sub/.hg/hgrc",
            "./sub/../.git/config",
            "link/config",
            "link/new/x",
            "sub/hooks/old",
            "through",
            "meta/config",
            // The way is there only when the missing directory has been made.
            "fresh/../link/config",
            "fresher/../link/hooks/post-commit",
            "freshest/../sub/hooks/new",
            "newest/../link/new/x",
            "later",
            &format!("{}/.git/config", project.path().display()),
        ] {
            let error = write(&project, path, "new").unwrap_err();
            assert!(error.contains("through bash"), "{path}: {error}");
            let args = json!({"path": path, "old_string": "old", "new_string": "new"});
            project.run(&crate::tool::EditFile, args).unwrap_err();
        }
        let kept = |name: &str| project.read(name);
        assert_eq!(kept(".git/config") + &kept("sub/.hg/hgrc") + &kept("meta/config"), "oldoldold");
        assert_eq!(kept("sub/module/.git"), "gitdir: elsewhere");
        for made in ["new", ".GIT", ".git/new", ".git/hooks"] {
            assert!(!project.path().join(made).exists(), "{made}");
        }
        for path in [".gitignore", ".github/x.yml", "sub/.gitattributes", ".gitmodules", "a.git/x"]
        {
            write(&project, path, "new").unwrap();
        }
    }

    #[test]
    fn only_files_are_written() {
        let project = Project::new();
        project.write("folder/x", "");
        project.write("file", "");
        for path in ["folder", "folder/", ".", "new/", "file/below"] {
            assert!(write(&project, path, "x").unwrap_err().contains("director"), "{path}");
        }
        assert!(!project.path().join("new").exists());
    }
}
