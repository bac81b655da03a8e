use std::sync::mpsc;

use chrono::SubsecRound;
use entity::user;

use super::*;
use crate::{
    auth::{PasswordCost, Passwords},
    chat::{
        PasswordError, SignInError,
        testing::{Disk, Node, PASSWORD, hasher, keys},
    },
    store::AccountChange,
};

const NEW_PASSWORD: &str = "wrong donkey staple";

fn rotating() -> SessionRules {
    SessionRules {
        rotate: true,
        ..SessionRules::default()
    }
}

fn after(seconds: i64) -> Time {
    Utc::now() + TimeDelta::seconds(seconds)
}

/// A token as Django makes it: without a session of ours.
fn djangos(kind: TokenKind, user: UserId, issued_at: Time) -> String {
    let token = NewToken {
        user_id: user,
        sid: None,
        jti: &new_jti(),
        issued_at,
        lifetime: Duration::from_secs(3600),
    };
    match kind {
        TokenKind::Access => keys().sign_access(&token).unwrap(),
        TokenKind::Refresh => keys().sign_refresh(&token).unwrap(),
    }
}

impl Node {
    fn hears_of_ends(&self) -> mpsc::Receiver<Revoked> {
        let (tell, told) = mpsc::channel();
        self.sessions.on_revoked(move |revoked| {
            let _ = tell.send(revoked.clone());
        });
        told
    }

    async fn actor(&self, token: &str) -> Actor {
        self.sessions.authenticate(token).await.unwrap()
    }

    async fn refusal(&self, access: &str) -> AuthError {
        self.sessions.authenticate(access).await.unwrap_err()
    }

    async fn sweeps(&self) {
        let since = database_time() - TimeDelta::seconds(10);
        self.sessions.sweep(since).await.unwrap();
    }

    async fn changes(&self, user: UserId, change: AccountChange) -> user::Model {
        let now = database_time();
        let changed = self.store.change_account(user, change, now).await;
        changed.unwrap().unwrap().0
    }
}

#[tokio::test]
async fn who_signs_in_is_who_their_token_says() {
    let node = Disk::new().await.node().await;
    let anna = node.account("anna").await;
    let pair = node.signs_in("anna").await;

    let actor = node.actor(&pair.access).await;
    assert_eq!((actor.id(), &*actor.user.username), (anna.id, "anna"));
    assert!(!actor.is_staff && actor.connection.is_none());
    let listed = node.sessions.list(&actor).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(Some(&listed[0].id), actor.session.as_ref());
    assert_eq!(&*listed[0].client, "Firefox");
    assert!(listed[0].is_current);
    assert!(node.row(anna.id).await.last_login.is_some());
    assert_eq!(node.refusal(&pair.refresh).await, AuthError::WrongType);
}

#[tokio::test]
async fn a_client_of_many_letters_is_cut() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let sign_in = SignIn {
        username: "anna".into(),
        password: PASSWORD.into(),
        address: None,
        client: format!("\u{0}\n{}", "я".repeat(300)),
    };
    let pair = node.sessions.sign_in(sign_in).await.unwrap();
    let actor = node.actor(&pair.access).await;
    let listed = node.sessions.list(&actor).await.unwrap();
    assert_eq!(listed[0].client, "я".repeat(255));
}

#[tokio::test]
async fn a_wrong_password_an_unknown_name_and_an_inactive_account_are_told_alike() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let boris = node.account("boris").await;
    let inactive = AccountChange {
        is_active: Some(false),
        ..AccountChange::default()
    };
    node.changes(boris.id, inactive).await;
    for (name, password) in [
        ("anna", "wrong"),
        ("Anna", PASSWORD),
        ("nobody", PASSWORD),
        ("boris", PASSWORD),
    ] {
        let refused = node.try_sign_in(name, password).await.unwrap_err();
        assert!(matches!(refused, SignInError::NoAccount), "{name}");
    }
}

#[tokio::test]
async fn a_password_is_hashed_whoever_is_named() {
    let disk = Disk::new().await;
    // No room for any password: whoever needs one to be hashed is told so.
    let none = PasswordHasher::with_bounds(Passwords::new(PasswordCost::MIN), 0, 0);
    let node = disk.node_with(SessionRules::default(), none).await;
    node.account("anna").await;
    for name in ["anna", "nobody"] {
        for _ in 0..20 {
            let refused = node.try_sign_in(name, "wrong").await.unwrap_err();
            assert!(matches!(refused, SignInError::Busy), "{name}");
        }
    }
}

