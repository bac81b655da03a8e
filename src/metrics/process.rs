//! What the system knows of this process, under the names that all clients of Prometheus give it. Read when
//! it is asked for; what the system doesn't tell is left out.

use std::{fs, time::Duration};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::value::{head, line};

pub(super) fn tell(text: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(stat) = Stat::parse(&stat) {
        let cpu = seconds(stat.cpu_ticks).as_secs_f64();
        let help = "Seconds of CPU that the process has used";
        told(text, "process_cpu_seconds_total", help, "counter", cpu);
        let help = "Bytes of memory that are the process's just now";
        let bytes = stat.resident_pages as f64 * page_size() as f64;
        told(text, "process_resident_memory_bytes", help, "gauge", bytes);
        if let Some(booted) = booted_at() {
            let help = "When the process began, in seconds of Unix time";
            let started = booted + seconds(stat.start_ticks).as_secs_f64();
            told(text, "process_start_time_seconds", help, "gauge", started);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One is that of the reading itself.
        let open = open.count().saturating_sub(1) as f64;
        told(
            text,
            "process_open_fds",
            "Descriptors that are open",
            "gauge",
            open,
        );
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        let help = "Descriptors that may be open";
        told(text, "process_max_fds", help, "gauge", max as f64);
    }
}

/// The names of all of these.
pub(super) const NAMES: [&str; 5] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
];

fn told(text: &mut String, name: &str, help: &str, kind: &str, value: f64) {
    head(text, name, help, kind);
    line(text, format_args!("{name} {value}"));
}

fn seconds(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Of `/proc/self/stat`, what is told on.
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name, which may hold anything; its end is the last bracket.
        let (_, after_name) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // As proc(5) numbers them, of which the first that is left is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_name_may_hold_brackets_and_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 12345 99 321 18446744073709551615";
        let stat = Stat::parse(stat).expect("all fields");
        assert_eq!(
            (stat.cpu_ticks, stat.start_ticks, stat.resident_pages),
            (200, 12345, 321)
        );
        assert!(Stat::parse("7 (cut short) S 1").is_none());
    }
}
