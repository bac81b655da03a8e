//! Making and changing accounts, whoever asks: the service, or the command line beside it.
//!
//! Not here: who may ask, and what a change means to this node's memory and sockets (`users.rs`). A service that runs
//! beside the command line learns of its changes by the sweep.

use std::sync::Arc;

use entity::{SessionId, Time, UserId, recovery, user};

use crate::{
    auth::{PasswordHasher, PasswordPolicy, Person},
    chat::{
        Account, ChatError, NewUser, Thing, UserPatch,
        account_names::{self, EMAIL_TAKEN, USERNAME_TAKEN, deleted_username},
        django::Django,
        people::is_deleted,
    },
    store::{AccountChange, Keyed, NewAccountRow, Store, StoreError, Stored, Taken, database_time},
};

/// The accounts of a database.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    hasher: PasswordHasher,
    /// The project that owns them, where one does.
    django: Option<Arc<Django>>,
}

/// An account after a change, and the sessions that ended with it.
pub(crate) struct Changed {
    pub(crate) row: user::Model,
    pub(crate) ended: Vec<SessionId>,
    /// When, by the database's clock.
    pub(crate) at: Time,
}

impl Accounts {
    /// Those of this database, whose new passwords are stored as `hasher` does.
    pub fn open(store: Store, hasher: PasswordHasher) -> Self {
        Self {
            store,
            hasher,
            django: None,
        }
    }

    /// The same, which a Django project owns: what is made or changed is so there first.
    pub(crate) fn of_django(self, django: Arc<Django>) -> Self {
        Self {
            django: Some(django),
            ..self
        }
    }

    /// Makes an account. All field errors at once.
    pub async fn create(&self, new: NewUser, is_staff: bool) -> Result<Account, Vec<ChatError>> {
        let mut faults = Faults::default();
        let username = faults.of("username", account_names::username(&new.username));
        let email = faults.of("email", account_names::email(&new.email));
        let first_name = faults.of("first_name", account_names::personal(&new.first_name));
        let last_name = faults.of("last_name", account_names::personal(&new.last_name));
        let taken = self
            .store
            .find_taken(username.as_ref(), email.as_ref(), None)
            .await;
        faults.taken(taken.map_err(alone)?);
        faults.add_all("password", password_faults(&new));
        let (Some(username), Some(email), Some(first_name), Some(last_name), true) =
            (username, email, first_name, last_name, faults.0.is_empty())
        else {
            return Err(faults.0);
        };
        let password = self.hash(new.password).await.map_err(|error| vec![error])?;
        let row = NewAccountRow {
            username,
            password,
            email,
            first_name,
            last_name,
            is_staff,
            joined_at: database_time(),
        };
        let names = (Some(row.username.clone()), Some(row.email.clone()));
        match self.insert(row).await {
            Ok(row) => Ok(Account::of(row, None)),
            Err(error) => Err(self.refused(error, names, None).await),
        }
    }

