//! Connections that hear all chats of their users.

use std::{sync::Arc, time::Duration};

use entity::{ChatId, ChatKind, Role};

use super::{
    reader::Reader,
    testing::{Node, Town},
};
use crate::{
    chat::{Actor, ChatEvent, ChatHead, ChatListed, FollowedChats, NewChat, Presence, What},
    hub::follow::Report,
    hub::{
        Announce, Audience, Beginning, Close, Ends, Follow, Following, QueueLimits, SharedFrame,
        Voice,
    },
    layer::MemoryLayer,
};

/// Only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn text(text: String) -> SharedFrame {
    SharedFrame::text(&text)
}

fn encode(_: &ChatHead, event: &ChatEvent, _: Audience) -> Option<SharedFrame> {
    match &event.what {
        What::Sent(message) => Some(text(format!("{}: {}", event.chat, message.text))),
        _ => None,
    }
}

const ANNOUNCE: Announce = Announce {
    added: |chat: &ChatListed| text(format!("added {} at {}", chat.head.id, chat.last_seq)),
    unread: |chat: ChatId, count: u64| text(format!("unread {chat}: {count}")),
    presence: |chat: ChatId, presence: &Presence| text(format!("in {chat}: {}", presence.count)),
};

/// Somebody whose chats were read, and who sits in none yet.
struct Coming {
    reader: Reader,
    beginning: Beginning,
}

impl Coming {
    async fn of(node: &Node, who: &Actor, connection: u64, announce: Option<Announce>) -> Self {
        Self::with_limits(node, who, connection, announce, QueueLimits::default()).await
    }

    async fn with_limits(
        node: &Node,
        who: &Actor,
        connection: u64,
        announce: Option<Announce>,
        limits: QueueLimits,
    ) -> Self {
        let reader = Reader::with_limits(connection, who.id().0, limits);
        Self::of_chats(node, who, reader, announce, FollowedChats::OwnAndSupport).await
    }

    async fn of_chats(
        node: &Node,
        who: &Actor,
        reader: Reader,
        announce: Option<Announce>,
        chats: FollowedChats,
    ) -> Self {
        let follow = Follow {
            actor: Actor {
                connection: Some(reader.seat.connection),
                ..who.clone()
            },
            voice: Voice {
                number: 1,
                encode,
                ends: Ends::Seat(|head| Some(text(format!("removed {}", head.id)))),
            },
            in_literals: false,
            chats,
            queue: reader.seat.queue.clone(),
            announce,
        };
        let beginning = node.hubs.follow(follow).await.unwrap();
        Coming { reader, beginning }
    }

    async fn begins(self) -> Phone {
        let Coming { reader, beginning } = self;
        let began = beginning
            .chats()
            .map(|followed| (followed.entered.head.id, followed.entered.last_seq.0))
            .collect();
        let following = beginning.begin(Some(text("hello".to_owned()))).await;
        Phone {
            reader,
            following: following.unwrap(),
            began,
        }
    }
}

struct Phone {
    reader: Reader,
    following: Following,
    /// Chats and their numbers, as it began.
    began: Vec<(ChatId, i64)>,
}

impl Phone {
    async fn of(node: &Node, who: &Actor, connection: u64, announce: Option<Announce>) -> Self {
        let coming = Coming::of(node, who, connection, announce).await;
        coming.begins().await
    }

    /// With a queue that takes three frames.
    async fn of_few(node: &Node, who: &Actor) -> Self {
        let few = QueueLimits {
            frames_max: 3,
            ..QueueLimits::default()
        };
        let coming = Coming::with_limits(node, who, 1, Some(ANNOUNCE), few).await;
        coming.begins().await
    }

