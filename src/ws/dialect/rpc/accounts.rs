//! Signing in and out, and one's own account.

use super::{
    Rpc, Served,
    answer::{Data, Failure},
};
use crate::{
    chat::{Actor, NewUser, OpaqueKind, OpaqueSession, SignIn},
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
