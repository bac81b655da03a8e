//! Password work beside the async threads: as many at once as there are cores, a few more that
//! wait, and for the rest an answer at once.
//!
//! Hashing is slow on purpose. On an async thread it would hold up every socket of that thread;
//! unbounded, a flood of sign-ins would hold up the whole process.

use std::{panic::resume_unwind, sync::Arc, thread::available_parallelism};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::passwords::Passwords;

/// How many wait for a core before the next one is refused.
pub const WAITING_MAX: usize = 32;

/// No room: too many passwords are being checked already, or the process is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// Makes and checks stored passwords for async callers. A clone shares its bounds.
#[derive(Debug, Clone)]
pub struct PasswordHasher {
    passwords: Passwords,
    /// A place for each that runs or waits.
    places: Arc<Semaphore>,
    /// A core for each that runs.
    cores: Arc<Semaphore>,
}

impl PasswordHasher {
    /// One at a time per core, and [`WAITING_MAX`] more that wait.
    pub fn new(passwords: Passwords) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::with_bounds(passwords, cores, WAITING_MAX)
    }

    /// `running` at a time, and `waiting` more.
    pub fn with_bounds(passwords: Passwords, running: usize, waiting: usize) -> Self {
        Self {
            passwords,
            places: Arc::new(Semaphore::new(running + waiting)),
            cores: Arc::new(Semaphore::new(running)),
        }
    }

    /// A new hash of a password.
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        let passwords = self.passwords;
        self.run(move || passwords.hash(&password)).await
    }

    /// True if it is the stored password. Where there is no such user, and so nothing stored, it
    /// takes as long and is false.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, Busy> {
        let passwords = self.passwords;
        self.run(move || match stored {
            Some(stored) => passwords.verify(&password, &stored),
            None => {
                passwords.verify_nobody(&password);
                false
            }
        })
        .await
    }

    /// True if the next successful sign-in should store the password anew.
    pub fn needs_rehash(&self, stored: &str) -> bool {
        self.passwords.needs_rehash(stored)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        let core = self.cores.clone().acquire_owned().await.map_err(|_| Busy)?;
        // The permits go along: work whose caller has gone away runs to its end and counts so long.
        let done = spawn_blocking(move || {
            let _permits = (place, core);
            work()
        });
        match done.await {
            Ok(result) => Ok(result),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => Err(Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::auth::PasswordCost;

    fn hasher(running: usize, waiting: usize) -> PasswordHasher {
        PasswordHasher::with_bounds(Passwords::new(PasswordCost::MIN), running, waiting)
    }

    #[tokio::test]
    async fn a_password_is_right_or_wrong_and_nobodys_is_wrong() {
        let hasher = hasher(1, 1);
        let stored = hasher.hash("correct horse".into()).await.unwrap();
        let mut verdicts = Vec::new();
        for (password, stored) in [
            ("correct horse", Some(stored.clone())),
            ("wrong horse", Some(stored)),
            ("correct horse", None),
        ] {
            verdicts.push(hasher.verify(password.into(), stored).await.unwrap());
        }
        assert_eq!(verdicts, [true, false, false]);
    }

    /// Work that lasts until the test lets it end.
    fn held(
        hasher: &PasswordHasher,
    ) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Busy>>) {
        let (release, released) = mpsc::channel();
        let hasher = hasher.clone();
        let work = async move {
            hasher
                .run(move || released.recv().unwrap_or_default())
                .await
        };
        (release, tokio::spawn(work))
    }

    #[tokio::test]
    async fn the_one_too_many_is_refused_at_once_and_a_place_that_is_free_again_is_given() {
        let hasher = hasher(1, 1);
        let (end_running, running) = held(&hasher);
        let (end_waiting, waiting) = held(&hasher);
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.hash("one too many".into()).await, Err(Busy));

        end_running.send(()).unwrap();
        end_waiting.send(()).unwrap();
        assert_eq!(running.await.unwrap(), Ok(()));
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert!(hasher.hash("room again".into()).await.is_ok());
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_away_still_holds_its_core() {
        let hasher = hasher(1, 0);
        let (started, has_started) = oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let caller = tokio::spawn({
            let hasher = hasher.clone();
            async move {
                let work = move || {
                    let _ = started.send(());
                    released.recv().unwrap_or_default();
                };
                hasher.run(work).await
            }
        });
        has_started.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.hash("no core".into()).await, Err(Busy));

        release.send(()).unwrap();
        while hasher.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(hasher.hash("a core".into()).await.is_ok());
    }
}
