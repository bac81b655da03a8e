//! Signing in and out, and one's own account.

use super::{
    Rpc, Served,
    answer::{Data, Failure},
};
use crate::{
    chat::{
        Actor, AskRecovery, Domain, KnownData, NewUser, OpaqueKind, OpaqueSession, PasswordError,
        SignIn, UserPatch,
    },
    ws::{Connection, Credential, dialect::World},
};

impl Rpc {
    pub(super) async fn auth(
        &mut self,
        cx: &mut Connection<World>,
        username: String,
        password: String,
    ) -> Served<Data> {
        let sign_in = SignIn {
            username,
            password,
            address: self.address,
            client: self.client.clone(),
        };
        let world = cx.world().clone();
        let sessions = &world.domain.sessions;
        match sessions.sign_in_opaque(OpaqueKind::Rpc, sign_in).await {
            Ok(session) => self.begin(cx, session).await,
            Err(error) => Ok(Err(error.into())),
        }
    }

    pub(super) async fn register(
        &mut self,
        cx: &mut Connection<World>,
        username: String,
        password: String,
        email: String,
    ) -> Served<Data> {
        let new = NewUser {
            username,
            password,
            email,
            ..NewUser::default()
        };
        let world = cx.world().clone();
        let domain = &world.domain;
        let account = match domain.users.register(None, new, self.address).await {
            Ok(account) => account,
            Err(faults) => return Ok(Err(Failure::of_account(faults))),
        };
        let sessions = &domain.sessions;
        let session = sessions.begin_opaque(OpaqueKind::Rpc, &account, &self.client);
        match session.await {
            Ok(session) => self.begin(cx, session).await,
            Err(error) => Ok(Err(error.into())),
        }
    }

    /// The answer tells nothing, and comes before anything is looked up.
    pub(super) fn recover(&self, cx: &Connection<World>, username: String, known: KnownData) {
        cx.world().domain.recovery.ask(AskRecovery {
            username,
            known: Some(known),
            address: self.address,
        });
    }

    pub(super) async fn confirm(
        &self,
        cx: &Connection<World>,
        username: &str,
        code: &str,
        password: String,
    ) -> Result<Data, Failure> {
        let world = cx.world().clone();
        let recovery = &world.domain.recovery;
        let confirmed = recovery.confirm(username, code, password, self.address);
        match confirmed.await {
            Ok(()) => Ok(Data::Nothing {}),
            Err(PasswordError::SignIn(error)) => Err(error.into()),
            Err(PasswordError::Weak(reasons)) => Err(Failure::bad(reasons.join(" "))),
        }
    }

    /// From now on the connection is whoever's signed in, and lives as long as that session.
    async fn begin(&mut self, cx: &mut Connection<World>, session: OpaqueSession) -> Served<Data> {
        self.following = None;
        let credential = Credential::Opaque(OpaqueKind::Rpc, session.token.clone());
        let signed_in = self.sign_in(cx, &credential).await?;
        Ok(signed_in.map(|_| Data::Token {
            token: Some(session.token),
        }))
    }

    /// Ends the token's session. The connection stays, for whoever signs in next.
    pub(super) async fn logout(
        &mut self,
        cx: &mut Connection<World>,
        actor: &Actor,
    ) -> Result<Data, Failure> {
        let Some(session) = &actor.session else {
            return Err(Failure::bad("this token has no session to end".to_owned()));
        };
        self.known = None;
        // First, so that the end of the session isn't the connection's too.
        if cx.session().as_ref() == Some(session) {
            self.following = None;
            cx.sign_out();
            cx.must_sign_in_within(cx.world().rpc_deadline);
        }
        let world = cx.world().clone();
        super::done(world.domain.sessions.revoke(actor, session).await)
    }
}

pub(super) async fn change_username(
    domain: &Domain,
    actor: &Actor,
    username: String,
) -> Result<Data, Failure> {
    let patch = UserPatch {
        username: Some(username),
        ..UserPatch::default()
    };
    update(domain, actor, patch).await
}

pub(super) async fn change_email(
    domain: &Domain,
    actor: &Actor,
    email: String,
) -> Result<Data, Failure> {
    let patch = UserPatch {
        email: Some(email),
        ..UserPatch::default()
    };
    update(domain, actor, patch).await
}

async fn update(domain: &Domain, actor: &Actor, patch: UserPatch) -> Result<Data, Failure> {
    let updated = domain.users.update(actor, patch).await;
    updated
        .map(|_| Data::Nothing {})
        .map_err(Failure::of_account)
}
