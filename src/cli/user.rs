//! `user`: what those who run the service do to accounts. The same operations as everywhere, in
//! this process; a service that runs meanwhile learns of it by its sweep, within 3 s.

mod password;

use std::time::Duration;

use clap::{Args, Subcommand};
use migration::{Migrator, MigratorTrait};
use serde_json::json;

use super::{Outcome, Place, open_store, print};
use crate::{
    auth::{PasswordHasher, Passwords as StoredPasswords, RecoveryCodes, Secret},
    chat::{Accounts, ChatError, NewUser, Thing},
    data_dir::DataDir,
    logging, service,
    settings::{Passwords, Tokens},
};

/// `tertulia user ...`.
#[derive(Args, Debug)]
pub struct User {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    passwords: Passwords,
    #[command(flatten)]
    tokens: Box<Tokens>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user, or many for measuring
    Create(Create),
    /// Set a user's password; ends their sign-ins
    Password {
        /// The user's name
        name: String,
        /// Read the password from the standard input, even if that is a terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// Make a user an operator, who answers support chats and may use the admin operations
    Staff {
        /// The user's name
        name: String,
        /// No operator any more
        #[arg(long)]
        off: bool,
    },
    /// Deactivate a user; ends their sign-ins
    Deactivate {
        /// The user's name
        name: String,
    },
    /// Print a code that gives the account another password, within 15 minutes
    Recover {
        /// The user's name
        name: String,
    },
    /// End all of a user's sign-ins
    Signout {
        /// The user's name
        name: String,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// The user's name
    #[arg(required_unless_present = "count")]
    name: Option<String>,
    /// An operator, who answers support chats and may use the admin operations
    #[arg(long)]
    staff: bool,
    /// The user's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Read the password from the standard input, even if that is a terminal
    #[arg(long)]
    password_stdin: bool,
    /// Make so many users at once, with one stored password; without --password-stdin they have
    /// none and are signed in by signing tokens for them
    #[arg(long, value_name = "NUMBER", requires = "prefix")]
    #[arg(conflicts_with_all = ["name", "email"])]
    count: Option<u64>,
    /// What the names of so many begin with; a number follows
    #[arg(long, value_name = "TEXT", requires = "count")]
    prefix: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl User {
    pub(super) async fn run(self) -> Outcome {
        logging::start(&self.place.logging);
        // Asked for before the database is opened: nothing waits while somebody types.
        let password = match &self.action {
            Action::Create(create) if create.count.is_some() && !create.password_stdin => None,
            Action::Create(Create { password_stdin, .. })
            | Action::Password { password_stdin, .. } => Some(password::read(*password_stdin)?),
            Action::Staff { .. }
            | Action::Deactivate { .. }
            | Action::Recover { .. }
            | Action::Signout { .. } => None,
        };
        let hasher = PasswordHasher::new(service::passwords(&self.passwords));
        let accounts = open(&self.place, hasher.clone()).await?;
        let done = match self.action {
            Action::Create(create) => create.run(&accounts, &hasher, password).await?,
            Action::Password { name, .. } => {
                let set = accounts
                    .set_password(&name, &password.unwrap_or_default())
                    .await;
                set.map_err(|errors| told(&name, &errors))?;
                format!("{name}: the password is set, and all sign-ins have ended")
            }
            Action::Staff { name, off } => {
                let set = accounts.set_staff(&name, !off).await;
                set.map_err(|error| told(&name, &[error]))?;
                let is_now = if off { "no operator" } else { "an operator" };
                format!("{name} is {is_now} now")
            }
            Action::Deactivate { name } => {
                let set = accounts.set_active(&name, false).await;
                set.map_err(|error| told(&name, &[error]))?;
                format!("{name} is deactivated, and all sign-ins have ended")
            }
            Action::Recover { name } => {
                // The service's own secret: it looks for the code by it.
                let data_dir = DataDir::open(&self.place.storage.data_dir)?;
                let secret = data_dir.secret_key(&self.tokens)?;
                let codes = RecoveryCodes::new(&Secret::new(secret.reveal()));
                let code = accounts.recovery_code(&name, &codes).await;
                code.map_err(|error| told(&name, &[error]))?
            }
            Action::Signout { name } => {
                let ended = accounts.sign_out(&name).await;
                ended.map_err(|error| told(&name, &[error]))?;
                format!("{name}: all sign-ins have ended")
            }
        };
        print(&format!("{done}\n"))
    }
}

impl Create {
    async fn run(
        self,
        accounts: &Accounts,
        hasher: &PasswordHasher,
        password: Option<String>,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        if let (Some(prefix), Some(count)) = (&self.prefix, self.count) {
            let stored = match password {
                Some(password) => hasher.hash(password).await?,
                None => StoredPasswords::unusable(),
            };
            let made = accounts
                .create_many(prefix, count, &stored, self.staff)
                .await;
            let (first, count) = made.map_err(|error| told(prefix, &[error]))?;
            return Ok(match self.json {
                true => json!({"first_id": first.0, "count": count}).to_string(),
                false => format!("{count} users, {prefix}1 has the id {first}"),
            });
        }
        let new = NewUser {
            username: self.name.unwrap_or_default(),
            password: password.unwrap_or_default(),
            email: self.email.unwrap_or_default(),
            ..NewUser::default()
        };
        let name = new.username.clone();
        let made = accounts.create(new, self.staff).await;
        let made = made.map_err(|errors| told(&name, &errors))?.profile;
        Ok(match self.json {
            true => json!({"id": made.id.0, "username": made.username}).to_string(),
            false => format!("{} has the id {}", made.username, made.id),
        })
    }
}

/// The accounts of the data directory, whose tables are made where they are not there yet.
async fn open(
    place: &Place,
    hasher: PasswordHasher,
) -> Result<Accounts, Box<dyn std::error::Error + Send + Sync>> {
    let data_dir = DataDir::open(&place.storage.data_dir)?;
    let store = open_store(data_dir.database_url(&place.storage.database_url)?).await?;
    let pending = Migrator::get_pending_migrations_read_only(store.write()).await?;
    if !pending.is_empty() {
        let _alone = match place.storage.database_url.is_file() {
            true => Some(data_dir.lock(Duration::ZERO).await?),
            false => None,
        };
        migration::up(store.write()).await?;
    }
    Ok(Accounts::open(store, hasher))
}

/// What is told of a user whom nothing was done to.
fn told(name: &str, errors: &[ChatError]) -> String {
    let reasons = errors.iter().map(|error| match error {
        ChatError::NotFound(Thing::User) => "no such user".to_owned(),
        other => other.to_string(),
    });
    format!("{name}: {}", reasons.collect::<Vec<_>>().join("; "))
}
