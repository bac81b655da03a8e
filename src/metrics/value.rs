//! Numbers that are counted without a lock, and how Prometheus reads them.
//!
//! Relies on: nothing here orders anything else, so every operation is relaxed.

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How often something happened: it only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How much there is of something just now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// How large things were, counted by the bounds that they stay below.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [f64; N],
    counts: [AtomicU64; N],
    beyond: AtomicU64,
    /// In millionths, as integers can be added without a loop.
    sum: AtomicU64,
}

/// One number for each of a few causes that are known beforehand, and one for all others.
#[derive(Debug)]
pub struct Family<K: 'static, T, const N: usize> {
    label: &'static str,
    keys: [K; N],
    parts: [T; N],
    other: T,
}

impl Counter {
    const fn new() -> Self {
        Counter(AtomicU64::new(0))
    }

    /// That many more.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Relaxed);
    }

    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// How often so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    const fn new() -> Self {
        Gauge(AtomicI64::new(0))
    }

    /// So much it is now.
    pub fn set(&self, value: usize) {
        self.0
            .store(i64::try_from(value).unwrap_or(i64::MAX), Relaxed);
    }

    /// One more, until what comes back is dropped.
    pub fn hold(&'static self) -> Held {
        self.0.fetch_add(1, Relaxed);
        Held(self)
    }

    /// How much it is.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One of those that a gauge counts.
#[derive(Debug)]
#[must_use]
pub struct Held(&'static Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl<const N: usize> Histogram<N> {
    const fn new(bounds: [f64; N]) -> Self {
        Histogram {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one of this size.
    pub fn observe(&self, size: f64) {
        let bound = self.bounds.iter().position(|bound| size <= *bound);
        let count = bound.map_or(&self.beyond, |at| &self.counts[at]);
        count.fetch_add(1, Relaxed);
        self.sum.fetch_add((size * 1e6) as u64, Relaxed);
    }

    /// Counts one that took so long, in seconds.
    pub fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }
}

impl<K: PartialEq, T, const N: usize> Family<K, T, N> {
    /// The number of one cause.
    pub fn of(&self, key: K) -> &T {
        let known = self.keys.iter().position(|known| *known == key);
        known.map_or(&self.other, |at| &self.parts[at])
    }

    /// Whether a cause has a number of its own.
    pub fn knows(&self, key: K) -> bool {
        self.keys.contains(&key)
    }
}

/// A number with its name.
#[derive(Debug)]
pub struct Metric<T> {
    name: &'static str,
    help: &'static str,
    value: T,
}

impl<T> Metric<T> {
    const fn new(name: &'static str, help: &'static str, value: T) -> Self {
        Metric { name, help, value }
    }
}

impl<T> std::ops::Deref for Metric<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A counter; its name ends in `_total`.
pub(super) const fn counter(name: &'static str, help: &'static str) -> Metric<Counter> {
    Metric::new(name, help, Counter::new())
}

pub(super) const fn gauge(name: &'static str, help: &'static str) -> Metric<Gauge> {
    Metric::new(name, help, Gauge::new())
}

pub(super) const fn histogram<const N: usize>(
    name: &'static str,
    help: &'static str,
    bounds: [f64; N],
) -> Metric<Histogram<N>> {
    Metric::new(name, help, Histogram::new(bounds))
}

/// A counter for each of these causes.
pub(super) const fn counters<K, const N: usize>(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    keys: [K; N],
) -> Metric<Family<K, Counter, N>> {
    let family = Family {
        label,
        keys,
        parts: [const { Counter::new() }; N],
        other: Counter::new(),
    };
    Metric::new(name, help, family)
}

/// A gauge for each of these.
pub(super) const fn gauges<K, const N: usize>(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    keys: [K; N],
) -> Metric<Family<K, Gauge, N>> {
    let family = Family {
        label,
        keys,
        parts: [const { Gauge::new() }; N],
        other: Gauge::new(),
    };
    Metric::new(name, help, family)
}

/// What has a name and is told with it.
pub(super) trait Told: Sync {
    fn name(&self) -> &'static str;
    /// Its help, its type, its numbers: as the text format of Prometheus has them, version 0.0.4.
    fn tell(&self, text: &mut String);
}

impl<T: Samples + Sync> Told for Metric<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&self, text: &mut String) {
        head(text, self.name, self.help, T::TYPE);
        self.value.tell(self.name, text);
    }
}

