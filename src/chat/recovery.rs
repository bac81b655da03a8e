//! Getting back into an account whose password is lost: a code by mail, and a new password for it.
//!
//! Whoever asks learns nothing: the answer is the same, and comes before anything is looked up. A task of its own looks
//! for the account and sends the mail.
//!
//! Bounded by: `ASKED_MAX` that wait, `MAILS_OF_ACCOUNT` and `MAILS_OF_ADDRESS` an hour, `TRIES_MAX` tries of a code.

use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::TimeDelta;
use entity::{UserId, recovery, user};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::{info, warn};

use crate::{
    auth::{PasswordPolicy, Person, RecoveryCodes},
    chat::{
        Accounts, ChatError, PasswordError, SignInError, account_names,
        core::Core,
        revoked::Revocations,
        throttle::{Account, Throttle, network},
    },
    lease::{Slot, Windows},
    mail::Mailer,
    store::{AccountChange, database_time},
};

/// Requests that wait for the task that sends mail.
const ASKED_MAX: usize = 64;
/// Mails to an account in an hour.
const MAILS_OF_ACCOUNT: u32 = 3;
/// Mails that an address may cause in an hour.
const MAILS_OF_ADDRESS: u32 = 10;
const HOUR: Duration = Duration::from_secs(3600);
/// How long a code is good.
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How often codes may be tried before a new one is needed.
const TRIES_MAX: i32 = 5;
/// At a stop the mail in hand is waited for as long.
const LAST_MAIL: Duration = Duration::from_secs(2);

/// Somebody says that they have lost their password.
#[derive(Clone, Debug)]
pub struct AskRecovery {
    /// Exact.
    pub username: String,
    /// What they know of the account besides; it must be right.
    pub known: Option<KnownData>,
    /// Where from.
    pub address: Option<IpAddr>,
}

/// What somebody knows of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownData {
    /// Its e-mail address.
    Email(String),
    /// Its name.
    Username(String),
}

/// Recovering accounts.
pub struct Recovery {
    core: Arc<Core>,
    accounts: Accounts,
    revocations: Arc<Revocations>,
    codes: RecoveryCodes,
    throttle: Throttle,
    /// None: no mail is sent.
    asked: Mutex<Option<mpsc::Sender<AskRecovery>>>,
    clerk: Mutex<Option<JoinHandle<()>>>,
}

impl Recovery {
    /// Without a mailer nobody is sent a code; those that the command line prints are taken all the same.
    pub(crate) fn start(
        core: Arc<Core>,
        accounts: Accounts,
        revocations: Arc<Revocations>,
        codes: RecoveryCodes,
        mailer: Option<Mailer>,
    ) -> Self {
        let (mut asked, mut clerk) = (None, None);
        if let Some(mailer) = mailer {
            let (sender, receiver) = mpsc::channel(ASKED_MAX);
            let work = Clerk {
                accounts: accounts.clone(),
                core: core.clone(),
                codes: codes.clone(),
                mailer,
                of_account: core.common.windows("mails", MAILS_OF_ACCOUNT, HOUR),
                of_address: core.common.windows("mails_from", MAILS_OF_ADDRESS, HOUR),
            };
            asked = Some(sender);
            clerk = Some(tokio::spawn(work.run(receiver)));
        }
        Recovery {
            throttle: Throttle::new("recoveries", core.limits.signin_failures, &core.common),
            core,
            accounts,
            revocations,
            codes,
            asked: Mutex::new(asked),
            clerk: Mutex::new(clerk),
        }
    }

    /// Has a code sent, where there is such an account. Whether there is, nobody learns.
    pub fn ask(&self, ask: AskRecovery) {
        let asked = self.asked.lock();
        let sent = asked.as_ref().map(|asked| asked.try_send(ask));
        if let Some(Err(_full)) = sent {
            warn!("more people than {ASKED_MAX} wait for a recovery code, one was turned away");
        }
    }

    /// Gives the account another password for a good code, which is used up by that; all sign-ins end.
    pub async fn confirm(
        &self,
        username: &str,
        code: &str,
        new: String,
        address: Option<IpAddr>,
    ) -> Result<(), PasswordError> {
        let store = &self.core.store;
        let throttled = |retry_after| SignInError::Throttled { retry_after };
        let row = self.core.account_named(username).await;
        let row = row.map_err(SignInError::from)?.filter(|row| row.is_active);
        let account = row
            .as_ref()
            .map_or_else(|| Account::unknown(username), |row| Account::Known(row.id));
        let attempt = self.throttle.attempt(account, address).await;
        let attempt = attempt.map_err(throttled)?;
        let stored = match &row {
            Some(row) => self.stored_code(row.id, code).await?,
            None => None,
        };
        let (Some(row), Some(stored)) = (row, stored) else {
            attempt.failed().await.map_err(throttled)?;
            return Err(SignInError::NoAccount.into());
        };
        attempt.succeeded().await.map_err(throttled)?;
        let faults = PasswordPolicy::default().faults(&new, &Person::from(&row));
        if !faults.is_empty() {
            return Err(PasswordError::Weak(faults));
        }
        let password = self.accounts.hash(new).await.map_err(SignInError::from)?;
        let is_first = store.use_recovery(row.id, &stored).await;
        if !is_first.map_err(SignInError::from)? {
            return Err(SignInError::NoAccount.into());
        }
        self.replace_password(row, password).await
    }

