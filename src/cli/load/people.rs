//! Users and chats for a load, within seconds: users in bulk by `tertulia user create`, their tokens
//! signed here, chats over REST.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};

use super::{
    dialect::Dialect,
    error::LoadError,
    http::{Http, Request},
    progress::Progress,
    target::Target,
};
use crate::{data_dir::DataDir, settings::Secret};

/// Requests that make chats, at a time.
const REQUESTS_AT_A_TIME: usize = 16;
/// Longer than any load.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How users are made and tokens signed.
#[derive(clap::Args, Debug)]
pub(super) struct People {
    /// The key that signs tokens: the service's own; by default the one in its data directory
    #[arg(long, value_name = "KEY", value_parser = Secret::parse, global = true)]
    secret_key: Option<Secret>,
    /// A file that holds the key instead
    #[arg(long, value_name = "PATH", global = true)]
    secret_key_file: Option<PathBuf>,
    /// The service's data directory, where neither is given
    #[arg(long, value_name = "PATH", default_value = "./data", global = true)]
    data_dir: PathBuf,
    /// Users that are there already, with ids from this one on; else `tertulia user create` makes
    /// them, in the database that the environment names
    #[arg(long, value_name = "ID", global = true)]
    first_user: Option<u64>,
}

/// A place that a connection can take.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) path: String,
    /// None where nobody asks: at the limit server.
    pub(super) token: Option<String>,
    pub(super) dialect: Dialect,
    /// What is said before anything is heard.
    pub(super) first_words: Vec<String>,
}

/// A chat and its members.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) id: u64,
    /// 0 where it isn't known.
    pub(super) owner: u64,
    pub(super) seats: Vec<Seat>,
}

/// As simplejwt writes an access token.
#[derive(Serialize)]
struct Claims {
    token_type: &'static str,
    exp: u64,
    iat: u64,
    jti: String,
    user_id: String,
}

#[derive(Deserialize)]
struct Created {
    first_id: u64,
}

#[derive(Deserialize)]
struct NewChat {
    id: u64,
}

/// Signs tokens with the service's key.
pub(super) struct Signer {
    key: EncodingKey,
    now: u64,
}

impl Signer {
    pub(super) fn token(&self, user: u64) -> Result<String, LoadError> {
        let claims = Claims {
            token_type: "access",
            exp: self.now + TOKEN_LIFETIME.as_secs(),
            iat: self.now,
            jti: uuid::Uuid::new_v4().simple().to_string(),
            user_id: user.to_string(),
        };
        Ok(encode(&Header::new(Algorithm::HS256), &claims, &self.key)?)
    }
}

impl People {
    pub(super) fn signer(&self) -> Result<Signer, LoadError> {
        let secret = match (&self.secret_key, &self.secret_key_file) {
            (Some(secret), _) => secret.reveal().to_owned(),
            (None, Some(path)) => read_secret(path.clone())?,
            (None, None) => read_secret(DataDir::open(&self.data_dir)?.secret_path())?,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        Ok(Signer {
            key: EncodingKey::from_secret(secret.as_bytes()),
            now,
        })
    }

    /// So many chats with so many members each, and nobody in two of them.
    pub(super) async fn meet(
        &self,
        target: &Target,
        chats: usize,
        members: usize,
    ) -> Result<Vec<Chat>, LoadError> {
        self.meet_in(Dialect::Chat, target, chats, members).await
    }

    /// The same, where all but the first member of a chat hear it in this dialect.
    pub(super) async fn meet_in(
        &self,
        dialect: Dialect,
        target: &Target,
        chats: usize,
        members: usize,
    ) -> Result<Vec<Chat>, LoadError> {
        if target.is_limit {
            return Ok((0..chats as u64)
                .map(|id| Chat::nowhere(id, members))
                .collect());
        }
        let users = match self.first_user {
            Some(_) if dialect == Dialect::Lobby => {
                return Err(LoadError::Arguments(
                    "the lobby's frames name their users: let the load make them",
                ));
            }
            Some(first_id) => Users {
                first_id,
                prefix: None,
            },
            None => create_users(chats * members, dialect == Dialect::Support)?,
        };
        let meeting = Meeting {
            target,
            signer: self.signer()?,
            dialect,
            chats,
            members,
            users,
            progress: Progress::start("making chats", chats),
        };
        let at_work = (0..REQUESTS_AT_A_TIME.min(chats)).map(|first| meeting.make_chats(first));
        let made: Vec<Vec<(usize, Chat)>> = stream::iter(at_work)
            .buffer_unordered(REQUESTS_AT_A_TIME)
            .try_collect()
            .await?;
        let mut made: Vec<_> = made.into_iter().flatten().collect();
        made.sort_by_key(|(number, _)| *number);
        Ok(made.into_iter().map(|(_, chat)| chat).collect())
    }
}

/// Users whose ids follow each other, as do the numbers in their names.
struct Users {
    first_id: u64,
    /// Of their names; none where they were there already.
    prefix: Option<String>,
}

/// Chats that are being made.
struct Meeting<'a> {
    target: &'a Target,
    signer: Signer,
    dialect: Dialect,
    chats: usize,
    members: usize,
    users: Users,
    progress: Progress,
}

