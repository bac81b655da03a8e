//! Who belongs to a chat, who does not any more, and who never did.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Chat, Close, Server};

fn is(code: u16) -> impl Fn(&Close) -> bool {
    move |close| close.code == code && !close.reason.is_empty()
}

#[tokio::test]
async fn whoever_is_removed_is_out_at_once() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    boriss.still_works().await;
    anna.removes(&trip, &boris).await;
    anna.says(&trip, "between us").await;
    // Not a frame with a higher number may reach him.
    let close = loop {
        match boriss.next().await {
            crate::support::Heard::Closed(close) => break close,
            crate::support::Heard::Frame(frame) => {
                assert_eq!(frame["type"], "member_left", "{frame}")
            }
        }
    };
    assert!(is(4003)(&close), "{close:?}");
    let left = annas.hears("member_left").await;
    assert_eq!(left["user"]["username"], "boris");
    assert_eq!(left["by"], anna.id);
    assert_eq!(annas.next_message().await.text, "between us");
    for target in ["", "messages/", "members/", "events/?since=0"] {
        boris
            .get(&format!("/api/chats/{trip}/{target}"))
            .await
            .expect(404);
    }
    boris
        .tries_to_say(&trip, json!({"text": "let me in"}))
        .await
        .expect(404);
    // Three times in a row: whoever only looked every other second wouldn't be so quick.
    for _ in 0..3 {
        anna.adds(&trip, &boris).await;
        let mut phone = boris.joins(&trip).await;
        let began = Instant::now();
        anna.removes(&trip, &boris).await;
        assert_eq!(phone.is_closed_at_last().await.code, 4003);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "it took {took:?}");
    }
}

#[tokio::test]
async fn whoever_was_removed_is_barred_until_added_again() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris, &clara]).await;
    anna.removes(&trip, &boris).await;
    let close = boris
        .tries_to_join(&trip)
        .await
        .err()
        .expect("a barred member");
    assert!(is(4003)(&close), "{close:?}");
    let members = clara
        .get(&format!("/api/chats/{trip}/members/"))
        .await
        .expect(200);
    assert_eq!(members["count"], 2, "the barred aren't listed: {members}");
    // A plain member may add people, but not those whom somebody barred.
    let reply = clara.tries_to_add(&trip, &boris).await;
    assert!(
        (400..500).contains(&reply.status),
        "{}: {}",
        reply.status,
        reply.text()
    );
    assert!(boris.tries_to_join(&trip).await.is_err());
    anna.adds(&trip, &boris).await;
    boris.joins(&trip).await.still_works().await;
}

#[tokio::test]
async fn leaving_closes_ones_own_sockets_and_bars_nothing() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris, &clara]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    boris.leaves(&trip).await;
    assert_eq!(boriss.is_closed_at_last().await.code, 4003);
    let left = annas.hears("member_left").await;
    assert_eq!(
        (&left["user"]["id"], &left["by"]),
        (&json!(boris.id), &json!(boris.id))
    );
    assert_eq!(
        boris
            .tries_to_join(&trip)
            .await
            .err()
            .map(|close| close.code),
        Some(4003)
    );
    clara.adds(&trip, &boris).await; // whoever may add people may bring him back
    assert_eq!(annas.hears("member_joined").await["user"]["id"], boris.id);
    boris.joins(&trip).await.still_works().await;
}

#[tokio::test]
async fn a_new_member_is_announced_and_may_enter() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", []).await;
    let mut annas = anna.joins(&trip).await;
    anna.adds(&trip, &boris).await;
    let told = annas.hears("member_joined").await;
    let user =
        json!({"id": boris.id, "username": "boris", "first_name": "Boris", "last_name": "Story"});
    let wanted =
        json!({"type": "member_joined", "seq": 1, "user": user, "role": "member", "by": anna.id});
    assert_eq!(told, wanted);
    boris.joins(&trip).await.still_works().await;
    // Adding who is there already changes nothing.
    let again = anna.tries_to_add(&trip, &boris).await;
    assert!(
        (200..300).contains(&again.status),
        "{}: {}",
        again.status,
        again.text()
    );
    anna.says(&trip, "marker").await;
    assert_eq!(annas.next_message().await.text, "marker");
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_a_chat() {
    let server = Server::start().await;
    let [anna, stranger] = server.users(["anna", "stranger"]).await;
    let trip = anna.creates_group("trip", []).await;
    let said = anna.says(&trip, "between us").await;
    let nowhere = trip.id + 1000;
    let mut answers: Vec<(u16, Value)> = Vec::new();
    for chat in [trip.id, nowhere] {
        for target in ["", "messages/", "members/", "events/?since=0"] {
            let reply = stranger.get(&format!("/api/chats/{chat}/{target}")).await;
            answers.push((reply.status, reply.json()));
        }
        let target = format!("/api/chats/{chat}/messages/{}/", said.id);
        let reply = stranger.get(&target).await;
        answers.push((reply.status, reply.json()));
    }
    assert!(
        answers.iter().all(|(status, _)| *status == 404),
        "{answers:?}"
    );
    assert_eq!(
        answers[..5],
        answers[5..],
        "a chat that isn't one's own and none at all"
    );
    let close = stranger
        .tries_to_join(&trip)
        .await
        .err()
        .expect("a stranger");
    assert!(is(4003)(&close), "{close:?}");
    let nowhere = crate::support::Chat { id: nowhere };
    let close = stranger
        .tries_to_join(&nowhere)
        .await
        .err()
        .expect("no chat");
    assert!(is(4004)(&close), "{close:?}");
}