    /// What is stored of the user's code, if this is it.
    async fn stored_code(&self, user: UserId, code: &str) -> Result<Option<String>, SignInError> {
        let (store, now) = (&self.core.store, database_time());
        let given = self.codes.stored(user.0, code);
        let stored = store.try_recovery(user, now, TRIES_MAX).await?;
        Ok(stored.filter(|stored| stored.as_bytes().ct_eq(given.as_bytes()).into()))
    }

    async fn replace_password(
        &self,
        row: user::Model,
        password: String,
    ) -> Result<(), PasswordError> {
        let (user, now) = (row.id, database_time());
        let change = AccountChange {
            password: Some(password),
            ends_sign_ins: true,
            ..AccountChange::default()
        };
        let changed = self.core.change_account(user, change, now).await;
        let changed = changed.map_err(SignInError::from)?;
        let (row, ended) = changed.ok_or(SignInError::NoAccount)?;
        self.revocations.end_sign_ins(row, &ended, now);
        info!(%user, "user {user}: a recovery code gave the account another password");
        Ok(())
    }

    pub(crate) async fn stop(&self) {
        drop(self.asked.lock().take());
        let clerk = self.clerk.lock().take();
        if let Some(mut clerk) = clerk
            && tokio::time::timeout(LAST_MAIL, &mut clerk).await.is_err()
        {
            clerk.abort();
        }
    }
}

impl Accounts {
    /// A new recovery code of an account, good for 15 minutes, in the place of any that it had.
    pub async fn recovery_code(
        &self,
        username: &str,
        codes: &RecoveryCodes,
    ) -> Result<String, ChatError> {
        let row = self.named(username).await?;
        self.new_code(row.id, codes).await
    }

    async fn new_code(&self, user: UserId, codes: &RecoveryCodes) -> Result<String, ChatError> {
        let code = codes.fresh();
        let row = recovery::Model {
            user_id: user,
            code_hash: codes.stored(user.0, &code),
            expires_at: database_time() + CODE_LIFETIME,
            tries: 0,
        };
        self.put_recovery(row).await?;
        Ok(code)
    }
}

/// Looks for accounts and sends mail, one after the other.
struct Clerk {
    accounts: Accounts,
    core: Arc<Core>,
    codes: RecoveryCodes,
    mailer: Mailer,
    of_account: Windows<UserId>,
    of_address: Windows<IpAddr>,
}

impl Clerk {
    async fn run(self, mut asked: mpsc::Receiver<AskRecovery>) {
        while let Some(ask) = asked.recv().await {
            if let Err(error) = self.serve(ask).await {
                warn!("a recovery code could not be made: {error}");
            }
        }
    }

    async fn serve(&self, ask: AskRecovery) -> Result<(), ChatError> {
        let row = self.core.account_named(&ask.username).await?;
        let is_theirs = |row: &user::Model| {
            row.is_active
                && !row.email.is_empty()
                && ask.known.as_ref().is_none_or(|it| it.fits(row))
        };
        let Some(row) = row.filter(is_theirs) else {
            return Ok(());
        };
        let user = row.id;
        let of_address = match ask.address {
            Some(address) => self.of_address.take(&network(address)).await,
            None => Ok(Slot::free()),
        };
        let (Ok(of_account), Ok(of_address)) = (self.of_account.take(&user).await, of_address)
        else {
            info!(%user, "user {user}: too many recovery codes in an hour, none is sent");
            return Ok(());
        };
        of_account.keep();
        of_address.keep();
        let code = self.accounts.new_code(user, &self.codes).await?;
        let name = &row.username;
        let text = format!(
            "Hello {name},\n\nthis code gives your account a new password within 15 minutes:\n\n    {code}\n\n\
             If you didn't ask for it, you need do nothing.\n"
        );
        match self
            .mailer
            .send(&row.email, "Your recovery code", text)
            .await
        {
            Ok(()) => info!(%user, "user {user}: a recovery code was mailed"),
            Err(error) => warn!(%user, "user {user}: a recovery code could not be mailed: {error}"),
        }
        Ok(())
    }
}

impl KnownData {
    fn fits(&self, row: &user::Model) -> bool {
        match self {
            KnownData::Username(name) => *name == row.username,
            KnownData::Email(email) => {
                let key = account_names::email(email).ok().and_then(|email| email.key);
                key.is_some() && key == row.email_key
            }
        }
    }
}