    /// Makes the accounts `prefix1` to `prefix<count>` with one stored password, for tests under load. Returns the
    /// first one's id, which the others' follow, and how many there are.
    pub async fn create_many(
        &self,
        prefix: &str,
        count: u64,
        password_hash: &str,
        is_staff: bool,
    ) -> Result<(UserId, u64), ChatError> {
        let first_fault = |mut faults: Vec<String>| faults.swap_remove(0);
        // The longest of the names stands for all.
        account_names::username(&format!("{prefix}{count}"))
            .map_err(|faults| ChatError::invalid("username", first_fault(faults)))?;
        let prefix = account_names::username(prefix)
            .map_err(|faults| ChatError::invalid("username", first_fault(faults)))?;
        let now = database_time();
        let made = self
            .store
            .insert_accounts(&prefix, count, password_hash, is_staff, now)
            .await;
        match made {
            Ok(Some(first)) => Ok((first, count)),
            Ok(None) => Err(ChatError::invalid("count", "There is nobody to be made.")),
            Err(StoreError::Duplicate(_)) => Err(ChatError::invalid("username", USERNAME_TAKEN)),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives an account another password. All its sign-ins end.
    pub async fn set_password(&self, username: &str, new: &str) -> Result<(), Vec<ChatError>> {
        let row = self.named(username).await.map_err(|error| vec![error])?;
        let faults = PasswordPolicy::default().faults(new, &Person::from(&row));
        if !faults.is_empty() {
            let faults = faults.into_iter();
            return Err(faults
                .map(|fault| ChatError::invalid("password", fault))
                .collect());
        }
        let password = self.hash(new.to_owned()).await;
        let change = AccountChange {
            password: Some(password.map_err(|error| vec![error])?),
            ends_sign_ins: true,
            ..AccountChange::default()
        };
        let changed = self.change(row.id, change).await;
        changed.map(drop).map_err(|error| vec![error])
    }

    /// Makes an operator, or a user like others.
    pub async fn set_staff(&self, username: &str, is_staff: bool) -> Result<(), ChatError> {
        let row = self.named(username).await?;
        self.set_standing(row, Some(is_staff), None).await?;
        Ok(())
    }

    /// Deactivates an account, whose sign-ins end with that, or lets it sign in again.
    pub async fn set_active(&self, username: &str, is_active: bool) -> Result<(), ChatError> {
        let row = self.named(username).await?;
        self.set_standing(row, None, Some(is_active)).await?;
        Ok(())
    }

    /// Ends all of an account's sign-ins.
    pub async fn sign_out(&self, username: &str) -> Result<(), ChatError> {
        let row = self.named(username).await?;
        let change = AccountChange {
            ends_sign_ins: true,
            ..AccountChange::default()
        };
        self.change(row.id, change).await.map(drop)
    }

    pub(crate) async fn set_standing(
        &self,
        row: user::Model,
        is_staff: Option<bool>,
        is_active: Option<bool>,
    ) -> Result<Changed, ChatError> {
        let change = AccountChange {
            is_staff,
            is_active,
            ends_sign_ins: is_active == Some(false) && row.is_active,
            ..AccountChange::default()
        };
        self.change(row.id, change).await
    }

    /// Changes names. All field errors at once.
    pub(crate) async fn rename(
        &self,
        id: UserId,
        patch: UserPatch,
    ) -> Result<Changed, Vec<ChatError>> {
        let mut faults = Faults::default();
        let username = patch.username.as_deref().map(account_names::username);
        let email = patch.email.as_deref().map(account_names::email);
        let first_name = patch.first_name.as_deref().map(account_names::personal);
        let last_name = patch.last_name.as_deref().map(account_names::personal);
        let change = AccountChange {
            username: username.and_then(|checked| faults.of("username", checked)),
            email: email.and_then(|checked| faults.of("email", checked)),
            first_name: first_name.and_then(|checked| faults.of("first_name", checked)),
            last_name: last_name.and_then(|checked| faults.of("last_name", checked)),
            ..AccountChange::default()
        };
        let names = (change.username.clone(), change.email.clone());
        let taken = self
            .store
            .find_taken(names.0.as_ref(), names.1.as_ref(), Some(id))
            .await;
        faults.taken(taken.map_err(alone)?);
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        match self.change(id, change).await {
            Ok(changed) => Ok(changed),
            Err(ChatError::Store(error)) => Err(self.refused(error, names, Some(id)).await),
            Err(other) => Err(vec![other]),
        }
    }

    /// Names another picture, or none.
    pub(crate) async fn set_avatar(
        &self,
        id: UserId,
        hash: Option<String>,
    ) -> Result<Changed, ChatError> {
        let change = AccountChange {
            avatar: Some(hash),
            ..AccountChange::default()
        };
        self.change(id, change).await
    }

    /// Empties an account: nobody signs in with it any more, and nothing of its owner is left in it.
    pub(crate) async fn empty(&self, id: UserId) -> Result<Changed, ChatError> {
        let nothing = Keyed {
            text: String::new(),
            key: None,
        };
        let username = deleted_username(id);
        let change = AccountChange {
            username: Some(Keyed {
                key: Some(username.clone()),
                text: username,
            }),
            password: Some(String::new()),
            email: Some(nothing),
            first_name: Some(String::new()),
            last_name: Some(String::new()),
            avatar: Some(None),
            is_staff: Some(false),
            is_active: Some(false),
            ends_sign_ins: true,
            ..AccountChange::default()
        };
        self.change(id, change).await
    }

    async fn insert(&self, row: NewAccountRow) -> Stored<user::Model> {
        match &self.django {
            Some(django) => django.insert(&row).await,
            None => self.store.insert_account(row).await,
        }
    }

    async fn change(&self, id: UserId, change: AccountChange) -> Result<Changed, ChatError> {
        let at = database_time();
        let changed = match &self.django {
            Some(django) => django.change(id, change, at).await?,
            None => self.store.change_account(id, change, at).await?,
        };
        let (row, ended) = changed.ok_or(ChatError::NotFound(Thing::User))?;
        Ok(Changed { row, ended, at })
    }

    pub(crate) async fn put_recovery(&self, row: recovery::Model) -> Result<(), ChatError> {
        Ok(self.store.put_recovery(row).await?)
    }

    pub(super) async fn named(&self, username: &str) -> Result<user::Model, ChatError> {
        let row = self.store.find_user_by_name(username).await?;
        row.filter(|row| !is_deleted(row))
            .ok_or(ChatError::NotFound(Thing::User))
    }

    pub(super) async fn hash(&self, password: String) -> Result<String, ChatError> {
        let hash = self.hasher.hash(password).await;
        hash.map_err(|_busy| ChatError::Unavailable)
    }

    /// Why names were refused that were free a moment ago.
    async fn refused(
        &self,
        error: StoreError,
        (username, email): (Option<Keyed>, Option<Keyed>),
        except: Option<UserId>,
    ) -> Vec<ChatError> {
        if !matches!(error, StoreError::Duplicate(_)) {
            return alone(error);
        }
        let mut faults = Faults::default();
        match self
            .store
            .find_taken(username.as_ref(), email.as_ref(), except)
            .await
        {
            Ok(taken) => faults.taken(taken),
            Err(error) => return alone(error),
        }
        match faults.0.is_empty() {
            true => alone(error),
            false => faults.0,
        }
    }
}

/// What is wrong, field by field.
#[derive(Default)]
struct Faults(Vec<ChatError>);

impl Faults {
    fn of<T>(&mut self, field: &'static str, checked: Result<T, Vec<String>>) -> Option<T> {
        checked.map_err(|reasons| self.add_all(field, reasons)).ok()
    }

    fn add_all(&mut self, field: &'static str, reasons: Vec<String>) {
        let reasons = reasons.into_iter();
        self.0
            .extend(reasons.map(|reason| ChatError::invalid(field, reason)));
    }

    fn taken(&mut self, taken: Taken) {
        if taken.username {
            self.0.push(ChatError::invalid("username", USERNAME_TAKEN));
        }
        if taken.email {
            self.0.push(ChatError::invalid("email", EMAIL_TAKEN));
        }
    }
}

fn alone(error: StoreError) -> Vec<ChatError> {
    vec![error.into()]
}

fn password_faults(new: &NewUser) -> Vec<String> {
    let person = Person {
        username: &new.username,
        first_name: &new.first_name,
        last_name: &new.last_name,
        email: &new.email,
    };
    PasswordPolicy::default().faults(&new.password, &person)
}

impl<'a> From<&'a user::Model> for Person<'a> {
    fn from(row: &'a user::Model) -> Self {
        Person {
            username: &row.username,
            first_name: &row.first_name,
            last_name: &row.last_name,
            email: &row.email,
        }
    }
}