impl Meeting<'_> {
    /// Every `REQUESTS_AT_A_TIME`th chat, beginning with `first`, over one connection.
    async fn make_chats(&self, first: usize) -> Result<Vec<(usize, Chat)>, LoadError> {
        let mut http = Http::connect(self.target, first).await?;
        let mut made = Vec::new();
        for number in (first..self.chats).step_by(REQUESTS_AT_A_TIME) {
            made.push((number, self.make_chat(number, &mut http).await?));
            self.progress.step();
        }
        Ok(made)
    }

    async fn make_chat(&self, number: usize, http: &mut Http) -> Result<Chat, LoadError> {
        let first_place = (number * self.members) as u64;
        let owner = self.users.first_id + first_place;
        let tokens: Vec<_> = (owner..owner + self.members as u64)
            .map(|user| self.signer.token(user))
            .collect::<Result<_, _>>()?;
        let others: Vec<u64> = (owner + 1..owner + self.members as u64).collect();
        let name = format!("load-{owner}");
        let body = self.dialect.new_chat(&name, &others);
        let request = Request::post(self.target, "/api/chats/", &tokens[0], &body.to_string());
        let answer = http.request(&request).await?;
        let NewChat { id } = serde_json::from_slice(&answer)
            .map_err(|_| LoadError::Protocol("a new chat without an id"))?;
        let seats = tokens.into_iter().enumerate().map(|(place, token)| {
            // Who sends does so in the chat dialect.
            let dialect = if place == 0 {
                Dialect::Chat
            } else {
                self.dialect
            };
            let username = self.users.name(first_place + place as u64);
            Seat {
                path: dialect.path(id, &name),
                first_words: dialect.first_words(&name, &username, &token),
                token: Some(token),
                dialect,
            }
        });
        Ok(Chat {
            id,
            owner,
            seats: seats.collect(),
        })
    }
}

impl Users {
    fn name(&self, place: u64) -> String {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        format!("{prefix}{}", place + 1)
    }
}

impl Chat {
    /// At the limit server, where any path is a chat.
    fn nowhere(id: u64, members: usize) -> Self {
        Self::with_seats(id, vec![None; members])
    }

    /// One that is there already, and a seat for each of these tokens.
    pub(super) fn known(id: u64, tokens: Vec<String>) -> Self {
        Self::with_seats(id, tokens.into_iter().map(Some).collect())
    }

    fn with_seats(id: u64, tokens: Vec<Option<String>>) -> Self {
        let seats = tokens.into_iter().map(|token| Seat {
            path: Dialect::Chat.path(id, ""),
            token,
            dialect: Dialect::Chat,
            first_words: Vec::new(),
        });
        Self {
            id,
            owner: 0,
            seats: seats.collect(),
        }
    }
}

fn create_users(count: usize, are_staff: bool) -> Result<Users, LoadError> {
    let failed = |cause: &dyn ToString| LoadError::Users(cause.to_string());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let prefix = format!("load{now}_");
    let program = env::current_exe().map_err(|cause| failed(&cause))?;
    let answer = Command::new(program)
        .args(["user", "create", "--json", "--count", &count.to_string()])
        .args(["--prefix", &prefix])
        .args(are_staff.then_some("--staff"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| failed(&cause))?;
    if !answer.status.success() {
        return Err(failed(&answer.status));
    }
    let created: Created =
        serde_json::from_slice(&answer.stdout).map_err(|cause| failed(&cause))?;
    Ok(Users {
        first_id: created.first_id,
        prefix: Some(prefix),
    })
}

fn read_secret(path: PathBuf) -> Result<String, LoadError> {
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(key.trim_end().to_owned()),
        Err(cause) => Err(LoadError::SecretKey { path, cause }),
    }
}
