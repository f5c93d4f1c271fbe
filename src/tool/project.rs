//! A throw-away project directory for the tests of this room.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::{Context, Tool};
use crate::cancel::Cancel;

/// An empty directory that is removed with this value.
pub(super) struct Project(PathBuf);

impl Project {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("opencode-tool-{}-{next}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Runs a tool here, with nobody to cancel it or to see its output.
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn run(&self, tool: &dyn Tool, args: Value) -> Result<String, String> {
        self.run_until(tool, &args, &Cancel::new(), &mut |_| {})
    }

    /// Runs a tool for who may not read what it names.
    pub(super) fn run_unread(&self, tool: &dyn Tool, args: &Value) -> Result<String, String> {
        let (root, cancel, hidden_env) = (self.path(), &Cancel::new(), &[][..]);
        let output = &mut |_: &str| {};
        tool.run(args, &mut Context { root, cancel, hidden_env, may_read: false, output })
    }

    pub(super) fn run_until(
        &self,
        tool: &dyn Tool,
        args: &Value,
        cancel: &Cancel,
        output: &mut dyn FnMut(&str),
    ) -> Result<String, String> {
        let hidden_env = ["TOOL_TEST_HIDDEN".to_owned()];
        let (root, hidden_env) = (self.path(), &hidden_env[..]);
        tool.run(args, &mut Context { root, cancel, hidden_env, may_read: true, output })
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
