use std::sync::mpsc;

use chrono::{SubsecRound, TimeDelta, Utc};
use entity::{ChatId, ChatKind, Role};

use super::*;
use crate::{
    auth::{PasswordCost, Passwords},
    chat::{
        AuthError, Revoked, SignInError, What,
        testing::{Disk, Node, PASSWORD, hasher},
    },
    store::{NewChatRow, database_time},
};

const TAKEN: &str = "A user with that username already exists.";

fn new_user(username: &str) -> NewUser {
    NewUser {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        ..NewUser::default()
    }
}

fn at(address: &str) -> Option<IpAddr> {
    address.parse().ok()
}

/// Field errors, as a form shows them.
fn told(errors: Vec<ChatError>) -> Vec<(&'static str, String)> {
    let told = errors.into_iter().map(|error| match error {
        ChatError::Invalid { field, reason } => (field, reason),
        other => panic!("{other:?}"),
    });
    told.collect()
}

fn names(page: &UserPage) -> Vec<&str> {
    page.0
        .iter()
        .map(|account| &*account.profile.username)
        .collect()
}

impl Node {
    async fn registers(&self, name: &str) -> Result<Account, Vec<ChatError>> {
        let from = at("192.0.2.1");
        self.users.register(None, new_user(name), from).await
    }

    async fn arrives(&self, name: &str) -> Actor {
        self.registers(name).await.unwrap();
        let access = self.signs_in(name).await.access;
        self.sessions.authenticate(&access).await.unwrap()
    }

    async fn arrives_as_staff(&self, name: &str) -> Actor {
        self.users
            .accounts
            .create(new_user(name), true)
            .await
            .unwrap();
        let access = self.signs_in(name).await.access;
        self.sessions.authenticate(&access).await.unwrap()
    }

    async fn group_of(&self, members: &[&Actor]) -> ChatId {
        let members = members.iter().map(|member| (member.id(), Role::Member));
        let mut members: Vec<_> = members.collect();
        members[0].1 = Role::Owner;
        let chat = NewChatRow {
            kind: ChatKind::Group,
            name: Some("trip".into()),
            room: None,
            pair_key: None,
            support_user_id: None,
            created_by: members[0].0,
            created_at: database_time(),
            is_private: false,
            members,
        };
        self.store.create_chat(chat).await.unwrap().id
    }
}

#[tokio::test]
async fn who_registers_can_sign_in_and_has_no_rights() {
    let node = Disk::new().await.node().await;
    let new = NewUser {
        email: "Anna@Example.ORG".into(),
        first_name: "Анна".into(),
        ..new_user("anna")
    };
    let account = node.users.register(None, new, None).await.unwrap();
    assert_eq!(&*account.email, "Anna@example.org");
    assert!(account.is_active && !account.is_staff);
    assert_eq!(account.profile.first_name, "Анна");
    node.signs_in("anna").await;
}

#[tokio::test]
async fn all_that_is_wrong_with_a_registration_is_told_at_once_in_django_s_words() {
    let node = Disk::new().await.node().await;
    let first = NewUser {
        email: "anna@example.org".into(),
        ..new_user("anna")
    };
    node.users.register(None, first, None).await.unwrap();

    let again = NewUser {
        password: "12345".into(),
        email: "ANNA@example.org".into(),
        ..new_user("Anna")
    };
    let errors = node.users.register(None, again, None).await.unwrap_err();
    let short = "This password is too short. It must contain at least 8 characters.";
    let expected = [
        ("username", TAKEN),
        ("email", "A user with that email already exists."),
        ("password", short),
        ("password", "This password is too common."),
        ("password", "This password is entirely numeric."),
    ];
    assert_eq!(
        told(errors),
        expected.map(|(field, told)| (field, told.to_owned()))
    );

    let nonsense = NewUser {
        email: "anna".into(),
        first_name: "я".repeat(151),
        ..new_user("anna petrova")
    };
    let errors = node.users.register(None, nonsense, None).await.unwrap_err();
    let username = "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.";
    let expected = [
        ("username", username),
        ("email", "Enter a valid email address."),
        (
            "first_name",
            "Ensure this field has no more than 150 characters.",
        ),
    ];
    assert_eq!(
        told(errors),
        expected.map(|(field, told)| (field, told.to_owned()))
    );
}