#[tokio::test]
async fn the_eleventh_failure_waits_by_whatever_door_and_even_if_it_is_right() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let actor = node.actor(&node.signs_in("anna").await.access).await;
    for _ in 0..5 {
        node.try_sign_in("anna", "wrong").await.unwrap_err();
        let change = node
            .sessions
            .change_password(&actor, "wrong", NEW_PASSWORD, None, "");
        let refused = change.await.unwrap_err();
        assert!(matches!(
            refused,
            PasswordError::SignIn(SignInError::NoAccount)
        ));
    }
    let refused = node.try_sign_in("anna", PASSWORD).await.unwrap_err();
    let SignInError::Throttled { retry_after } = refused else {
        panic!("{refused:?}");
    };
    assert!(retry_after > Duration::from_secs(590) && retry_after <= Duration::from_secs(600));
    let change = node
        .sessions
        .change_password(&actor, PASSWORD, NEW_PASSWORD, None, "");
    let refused = change.await.unwrap_err();
    assert!(matches!(
        refused,
        PasswordError::SignIn(SignInError::Throttled { .. })
    ));
}

#[tokio::test]
async fn a_password_stored_the_old_way_is_stored_anew_at_sign_in() {
    let node = Disk::new().await.node().await;
    let anna = node.account("anna").await;
    let old = AccountChange {
        password: Some(Passwords::new(PasswordCost::new(5).unwrap()).hash(PASSWORD)),
        ..AccountChange::default()
    };
    node.changes(anna.id, old).await;
    let pair = node.signs_in("anna").await;
    let stored = node.row(anna.id).await.password;
    assert!(stored.starts_with("bcrypt_sha256$$2b$04$"), "{stored}");
    node.signs_in("anna").await;
    node.actor(&pair.access).await; // storing it anew is no change of password
}

#[tokio::test]
async fn a_refresh_without_rotation_gives_an_access_token_again_and_again() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let pair = node.signs_in("anna").await;
    let session = node.actor(&pair.access).await.session;
    for _ in 0..2 {
        let (access, refresh) = node.sessions.refresh(&pair.refresh).await.unwrap();
        assert_eq!(refresh, None);
        assert_eq!(node.actor(&access).await.session, session);
    }
    let wrong = node.sessions.refresh(&pair.access).await.unwrap_err();
    assert_eq!(wrong, AuthError::WrongType);
}

#[tokio::test]
async fn a_session_s_use_is_written_down_once_an_hour() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let pair = node.signs_in("anna").await;
    let actor = node.actor(&pair.access).await;
    let begun = node.sessions.list(&actor).await.unwrap()[0].last_used_at;
    node.sessions
        .refresh_at(&pair.refresh, after(3500))
        .await
        .unwrap();
    assert_eq!(
        node.sessions.list(&actor).await.unwrap()[0].last_used_at,
        begun
    );
    let later = after(3700).trunc_subsecs(6);
    node.sessions
        .refresh_at(&pair.refresh, later)
        .await
        .unwrap();
    assert_eq!(
        node.sessions.list(&actor).await.unwrap()[0].last_used_at,
        later
    );
}

#[tokio::test]
async fn with_rotation_a_used_token_gives_its_successor_for_half_a_minute_then_ends_the_session() {
    let node = Disk::new().await.node_with(rotating(), hasher()).await;
    node.account("anna").await;
    let first = node.signs_in("anna").await.refresh;

    let (_, second) = node.sessions.refresh(&first).await.unwrap();
    let second = second.unwrap();
    assert_ne!(second, first);
    let (_, again) = node.sessions.refresh_at(&first, after(29)).await.unwrap();
    assert_eq!(again.as_ref(), Some(&second));
    assert_eq!(
        node.sessions.verify(&first).await,
        Err(AuthError::Blacklisted)
    );
    assert_eq!(node.sessions.verify(&second).await, Ok(()));

    let (access, third) = node.sessions.refresh_at(&second, after(60)).await.unwrap();
    let reused = node
        .sessions
        .refresh_at(&second, after(91))
        .await
        .unwrap_err();
    assert_eq!(reused, AuthError::Blacklisted);
    let third = node.sessions.refresh_at(&third.unwrap(), after(92)).await;
    assert_eq!(third.unwrap_err(), AuthError::Blacklisted);
    let access = node.sessions.authenticate_at(&access, after(92)).await;
    assert_eq!(access.unwrap_err(), AuthError::Invalid);
}