/// What comes before a metric's numbers.
pub(super) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

/// Writing into a text never fails.
pub(super) fn line(text: &mut String, line: impl Display) {
    let _ = writeln!(text, "{line}");
}

pub(super) trait Samples {
    const TYPE: &'static str;
    fn tell(&self, name: &str, text: &mut String);
}

/// A value that is one number.
trait Single {
    const TYPE: &'static str;
    /// It is told from the start, so that its first step is seen as one.
    const COUNTS: bool;
    fn value(&self) -> i128;
}

impl Single for Counter {
    const TYPE: &'static str = "counter";
    const COUNTS: bool = true;
    fn value(&self) -> i128 {
        self.get().into()
    }
}

impl Single for Gauge {
    const TYPE: &'static str = "gauge";
    const COUNTS: bool = false;
    fn value(&self) -> i128 {
        self.get().into()
    }
}

impl Samples for Counter {
    const TYPE: &'static str = <Counter as Single>::TYPE;
    fn tell(&self, name: &str, text: &mut String) {
        line(text, format_args!("{name} {}", self.value()));
    }
}

impl Samples for Gauge {
    const TYPE: &'static str = <Gauge as Single>::TYPE;
    fn tell(&self, name: &str, text: &mut String) {
        line(text, format_args!("{name} {}", self.value()));
    }
}

impl<K: Display, T: Single, const N: usize> Samples for Family<K, T, N> {
    const TYPE: &'static str = T::TYPE;

    fn tell(&self, name: &str, text: &mut String) {
        let label = self.label;
        for (key, part) in self.keys.iter().zip(&self.parts) {
            let value = part.value();
            line(text, format_args!("{name}{{{label}=\"{key}\"}} {value}"));
        }
        let other = self.other.value();
        if T::COUNTS || other != 0 {
            line(text, format_args!("{name}{{{label}=\"other\"}} {other}"));
        }
    }
}

impl<const N: usize> Samples for Histogram<N> {
    const TYPE: &'static str = "histogram";

    fn tell(&self, name: &str, text: &mut String) {
        let mut count = 0;
        for (bound, own) in self.bounds.iter().zip(&self.counts) {
            count += own.load(Relaxed);
            line(
                text,
                format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"),
            );
        }
        count += self.beyond.load(Relaxed);
        let sum = self.sum.load(Relaxed) as f64 / 1e6;
        line(text, format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(text, format_args!("{name}_sum {sum}"));
        line(text, format_args!("{name}_count {count}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_size_below_all_bounds_that_it_is_below() {
        static SIZES: Metric<Histogram<3>> = histogram("sizes", "Sizes", [1.0, 2.5, 10.0]);
        for size in [0.5, 1.0, 2.0, 11.0] {
            SIZES.observe(size);
        }
        let mut text = String::new();
        SIZES.tell(&mut text);
        let expected = "# HELP sizes Sizes\n# TYPE sizes histogram\nsizes_bucket{le=\"1\"} 2\n\
             sizes_bucket{le=\"2.5\"} 3\nsizes_bucket{le=\"10\"} 3\nsizes_bucket{le=\"+Inf\"} 4\n\
             sizes_sum 14.5\nsizes_count 4\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_cause_that_is_not_known_is_counted_as_another() {
        static CAUSES: Metric<Family<u16, Counter, 2>> =
            counters("causes_total", "Causes", "code", [404, 503]);
        CAUSES.of(503).one();
        CAUSES.of(418).add(2);
        assert!(CAUSES.knows(404) && !CAUSES.knows(418));
        let mut text = String::new();
        CAUSES.tell(&mut text);
        let expected = "causes_total{code=\"404\"} 0\ncauses_total{code=\"503\"} 1\n\
             causes_total{code=\"other\"} 2\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        static OPEN: Gauge = Gauge::new();
        let (one, two) = (OPEN.hold(), OPEN.hold());
        assert_eq!(OPEN.get(), 2);
        drop(one);
        assert_eq!(OPEN.get(), 1);
        drop(two);
        assert_eq!(OPEN.get(), 0);
    }
}