    /// The next so many frames of a kind, sorted; others are passed over.
    async fn hears_of(&mut self, kind: &str, count: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let heard = async {
            while all.len() < count {
                let frames = self.reader.hears().await.unwrap().into_iter();
                all.extend(frames.filter(|frame| frame.starts_with(kind)));
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, heard).await;
        assert!(in_time.is_ok(), "waited in vain for {kind}: {all:?}");
        all.sort();
        all
    }

    /// These come next; what is unread, where one waits for it.
    async fn hears(&mut self, wanted: &[&str]) {
        let waits_for = |kind: &str| wanted.iter().any(|frame| frame.starts_with(kind));
        let (counts, shows) = (waits_for("unread"), waits_for("in "));
        let mut all: Vec<String> = Vec::new();
        let heard = async {
            while all.len() < wanted.len() {
                all.extend(self.reader.hears().await.unwrap());
                all.retain(|frame| counts || !frame.starts_with("unread"));
                all.retain(|frame| shows || !frame.starts_with("in "));
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, heard).await;
        assert!(in_time.is_ok(), "waited in vain for {wanted:?}: {all:?}");
        assert_eq!(all, wanted);
    }
}

async fn node() -> (Town, Node) {
    let town = Town::new().await;
    let node = town.node(Arc::new(MemoryLayer::default())).await;
    (town, node)
}

async fn opens_personal_chat(node: &Node, who: &Actor, with: &Actor) -> ChatId {
    opens(node, who, ChatKind::Personal, vec![with]).await
}

async fn opens(node: &Node, who: &Actor, kind: ChatKind, with: Vec<&Actor>) -> ChatId {
    let new = NewChat {
        kind,
        name: None,
        members: with.iter().map(|other| other.id()).collect(),
        is_private: false,
    };
    node.domain
        .chats
        .create(who, new)
        .await
        .unwrap()
        .chat
        .head
        .id
}

#[tokio::test]
async fn it_hears_all_chats_and_those_that_it_is_added_to() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let first = node.group(&anna, &[&boris]).await;
    node.says(&anna, first, "before").await;
    let mut phone = Phone::of(&node, &boris, 1, Some(ANNOUNCE)).await;
    assert_eq!(phone.began, [(first, 1)]);
    let second = node.group(&anna, &[]).await;
    node.says(&anna, second, "among us").await;
    node.says(&anna, first, "hi").await;
    phone.hears(&["hello", &format!("{first}: hi")]).await;
    phone.hears(&[&format!("unread {first}: 2")]).await;
    let members = &node.domain.members;
    let joins = members.add(&anna, second, vec![boris.id()], Role::Member);
    joins.await.unwrap();
    phone.hears(&[&format!("added {second} at 2")]).await;
    node.says(&anna, second, "welcome").await;
    phone.hears(&[&format!("{second}: welcome")]).await;
    members.remove(&anna, second, boris.id()).await.unwrap();
    node.says(&anna, second, "behind his back").await;
    node.says(&anna, first, "still here").await;
    phone
        .hears(&[
            &format!("removed {second}"),
            &format!("{first}: still here"),
        ])
        .await;
    assert!(
        phone
            .following
            .place(second)
            .is_none_or(|seated| !seated.is_live())
    );
}

#[tokio::test]
async fn without_announcements_it_hears_what_was_said_since_the_chat_was_opened() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let mut phone = Phone::of(&node, &boris, 1, None).await;
    let chat = opens_personal_chat(&node, &anna, &boris).await;
    node.says(&anna, chat, "one").await;
    node.says(&anna, chat, "two").await;
    phone
        .hears(&["hello", &format!("{chat}: one"), &format!("{chat}: two")])
        .await;
}

#[tokio::test]
async fn a_hidden_chat_is_shown_again_by_the_next_message() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = opens_personal_chat(&node, &anna, &boris).await;
    node.says(&anna, chat, "old").await;
    let mut phone = Phone::of(&node, &boris, 1, Some(ANNOUNCE)).await;
    let mut plain = Phone::of(&node, &boris, 2, None).await;
    node.domain.chats.delete(&boris, chat).await.unwrap();
    let removed = format!("removed {chat}");
    phone.hears(&["hello", &removed]).await;
    plain.hears(&["hello", &removed]).await;
    // Hidden, it is hidden to whoever comes now too.
    let mut late = Phone::of(&node, &boris, 3, Some(ANNOUNCE)).await;
    assert_eq!(late.began, []);
    node.says(&anna, chat, "new").await;
    let added = format!("added {chat} at 2");
    phone.hears(&[&added]).await;
    late.hears(&["hello", &added]).await;
    plain.hears(&[&format!("{chat}: new")]).await;
    node.says(&anna, chat, "newer").await;
    late.hears(&[&format!("{chat}: newer")]).await;
}

