//! What the measured process costs, as the kernel counts it.

use std::{fs, path::PathBuf, time::Duration};

use super::error::LoadError;

/// Reads `/proc` of the server's process.
pub(super) struct Meter {
    process: PathBuf,
}

impl Meter {
    /// The meter of a process that is there.
    pub(super) fn of(pid: u32) -> Result<Self, LoadError> {
        let meter = Self {
            process: PathBuf::from(format!("/proc/{pid}")),
        };
        meter
            .cpu()
            .map_or(Err(LoadError::NoProcess(pid)), |_| Ok(meter))
    }

    /// User and system time of all of its threads, those that ended too; full ticks of 10 ms.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(self.process.join("stat")).ok()?;
        let ticks = parse_ticks(&stat)?;
        Some(Duration::from_secs_f64(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    pub(super) fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(self.process.join("status")).ok()?;
        parse_rss(&status)
    }

    pub(super) fn rss_mib(&self) -> Option<f64> {
        self.rss_bytes()
            .map(|bytes| bytes as f64 / f64::from(1 << 20))
    }
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
        let own = Meter::of(std::process::id()).unwrap();
        assert!(own.rss_bytes().unwrap() > 1024 * 1024);
        assert!(own.cpu().is_some());
        assert!(Meter::of(u32::MAX).is_err());
    }
}