#[tokio::test]
async fn tabs_that_refresh_at_once_get_the_same_successor() {
    let node = Disk::new().await.node_with(rotating(), hasher()).await;
    node.account("anna").await;
    let first = node.signs_in("anna").await.refresh;
    let tabs = (0..8).map(|_| node.sessions.refresh(&first));
    let answers = futures_util::future::join_all(tabs).await;
    let successors: std::collections::HashSet<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().1.unwrap())
        .collect();
    assert_eq!(successors.len(), 1);
}

#[tokio::test]
async fn rotation_carries_the_session_on_past_its_first_end() {
    let node = Disk::new().await.node_with(rotating(), hasher()).await;
    node.account("anna").await;
    let first = node.signs_in("anna").await.refresh;
    let day = 24 * 3600;
    let (_, second) = node
        .sessions
        .refresh_at(&first, after(29 * day))
        .await
        .unwrap();
    let late = node
        .sessions
        .refresh_at(&second.unwrap(), after(58 * day))
        .await;
    assert!(late.is_ok());
}

#[tokio::test]
async fn blacklisting_a_refresh_token_ends_its_access_tokens_and_sockets_and_no_others() {
    let node = Disk::new().await.node().await;
    let told = node.hears_of_ends();
    let anna = node.account("anna").await;
    let (phone, laptop) = (node.signs_in("anna").await, node.signs_in("anna").await);
    let (on_phone, on_laptop) = (
        node.actor(&phone.access).await,
        node.actor(&laptop.access).await,
    );

    node.sessions.blacklist(&phone.refresh).await.unwrap();
    assert_eq!(node.refusal(&phone.access).await, AuthError::Invalid);
    let again = node.sessions.blacklist(&phone.refresh).await;
    assert_eq!(again, Err(AuthError::Blacklisted));
    let refresh = node.sessions.refresh(&phone.refresh).await;
    assert_eq!(refresh.unwrap_err(), AuthError::Blacklisted);
    assert_eq!(
        node.sessions.verify(&phone.access).await,
        Err(AuthError::Invalid)
    );
    assert_eq!(node.sessions.verify(&phone.refresh).await, Ok(())); // simplejwt's default
    node.actor(&laptop.access).await;

    let revoked = told.try_recv().unwrap();
    assert_eq!(revoked.user(), anna.id);
    assert!(revoked.ends(&on_phone) && !revoked.ends(&on_laptop));
    node.sweeps().await;
    assert!(told.try_recv().is_err(), "told twice");
}

#[tokio::test]
async fn one_s_own_sessions_are_ended_elsewhere_and_others_are_not_there() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    node.account("boris").await;
    let (here, there) = (node.signs_in("anna").await, node.signs_in("anna").await);
    let anna = node.actor(&here.access).await;
    let boris = node.actor(&node.signs_in("boris").await.access).await;
    let elsewhere = node.actor(&there.access).await.session.unwrap();

    let stranger = node.sessions.revoke(&boris, &elsewhere).await.unwrap_err();
    assert!(matches!(stranger, ChatError::NotFound(Thing::Session)));
    node.sessions.revoke(&anna, &elsewhere).await.unwrap();
    assert_eq!(node.refusal(&there.access).await, AuthError::Invalid);
    assert_eq!(node.sessions.list(&anna).await.unwrap().len(), 1);
    let again = node.sessions.revoke(&anna, &elsewhere).await.unwrap_err();
    assert!(matches!(again, ChatError::NotFound(Thing::Session)));
}

#[tokio::test]
async fn what_one_node_ends_the_other_learns_by_its_sweep_and_tells_once() {
    let disk = Disk::new().await;
    let (here, there) = (disk.node().await, disk.node().await);
    let anna = here.account("anna").await;
    let pair = here.signs_in("anna").await;
    let actor = there.actor(&pair.access).await;
    let told = there.hears_of_ends();

    here.sessions.blacklist(&pair.refresh).await.unwrap();
    there.actor(&pair.access).await; // not yet
    there.sweeps().await;
    assert_eq!(there.refusal(&pair.access).await, AuthError::Invalid);
    assert!(told.try_recv().unwrap().ends(&actor));
    there.sweeps().await;
    assert!(told.try_recv().is_err(), "told twice");

    let inactive = AccountChange {
        is_active: Some(false),
        ends_sign_ins: true,
        ..AccountChange::default()
    };
    let djangos = djangos(TokenKind::Access, anna.id, Utc::now());
    let guest = there.actor(&djangos).await;
    here.changes(anna.id, inactive).await;
    there.sweeps().await;
    assert_eq!(there.refusal(&djangos).await, AuthError::UserInactive);
    assert!(told.try_recv().unwrap().ends(&guest));
    there.sweeps().await;
    assert!(told.try_recv().is_err(), "told twice");

    // A node that starts now knows what ended before it was there.
    let late = disk.node().await;
    assert_eq!(
        late.sessions.verify(&pair.access).await,
        Err(AuthError::Invalid)
    );
}

