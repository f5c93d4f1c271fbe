//! Keys that nobody reads: those that mean something to `opencode` elsewhere, and mistyped ones.

use super::decode::Section;
use super::error::Report;
use super::server;
use crate::text::nearest;

/// Keys of the whole file that are read.
pub(super) const TOP: &[&str] = &[
    "$schema",
    "server",
    "log",
    "model",
    "agent",
    "default_agent",
    "provider",
    "disabled_providers",
    "permission",
    "instructions",
];

/// Keys that users of `opencode` have in their files and that mean nothing to this program.
pub(super) const TOP_UNUSED: &[&str] = &[
    "attachment",
    "autoshare",
    "autoupdate",
    "command",
    "compaction",
    "disabled_tools",
    "enabled_providers",
    "enterprise",
    "experimental",
    "formatter",
    "image",
    "keybinds",
    "layout",
    "lsp",
    "mcp",
    "mode",
    "plugin",
    "references",
    "share",
    "shell",
    "skills",
    "small_model",
    "snapshot",
    "theme",
    "tool_output",
    "tools",
    "tui",
    "username",
    "watcher",
];

/// Warns of every key of a section that is not read.
pub(super) fn check(section: &Section<'_>, used: &[&str], known: &[&str], report: &mut Report) {
    for entry in section.entries {
        let key = entry.key.as_str();
        if report.is_full() {
            return;
        }
        if used.contains(&key) {
            continue;
        }
        let prefix = section.at.key();
        let full = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        if known.contains(&key) {
            report.warn(&entry.origin, format_args!("{full} is not used by this program"));
        } else if let Some(meant) = nearest(key, used.iter().copied()) {
            report.warn(
                &entry.origin,
                format_args!("{full} is not a known setting; did you mean \"{meant}\"?"),
            );
        } else if prefix.is_empty() && server::KEYS.contains(&key) {
            report.warn(
                &entry.origin,
                format_args!(
                    "{full} is not a known setting; put it into the section \"server\": {{ … }}"
                ),
            );
        } else {
            report.warn(&entry.origin, format_args!("{full} is not a known setting"));
        }
    }
}
