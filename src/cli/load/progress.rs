//! A bar on the terminal, for whoever waits.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{sleep, timeout};

const STEP: Duration = Duration::from_millis(100);

/// One stage of a load. Without a terminal nothing is shown.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A stage of so many steps.
    pub(super) fn start(stage: &str, steps: usize) -> Self {
        // A template that stands here can't be wrong.
        let style = ProgressStyle::with_template("{msg:28} {bar:40} {pos}/{len} {eta}");
        let bar = ProgressBar::new(steps as u64).with_message(stage.to_owned());
        Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
        }
    }

    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// A stage that has come as far as `reached` tells, until its `end`.
    pub(super) async fn follow<T>(
        stage: &str,
        steps: usize,
        reached: impl Fn() -> u64,
        end: impl Future<Output = T>,
    ) -> T {
        let progress = Self::start(stage, steps);
        let mut end = pin!(end);
        loop {
            match timeout(STEP, &mut end).await {
                Ok(ended) => return ended,
                Err(_) => progress.bar.set_position(reached()),
            }
        }
    }

    /// A stage that takes just this long.
    pub(super) async fn wait(stage: &str, time: Duration) {
        let progress = Self::start(stage, (time.as_millis() / STEP.as_millis()) as usize);
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            sleep(left.min(STEP)).await;
            progress.step();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
