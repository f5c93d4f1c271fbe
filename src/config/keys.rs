//! Keys that nobody reads: those that mean something to `opencode` elsewhere, and mistyped ones.

use super::decode::Section;
use super::error::Report;
use super::server;

/// Keys of the whole file that are read.
pub(super) const TOP: &[&str] = &[
    "$schema",
    "server",
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
    "logLevel",
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
        } else if let Some(meant) = nearest(key, used) {
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

/// The known key that was probably meant.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    if key.len() > 64 {
        return None;
    }
    let folded = fold(key);
    let allowed = match folded.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    known
        .iter()
        .map(|&candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|&(far, _)| far <= allowed)
        .min_by_key(|&(far, _)| far)
        .map(|(_, candidate)| candidate)
}

/// Letters and digits only: `base_url`, `baseUrl` and `baseURL` are the same mistake.
fn fold(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Edits between two short words: a letter more, less, another one, or two that changed places.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_meant() {
        let known = ["port", "hostname", "mdns", "mdnsDomain", "baseURL", "cors"];
        for (typed, meant) in [
            ("prot", Some("port")),
            ("hostnmae", Some("hostname")),
            ("mdns_domain", Some("mdnsDomain")),
            ("baseUrl", Some("baseURL")),
            ("hosts", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
    }
}
