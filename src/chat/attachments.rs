//! Files that are sent to chats: each is a message whose text is the file's name.
//!
//! Bounded by: `bytes_max` of a file, `AT_ONCE` that come in at the same time, `AT_ONCE_OF_ONE` of them from one user.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{ChatId, ContentType, MessageId, Time, UserId, attachment, message};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;
use uuid::Uuid;

use crate::{
    auth::links::{LINK_LIFETIME, Links},
    chat::{
        Actor, ChatError, Message, Messages, SendMessage, Sent, Thing,
        content::{HEAD_BYTES, is_picture, media_type, safe_name},
        core::Core,
    },
    store::{Stored, Unfinished, Uploads, database_time},
};

/// Files that come in at once on a node.
const AT_ONCE: usize = 64;
/// Of one user: whoever lets files drip holds up their own.
const AT_ONCE_OF_ONE: usize = 4;
/// When somebody whose places are taken may try again, as they are told.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// What the names on the disk begin with, which nobody outside gives or learns.
pub(crate) const FILE_PREFIX: &str = "file-";

/// A file as it is shown with its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Names it.
    pub id: i64,
    /// As its sender called it, made safe.
    pub name: String,
    /// By its content.
    pub content_type: String,
    /// Its size.
    pub bytes: i64,
    /// Where it is fetched, by whoever has the address.
    pub url: String,
    /// When the address ends, in Unix seconds.
    pub expires: i64,
}

/// Where files are, who signs their addresses, how large they may be.
pub(crate) struct Files {
    pub(crate) uploads: Uploads,
    links: Links,
    bytes_max: u64,
    receiving: Arc<Semaphore>,
    senders: Mutex<HashMap<UserId, usize>>,
}

/// A right to send a file now, until it is dropped.
struct Place {
    files: Arc<Files>,
    user: UserId,
    _of_all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut senders = self.files.senders.lock();
        match senders.get_mut(&self.user) {
            Some(places) if *places > 1 => *places -= 1,
            _ => drop(senders.remove(&self.user)),
        }
    }
}

impl Files {
    pub(crate) fn new(uploads: Uploads, links: Links, bytes_max: u64) -> Self {
        Files {
            uploads,
            links,
            bytes_max,
            receiving: Arc::new(Semaphore::new(AT_ONCE)),
            senders: Mutex::default(),
        }
    }

    fn place(self: &Arc<Self>, user: UserId) -> Result<Place, ChatError> {
        let mut senders = self.senders.lock();
        let places = senders.get(&user).copied().unwrap_or_default();
        if places == AT_ONCE_OF_ONE {
            return Err(ChatError::TooManyRequests {
                retry_after: TRY_AGAIN_AFTER,
            });
        }
        let of_all = self.receiving.clone().try_acquire_owned();
        let of_all = of_all.map_err(|_| ChatError::Unavailable)?;
        senders.insert(user, places + 1);
        Ok(Place {
            files: self.clone(),
            user,
            _of_all: of_all,
        })
    }

    /// A file as it is shown now, with an address that holds from now on.
    pub(crate) fn shown(&self, row: attachment::Model, now: Time) -> Attachment {
        let expires = (now + LINK_LIFETIME).timestamp();
        let signature = self.links.sign(row.id, expires);
        let id = row.id;
        Attachment {
            id,
            name: row.name,
            content_type: row.content_type,
            bytes: row.bytes,
            url: format!("/api/attachments/{id}/?expires={expires}&signature={signature}"),
            expires,
        }
    }
}

/// A file that is on the disk under its name, on its way to its message.
#[derive(Clone)]
pub(crate) struct NewFile {
    pub(crate) name: String,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: i64,
    pub(crate) sha256: String,
    pub(crate) file: String,
    pub(crate) files: Arc<Files>,
}

/// A file that comes in, piece by piece. Dropped, nothing is left of it.
pub struct Incoming {
    unfinished: Unfinished,
    digest: Sha256,
    head: Vec<u8>,
    bytes: u64,
    bytes_max: u64,
    _place: Place,
}

impl Incoming {
    /// Takes the next piece; false where the file is too large with it.
    pub async fn write(&mut self, piece: &[u8]) -> Result<bool, ChatError> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.bytes_max {
            return Ok(false);
        }
        let missing = HEAD_BYTES - self.head.len();
        self.head
            .extend_from_slice(&piece[..piece.len().min(missing)]);
        self.digest.update(piece);
        self.unfinished.write(piece).await.map_err(failed)?;
        Ok(true)
    }
}

/// What is told of a file.
#[derive(Clone, Debug)]
pub struct FileTold {
    /// Where it is sent.
    pub chat: ChatId,
    /// As its sender calls it.
    pub name: String,
    /// The sender's own key: the same again gives the first message.
    pub client_id: Option<String>,
    /// A message of the same chat.
    pub reply_to: Option<MessageId>,
}

/// A file to be sent to whoever has its address.
pub struct Served {
    /// Its content.
    pub content: tokio::fs::File,
    /// Its size.
    pub bytes: u64,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub content_type: String,
}

