//! Files that nobody needs any more: those of deleted messages go at once, those that never got a message, and pictures
//! that no account shows, when they are old enough.
//!
//! Relies on: the row of a deleted message's file stays until the file is gone from the disk, so a stop in between is
//! made up for by the next look.
//! Bounded by: `DELETED_MAX` that are remembered; the rest is found by looking.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use entity::{ContentType, MessageId, UserId, attachment};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    chat::{
        ChatError, ChatEvent, What,
        attachments::{FILE_PREFIX, Files},
        avatars,
    },
    store::Store,
};

/// How often all is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// A file without a message that is older won't get one: its send was answered long ago.
const OLD_AFTER: Duration = Duration::from_secs(3600);
/// Rows that are read at once.
const AT_ONCE: u64 = 500;
/// Deletions that are remembered.
const DELETED_MAX: usize = 10_000;

/// Messages with files that were deleted on this node.
#[derive(Default)]
pub(crate) struct Deleted {
    messages: Mutex<Vec<MessageId>>,
    arrived: Notify,
}

impl Deleted {
    pub(crate) fn tell(&self, events: &[Arc<ChatEvent>]) {
        let with_file = events.iter().filter_map(|event| match &event.what {
            What::Deleted(message) if message.content_type != ContentType::Text => Some(message.id),
            _ => None,
        });
        for message in with_file {
            let mut messages = self.messages.lock();
            if messages.len() < DELETED_MAX {
                messages.push(message);
            }
            drop(messages);
            self.arrived.notify_one();
        }
    }
}

/// The task that tidies up.
pub(crate) struct Tidying {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Tidying {
    pub(crate) fn start(store: Store, files: Arc<Files>, deleted: Arc<Deleted>) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let broom = Broom {
            store,
            files,
            deleted,
        };
        let task = tokio::spawn(async move {
            stopped.run_until_cancelled_owned(broom.run()).await;
        });
        Tidying {
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Ends; what is left is done after the next start.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(failed) = task.await
        {
            error!("the tidying of files ended badly: {failed}");
        }
    }
}

struct Broom {
    store: Store,
    files: Arc<Files>,
    deleted: Arc<Deleted>,
}

impl Broom {
    async fn run(self) {
        loop {
            if let Err(error) = self.look().await {
                warn!("files that nobody needs are still there: {error}");
            }
            let look_next = tokio::time::Instant::now() + LOOK_EVERY;
            while tokio::time::timeout_at(look_next, self.deleted.arrived.notified())
                .await
                .is_ok()
            {
                let messages = std::mem::take(&mut *self.deleted.messages.lock());
                if let Err(error) = self.remove_of(&messages).await {
                    warn!("files of deleted messages are still there: {error}");
                }
            }
        }
    }

    /// Files of messages that were deleted when nobody listened, and files that never got one.
    async fn look(&self) -> Result<(), ChatError> {
        loop {
            let rows = self.store.attachments_of_deleted(AT_ONCE).await?;
            let is_last = (rows.len() as u64) < AT_ONCE;
            self.remove(rows).await?;
            if is_last {
                break;
            }
        }
        let before = SystemTime::now() - OLD_AFTER;
        let old = self
            .files
            .uploads
            .older_than(before)
            .await
            .map_err(failed)?;
        let (mut orphans, mut named, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
        for name in old {
            if name.starts_with('.') {
                orphans.push(name);
            } else if name.starts_with(FILE_PREFIX) {
                named.push(name);
            } else if avatars::of_file(&name).is_some() {
                pictures.push(name);
            }
        }
        for names in named.chunks(AT_ONCE as usize) {
            let known = self.store.known_files(names).await?;
            orphans.extend(names.iter().filter(|name| !known.contains(name)).cloned());
        }
        for names in pictures.chunks(AT_ONCE as usize) {
            orphans.extend(self.not_shown(names).await?);
        }
        for name in &orphans {
            self.files.uploads.remove(name).await.map_err(failed)?;
        }
        if !orphans.is_empty() {
            let files = orphans.len();
            info!(files, "{files} files that nobody needs are removed");
        }
        Ok(())
    }

    /// Those of these pictures that their users show no more.
    async fn not_shown(&self, names: &[String]) -> Result<Vec<String>, ChatError> {
        let of: Vec<_> = names
            .iter()
            .filter_map(|name| avatars::of_file(name))
            .collect();
        let users: Vec<UserId> = of.iter().map(|(user, _)| *user).collect();
        let users = self.store.find_users(&users).await?;
        let is_shown = |name: &String| {
            let (user, hash) = avatars::of_file(name)?;
            let user = users.iter().find(|row| row.id == user)?;
            (user.avatar.as_deref() == Some(hash)).then_some(())
        };
        Ok(names
            .iter()
            .filter(|name| is_shown(name).is_none())
            .cloned()
            .collect())
    }

    async fn remove_of(&self, messages: &[MessageId]) -> Result<(), ChatError> {
        for messages in messages.chunks(AT_ONCE as usize) {
            let rows = self.store.attachments_of(messages).await?;
            self.remove(rows).await?;
        }
        Ok(())
    }

    /// First from the disk, then from the table: what is forgotten is gone.
    async fn remove(&self, rows: Vec<attachment::Model>) -> Result<(), ChatError> {
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            self.files.uploads.remove(&row.file).await.map_err(failed)?;
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        Ok(self.store.forget_attachments(&ids).await?)
    }
}

fn failed(cause: std::io::Error) -> ChatError {
    warn!("a file could not be removed: {cause}");
    ChatError::Unavailable
}