#[tokio::test]
async fn numbers_that_can_be_no_chats_are_no_such_chat() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for segment in [
        "0",
        "00",
        "9223372036854775808",
        "99999999999999999999999999",
    ] {
        let target = format!("/ws/chat/{segment}/");
        let close = anna
            .handshake_at(&target)
            .enter()
            .await
            .err()
            .expect("no such chat");
        assert_eq!(close.code, 4004, "{segment}");
        anna.get(&format!("/api/chats/{segment}/"))
            .await
            .expect(404);
    }
}

#[tokio::test]
async fn an_owner_who_leaves_hands_over_to_the_longest_standing_admin_else_member() {
    let server = Server::start().await;
    let [owner, member, admin] = server.users(["owner", "member", "admin"]).await;
    let trip = owner.creates_group("trip", [&member]).await;
    owner.adds(&trip, &admin).await;
    owner.makes(&trip, &admin, "admin").await;
    let mut phone = member.joins(&trip).await;
    owner.leaves(&trip).await;
    let mut told = [phone.next_frame().await, phone.next_frame().await];
    told.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(
        (&told[0]["type"], &told[1]["type"]),
        (&json!("member_changed"), &json!("member_left"))
    );
    assert_eq!(
        (&told[0]["user"]["id"], &told[0]["role"]),
        (&json!(admin.id), &json!("owner"))
    );
    assert_eq!(told[1]["user"]["id"], owner.id);
    assert_eq!(admin.sees(&trip).await["role"], "owner");
    admin.leaves(&trip).await;
    phone.next_frame().await;
    phone.next_frame().await;
    assert_eq!(member.sees(&trip).await["role"], "owner");
    // The last one's leaving deletes the group.
    member.leaves(&trip).await;
    phone.is_closed_at_last().await;
    member.get(&format!("/api/chats/{trip}/")).await.expect(404);
    assert_eq!(member.get("/api/chats/").await.expect(200)["count"], 0);
}

#[tokio::test]
async fn roles_say_who_may_do_what() {
    let server = Server::start().await;
    let [owner, admin, other_admin, member, guest] = server
        .users(["owner", "admin", "secondadmin", "member", "guest"])
        .await;
    let trip = owner
        .creates_group("trip", [&admin, &other_admin, &member])
        .await;
    owner.makes(&trip, &admin, "admin").await;
    admin.makes(&trip, &other_admin, "admin").await; // admins make admins

    // A plain member writes, adds and leaves.
    member.says(&trip, "hello").await;
    let target = format!("/api/chats/{trip}/");
    member
        .patch(&target, json!({"name": "mine"}))
        .await
        .expect(403);
    member.tries_to_remove(&trip, &admin).await.expect(403);
    member
        .tries_to_make(&trip, &member, "admin")
        .await
        .expect(403);
    member.delete(&target).await.expect(403);
    member.adds(&trip, &guest).await;

    // An admin renames and removes members, but doesn't touch owner or admins.
    admin.renames(&trip, "journey").await;
    admin.removes(&trip, &guest).await;
    admin.tries_to_remove(&trip, &owner).await.expect(403);
    admin.tries_to_remove(&trip, &other_admin).await.expect(403);
    admin
        .tries_to_make(&trip, &other_admin, "member")
        .await
        .expect(403);
    admin
        .tries_to_make(&trip, &owner, "member")
        .await
        .expect(403);
    admin
        .tries_to_make(&trip, &member, "owner")
        .await
        .expect(403);
    admin.delete(&target).await.expect(403);

    // Only the owner hands over.
    owner.makes(&trip, &member, "owner").await;
    assert_eq!(member.sees(&trip).await["role"], "owner");
    assert_ne!(owner.sees(&trip).await["role"], "owner");
    member.deletes_chat(&trip).await;
}

