//! What this process uses, as the kernel counts it.

use std::fmt::Write as _;
use std::fs;

/// One reading of `/proc/self`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Process {
    /// CPU time used: seconds.
    pub(crate) cpu_seconds: f64,
    /// Memory in use: bytes.
    pub(crate) resident_bytes: u64,
    /// Open files and sockets.
    pub(crate) open_fds: u64,
    /// How many it may open, where there is a limit.
    pub(crate) max_fds: Option<u64>,
    /// Threads.
    pub(crate) threads: u64,
    /// When it started: seconds since the Unix epoch.
    pub(crate) started_seconds: f64,
}

impl Process {
    /// Reads now; `None` where there is no `/proc`.
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let mut process = Self::parse_stat(&stat, ticks, boot)?;
        let pages = fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
        process.resident_bytes = pages * rustix::param::page_size() as u64;
        process.open_fds = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        process.max_fds = files.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Some(process)
    }

    /// The fields after the program's name, which may itself hold spaces and brackets.
    fn parse_stat(stat: &str, ticks: f64, boot: f64) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok());
        Some(Self {
            cpu_seconds: (number(11)? + number(12)?) / ticks,
            threads: fields.get(17)?.parse().ok()?,
            started_seconds: boot + number(19)? / ticks,
            ..Self::default()
        })
    }

    /// As Prometheus text, under the names that every exporter uses.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, what: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        add("process_cpu_seconds_total", "counter", "CPU time used.", self.cpu_seconds.to_string());
        add("process_resident_memory_bytes", "gauge", "Memory in use.", self.resident_bytes.to_string());
        add("process_open_fds", "gauge", "Open files and sockets.", self.open_fds.to_string());
        if let Some(max) = self.max_fds {
            add("process_max_fds", "gauge", "The most files and sockets it may open.", max.to_string());
        }
        add("process_threads", "gauge", "Threads.", self.threads.to_string());
        add("process_start_time_seconds", "gauge", "Start, since the Unix epoch.", self.started_seconds.to_string());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_cannot_confuse_the_reading() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4 1 0 0 0 250 50 0 0 20 0 7 0 1000 9 9";
        let process = Process::parse_stat(stat, 100.0, 5000.0).unwrap();
        assert_eq!((process.cpu_seconds, process.threads, process.started_seconds), (3.0, 7, 5010.0));
        assert_eq!(Process::parse_stat("nonsense", 100.0, 0.0), None);
    }
}
