//! Rows, medians and promises.

use std::time::Duration;

use anyhow::{Result, bail};

/// How often each way is measured; the median counts.
pub const RUNS: usize = 3;

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Begins a table.
    pub fn table(&mut self, title: &str, columns: &[&str]) {
        println!("\n### {title}\n\n| {} |\n|{}", columns.join(" | "), " --- |".repeat(columns.len()));
    }

    /// One row of the table.
    pub fn row(&mut self, cells: &[String]) {
        println!("| {} |", cells.join(" | "));
    }

    /// A promise: printed, and remembered when it does not hold.
    pub fn promise(&mut self, what: &str, holds: bool) {
        println!("{} {what}", if holds { "- kept:" } else { "- **missed:**" });
        if !holds {
            self.missed.push(what.to_owned());
        }
    }

    /// The end: an error names every missed promise.
    pub fn finish(self) -> Result<()> {
        if !self.missed.is_empty() {
            bail!("{} promises were missed: {}", self.missed.len(), self.missed.join("; "));
        }
        Ok(())
    }
}

/// The median of some measurements; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Seconds as people read them.
pub fn seconds(time: f64) -> String {
    if time < 1.0 { format!("{:.0} ms", time * 1000.0) } else { format!("{time:.2} s") }
}

/// A time as a number of seconds.
pub fn of(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// This process's resident memory in bytes.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}