/// Sending and fetching files.
pub struct Attachments {
    pub(super) core: Arc<Core>,
}

impl Attachments {
    /// The largest file that is taken, in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.core.files.bytes_max
    }

    /// Begins to take a file that somebody sends to a chat that they belong to.
    pub async fn receive(&self, actor: &Actor, chat: ChatId) -> Result<Incoming, ChatError> {
        self.core.standing(actor, chat).await?;
        let files = &self.core.files;
        let place = files.place(actor.id())?;
        Ok(Incoming {
            unfinished: files.uploads.begin().await.map_err(failed)?,
            digest: Sha256::new(),
            head: Vec::with_capacity(HEAD_BYTES),
            bytes: 0,
            bytes_max: files.bytes_max,
            _place: place,
        })
    }

    /// Sends a file that has come in, as a message. What comes back is committed, and the file is on the disk.
    pub async fn send(
        &self,
        actor: &Actor,
        incoming: Incoming,
        told: FileTold,
    ) -> Result<Sent, ChatError> {
        if incoming.bytes == 0 {
            return Err(ChatError::invalid("file", "The submitted file is empty."));
        }
        let content_type = media_type(&incoming.head);
        let file = NewFile {
            name: safe_name(&told.name),
            content_type,
            bytes: i64::try_from(incoming.bytes).unwrap_or(i64::MAX),
            sha256: hex(&incoming.digest.finalize()),
            file: format!("{FILE_PREFIX}{}", Uuid::new_v4().simple()),
            files: self.core.files.clone(),
        };
        // Before its message: who hears of it may fetch it.
        incoming
            .unfinished
            .finish(&file.file)
            .await
            .map_err(failed)?;
        let send = SendMessage {
            chat: told.chat,
            text: file.name.clone(),
            client_id: told.client_id,
            reply_to: told.reply_to,
            content_type: match is_picture(content_type) {
                true => ContentType::Picture,
                false => ContentType::File,
            },
        };
        let name = file.file.clone();
        let messages = Messages {
            core: self.core.clone(),
        };
        let sent = match messages.post_file(actor, send, Arc::new(file)) {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        // Of a send whose outcome nobody knows yet the file stays: it may have a message at last.
        let is_unknown = matches!(sent, Err(ChatError::Unavailable | ChatError::Store(_)));
        if !is_unknown && !matches!(sent, Ok(Sent { repeat: false, .. })) {
            self.core
                .files
                .uploads
                .remove(&name)
                .await
                .map_err(failed)?;
        }
        sent
    }

    /// The file that an address names, while that holds.
    pub async fn open(&self, id: i64, expires: i64, signature: &str) -> Result<Served, ChatError> {
        let files = &self.core.files;
        if !files.links.holds(id, expires, signature, database_time()) {
            return Err(ChatError::Forbidden("the address of a file doesn't hold"));
        }
        let missing = ChatError::NotFound(Thing::Attachment);
        let row = self.core.store.find_attachment(id).await?;
        let row = row.ok_or_else(|| missing.clone())?;
        let opened = files.uploads.open(&row.file).await.map_err(failed)?;
        let (content, bytes) = opened.ok_or(missing)?;
        Ok(Served {
            content,
            bytes,
            name: row.name,
            content_type: row.content_type,
        })
    }
}

impl Core {
    /// The files of those among the messages that have one: no query where there is none.
    pub(super) async fn attachments(
        &self,
        rows: impl Iterator<Item = &message::Model>,
    ) -> Stored<HashMap<MessageId, Arc<Attachment>>> {
        let have = |row: &&message::Model| row.content_type != ContentType::Text && !row.is_deleted;
        let messages: Vec<MessageId> = rows.filter(have).map(|row| row.id).collect();
        let rows = self.store.attachments_of(&messages).await?;
        let now = database_time();
        let shown = |row: attachment::Model| (row.message_id, Arc::new(self.files.shown(row, now)));
        Ok(rows.into_iter().map(shown).collect())
    }

    /// A message that was read without its file, with it.
    pub(super) async fn repeated(
        self: Arc<Self>,
        message: Arc<Message>,
    ) -> Result<Arc<Message>, ChatError> {
        if message.content_type == ContentType::Text || message.is_deleted {
            return Ok(message);
        }
        // In a task: connections keep the answer's future in places that the driver's can't be in.
        let id = message.id;
        let looked = tokio::spawn(async move {
            let found = self.store.attachments_of(&[id]).await?.pop();
            Ok::<_, ChatError>(found.map(|row| self.files.shown(row, database_time())))
        });
        let attachment = looked.await.map_err(|_| ChatError::Unavailable)??;
        Ok(Arc::new(Message {
            attachment: attachment.map(Arc::new),
            ..Message::clone(&message)
        }))
    }
}

fn failed(cause: std::io::Error) -> ChatError {
    error!("a file could not be kept or read: {cause}");
    ChatError::Unavailable
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
