use entity::Time;

use super::*;
use crate::{
    chat::{
        SessionRules,
        testing::{Disk, Node, PASSWORD, hasher},
    },
    store::database_time,
};

use OpaqueKind::{Rpc, Support};

impl Node {
    async fn opens(&self, kind: OpaqueKind, password: &str) -> Result<OpaqueSession, SignInError> {
        let sign_in = SignIn {
            username: "anna".to_owned(),
            password: password.to_owned(),
            address: "192.0.2.1".parse().ok(),
            client: "Firefox".to_owned(),
        };
        self.sessions.sign_in_opaque(kind, sign_in).await
    }

    async fn token(&self, kind: OpaqueKind) -> String {
        self.opens(kind, PASSWORD).await.unwrap().token
    }

    async fn shown(&self, kind: OpaqueKind, token: &str) -> Result<Actor, AuthError> {
        self.sessions.authenticate_opaque(kind, token).await
    }

    async fn refuses(&self, kind: OpaqueKind, token: &str) -> AuthError {
        self.shown(kind, token).await.unwrap_err()
    }

    async fn session_row(&self, token: &str) -> session::Model {
        let id = SessionId(token.split('.').next().unwrap().to_owned());
        self.store.find_session(&id).await.unwrap().unwrap()
    }

    async fn ages(&self, token: &str, last_used_at: Time, expires_at: Time) {
        let row = self.session_row(token).await;
        let aged = self.store.extend_session(&row.id, last_used_at, expires_at);
        aged.await.unwrap();
    }
}

#[tokio::test]
async fn an_opaque_token_is_its_user_s_and_of_one_kind() {
    let node = Disk::new().await.node().await;
    let anna = node.account("anna").await;
    for (kind, other) in [(Rpc, Support), (Support, Rpc)] {
        let opened = node.opens(kind, PASSWORD).await.unwrap();
        assert_eq!(opened.user, anna.id);
        assert!(opened.token.len() <= 255);
        assert!(!format!("{opened:?}").contains(&opened.token));
        let actor = node.shown(kind, &opened.token).await.unwrap();
        assert_eq!((actor.id(), &*actor.user.username), (anna.id, "anna"));
        assert_eq!(node.refuses(other, &opened.token).await, AuthError::Invalid);
        // What is stored is no token.
        let stored = node.session_row(&opened.token).await.id.0;
        assert_eq!(node.refuses(kind, &stored).await, AuthError::Invalid);
    }
}

#[tokio::test]
async fn support_gives_the_same_token_while_it_is_good() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let token = node.token(Support).await;
    let begun = node.session_row(&token).await.expires_at;
    assert_eq!(node.token(Support).await, token);
    assert!(node.session_row(&token).await.expires_at > begun);

    let actor = node.shown(Support, &token).await.unwrap();
    let session = actor.session.clone().unwrap();
    node.sessions.revoke(&actor, &session).await.unwrap();
    assert_eq!(node.refuses(Support, &token).await, AuthError::Invalid);
    let second = node.token(Support).await;
    assert_ne!(second, token);

    let past = database_time() - TimeDelta::seconds(1);
    node.ages(&second, past, past).await;
    assert_eq!(node.refuses(Support, &second).await, AuthError::Expired);
    assert_ne!(node.token(Support).await, second);
}

#[tokio::test]
async fn customers_who_sign_in_twice_at_once_have_one_token() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let tabs = (0..6).map(|_| node.token(Support));
    let tokens = futures_util::future::join_all(tabs).await;
    let tokens: std::collections::HashSet<String> = tokens.into_iter().collect();
    assert_eq!(tokens.len(), 1);
}

