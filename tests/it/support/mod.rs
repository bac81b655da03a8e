//! What the stories stand on: a server, the people who use it, their phones, and a checker that
//! reads what every phone heard.
//!
//! A story waits for what should happen, with a deadline (`PATIENCE`) that only a failure reaches;
//! that something did not come is shown by what comes instead. Phones check the order of whatever
//! they hear, and a server that stops is looked around: so every story tests that too.

pub(crate) mod binary;
pub(crate) mod django;
pub(crate) mod figures;
pub(crate) mod http;
pub(crate) mod look_around;
pub(crate) mod person;
pub(crate) mod phone;
pub(crate) mod post;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod rpc;
pub(crate) mod server;
pub(crate) mod talk;
pub(crate) mod tokens;

use std::{future::Future, path::PathBuf, time::Duration};

pub(crate) use http::{Reply, Request};
pub(crate) use person::{Chat, Message, Person};
pub(crate) use phone::{Close, Handshake, Heard, Phone};
pub(crate) use rpc::Caller;
pub(crate) use server::Server;

/// Only a failure waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What `future` gives, or a failure that says what was waited for.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks `look` again and again until it gives something: for what another process or a sweep does
/// in its own time, and nobody tells.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(what, async {
        loop {
            if let Some(value) = look().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// A certificate, its key, or the authority that all clients trust here.
pub(crate) fn tls_vector(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors/tls")
        .join(name)
}