#[tokio::test]
async fn of_two_who_take_a_name_at_once_one_gets_it_and_the_other_is_told() {
    let node = Disk::new().await.node().await;
    let tries = ["anna", "Anna", "ANNA", "ａnna"].map(|name| node.registers(name));
    let answers = futures_util::future::join_all(tries).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for errors in refused {
        assert_eq!(told(errors.unwrap_err()), [("username", TAKEN.to_owned())]);
    }
}

#[tokio::test]
async fn accounts_without_an_address_are_many() {
    let node = Disk::new().await.node().await;
    node.registers("anna").await.unwrap();
    node.registers("boris").await.unwrap();
}

#[tokio::test]
async fn an_address_registers_a_hundred_an_hour_and_what_fails_is_not_counted() {
    let node = Disk::new().await.node().await;
    for number in 0..100 {
        node.registers(&format!("user{number}")).await.unwrap();
        node.registers("user0").await.unwrap_err();
    }
    let errors = node.registers("one.more").await.unwrap_err();
    assert!(matches!(errors[..], [ChatError::TooManyRequests { .. }]));
    let elsewhere = at("192.0.2.2");
    let made = node
        .users
        .register(None, new_user("one.more"), elsewhere)
        .await;
    assert!(made.is_ok());
}

#[tokio::test]
async fn where_staff_register_others_do_not_and_where_it_is_closed_nobody_does() {
    let disk = Disk::new().await;
    let open = disk.node().await;
    let (anna, staff) = (
        open.arrives("anna").await,
        open.arrives_as_staff("olga").await,
    );
    let with = |registration| UserRules {
        registration,
        ..UserRules::default()
    };
    let by_staff = disk.node_where(with(Registration::Staff)).await;
    for actor in [None, Some(&anna)] {
        let errors = by_staff
            .users
            .register(actor, new_user("x"), None)
            .await
            .unwrap_err();
        assert!(matches!(errors[..], [ChatError::Forbidden(_)]));
    }
    let made = by_staff
        .users
        .register(Some(&staff), new_user("x"), None)
        .await;
    assert!(made.is_ok());
    let closed = disk.node_where(with(Registration::Closed)).await;
    let errors = closed
        .users
        .register(Some(&staff), new_user("y"), None)
        .await
        .unwrap_err();
    assert!(matches!(errors[..], [ChatError::Forbidden(_)]));
}

#[tokio::test]
async fn a_search_finds_what_names_contain_whatever_the_case() {
    let node = Disk::new().await.node().await;
    let anna = node.arrives("anna").await;
    let marina = NewUser {
        first_name: "Марина".into(),
        last_name: "Цветаева".into(),
        ..new_user("mts")
    };
    node.users.register(None, marina, None).await.unwrap();
    let sasha = NewUser {
        last_name: "100%".into(),
        ..new_user("Саша_1")
    };
    node.users.register(None, sasha, None).await.unwrap();

    let search = async |text: &'static str| {
        let page = node.users.list(&anna, Some(text), 1, 50).await.unwrap();
        names(&page).join(" ")
    };
    assert_eq!(search("NN").await, "anna");
    assert_eq!(search("марина").await, "mts");
    assert_eq!(search("ЦВЕТ").await, "mts");
    assert_eq!(search("сАШ").await, "Саша_1");
    assert_eq!(search("0%").await, "Саша_1");
    assert_eq!(search("n%n").await, "");
    assert_eq!(search("a_n").await, "");
}

#[tokio::test]
async fn lists_go_by_name_in_pages_without_those_who_left() {
    let node = Disk::new().await.node().await;
    let (dora, staff) = (
        node.arrives("dora").await,
        node.arrives_as_staff("olga").await,
    );
    for name in ["clara", "anna", "boris"] {
        node.registers(name).await.unwrap();
    }
    node.users
        .accounts
        .set_active("boris", false)
        .await
        .unwrap();
    node.users
        .delete(&node.arrives("egor").await)
        .await
        .unwrap();

    let first = node.users.list(&dora, None, 1, 3).await.unwrap();
    assert_eq!((names(&first), first.1), (vec!["anna", "clara", "dora"], 4));
    let second = node.users.list(&dora, None, 2, 3).await.unwrap();
    assert_eq!((names(&second), second.1), (vec!["olga"], 4));
    let beyond = node.users.list(&dora, None, u64::MAX, 3).await.unwrap();
    assert_eq!((names(&beyond), beyond.1), (vec![], 4));
    let all = node.users.list(&staff, None, 1, 50).await.unwrap();
    assert_eq!(names(&all), ["anna", "boris", "clara", "dora", "olga"]);
}