#[tokio::test]
async fn a_new_password_ends_every_token_but_those_made_with_it_in_the_same_second() {
    let disk = Disk::new().await;
    let (node, other) = (disk.node().await, disk.node().await);
    let anna = node.account("anna").await;
    // All of this takes less than the second that tokens tell: some of these runs stay within one.
    let mut password = PASSWORD.to_owned();
    for round in 0..5 {
        let old = node.try_sign_in("anna", &password).await.unwrap();
        let djangos = djangos(TokenKind::Access, anna.id, Utc::now());
        let actor = node.actor(&old.access).await;
        let next = format!("{NEW_PASSWORD} {round}");
        let change = node
            .sessions
            .change_password(&actor, &password, &next, None, "phone");
        let new = change.await.unwrap();
        assert_eq!(node.refusal(&old.access).await, AuthError::Invalid);
        assert_eq!(node.refusal(&djangos).await, AuthError::PasswordChanged);
        let refresh = node.sessions.refresh(&old.refresh).await;
        assert_eq!(refresh.unwrap_err(), AuthError::Blacklisted);
        node.actor(&new.access).await;
        node.sessions.refresh(&new.refresh).await.unwrap();

        other.sweeps().await;
        other.actor(&new.access).await;
        assert_eq!(other.refusal(&old.access).await, AuthError::Invalid);
        assert_eq!(other.refusal(&djangos).await, AuthError::PasswordChanged);
        password = next;
    }
    let refused = node.try_sign_in("anna", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, SignInError::NoAccount));
}

#[tokio::test]
async fn the_sockets_of_the_new_password_outlive_the_change() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let old = node.actor(&node.signs_in("anna").await.access).await;
    let told = node.hears_of_ends();
    let change = node
        .sessions
        .change_password(&old, PASSWORD, NEW_PASSWORD, None, "phone");
    let new = node.actor(&change.await.unwrap().access).await;
    let told: Vec<Revoked> = told.try_iter().collect();
    assert!(told.iter().any(|revoked| revoked.ends(&old)));
    assert!(!told.iter().any(|revoked| revoked.ends(&new)));
    assert!(node.sessions.renew(&new).await.is_ok());
    assert_eq!(
        node.sessions.renew(&old).await.unwrap_err(),
        AuthError::Invalid
    );
}

#[tokio::test]
async fn a_weak_new_password_is_told_and_changes_nothing() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let pair = node.signs_in("anna").await;
    let actor = node.actor(&pair.access).await;
    let change = node
        .sessions
        .change_password(&actor, PASSWORD, "anna1", None, "");
    let PasswordError::Weak(faults) = change.await.unwrap_err() else {
        panic!("taken");
    };
    assert_eq!(faults[0], "The password is too similar to the username.");
    assert!(faults.len() > 1, "{faults:?}");
    node.actor(&pair.access).await;
    node.signs_in("anna").await;
}

#[tokio::test]
async fn a_ticket_is_good_once_on_whatever_node() {
    let disk = Disk::new().await;
    let (node, other) = (disk.node().await, disk.node().await);
    let anna = node.account("anna").await;
    let actor = node.actor(&node.signs_in("anna").await.access).await;
    let (ticket, good_for) = node.sessions.ticket(&actor);
    assert!(good_for > Duration::from_secs(29) && good_for <= Duration::from_secs(30));

    let redeemed = other.sessions.redeem(&ticket).await.unwrap();
    assert_eq!(
        (redeemed.id(), &redeemed.session),
        (anna.id, &actor.session)
    );
    assert_eq!(redeemed.token_expires_at, actor.token_expires_at);
    for node in [&node, &other] {
        assert_eq!(
            node.sessions.redeem(&ticket).await.unwrap_err(),
            AuthError::Invalid
        );
    }
}

