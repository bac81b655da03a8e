//! The domain: what a chat is and what may happen in it. Every edge asks here, and nothing decides elsewhere.
//!
//! Here: users, sessions, chats, members, messages, reading, limits, and the writer that commits them in groups.
//! Not here: frames and dialects (`ws`), status codes and JSON (`rest`, `view`), SQL (`store`), delivery (`hub`).
//! Relies on: the writer alone takes numbers of a chat, under the chat row's lock (`writer.rs`).
//! Bounded by: the writer's queue (`QUEUE_JOBS_MAX`, `QUEUE_BYTES_MAX`), the caches' sizes, `Limits`.

mod account_names;
mod accounts;
mod actor;
mod attachments;
mod avatars;
mod chats;
mod content;
mod core;
mod django;
mod error;
mod event;
mod export;
mod follow;
mod history;
mod indexer;
mod limits;
mod members;
mod messages;
mod names;
mod opaque;
mod people;
mod reading;
mod recovery;
mod refresh;
mod revoked;
mod rooms;
mod search;
mod sessions;
mod signin;
mod standing;
mod support;
#[cfg(test)]
mod testing;
mod text;
mod throttle;
mod tidying;
mod users;
mod writer;

pub use accounts::Accounts;
pub use actor::Actor;
pub use attachments::{Attachment, Attachments, FileTold, Incoming, Served};
pub use avatars::Avatar;
pub use chats::{ChatListed, ChatPatch, Chats, Created, Entered, NewChat};
pub use django::{BesideDjango, LOOK_EVERY};
pub use error::{ChatError, Thing};
pub use event::{
    ChatEvent, ChatHead, ConnectionId, Departure, Message, Presence, Profile, Publish, What,
};
pub use export::{Changed, Exported, Exports, Membership, Reacted};
pub use follow::{Followed, FollowedChats};
pub use history::{Direction, History, KeysetPage, NumberedPage, PageNumber, Replay, Stretch};
pub use limits::Limits;
pub use members::{Member, Members};
pub use messages::{EditMessage, Messages, SendMessage, Sent};
pub use names::RoomName;
pub(crate) use names::folded as folded_name;
pub use opaque::{OpaqueKeys, OpaqueKind, OpaqueSession};
pub use reading::{Mark, ReadPosition, Reading};
pub use recovery::{AskRecovery, KnownData, Recovery};
pub use revoked::Revoked;
pub use search::{Found, Search, Searches};
pub use sessions::{
    AuthError, Means, PasswordError, SessionListed, SessionRules, Sessions, SignIn, SignInError,
    TokenPair,
};
pub use support::{Support, SupportListed};
pub use text::Text;
pub use users::{
    Account, Directory, NewUser, Online, Registration, StaffPatch, UserPage, UserPatch, UserRules,
    Users,
};

use std::sync::Arc;

use entity::Time;
use tokio::task::JoinHandle;
use tracing::warn;

use self::{
    attachments::Files,
    avatars::Avatars,
    core::Core,
    django::Django,
    indexer::{Indexer, Telling, Told},
    people::People,
    revoked::Revocations,
    tidying::{Deleted, Tidying},
    writer::Writer,
};

/// The domain's operations, by topic. One per node.
pub struct Domain {
    /// Accounts, profiles, blocks.
    pub users: Users,
    /// Getting back into an account whose password is lost.
    pub recovery: Recovery,
    /// Sign-ins, tokens, tickets.
    pub sessions: Sessions,
    /// Making, listing, changing and deleting chats.
    pub chats: Chats,
    /// Customers' support chats and their operators.
    pub support: Support,
    /// Who belongs to a chat.
    pub members: Members,
    /// Sending, editing, deleting, reacting.
    pub messages: Messages,
    /// How far members have read.
    pub reading: Reading,
    /// Pages of messages and what happened since.
    pub history: History,
    /// Looking for what was said.
    pub searches: Searches,
    /// Sending and fetching files.
    pub attachments: Attachments,
    /// Reading all that is held on oneself.
    pub exports: Exports,
    indexer: Indexer,
    tidying: Tidying,
    core: Arc<Core>,
    /// Tells the other nodes what was accepted here.
    recalls: JoinHandle<()>,
}