#[tokio::test]
async fn who_is_there_is_told_to_people_who_share_a_chat() {
    let node = Disk::new().await.node().await;
    let (anna, boris, clara) = (
        node.arrives("anna").await,
        node.arrives("boris").await,
        node.arrives("clara").await,
    );
    node.group_of(&[&anna, &boris]).await;
    node.online.lock().insert(boris.id());
    let seen = database_time();
    node.users.seen(boris.id(), seen);

    let of_boris = node.users.find(&anna, boris.id()).await.unwrap();
    assert_eq!(
        (of_boris.is_online, of_boris.last_seen),
        (Some(true), Some(seen))
    );
    let of_anna = node.users.find(&boris, anna.id()).await.unwrap();
    assert_eq!((of_anna.is_online, of_anna.last_seen), (Some(false), None));
    let stranger = node.users.find(&clara, boris.id()).await.unwrap();
    assert_eq!((stranger.is_online, stranger.last_seen), (None, None));
    let page = node.users.list(&anna, None, 1, 50).await.unwrap();
    let online: Vec<_> = page.0.iter().map(|account| account.is_online).collect();
    assert_eq!(online, [Some(false), Some(true), None]);
}

#[tokio::test]
async fn the_last_visit_is_written_and_never_goes_back() {
    let node = Disk::new().await.node().await;
    let anna = node.arrives("anna").await;
    let late = Utc::now().trunc_subsecs(6);
    let early = late - TimeDelta::minutes(1);
    node.users.seen(anna.id(), late);
    node.users.seen(anna.id(), early);
    node.users.write_seen().await.unwrap();
    assert_eq!(node.row(anna.id()).await.last_seen, Some(late));
    assert!(node.users.seen.lock().is_empty());
    node.users.seen(anna.id(), early);
    node.users.write_seen().await.unwrap();
    let account = node.users.find(&anna, anna.id()).await.unwrap();
    assert_eq!(account.last_seen, Some(late));
}

#[tokio::test]
async fn in_an_exact_directory_strangers_are_found_by_their_whole_name_alone() {
    let disk = Disk::new().await;
    let exact = UserRules {
        directory: Directory::Exact,
        ..UserRules::default()
    };
    let node = disk.node_where(exact).await;
    let (anna, boris, clara) = (
        node.arrives("anna").await,
        node.arrives("boris").await,
        node.arrives("clara").await,
    );
    let staff = node.arrives_as_staff("olga").await;
    node.group_of(&[&anna, &boris]).await;

    let found = async |text| {
        let page = node.users.list(&anna, text, 1, 50).await.unwrap();
        names(&page).join(" ")
    };
    assert_eq!(found(None).await, "anna boris");
    assert_eq!(found(Some("clar")).await, "");
    assert_eq!(found(Some("Clara")).await, "clara");
    assert!(node.users.find(&anna, boris.id()).await.is_ok());
    let stranger = node.users.find(&anna, clara.id()).await.unwrap_err();
    assert!(matches!(stranger, ChatError::NotFound(Thing::User)));
    assert!(node.users.find(&clara, clara.id()).await.is_ok());
    assert!(node.users.find(&staff, clara.id()).await.is_ok());
}