#[tokio::test]
async fn a_ticket_ends_with_its_time_and_with_its_session() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let pair = node.signs_in("anna").await;
    let actor = node.actor(&pair.access).await;
    let (slow, _) = node.sessions.ticket(&actor);
    let late = node.sessions.redeem_at(&slow, after(31)).await;
    assert_eq!(late.unwrap_err(), AuthError::Expired);

    let (ticket, _) = node.sessions.ticket(&actor);
    node.sessions.blacklist(&pair.refresh).await.unwrap();
    let revoked = node.sessions.redeem(&ticket).await;
    assert_eq!(revoked.unwrap_err(), AuthError::Invalid);
}

#[tokio::test]
async fn djangos_tokens_are_taken_and_their_refresh_tokens_become_sessions() {
    let node = Disk::new().await.node().await;
    let anna = node.account("anna").await;
    let access = djangos(TokenKind::Access, anna.id, Utc::now());
    let actor = node.actor(&access).await;
    assert_eq!((actor.id(), &actor.session), (anna.id, &None));

    let refresh = djangos(TokenKind::Refresh, anna.id, Utc::now());
    let (ours, _) = node.sessions.refresh(&refresh).await.unwrap();
    let ours_actor = node.actor(&ours).await;
    assert_eq!(node.sessions.list(&ours_actor).await.unwrap().len(), 1);
    node.sessions.blacklist(&refresh).await.unwrap();
    assert_eq!(node.refusal(&ours).await, AuthError::Invalid);
    let again = node.sessions.refresh(&refresh).await;
    assert_eq!(again.unwrap_err(), AuthError::Blacklisted);
    node.actor(&access).await;

    let unused = djangos(TokenKind::Refresh, anna.id, Utc::now());
    node.sessions.blacklist(&unused).await.unwrap();
    let refresh = node.sessions.refresh(&unused).await;
    assert_eq!(refresh.unwrap_err(), AuthError::Blacklisted);
}

#[tokio::test]
async fn tokens_of_nobody_and_of_the_inactive_are_told_as_simplejwt_does() {
    let node = Disk::new().await.node().await;
    let now = Utc::now();
    let nobody = djangos(TokenKind::Access, UserId(404), now);
    assert_eq!(node.refusal(&nobody).await, AuthError::UserNotFound);
    let refresh = djangos(TokenKind::Refresh, UserId(404), now);
    let refresh = node.sessions.refresh(&refresh).await;
    assert_eq!(refresh.unwrap_err(), AuthError::UserNotFound);

    let anna = node.account("anna").await;
    let pair = node.signs_in("anna").await;
    let inactive = AccountChange {
        is_active: Some(false),
        ends_sign_ins: true,
        ..AccountChange::default()
    };
    node.changes(anna.id, inactive).await;
    assert_eq!(node.refusal(&pair.access).await, AuthError::UserInactive);
    let refresh = node.sessions.refresh(&pair.refresh).await;
    assert_eq!(refresh.unwrap_err(), AuthError::UserInactive);
}

#[tokio::test]
async fn who_is_signing_in_while_the_password_changes_is_not_let_in_with_the_old_one() {
    let node = Disk::new().await.node().await;
    let anna = node.account("anna").await;
    let session = session::Model {
        id: SessionId(new_jti()),
        user_id: anna.id,
        kind: SessionKind::Jwt,
        created_at: database_time(),
        expires_at: after(60),
        last_used_at: database_time(),
        revoked_at: None,
        refresh_jti: Some(new_jti()),
        previous_jti: None,
        rotated_at: None,
        client: String::new(),
    };
    let proved = crate::store::SignInRow {
        proved: anna.password,
        rehashed: None,
        session,
        beside: crate::store::Beside::Others,
    };
    let changed = AccountChange {
        password: Some("bcrypt_sha256$another".into()),
        ends_sign_ins: true,
        ..AccountChange::default()
    };
    node.changes(anna.id, changed).await;
    let signed_in = node.store.sign_in(proved).await.unwrap();
    assert!(matches!(signed_in, crate::store::SignedInRow::Refused));
}

#[tokio::test]
async fn what_has_run_out_is_deleted_and_what_lives_is_not() {
    let node = Disk::new().await.node().await;
    node.account("anna").await;
    let pair = node.signs_in("anna").await;
    let actor = node.actor(&pair.access).await;
    let (ticket, _) = node.sessions.ticket(&actor);
    node.sessions.redeem(&ticket).await.unwrap();
    node.sessions.tidy(after(3600)).await.unwrap();
    assert_eq!(node.sessions.list(&actor).await.unwrap().len(), 1);
    let session = actor.session.clone().unwrap();
    node.sessions.tidy(after(32 * 24 * 3600)).await.unwrap();
    assert!(node.store.find_session(&session).await.unwrap().is_none());
}