#[tokio::test]
async fn what_happens_on_another_node_without_a_hint_is_found_by_the_sweep() {
    let town = Town::new().await;
    let here = town.node(Arc::new(MemoryLayer::default())).await;
    let there = town.node(Arc::new(MemoryLayer::default())).await;
    let (anna, boris) = (here.person("anna").await, here.person("boris").await);
    let mut phone = Phone::of(&here, &boris, 1, Some(ANNOUNCE)).await;
    let mut plain = Phone::of(&here, &boris, 2, None).await;
    let chat = there.group(&anna, &[&boris]).await;
    there.says(&anna, chat, "from afar").await;
    phone.hears(&["hello", &format!("added {chat} at 1")]).await;
    plain.hears(&["hello", &format!("{chat}: from afar")]).await;
    let members = &there.domain.members;
    members.remove(&anna, chat, boris.id()).await.unwrap();
    phone.hears(&[&format!("removed {chat}")]).await;
}

#[tokio::test]
async fn operators_hear_new_support_chats_from_their_first_message_on() {
    let (_town, node) = node().await;
    let anna = node.person("anna").await;
    let operator = node.operator("olga").await;
    let mut plain = Phone::of(&node, &operator, 1, None).await;
    let chat = opens(&node, &anna, ChatKind::Support, vec![]).await;
    node.says(&anna, chat, "help!").await;
    plain.hears(&["hello", &format!("{chat}: help!")]).await;
}

#[tokio::test]
async fn what_is_unread_is_told_once_a_second_however_much_is_said() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = node.group(&anna, &[&boris]).await;
    let mut phone = Phone::of(&node, &boris, 1, Some(ANNOUNCE)).await;
    node.says_much(&anna, chat, 50).await;
    let mut all: Vec<String> = Vec::new();
    let last = format!("unread {chat}: 50");
    while all.last() != Some(&last) {
        all.extend(phone.reader.hears().await.unwrap());
    }
    all.retain(|frame| !frame.starts_with("in "));
    assert_eq!(all.len() - 1 - 50, 1, "{all:?}");
    // Halfway: that is counted by the database. To the end: known.
    let page = node.domain.history.page(
        &boris,
        chat,
        crate::chat::PageNumber {
            page: 1,
            page_size: 50,
        },
    );
    let newest_first = page.await.unwrap().results;
    let reading = &node.domain.reading;
    let half = newest_first[25].id;
    reading
        .mark_committed(&boris, chat, Some(half))
        .await
        .unwrap();
    phone.hears(&[&format!("unread {chat}: 25")]).await;
    reading.mark_committed(&boris, chat, None).await.unwrap();
    phone.hears(&[&format!("unread {chat}: 0")]).await;
    node.says(&anna, chat, "more").await;
    phone
        .hears(&[&format!("{chat}: more"), &format!("unread {chat}: 1")])
        .await;
}

/// One frame for each chat.
fn of_each(chats: &[ChatId], frame: impl Fn(&ChatId) -> String) -> Vec<String> {
    let mut frames: Vec<String> = chats.iter().map(frame).collect();
    frames.sort();
    frames
}

#[tokio::test]
async fn more_lists_of_who_is_there_than_a_queue_takes_are_told_all_the_same() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let mut chats = Vec::new();
    for _ in 0..8 {
        chats.push(node.group(&anna, &[&boris]).await);
    }
    let mut phone = Phone::of_few(&node, &boris).await;
    node.says(&anna, chats[0], "hi").await;
    let lists = phone.hears_of("in ", 8).await;
    assert_eq!(lists, of_each(&chats, |chat| format!("in {chat}: 1")));
}

#[tokio::test]
async fn more_counts_than_a_queue_takes_are_told_at_once() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let mut chats = Vec::new();
    for _ in 0..8 {
        chats.push(node.group(&anna, &[&boris]).await);
    }
    let mut phone = Phone::of_few(&node, &boris).await;
    let mut heard = phone.reader.heard();
    for chat in &chats {
        node.says(&anna, *chat, "hi").await;
        heard.extend(phone.reader.heard());
    }
    heard.retain(|frame| frame.starts_with("unread"));
    let left = chats.len() - heard.len();
    heard.extend(phone.hears_of("unread", left).await);
    heard.sort();
    assert_eq!(heard, of_each(&chats, |chat| format!("unread {chat}: 1")));
}

#[tokio::test]
async fn who_is_no_operator_any_more_is_told_of_all_chats_at_once() {
    let (_town, node) = node().await;
    // The next sweep finds that the database doesn't know her as one.
    let operator = Actor {
        is_staff: true,
        ..node.person("olga").await
    };
    let mut chats = Vec::new();
    for name in ["anna", "boris", "clara", "dora", "emil"] {
        let customer = node.person(name).await;
        let chat = opens(&node, &customer, ChatKind::Support, vec![]).await;
        node.says(&customer, chat, "help!").await;
        chats.push(chat);
    }
    let mut phone = Phone::of_few(&node, &operator).await;
    let removed = phone.hears_of("removed", 5).await;
    assert_eq!(removed, of_each(&chats, |chat| format!("removed {chat}")));
}

