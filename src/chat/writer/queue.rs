//! What waits for the writer: bounded in number and bytes, taken in order of arrival.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Job;
use crate::{chat::ChatError, metrics};

/// Jobs that may wait. Beyond that: `unavailable` at once.
pub(crate) const QUEUE_JOBS_MAX: usize = 10_000;
/// Bytes of text that may wait.
pub(crate) const QUEUE_BYTES_MAX: usize = 16 << 20;
/// After so long in all, waiting and running, a job is answered `unavailable`. Ten seconds are promised to whoever sent it,
/// to whom the answer has still to go.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(9);

/// A job in the queue.
pub(crate) struct Waiting {
    pub(crate) job: Job,
    /// Its caller has been answered: it isn't begun any more.
    pub(crate) given_up: Arc<AtomicBool>,
    bytes: usize,
    since: Instant,
}

impl Waiting {
    /// Whether nobody waits for it any more, since it took too long.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire) || self.since.elapsed() >= ANSWER_WITHIN
    }
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Waiting>,
    bytes: usize,
    closed: bool,
}

/// The writer's queue.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

impl Queue {
    /// Puts a job at the end.
    fn push(&self, job: Job, bytes: usize) -> Result<Arc<AtomicBool>, ChatError> {
        let given_up = Arc::new(AtomicBool::new(false));
        let mut state = self.state.lock();
        if state.closed
            || state.jobs.len() >= QUEUE_JOBS_MAX
            || state.bytes + bytes > QUEUE_BYTES_MAX
        {
            metrics::WRITER_REFUSED.of("full").one();
            return Err(ChatError::Unavailable);
        }
        state.bytes += bytes;
        state.jobs.push_back(Waiting {
            job,
            given_up: given_up.clone(),
            bytes,
            since: Instant::now(),
        });
        let was_empty = state.jobs.len() == 1;
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(given_up)
    }

    /// Puts a job at the end. What comes back waits for its answer, but not for ever.
    pub(super) fn ask<T>(
        &self,
        job: Job,
        bytes: usize,
        answer: oneshot::Receiver<Result<T, ChatError>>,
    ) -> Result<impl Future<Output = Result<T, ChatError>> + use<T>, ChatError> {
        let given_up = self.push(job, bytes)?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer);
        Ok(async move {
            match answer.await {
                Ok(Ok(result)) => result,
                // The writer ends without an answer only where its task died.
                Ok(Err(_)) => Err(ChatError::Unavailable),
                Err(_) => {
                    metrics::WRITER_REFUSED.of("late").one();
                    given_up.store(true, Ordering::Release);
                    Err(ChatError::Unavailable)
                }
            }
        })
    }

    /// Takes what waits, at most `max`, leaving out what has been given up.
    pub(super) fn take(&self, max: usize) -> Vec<Waiting> {
        let mut state = self.state.lock();
        let mut taken = Vec::with_capacity(state.jobs.len().min(max));
        while taken.len() < max {
            let Some(waiting) = state.jobs.pop_front() else {
                break;
            };
            state.bytes -= waiting.bytes;
            if !waiting.is_given_up() {
                taken.push(waiting);
            }
        }
        taken
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().jobs.is_empty()
    }

    /// Resolves when something has come.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Wakes the writer without a job: marks are due, or it shall end.
    pub(super) fn nudge(&self) {
        self.arrived.notify_one();
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.nudge();
    }

    /// Whether nothing more is taken.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_what_was_given_up_is_not_begun() {
        let queue = Queue::default();
        let first = queue.push(Job::nothing(), 0).unwrap();
        for _ in 1..QUEUE_JOBS_MAX {
            queue.push(Job::nothing(), 0).unwrap();
        }
        assert!(matches!(
            queue.push(Job::nothing(), 0),
            Err(ChatError::Unavailable)
        ));
        first.store(true, Ordering::Release);
        assert_eq!(queue.take(256).len(), 256);
        assert!(matches!(
            queue.push(Job::nothing(), QUEUE_BYTES_MAX + 1),
            Err(ChatError::Unavailable)
        ));
        assert_eq!(
            queue.take(QUEUE_JOBS_MAX).len(),
            QUEUE_JOBS_MAX - 257,
            "the one given up isn't begun"
        );
        assert!(queue.is_empty());
        queue.close();
        assert!(matches!(
            queue.push(Job::nothing(), 0),
            Err(ChatError::Unavailable)
        ));
    }
}
