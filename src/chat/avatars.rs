//! Users' pictures of themselves.
//!
//! Bounded by: `bytes_max` of what is sent, `AT_ONCE` that are decoded and `WAITING_MAX` that wait for it.

use entity::UserId;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::{error, warn};

use crate::{
    chat::{Account, Actor, ChatError, Thing, Users},
    picture,
    store::Uploads,
};

/// Pictures that are decoded at once: each may take a core and 128 MiB.
const AT_ONCE: usize = 2;
/// Pictures that are held, waiting for that.
const WAITING_MAX: usize = 16;

/// Where pictures are kept, and how much work they may make.
pub(crate) struct Avatars {
    uploads: Uploads,
    bytes_max: usize,
    waiting: Semaphore,
    decoding: Semaphore,
}

/// A picture as it is served.
#[derive(Clone, Debug)]
pub struct Avatar {
    /// The file.
    pub bytes: Vec<u8>,
    /// Names its content.
    pub hash: String,
    /// `image/jpeg` or `image/png`.
    pub media_type: &'static str,
}

impl Avatars {
    pub(crate) fn new(uploads: Uploads, bytes_max: usize) -> Self {
        Avatars {
            uploads,
            bytes_max,
            waiting: Semaphore::new(WAITING_MAX),
            decoding: Semaphore::new(AT_ONCE),
        }
    }

    /// The picture as it will be served, made on a thread for such work.
    async fn encoded_anew(&self, sent: Vec<u8>) -> Result<Vec<u8>, ChatError> {
        if sent.len() > self.bytes_max {
            let reason = format!("The image has more than {} bytes.", self.bytes_max);
            return Err(ChatError::invalid("avatar", reason));
        }
        let busy = |_| ChatError::Unavailable;
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        let _decoding = self
            .decoding
            .acquire()
            .await
            .map_err(|_| ChatError::Unavailable)?;
        let encoding = tokio::task::spawn_blocking(move || picture::encoded_anew(&sent)).await;
        let encoded = encoding.map_err(|cause| {
            error!("a picture could not be decoded: {cause}");
            ChatError::invalid("avatar", picture::PictureError::NoPicture.to_string())
        })?;
        encoded.map_err(|fault| ChatError::invalid("avatar", fault.to_string()))
    }

    /// An old picture isn't needed any more.
    pub(super) async fn remove(&self, user: UserId, hash: &str) {
        if let Err(cause) = self.uploads.remove(&file_name(user, hash)).await {
            warn!(%user, "user {user}: an old picture is still there: {cause}");
        }
    }
}

impl Users {
    /// The largest picture that is taken, in bytes.
    pub fn avatar_bytes_max(&self) -> usize {
        self.avatars.bytes_max
    }

    /// Shows this picture of the caller from now on: PNG, JPEG or WebP, which is encoded anew.
    pub async fn set_avatar(&self, actor: &Actor, sent: Vec<u8>) -> Result<Account, ChatError> {
        let encoded = self.avatars.encoded_anew(sent).await?;
        let digest = Sha256::digest(&encoded);
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = file_name(actor.id(), &hash);
        let put = self.avatars.uploads.put(&name, &encoded).await;
        put.map_err(|cause| {
            error!("a picture could not be written: {cause}");
            ChatError::Unavailable
        })?;
        // Where it isn't shown after all (another was set at the same time, the account has ended), it is found by
        // whoever tidies up.
        self.change_avatar(actor, Some(hash)).await
    }

    /// Shows no picture of the caller any more.
    pub async fn delete_avatar(&self, actor: &Actor) -> Result<(), ChatError> {
        self.change_avatar(actor, None).await.map(drop)
    }

    /// Somebody's picture, for everybody who has its address.
    pub async fn avatar(&self, user: UserId) -> Result<Avatar, ChatError> {
        let hash = self.row(user).await?.avatar;
        let hash = hash.ok_or(ChatError::NotFound(Thing::User))?;
        let read = self.avatars.uploads.read(&file_name(user, &hash)).await;
        let bytes = read.map_err(|cause| {
            error!(%user, "user {user}: the picture could not be read: {cause}");
            ChatError::Unavailable
        })?;
        let bytes = bytes.ok_or(ChatError::NotFound(Thing::User))?;
        Ok(Avatar {
            media_type: picture::media_type(&bytes),
            bytes,
            hash,
        })
    }

    async fn change_avatar(
        &self,
        actor: &Actor,
        hash: Option<String>,
    ) -> Result<Account, ChatError> {
        let old = self.row(actor.id()).await?.avatar;
        let account = self.put_avatar(actor, hash.clone()).await?;
        if let Some(old) = old.filter(|old| Some(old) != hash.as_ref()) {
            self.avatars.remove(actor.id(), &old).await;
        }
        Ok(account)
    }
}

/// What pictures' names on the disk begin with.
const AVATAR_PREFIX: &str = "avatar-";

fn file_name(user: UserId, hash: &str) -> String {
    format!("{AVATAR_PREFIX}{user}-{hash}")
}

/// Whose picture a file on the disk is, and its hash; none where it is no picture.
pub(super) fn of_file(name: &str) -> Option<(UserId, &str)> {
    let (user, hash) = name.strip_prefix(AVATAR_PREFIX)?.split_once('-')?;
    Some((UserId(user.parse().ok()?), hash))
}
