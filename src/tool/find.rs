//! Paths of the project that match a few typed characters, for completing `@path`.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::root::Root;
use super::walk::{Bounds, walk};
use crate::cancel::Cancel;

/// Files of a project that are looked at.
const FILES: usize = 100_000;

/// The best matches for a query, the best first, of what can be looked at until then. Ignored
/// files are left out, and directories without a file; directories end in `/`.
///
/// # Errors
/// A project directory that cannot be read.
pub fn paths(
    root: &Path,
    query: &str,
    limit: usize,
    until: Instant,
) -> Result<Vec<String>, String> {
    let root = Root::open(root)?;
    let query = query.to_lowercase();
    // The worst of the best is on top, and the first to go.
    let mut best = BinaryHeap::new();
    let mut take = |path: &str| {
        if let Some(rank) = rank(path, &query) {
            best.push((rank, path.len(), path.to_owned()));
            if best.len() > limit {
                best.pop();
            }
        }
    };
    let mut last = String::new();
    let mut left = FILES;
    let bounds = Bounds { cancel: &Cancel::new(), until: Some(until) };
    walk(&root, &root.place(".")?, bounds, &mut |place, _| {
        if let Some(path) = place.relative().to_str() {
            // The files of a directory come together, so it is new where the last one differs.
            let ends = path.match_indices('/').map(|(end, _)| &path[..=end]);
            ends.filter(|directory| !last.starts_with(directory)).for_each(&mut take);
            take(path);
            path.clone_into(&mut last);
        }
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(best.into_sorted_vec().into_iter().map(|(_, _, path)| path).collect())
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
    use crate::tool::project::Project;
    use std::time::Duration;

    #[test]
    fn the_best_come_first_and_each_directory_once() {
        let project = Project::new();
        for name in ["main/a.rs", "main/deep/b.rs", "main/c.rs", "src/main.rs", "zmain/x", "y"] {
            project.write(name, "");
        }
        let far = Instant::now() + Duration::from_secs(60);
        let found = |limit| paths(project.path(), "main", limit, far).unwrap();
        let all = [
            "main/",
            "src/main.rs",
            "zmain/",
            "zmain/x",
            "main/a.rs",
            "main/c.rs",
            "main/deep/",
            "main/deep/b.rs",
        ];
        assert_eq!(found(100), all);
        assert_eq!(found(2), all[..2]);
        assert_eq!(found(0), [""; 0]);
        let over = paths(project.path(), "main", 9, Instant::now());
        assert_eq!(over, Ok(Vec::new()), "what was found until then");
    }

    #[test]
    fn a_name_that_begins_so_comes_before_one_that_only_contains_it() {
        assert_eq!(rank("src/main.rs", "main"), Some(0));
        assert_eq!(rank("src/domain.rs", "main"), Some(1));
        assert_eq!(rank("main/x.rs", "main"), Some(2));
        assert_eq!(rank("src/agent/turn.rs", "sat"), Some(3));
        assert_eq!(rank("src/a.rs", "zz"), None);
    }
}
