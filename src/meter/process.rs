//! What the process takes of the machine, as `/proc` says when somebody asks.

use std::time::Duration;

use super::Exposition;

/// Prints it, under the names that every exporter uses. What cannot be read is left out.
pub fn print(page: &mut Exposition) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may contain anything, come the fields from the third on
    // (proc_pid_stat(5)): 14 and 15 are times, 20 is the number of threads, 24 pages of memory.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = |number: usize| fields.split(' ').nth(number - 3)?.trim().parse::<u64>().ok();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let help = "Time of the processor, user and system.";
        page.family("process_cpu_seconds_total", "counter", help);
        let time = Duration::from_millis((user + system).saturating_mul(1000) / ticks);
        page.number("process_cpu_seconds_total", &[], time.as_secs_f64());
    }
    if let Some(pages) = field(24) {
        let bytes = pages * rustix::param::page_size() as u64;
        page.single("process_resident_memory_bytes", "gauge", "Memory in use.", bytes);
    }
    if let Some(threads) = field(20) {
        page.single("process_threads", "gauge", "Threads.", threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them reads the folder.
        let open = open.count().saturating_sub(1) as u64;
        page.single("process_open_fds", "gauge", "Open descriptors.", open);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit {
        page.single("process_max_fds", "gauge", "Descriptors that may be open.", limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_this_processes() {
        let mut page = Exposition::default();
        print(&mut page);
        let text = page.into_text();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_threads") >= 1.0 && value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
    }
}
