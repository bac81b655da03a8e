//! How often a connection may do something. Times are milliseconds since it began.

use std::{collections::VecDeque, time::Duration};

/// A steady pace with room for bursts of twice a second's worth.
#[derive(Debug)]
pub(super) struct Bucket {
    /// 0: no limit.
    per_second: u32,
    left: f32,
    filled_at: u32,
}

impl Bucket {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            left: Self::room(per_second),
            filled_at: 0,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: u32) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let seconds = now.saturating_sub(self.filled_at) as f32 / 1000.0;
        self.filled_at = now;
        self.left = (self.left + seconds * self.per_second as f32).min(Self::room(self.per_second));
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }

    fn room(per_second: u32) -> f32 {
        2.0 * per_second as f32
    }
}

/// At most `max` in any span of this length, exactly.
#[derive(Debug)]
pub(super) struct Window {
    /// 0: no limit.
    max: u32,
    span: Duration,
    at: VecDeque<u32>,
}

impl Window {
    pub(super) fn new(max: u32, span: Duration) -> Self {
        Self {
            max,
            span,
            at: VecDeque::new(),
        }
    }

    /// Takes one, or says when there will be one.
    pub(super) fn take(&mut self, now: u32) -> Result<(), Duration> {
        if self.max == 0 {
            return Ok(());
        }
        let span = self.span.as_millis() as u32;
        while self.at.front().is_some_and(|at| now - at >= span) {
            self.at.pop_front();
        }
        match self.at.front() {
            Some(first) if self.at.len() >= self.max as usize => {
                Err(Duration::from_millis(u64::from(first + span - now)))
            }
            _ => {
                self.at.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_two_seconds_worth_passes_and_then_one_by_one() {
        let mut bucket = Bucket::new(30);
        assert_eq!((0..100).filter(|_| bucket.take(5)).count(), 60);
        assert!(!bucket.take(30));
        assert!(bucket.take(40));
        assert!(!bucket.take(41));
        assert_eq!((0..100).filter(|_| bucket.take(1041)).count(), 30);
        assert!((0..1000).all(|_| Bucket::new(0).take(0)));
    }

    #[test]
    fn a_window_never_holds_more_than_its_most() {
        let mut window = Window::new(3, Duration::from_secs(10));
        for at in [0, 4_000, 9_999] {
            assert_eq!(window.take(at), Ok(()));
        }
        assert_eq!(window.take(9_999), Err(Duration::from_millis(1)));
        assert_eq!(window.take(10_000), Ok(()));
        assert_eq!(window.take(10_000), Err(Duration::from_secs(4)));
        assert!((0..1000).all(|_| Window::new(0, Duration::ZERO).take(0).is_ok()));
    }
}
