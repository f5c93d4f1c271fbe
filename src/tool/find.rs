//! Paths of the project that match a few typed characters, for completing `@path`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use super::root::Root;
use super::walk::walk;
use crate::cancel::Cancel;

/// Files of a project that are looked at.
const FILES: usize = 100_000;

/// The best matches for a query, the best first. Ignored files are left out; directories end
/// in `/`.
///
/// # Errors
/// A project directory that cannot be read.
pub fn paths(root: &Path, query: &str, limit: usize) -> Result<Vec<String>, String> {
    let root = Root::open(root)?;
    let query = query.to_lowercase();
    let mut all = BTreeSet::new();
    let mut left = FILES;
    walk(&root, &root.place(".")?, &Cancel::new(), &mut |place, _| {
        if let Some(path) = place.relative().to_str() {
            let ends = path.match_indices('/').map(|(end, _)| end + 1).chain([path.len()]);
            all.extend(ends.map(|end| path[..end].to_owned()));
        }
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let mut found: Vec<(u32, String)> =
        all.into_iter().filter_map(|path| Some((rank(&path, &query)?, path))).collect();
    found.sort_by(|a, b| (a.0, a.1.len(), &a.1).cmp(&(b.0, b.1.len(), &b.1)));
    Ok(found.into_iter().take(limit).map(|(_, path)| path).collect())
}

/// How well a path matches, 0 best; `None` when it does not.
fn rank(path: &str, query: &str) -> Option<u32> {
    let path = path.to_lowercase();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.starts_with(query) {
        Some(0)
    } else if name.contains(query) {
        Some(1)
    } else if path.contains(query) {
        Some(2)
    } else {
        let mut rest = path.chars();
        query.chars().all(|wanted| rest.any(|c| c == wanted)).then_some(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_so_comes_before_one_that_only_contains_it() {
        assert_eq!(rank("src/main.rs", "main"), Some(0));
        assert_eq!(rank("src/domain.rs", "main"), Some(1));
        assert_eq!(rank("main/x.rs", "main"), Some(2));
        assert_eq!(rank("src/agent/turn.rs", "sat"), Some(3));
        assert_eq!(rank("src/a.rs", "zz"), None);
    }
}