#[tokio::test]
async fn rpc_gives_so_many_tokens_and_no_more_until_one_ends() {
    let rules = SessionRules {
        rpc_sessions_max: 3,
        ..SessionRules::default()
    };
    let node = Disk::new().await.node_with(rules, hasher()).await;
    node.account("anna").await;
    node.signs_in("anna").await;
    node.token(Support).await;
    let tries = (0..8).map(|_| node.opens(Rpc, PASSWORD));
    let mut tokens = Vec::new();
    for opened in futures_util::future::join_all(tries).await {
        match opened {
            Ok(opened) => tokens.push(opened.token),
            Err(SignInError::TooManySessions) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(tokens.len(), 3);
    assert_ne!(tokens[0], tokens[1]);
    // Other doors are not counted.
    node.signs_in("anna").await;
    node.token(Support).await;

    let past = database_time() - TimeDelta::seconds(1);
    node.ages(&tokens[0], past, past).await;
    let next = node.token(Rpc).await;
    let refused = node.opens(Rpc, PASSWORD).await.unwrap_err();
    assert!(matches!(refused, SignInError::TooManySessions));
    let actor = node.shown(Rpc, &next).await.unwrap();
    let session = actor.session.clone().unwrap();
    node.sessions.revoke(&actor, &session).await.unwrap();
    node.token(Rpc).await;
}

#[tokio::test]
async fn use_prolongs_a_session_and_is_written_down_once_an_hour() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let token = node.token(Rpc).await;
    let begun = node.session_row(&token).await;
    let lifetime = begun.expires_at - begun.created_at;
    assert_eq!(lifetime, TimeDelta::days(5));

    let now = database_time();
    let soon = now + TimeDelta::hours(1);
    node.ages(&token, now - TimeDelta::minutes(59), soon).await;
    node.shown(Rpc, &token).await.unwrap();
    assert_eq!(node.session_row(&token).await.expires_at, soon);
    node.ages(&token, now - TimeDelta::minutes(61), soon).await;
    node.shown(Rpc, &token).await.unwrap();
    let row = node.session_row(&token).await;
    assert!(row.expires_at >= now + TimeDelta::days(5) && row.last_used_at >= now);
}

#[tokio::test]
async fn whoever_was_just_registered_has_a_token() {
    let node = Disk::new().await.node().await;
    let new = crate::chat::NewUser {
        username: "boris".to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let account = node.users.register(None, new, None).await.unwrap();
    let opened = node.sessions.begin_opaque(Rpc, &account, "").await.unwrap();
    let actor = node.shown(Rpc, &opened.token).await.unwrap();
    assert_eq!(actor.id(), account.profile.id);
}

#[tokio::test]
async fn a_new_password_and_a_deactivation_end_opaque_tokens() {
    let node = Disk::new().await.node().await;
    let anna = node.account("anna").await;
    let (rpc, support) = (node.token(Rpc).await, node.token(Support).await);
    let actor = node.shown(Rpc, &rpc).await.unwrap();
    let change = node
        .sessions
        .change_password(&actor, PASSWORD, "wrong donkey staple", None, "");
    change.await.unwrap();
    assert_eq!(node.refuses(Rpc, &rpc).await, AuthError::Invalid);
    assert_eq!(node.refuses(Support, &support).await, AuthError::Invalid);
    assert!(node.sessions.renew(&actor).await.is_err());

    let token = node.opens(Rpc, "wrong donkey staple").await.unwrap().token;
    let inactive = crate::store::AccountChange {
        is_active: Some(false),
        ..Default::default()
    };
    let changed = node
        .store
        .change_account(anna.id, inactive, database_time());
    changed.await.unwrap();
    assert_eq!(node.refuses(Rpc, &token).await, AuthError::UserInactive);
}

#[tokio::test]
async fn all_doors_have_one_count_of_failures() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    for _ in 0..4 {
        node.opens(Rpc, "wrong").await.unwrap_err();
        node.opens(Support, "wrong").await.unwrap_err();
    }
    for _ in 0..2 {
        node.try_sign_in("anna", "wrong").await.unwrap_err();
    }
    for kind in [Rpc, Support] {
        let refused = node.opens(kind, PASSWORD).await.unwrap_err();
        assert!(matches!(refused, SignInError::Throttled { .. }));
    }
}