#[tokio::test]
async fn whoever_did_not_ask_for_support_chats_gets_none_from_another_connection_of_theirs() {
    let (_town, node) = node().await;
    let (anna, olga) = (node.person("anna").await, node.operator("olga").await);
    let help = opens(&node, &anna, ChatKind::Support, vec![]).await;
    node.says(&anna, help, "help!").await;
    let own = node.group(&olga, &[&anna]).await;
    let reader = Reader::new(1, olga.id().0);
    let plain = Coming::of_chats(&node, &olga, reader, Some(ANNOUNCE), FollowedChats::Own);
    let mut plain = plain.await.begins().await;
    // It ends while its chats are read, so that it is seated nowhere.
    let ending = Coming::of(&node, &olga, 2, None).await;
    ending.reader.seat.queue.close_now(Close::TOO_SLOW);
    let _ended = ending.begins().await;
    node.says(&anna, help, "is anybody there?").await;
    let also = node.group(&olga, &[]).await;
    plain.hears(&["hello", &format!("added {also} at 0")]).await;
    node.says(&anna, own, "and you?").await;
    plain.hears(&[&format!("{own}: and you?")]).await;
}

#[tokio::test]
async fn who_hears_a_chat_is_not_shown_it_again() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = node.group(&anna, &[&boris]).await;
    let mut plain = Phone::of(&node, &boris, 1, None).await;
    node.says(&anna, chat, "once").await;
    plain.hears(&["hello", &format!("{chat}: once")]).await;
    // As when the database failed while several chats were shown: all of them once more.
    let again = Report::Stirred(plain.reader.seat.connection, chat);
    node.hubs.followers.report(again);
    let other = node.group(&anna, &[&boris]).await;
    node.says(&anna, other, "and here").await;
    plain.hears(&[&format!("{other}: and here")]).await;
    node.says(&anna, chat, "twice").await;
    plain.hears(&[&format!("{chat}: twice")]).await;
}

#[tokio::test]
async fn what_was_said_while_it_sat_down_is_unread_too() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = node.group(&anna, &[&boris]).await;
    node.says(&anna, chat, "before").await;
    let coming = Coming::of(&node, &boris, 1, Some(ANNOUNCE)).await;
    // More than the hub remembers.
    node.says_much(&anna, chat, 130).await;
    let mut phone = coming.begins().await;
    let counted = phone.hears_of("unread", 1).await;
    assert_eq!(counted, [format!("unread {chat}: 131")]);
    node.says(&anna, chat, "more").await;
    let counted = phone.hears_of("unread", 1).await;
    assert_eq!(counted, [format!("unread {chat}: 132")]);
}

#[tokio::test]
async fn a_hidden_chat_in_which_something_is_said_while_it_sits_down_is_added() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = opens_personal_chat(&node, &anna, &boris).await;
    node.says(&anna, chat, "old").await;
    node.domain.chats.delete(&boris, chat).await.unwrap();
    let coming = Coming::of(&node, &boris, 1, Some(ANNOUNCE)).await;
    node.says_much(&anna, chat, 130).await;
    let mut phone = coming.begins().await;
    phone
        .hears(&["hello", &format!("added {chat} at 131")])
        .await;
    node.says(&anna, chat, "new").await;
    phone.hears(&[&format!("{chat}: new")]).await;
}

#[tokio::test]
async fn who_is_sent_away_between_the_greeting_and_the_seat_is_told() {
    let (_town, node) = node().await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = node.group(&anna, &[&boris]).await;
    let coming = Coming::of(&node, &boris, 1, Some(ANNOUNCE)).await;
    let members = &node.domain.members;
    members.remove(&anna, chat, boris.id()).await.unwrap();
    let mut phone = coming.begins().await;
    assert_eq!(phone.began, [(chat, 0)]);
    phone.hears(&["hello", &format!("removed {chat}")]).await;
    let added = members.add(&anna, chat, vec![boris.id()], Role::Member);
    added.await.unwrap();
    phone.hears(&[&format!("added {chat} at 2")]).await;
}