#[tokio::test]
async fn a_new_name_is_what_others_see_at_once() {
    let disk = Disk::new().await;
    let (node, other) = (disk.node().await, disk.node().await);
    let anna = node.arrives("anna").await;
    node.registers("boris").await.unwrap();
    let access = node.signs_in("anna").await.access;
    other.sessions.authenticate(&access).await.unwrap();

    let rename = UserPatch {
        username: Some("Anya".into()),
        email: Some("anya@example.org".into()),
        ..UserPatch::default()
    };
    let account = node.users.update(&anna, rename.clone()).await.unwrap();
    assert_eq!(
        (&*account.profile.username, &*account.email),
        ("Anya", "anya@example.org")
    );
    let actor = node.sessions.authenticate(&access).await.unwrap();
    assert_eq!(actor.user.username, "Anya");
    assert!(node.users.update(&anna, rename).await.is_ok()); // one's own name is free

    other
        .sessions
        .sweep(database_time() - TimeDelta::seconds(10))
        .await
        .unwrap();
    let actor = other.sessions.authenticate(&access).await.unwrap();
    assert_eq!(actor.user.username, "Anya");

    let taken = UserPatch {
        username: Some("BORIS".into()),
        email: Some("nonsense".into()),
        ..UserPatch::default()
    };
    let errors = told(node.users.update(&anna, taken).await.unwrap_err());
    let fields: Vec<_> = errors.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, ["email", "username"]);
}

#[tokio::test]
async fn a_deactivated_account_is_out_until_it_is_let_in_again() {
    let node = Disk::new().await.node().await;
    let (olga, anna) = (
        node.arrives_as_staff("olga").await,
        node.arrives("anna").await,
    );
    let pair = node.signs_in("anna").await;
    let (tell, told) = mpsc::channel();
    node.sessions.on_revoked(move |revoked: &Revoked| {
        let _ = tell.send(revoked.clone());
    });
    let standing = |is_active| StaffPatch {
        is_active: Some(is_active),
        is_staff: None,
    };
    let refused = node
        .users
        .update_as_staff(&anna, olga.id(), standing(false))
        .await;
    assert!(matches!(refused, Err(ChatError::Forbidden(_))));

    let out = node
        .users
        .update_as_staff(&olga, anna.id(), standing(false))
        .await;
    assert!(!out.unwrap().is_active);
    assert!(told.try_iter().any(|revoked| revoked.ends(&anna)));
    let refused = node.sessions.authenticate(&pair.access).await;
    assert_eq!(refused.unwrap_err(), AuthError::UserInactive);
    assert!(matches!(
        node.try_sign_in("anna", PASSWORD).await,
        Err(SignInError::NoAccount)
    ));

    node.users
        .update_as_staff(&olga, anna.id(), standing(true))
        .await
        .unwrap();
    let refused = node.sessions.authenticate(&pair.access).await;
    assert_eq!(refused.unwrap_err(), AuthError::Invalid);
    node.signs_in("anna").await;
    let nobody = node
        .users
        .update_as_staff(&olga, UserId(404), standing(true))
        .await;
    assert!(matches!(nobody, Err(ChatError::NotFound(Thing::User))));
}

#[tokio::test]
async fn who_becomes_staff_is_so_with_the_next_request() {
    let node = Disk::new().await.node().await;
    let (olga, anna) = (
        node.arrives_as_staff("olga").await,
        node.arrives("anna").await,
    );
    let promotion = StaffPatch {
        is_active: None,
        is_staff: Some(true),
    };
    node.users
        .update_as_staff(&olga, anna.id(), promotion)
        .await
        .unwrap();
    assert!(node.sessions.renew(&anna).await.unwrap().is_staff);
}

#[tokio::test]
async fn nothing_is_left_of_who_deletes_their_account_but_what_they_said() {
    let node = Disk::new().await.node().await;
    let (anna, boris) = (node.arrives("anna").await, node.arrives("boris").await);
    let patch = UserPatch {
        email: Some("anna@example.org".into()),
        first_name: Some("Анна".into()),
        last_name: Some("Петрова".into()),
        ..UserPatch::default()
    };
    node.users.update(&anna, patch).await.unwrap();
    let chat = node.group_of(&[&anna, &boris]).await;
    let access = node.signs_in("anna").await.access;

    node.users.delete(&anna).await.unwrap();
    let row = node.row(anna.id()).await;
    assert_eq!(row.username, format!("deleted-{}", anna.id()));
    let emptied = [&row.password, &row.email, &row.first_name, &row.last_name];
    assert_eq!(emptied, [""; 4]);
    assert_eq!((row.email_key, row.is_active), (None, false));
    assert!(
        node.store
            .find_member(chat, anna.id())
            .await
            .unwrap()
            .is_none()
    );
    let left =
        node.published.lock().iter().any(
            |event| matches!(&event.what, What::MemberLeft { user, .. } if user.id == anna.id()),
        );
    assert!(left);

    let refused = node.sessions.authenticate(&access).await;
    assert_eq!(refused.unwrap_err(), AuthError::UserNotFound);
    assert!(matches!(
        node.try_sign_in("anna", PASSWORD).await,
        Err(SignInError::NoAccount)
    ));
    assert!(matches!(
        node.try_sign_in(&row.username, "").await,
        Err(SignInError::NoAccount)
    ));
    let gone = node.users.find(&boris, anna.id()).await;
    assert!(matches!(gone, Err(ChatError::NotFound(Thing::User))));
    node.registers("anna").await.unwrap(); // the name is free again
}

