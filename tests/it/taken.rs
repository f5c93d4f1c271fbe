//! What a process takes, as the kernel tells it.

use std::collections::BTreeSet;

/// Bytes of memory that are resident.
pub(crate) fn resident(pid: u32) -> usize {
    status(pid, "VmRSS:")
}

/// Bytes of memory that were resident when most were.
pub(crate) fn peak(pid: u32) -> usize {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// How many threads there are.
pub(crate) fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// The names of the threads.
pub(crate) fn thread_names(pid: u32) -> BTreeSet<String> {
    of_threads(pid, "comm").iter().map(|name| name.trim().to_owned()).collect()
}

/// The children of all threads.
pub(crate) fn children(pid: u32) -> String {
    of_threads(pid, "children").concat()
}

fn of_threads(pid: u32, file: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join(file)).ok()).collect()
}

/// How many descriptors are open.
pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