#[tokio::test]
async fn members_add_only_where_the_setting_lets_them() {
    let server = Server::start_with(|settings| settings.limits.members_add = false).await;
    let [owner, member, guest] = server.users(["owner", "member", "guest"]).await;
    let trip = owner.creates_group("trip", [&member]).await;
    member.tries_to_add(&trip, &guest).await.expect(403);
    owner.adds(&trip, &guest).await;
}

#[tokio::test]
async fn nobody_can_be_made_banned_or_of_an_unknown_role_by_name() {
    let server = Server::start().await;
    let [owner, member] = server.users(["owner", "member"]).await;
    let trip = owner.creates_group("trip", [&member]).await;
    for role in ["king", "", "Owner", "banned"] {
        let reply = owner.tries_to_make(&trip, &member, role).await;
        assert_eq!(reply.status, 400, "{role:?}: {}", reply.text());
    }
    assert_eq!(member.sees(&trip).await["role"], "member");
}

#[tokio::test]
async fn in_a_personal_chat_nobody_is_added_removed_or_named() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let talk = anna.opens_personal_chat(&boris).await;
    let refused = [
        anna.tries_to_add(&talk, &clara).await,
        anna.tries_to_remove(&talk, &boris).await,
        anna.tries_to_make(&talk, &boris, "admin").await,
        anna.patch(&format!("/api/chats/{talk}/"), json!({"name": "us"}))
            .await,
    ];
    for reply in refused {
        assert!(
            matches!(reply.status, 400 | 403),
            "{}: {}",
            reply.status,
            reply.text()
        );
    }
    let members = boris
        .get(&format!("/api/chats/{talk}/members/"))
        .await
        .expect(200);
    assert_eq!(members["count"], 2);
}

#[tokio::test]
async fn staff_remove_members_and_delete_chats_but_do_not_read_them() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let operator = server.operator("operator").await;
    let trip = anna.creates_group("trip", [&boris]).await;
    anna.says(&trip, "between us").await;
    let mut boriss = boris.joins(&trip).await;
    for target in ["", "messages/", "events/?since=0"] {
        operator
            .get(&format!("/api/chats/{trip}/{target}"))
            .await
            .expect(404);
    }
    let close = operator
        .tries_to_join(&trip)
        .await
        .err()
        .expect("no member");
    assert_eq!(close.code, 4003);
    operator.removes(&trip, &boris).await;
    assert_eq!(boriss.is_closed_at_last().await.code, 4003);
    let mut annas = anna.joins(&trip).await;
    operator.deletes_chat(&trip).await;
    assert_eq!(annas.is_closed_at_last().await.code, 4010);
}

#[tokio::test]
async fn staff_lift_a_bar_but_let_nobody_in_who_was_not_in_before() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let operator = server.operator("operator").await;
    let trip = anna.creates_group("trip", [&boris]).await;
    anna.removes(&trip, &boris).await;
    for person in [&operator, &clara] {
        operator.tries_to_add(&trip, person).await.expect(403);
    }
    operator.adds(&trip, &boris).await;
    boris.joins(&trip).await.still_works().await;
    // Nor back in, who was removed themselves.
    anna.adds(&trip, &operator).await;
    anna.removes(&trip, &operator).await;
    operator.tries_to_add(&trip, &operator).await.expect(403);
    operator
        .get(&format!("/api/chats/{trip}/messages/"))
        .await
        .expect(404);
}

#[tokio::test]
async fn who_adds_to_a_chat_that_isnt_theirs_learns_nothing_of_it_whomever_they_name() {
    let server = Server::start().await;
    let [anna, boris, stranger] = server.users(["anna", "boris", "stranger"]).await;
    let trip = anna.creates_group("trip", []).await;
    boris.blocks(&stranger).await;
    for chat in [trip, Chat { id: 999_999 }] {
        for user in [boris.id, 999] {
            stranger
                .post(
                    &format!("/api/chats/{chat}/members/"),
                    json!({"members": [user]}),
                )
                .await
                .expect(404);
        }
    }
    let reply = anna
        .post(
            &format!("/api/chats/{trip}/members/"),
            json!({"members": [999]}),
        )
        .await;
    assert_eq!(
        reply.expect(400),
        json!({"members": ["Invalid pk \"999\" - object does not exist."]})
    );
}

#[tokio::test]
async fn a_page_of_members_beyond_all_numbers_is_no_page() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    for page in ["2", "200000000000000000"] {
        let reply = anna
            .get(&format!("/api/chats/{trip}/members/?page={page}"))
            .await;
        assert_eq!(reply.expect(404), json!({"detail": "Invalid page."}));
    }
}