/// What the domain is built on.
pub struct Foundations {
    /// The database.
    pub store: crate::store::Store,
    /// How the writer's transactions end.
    pub commit: crate::store::Commit,
    /// Who takes the writer's events further.
    pub publish: Arc<dyn Publish>,
    /// What users may do how often.
    pub limits: Limits,
    /// What tokens, tickets and passwords are made and checked with.
    pub means: Means,
    /// How long sign-ins last.
    pub rules: SessionRules,
    /// How users come and what they see of each other.
    pub user_rules: UserRules,
    /// Who has a socket open.
    pub online: Online,
    /// Where files are kept.
    pub uploads: crate::store::Uploads,
    /// The largest picture that is taken, in bytes.
    pub avatar_bytes_max: usize,
    /// The largest file that is taken, in bytes.
    pub attachment_bytes_max: u64,
    /// Signs the files' addresses.
    pub links: crate::auth::links::Links,
    /// Recovery codes.
    pub codes: crate::auth::RecoveryCodes,
    /// Sends them; without, nobody is sent one.
    pub mailer: Option<crate::mail::Mailer>,
    /// What this node and the others hold in common.
    pub lease: Arc<dyn crate::lease::Lease>,
    /// The project that owns the accounts, where one does.
    pub django: Option<BesideDjango>,
    /// Refresh tokens that a Django project has blacklisted.
    pub blacklist: Option<crate::store::DjangoBlacklist>,
}

impl Domain {
    /// Starts the writer and reads into memory what a start needs: sessions that ended, the last minute's sends.
    pub async fn start(on: Foundations) -> Result<Domain, ChatError> {
        let people = Arc::new(People::new(on.store.clone()));
        let (told, deleted) = (Arc::new(Told::default()), Arc::new(Deleted::default()));
        let telling = Telling {
            told: told.clone(),
            deleted: deleted.clone(),
            hubs: on.publish.clone(),
        };
        let writer = Writer::start(
            on.store.clone(),
            on.commit,
            people.clone(),
            Arc::new(telling),
        );
        let revocations = Arc::new(Revocations::new(
            people.clone(),
            on.rules.access_lifetime + on.rules.leeway,
        ));
        let mut accounts = Accounts::open(on.store.clone(), on.means.hasher.clone());
        let files = Files::new(on.uploads.clone(), on.links, on.attachment_bytes_max);
        let files = Arc::new(files);
        let mut core = Core::new(
            on.store,
            writer,
            people,
            on.limits,
            on.publish,
            on.lease,
            files.clone(),
        );
        core.blacklist = on.blacklist;
        if let Some(beside) = on.django {
            let django = Django::new(beside, core.store.clone(), revocations.clone());
            django.load().await?;
            let django = Arc::new(django);
            accounts = accounts.of_django(django.clone());
            core.django = Some(django);
        }
        let core = Arc::new(core);
        core.store.read_clock().await?;
        core.remember_sends().await?;
        let recalling = core.clone();
        let recalls = tokio::spawn(async move { recalling.common.keep_recalling().await });
        let recovery = Recovery::start(
            core.clone(),
            accounts.clone(),
            revocations.clone(),
            on.codes,
            on.mailer,
        );
        let users = Users::new(
            core.clone(),
            accounts,
            revocations.clone(),
            on.user_rules,
            on.online,
            Avatars::new(on.uploads, on.avatar_bytes_max),
        );
        let sessions = Sessions::new(core.clone(), on.means, on.rules, revocations);
        sessions.load().await?;
        Ok(Domain {
            users,
            recovery,
            sessions,
            chats: Chats { core: core.clone() },
            support: Support { core: core.clone() },
            members: Members { core: core.clone() },
            messages: Messages { core: core.clone() },
            reading: Reading { core: core.clone() },
            history: History { core: core.clone() },
            searches: Searches { core: core.clone() },
            attachments: Attachments { core: core.clone() },
            exports: Exports { core: core.clone() },
            indexer: Indexer::start(core.store.clone(), told),
            tidying: Tidying::start(core.store.clone(), files, deleted),
            core,
            recalls,
        })
    }

    /// The database's clock.
    pub fn now(&self) -> Time {
        crate::store::database_time()
    }

    /// Looks what a Django beside us has changed, first of those who are connected. Every [`LOOK_EVERY`].
    pub async fn look_at_django(&self, connected: &[entity::UserId]) -> Result<(), ChatError> {
        match &self.core.django {
            Some(django) => Ok(django.look(connected).await?),
            None => Ok(()),
        }
    }

    /// Asks the database what time it is.
    pub(crate) async fn read_clock(&self) -> Result<(), ChatError> {
        Ok(self.core.store.read_clock().await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), ChatError> {
        Ok(self.core.store.ping().await?)
    }

    /// Finishes what the writer has and takes nothing more.
    pub async fn stop(&self) {
        self.recalls.abort();
        self.recovery.stop().await;
        self.indexer.stop().await;
        self.tidying.stop().await;
        self.core.writer.stop().await;
        if let Err(error) = self.users.write_seen().await {
            warn!("when users were last seen is not written: {error}");
        }
    }
}
