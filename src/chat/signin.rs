//! Signing in with a password, and changing it.

use std::net::IpAddr;

use entity::{SessionId, SessionKind, Time, UserId, session, user};
use tracing::{error, info};

use crate::{
    auth::{
        Busy, PasswordPolicy, Person,
        tokens::{KeyError, NewToken, new_jti},
    },
    chat::{
        Actor, ChatError, PasswordError, Sessions, SignIn, SignInError, TokenPair,
        throttle::Account,
    },
    metrics,
    store::{AccountChange, Beside, SignInRow, SignedInRow, StoreError, database_time},
};

/// Of a user agent this much is kept.
const CLIENT_CHARS: usize = 255;

impl Sessions {
    /// Signs in with a password: a new session and its tokens.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<TokenPair, SignInError> {
        let session = self
            .begin(SessionKind::Jwt, Beside::Others, sign_in)
            .await?;
        Ok(self.pair(&session)?)
    }

    /// The session that a right name and password begin, or go on with.
    pub(super) async fn begin(
        &self,
        kind: SessionKind,
        beside: Beside,
        sign_in: SignIn,
    ) -> Result<session::Model, SignInError> {
        let SignIn {
            username,
            password,
            address,
            client,
        } = sign_in;
        let row = self.core.account_named(&username).await?;
        let account = match &row {
            Some(row) => Account::Known(row.id),
            None => Account::unknown(&username),
        };
        self.prove(row.as_ref(), &password, account, address)
            .await?;
        let row = row.ok_or(SignInError::NoAccount)?;
        let signed_in = SignInRow {
            session: self.new_session(kind, row.id, &client),
            rehashed: self.rehash(&row.password, password).await,
            proved: row.password,
            beside,
        };
        match self.core.store.sign_in(signed_in).await? {
            SignedInRow::By(session) => Ok(session),
            SignedInRow::TooMany => Err(SignInError::TooManySessions),
            // The password was changed, or the account ended, while it was checked.
            SignedInRow::Refused => Err(SignInError::NoAccount),
        }
    }

    /// Changes one's own password: all sessions end, a new one begins.
    pub async fn change_password(
        &self,
        actor: &Actor,
        old: &str,
        new: &str,
        address: Option<IpAddr>,
        client: &str,
    ) -> Result<TokenPair, PasswordError> {
        let row = self.core.accounts(&[actor.id()]).await;
        let row = row.map_err(SignInError::from)?.pop();
        let row = row.ok_or(SignInError::NoAccount)?;
        self.prove(Some(&row), old, Account::Known(row.id), address)
            .await?;
        let faults = PasswordPolicy::default().faults(new, &Person::from(&row));
        if !faults.is_empty() {
            return Err(PasswordError::Weak(faults));
        }
        let password = self.means.hasher.hash(new.to_owned()).await;
        let password = password.map_err(SignInError::from)?;
        Ok(self.replace_password(row, password, client).await?)
    }

    /// That whoever holds the caller's token knows their password too; throttled as every sign-in.
    pub async fn confirm(
        &self,
        actor: &Actor,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<(), SignInError> {
        let row = self.core.accounts(&[actor.id()]).await?.pop();
        let account = Account::Known(actor.id());
        self.prove(row.as_ref(), password, account, address).await
    }

    async fn replace_password(
        &self,
        row: user::Model,
        password: String,
        client: &str,
    ) -> Result<TokenPair, SignInError> {
        let session = self.new_session(SessionKind::Jwt, row.id, client);
        let pair = self.pair(&session)?;
        let now = session.created_at;
        let change = AccountChange {
            password: Some(password),
            only_if_password: Some(row.password),
            ends_sign_ins: true,
            begins: Some(session),
            ..AccountChange::default()
        };
        let changed = self.core.change_account(row.id, change, now).await?;
        let (row, ended) = changed.ok_or(SignInError::NoAccount)?;
        self.revocations.end_sign_ins(row, &ended, now);
        Ok(pair)
    }

    /// That this is the account's password. It takes as long where there is no such account.
    async fn prove(
        &self,
        row: Option<&user::Model>,
        password: &str,
        account: Account,
        address: Option<IpAddr>,
    ) -> Result<(), SignInError> {
        let proven = self.try_password(row, password, account, address).await;
        if let Err(refused) = &proven {
            match refused {
                SignInError::Throttled { .. } => metrics::THROTTLED.of("signin").one(),
                _ => metrics::SIGNINS_FAILED.one(),
            }
            let client = address.map(tracing::field::display);
            match row.map(|row| row.id) {
                Some(user) => info!(%user, client, "user {user}: password refused, {refused}"),
                None => info!(client, "nobody's password refused, {refused}"),
            }
        }
        proven
    }

    async fn try_password(
        &self,
        row: Option<&user::Model>,
        password: &str,
        account: Account,
        address: Option<IpAddr>,
    ) -> Result<(), SignInError> {
        let throttled = |retry_after| SignInError::Throttled { retry_after };
        let attempt = self.throttle.attempt(account, address).await;
        let attempt = attempt.map_err(throttled)?;
        let stored = row.map(|row| row.password.clone());
        let hasher = &self.means.hasher;
        let is_right = hasher.verify(password.to_owned(), stored).await?;
        if is_right && row.is_some_and(|row| row.is_active) {
            return attempt.succeeded().await.map_err(throttled);
        }
        attempt.failed().await.map_err(throttled)?;
        Err(SignInError::NoAccount)
    }

    /// The password as it would be stored today, where that is another way than it is stored.
    async fn rehash(&self, stored: &str, password: String) -> Option<String> {
        let hasher = &self.means.hasher;
        // Django has a form of its own, and would store it anew in turn.
        if self.core.django.is_some() || !hasher.needs_rehash(stored) {
            return None;
        }
        // Too busy: the next sign-in will do.
        hasher.hash(password).await.ok()
    }

    pub(super) fn new_session(
        &self,
        kind: SessionKind,
        user: UserId,
        client: &str,
    ) -> session::Model {
        let now = database_time();
        session::Model {
            id: SessionId(new_jti()),
            user_id: user,
            kind,
            created_at: now,
            expires_at: now + self.lifetime(kind),
            last_used_at: now,
            revoked_at: None,
            refresh_jti: (kind == SessionKind::Jwt).then(new_jti),
            previous_jti: None,
            rotated_at: None,
            client: client
                .chars()
                .filter(|character| !character.is_control())
                .take(CLIENT_CHARS)
                .collect(),
        }
    }

    /// The tokens of a session that begins.
    fn pair(&self, session: &session::Model) -> Result<TokenPair, KeyError> {
        let now = session.created_at;
        Ok(TokenPair {
            access: self.access_token(session.user_id, &session.id, now)?,
            refresh: self.refresh_token(session, now)?,
        })
    }

    /// The refresh token of a session, the same whenever it is asked for.
    pub(super) fn refresh_token(
        &self,
        session: &session::Model,
        issued_at: Time,
    ) -> Result<String, KeyError> {
        let lifetime = session.expires_at - issued_at;
        self.means.keys.sign_refresh(&NewToken {
            user_id: session.user_id,
            sid: Some(&session.id),
            jti: session.refresh_jti.as_deref().unwrap_or_default(),
            issued_at,
            lifetime: lifetime.to_std().unwrap_or_default(),
        })
    }
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        SignInError::Chat(error.into())
    }
}

impl From<Busy> for SignInError {
    fn from(_: Busy) -> Self {
        SignInError::Busy
    }
}

impl From<KeyError> for SignInError {
    fn from(cause: KeyError) -> Self {
        error!("a token could not be signed: {cause}");
        SignInError::Chat(ChatError::Unavailable)
    }
}
