//! What the measured process costs, as the kernel counts it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::error::LoadError;

/// Reads `/proc` of the server's processes.
pub(super) struct Meter {
    processes: Vec<PathBuf>,
}

impl Meter {
    /// The meter of processes that are there; none of none.
    pub(super) fn of(pids: &[u32]) -> Result<Option<Self>, LoadError> {
        let process = |pid| PathBuf::from(format!("/proc/{pid}"));
        let is_there = |pid| ticks(&process(pid)).is_some();
        if let Some(pid) = pids.iter().find(|pid| !is_there(**pid)) {
            return Err(LoadError::NoProcess(*pid));
        }
        let processes: Vec<PathBuf> = pids.iter().map(|pid| process(*pid)).collect();
        Ok((!processes.is_empty()).then_some(Self { processes }))
    }

    /// User and system time of all of their threads, those that ended too; full ticks of 10 ms.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let ticks: u64 = self
            .processes
            .iter()
            .map(|process| ticks(process))
            .sum::<Option<u64>>()?;
        Some(Duration::from_secs_f64(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    pub(super) fn rss_bytes(&self) -> Option<u64> {
        let rss = |process: &PathBuf| {
            let status = fs::read_to_string(process.join("status")).ok()?;
            parse_rss(&status)
        };
        self.processes.iter().map(rss).sum()
    }

    pub(super) fn rss_mib(&self) -> Option<f64> {
        self.rss_bytes()
            .map(|bytes| bytes as f64 / f64::from(1 << 20))
    }
}

fn ticks(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    parse_ticks(&stat)
}

/// utime + stime. The command's name, the second field, may hold blanks and brackets (proc(5)).
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let [user, system] = [fields.next()?, fields.next()?].map(str::parse::<u64>);
    Some(user.ok()? + system.ok()?)
}

fn parse_rss(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_blanks_and_brackets() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 17 0 0 20 0 3 0 100 1000 10\n";
        assert_eq!(parse_ticks(stat), Some(267));
        assert_eq!(parse_ticks("7 (a"), None);
    }

    #[test]
    fn rss_is_given_in_bytes() {
        assert_eq!(
            parse_rss("Name:\ta\nVmRSS:\t    12 kB\nRssAnon:\t 5 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(parse_rss("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_has_a_size_and_one_that_never_was_has_no_meter() {
        let own = Meter::of(&[std::process::id()]).unwrap().unwrap();
        assert!(own.rss_bytes().unwrap() > 1024 * 1024);
        assert!(own.cpu().is_some());
        assert!(Meter::of(&[std::process::id(), u32::MAX]).is_err());
        assert!(Meter::of(&[]).unwrap().is_none());
    }
}
