//! How long things took: a histogram of fixed size, exact to 3 %.

use std::time::Duration;

/// Buckets that each power of two is divided into.
const PARTS: u64 = 32;
const BUCKETS: usize = (64 - PARTS.ilog2() as usize + 1) * PARTS as usize;

/// Durations, counted by size.
pub(super) struct Latency {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            max: Duration::ZERO,
        }
    }
}

impl Latency {
    pub(super) fn record(&mut self, took: Duration) {
        self.buckets[bucket(took.as_nanos() as u64)] += 1;
        self.count += 1;
        self.max = self.max.max(took);
    }

    /// The time that a `share` of all stayed below, or none where nothing was recorded.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(upper_end(place)).min(self.max))
    }

    pub(super) fn max(&self) -> Duration {
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    let power = nanos.ilog2() - PARTS.ilog2();
    ((u64::from(power) + 1) * PARTS + (nanos >> power) - PARTS) as usize
}

/// The largest duration that `bucket` puts here.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let power = bucket / PARTS - 1;
    let next = u128::from(bucket % PARTS + PARTS + 1) << power;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_a_bucket_that_ends_at_most_3_percent_above_it() {
        for nanos in (0..2000)
            .chain((0..64).map(|power| 1 << power))
            .chain([u64::MAX, u64::MAX - 1])
        {
            let end = upper_end(bucket(nanos));
            assert!(
                end >= nanos && end - nanos <= nanos / 32,
                "{nanos} ends at {end}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        (1..=100)
            .rev()
            .for_each(|millis| latency.record(Duration::from_millis(millis)));
        for (share, millis) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            let found = latency.quantile(share).unwrap().as_secs_f64() * 1000.0;
            assert!(
                (millis..=millis * 1.032).contains(&found),
                "{share}: {found}"
            );
        }
        assert_eq!(latency.max(), Duration::from_millis(100));
    }
}
