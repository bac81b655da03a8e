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
use serde_json::json;

use super::{
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
}

/// A chat and its members.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) id: u64,
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
        if target.is_limit {
            return Ok((0..chats as u64)
                .map(|id| Chat::nowhere(id, members))
                .collect());
        }
        let signer = self.signer()?;
        let first_user = match self.first_user {
            Some(id) => id,
            None => create_users(chats * members)?,
        };
        let progress = Progress::start("making chats", chats);
        let mut at_work = Vec::new();
        for number in 0..REQUESTS_AT_A_TIME.min(chats) {
            at_work.push(make_chats(
                target, &signer, number, chats, members, first_user, &progress,
            ));
        }
        let made: Vec<Vec<(usize, Chat)>> = stream::iter(at_work)
            .buffer_unordered(REQUESTS_AT_A_TIME)
            .try_collect()
            .await?;
        let mut made: Vec<_> = made.into_iter().flatten().collect();
        made.sort_by_key(|(number, _)| *number);
        Ok(made.into_iter().map(|(_, chat)| chat).collect())
    }
}

impl Chat {
    /// At the limit server, where any path is a chat.
    fn nowhere(id: u64, members: usize) -> Self {
        let seat = Seat {
            path: path(id),
            token: None,
        };
        Self {
            id,
            owner: 0,
            seats: vec![seat; members],
        }
    }
}

/// Every `REQUESTS_AT_A_TIME`th chat, beginning with `number`, over one connection.
async fn make_chats(
    target: &Target,
    signer: &Signer,
    number: usize,
    chats: usize,
    members: usize,
    first_user: u64,
    progress: &Progress,
) -> Result<Vec<(usize, Chat)>, LoadError> {
    let mut http = Http::connect(target, number).await?;
    let mut made = Vec::new();
    for number in (number..chats).step_by(REQUESTS_AT_A_TIME) {
        let owner = first_user + (number * members) as u64;
        let users = owner..owner + members as u64;
        let tokens: Vec<_> = users
            .clone()
            .map(|user| signer.token(user))
            .collect::<Result<_, _>>()?;
        let others: Vec<u64> = users.skip(1).collect();
        let body = json!({"kind": "group", "name": format!("load {number}"), "members": others});
        let request = Request::post(target, "/api/chats/", &tokens[0], &body.to_string());
        let answer = http.request(&request).await?;
        let NewChat { id } = serde_json::from_slice(&answer)
            .map_err(|_| LoadError::Protocol("a new chat without an id"))?;
        let seats = tokens.into_iter().map(|token| Seat {
            path: path(id),
            token: Some(token),
        });
        made.push((
            number,
            Chat {
                id,
                owner,
                seats: seats.collect(),
            },
        ));
        progress.step();
    }
    Ok(made)
}

fn path(chat: u64) -> String {
    format!("/ws/chat/{chat}/")
}

/// The id of the first of so many new users, whose ids follow each other.
fn create_users(count: usize) -> Result<u64, LoadError> {
    let failed = |cause: &dyn ToString| LoadError::Users(cause.to_string());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let program = env::current_exe().map_err(|cause| failed(&cause))?;
    let answer = Command::new(program)
        .args(["user", "create", "--json", "--count", &count.to_string()])
        .args(["--prefix", &format!("load{now}_")])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| failed(&cause))?;
    if !answer.status.success() {
        return Err(failed(&answer.status));
    }
    let created: Created =
        serde_json::from_slice(&answer.stdout).map_err(|cause| failed(&cause))?;
    Ok(created.first_id)
}

fn read_secret(path: PathBuf) -> Result<String, LoadError> {
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(key.trim_end().to_owned()),
        Err(cause) => Err(LoadError::SecretKey { path, cause }),
    }
}