#[tokio::test]
async fn a_block_is_there_once_and_gone_at_once() {
    let node = Disk::new().await.node().await;
    let (anna, boris) = (node.arrives("anna").await, node.arrives("boris").await);
    let blockers = async || {
        let all = node.store.who_blocks(&[anna.id()], boris.id()).await;
        all.unwrap().len()
    };
    node.users.block(&anna, boris.id()).await.unwrap();
    node.users.block(&anna, boris.id()).await.unwrap();
    assert_eq!(blockers().await, 1);
    node.users.unblock(&anna, boris.id()).await.unwrap();
    node.users.unblock(&anna, boris.id()).await.unwrap();
    assert_eq!(blockers().await, 0);
    let oneself = node.users.block(&anna, anna.id()).await;
    assert!(matches!(oneself, Err(ChatError::Invalid { .. })));
    let nobody = node.users.block(&anna, UserId(404)).await;
    assert!(matches!(nobody, Err(ChatError::NotFound(Thing::User))));
}

#[tokio::test]
async fn what_the_command_line_changes_takes_effect_with_the_sweep() {
    let disk = Disk::new().await;
    let (node, beside) = (disk.node().await, disk.node().await);
    let commands = Accounts::open(beside.store.clone(), hasher());
    let anna = node.arrives("anna").await;
    let sweep = async || {
        node.sessions
            .sweep(database_time() - TimeDelta::seconds(10))
            .await
    };

    commands.set_staff("anna", true).await.unwrap();
    sweep().await.unwrap();
    assert!(node.sessions.renew(&anna).await.unwrap().is_staff);

    let weak = commands.set_password("anna", "anna1").await.unwrap_err();
    assert!(told(weak).iter().all(|(field, _)| *field == "password"));
    commands
        .set_password("anna", "wrong donkey staple")
        .await
        .unwrap();
    sweep().await.unwrap();
    assert_eq!(
        node.sessions.renew(&anna).await.unwrap_err(),
        AuthError::Invalid
    );
    node.try_sign_in("anna", "wrong donkey staple")
        .await
        .unwrap();

    let nobody = commands.set_staff("nobody", true).await;
    assert!(matches!(nobody, Err(ChatError::NotFound(Thing::User))));
}

#[tokio::test]
async fn many_accounts_are_made_with_one_password_and_ids_in_a_row() {
    let node = Disk::new().await.node().await;
    let anna = node.arrives("anna").await;
    let commands = &node.users.accounts;
    let hash = Passwords::new(PasswordCost::MIN).hash(PASSWORD);
    let (first, count) = commands
        .create_many("Load", 12_345, &hash, false)
        .await
        .unwrap();
    assert_eq!((first.0, count), (anna.id().0 + 1, 12_345));
    let last = node.row(UserId(first.0 + 12_344)).await;
    assert_eq!(&*last.username, "Load12345");
    assert_eq!(last.username_key.as_deref(), Some("load12345"));
    assert!(last.is_active && !last.is_staff);
    node.signs_in("Load777").await;

    let again = commands
        .create_many("load", 1, &hash, false)
        .await
        .unwrap_err();
    assert!(matches!(
        again,
        ChatError::Invalid {
            field: "username",
            ..
        }
    ));
    let nonsense = commands
        .create_many("lo ad", 1, &hash, false)
        .await
        .unwrap_err();
    assert!(matches!(
        nonsense,
        ChatError::Invalid {
            field: "username",
            ..
        }
    ));
    let nobody = commands
        .create_many("x", 0, &hash, false)
        .await
        .unwrap_err();
    assert!(matches!(nobody, ChatError::Invalid { field: "count", .. }));
}
