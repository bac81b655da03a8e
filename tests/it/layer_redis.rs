//! The layers on Redis in bad times: Redis goes and comes back, with and without its data; and what comes is anything.

use std::sync::Arc;

use serde_json::json;
use tertulia::layer::{ChannelLayer, LayerError, LayerMessage};

use crate::support::{
    redis::{Form, TestRedis},
    within,
};

fn message(n: usize) -> LayerMessage {
    LayerMessage::pack(&json!({"type": "x", "n": n})).expect("packed")
}

/// A layer of another process, and one that is in a group.
async fn two(
    redis: &TestRedis,
    form: Form,
) -> (Arc<dyn ChannelLayer>, Arc<dyn ChannelLayer>, String) {
    let (tells, prefix) = redis.layer(form, &[]).await;
    let hears = redis.layer_with(form, &prefix, &[]).await;
    let channel = hears.new_channel().await.expect("a channel");
    hears.group_add("trip", &channel).await.expect("in");
    (tells, hears, channel)
}

async fn until_up(layer: &dyn ChannelLayer, is_up: bool) {
    let waiting = async {
        while layer.is_up() != is_up {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    within("the layer's state", waiting).await;
}

#[tokio::test]
async fn a_layer_whose_redis_was_away_is_told_so_once_and_hears_again() {
    for form in [Form::PubSub, Form::Core] {
        for forgets in [false, true] {
            let Some(mut redis) = TestRedis::start() else {
                return;
            };
            let (tells, hears, channel) = two(&redis, form).await;
            tells.group_send("trip", message(1)).await.expect("sent");
            let came = within("the first", hears.receive(&channel)).await;
            assert_eq!(came.expect("a message"), message(1));
            redis.dies();
            until_up(&*tells, false).await;
            let refused = tells.group_send("trip", message(2)).await;
            assert!(
                matches!(refused, Err(LayerError::Away(_))),
                "{form:?}: {refused:?}"
            );
            // Whoever joins meanwhile is in once it is back.
            let later = hears.new_channel().await.expect("a channel");
            let joined = hears.group_add("trip", &later).await;
            assert!(
                matches!(joined, Err(LayerError::Away(_))),
                "{form:?}: {joined:?}"
            );
            if forgets {
                redis.forgets();
            }
            redis.starts();
            for channel in [&channel, &later] {
                let lost = within("being told", hears.receive(channel)).await;
                assert!(
                    matches!(lost, Err(LayerError::Lost(_))),
                    "{form:?}: {lost:?}"
                );
            }
            until_up(&*tells, true).await;
            tells.group_send("trip", message(3)).await.expect("sent");
            for channel in [&channel, &later] {
                let came = loop {
                    // The core layer has two connections, each of which may have lost something.
                    match within("what came then", hears.receive(channel)).await {
                        Err(LayerError::Lost(_)) => {}
                        came => break came,
                    }
                };
                assert_eq!(came.expect("a message"), message(3), "{form:?}");
            }
        }
    }
}

#[tokio::test]
async fn who_leaves_a_group_and_is_back_at_once_hears_what_is_said_there_once() {
    for form in [Form::PubSub, Form::Core] {
        let Some(redis) = TestRedis::find() else {
            return;
        };
        let (tells, hears, channel) = two(&redis, form).await;
        for n in 0..20 {
            hears.group_discard("trip", &channel).await.expect("out");
            hears.group_add("trip", &channel).await.expect("in");
            tells.group_send("trip", message(n)).await.expect("sent");
            let came = within("it", hears.receive(&channel)).await;
            assert_eq!(came.expect("a message"), message(n), "{form:?}");
        }
    }
}

#[tokio::test]
async fn whatever_lies_on_redis_nobody_falls() {
    for form in [Form::PubSub, Form::Core] {
        let Some(redis) = TestRedis::start() else {
            return;
        };
        let hears = redis.layer_with(form, "asgi", &[]).await;
        let tells = redis.layer_with(form, "asgi", &[]).await;
        let channel = hears.new_channel().await.expect("a channel");
        hears.group_add("trip", &channel).await.expect("in");
        let mut connection = redis.connection().await;
        let deep = [&b"\x81\xa1a"[..], &[0x91; 200_000], b"\xc0"].concat();
        let large = [&b"\x81\xa1a\xdb\x00\x40\x00\x00"[..], &vec![b'x'; 4 << 20]].concat();
        let int_key = [&b"\x81\x01\xb0__asgi_channel__"[..]].concat();
        let mut floods: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_be_bytes().repeat(9)).collect();
        floods.extend([
            deep,
            large,
            int_key,
            Vec::new(),
            b"\x93\x01\x02\x03".to_vec(),
        ]);
        let key = match form {
            Form::PubSub => "asgi__group__trip".to_owned(),
            Form::Core => format!("asgi{}!", channel.split('!').next().expect("a process")),
        };
        for some in floods.chunks(100) {
            let mut commands = redis::pipe();
            for (n, body) in some.iter().enumerate() {
                match form {
                    Form::PubSub => commands.cmd("PUBLISH").arg(&key).arg(body),
                    Form::Core => commands
                        .cmd("ZADD")
                        .arg(&key)
                        .arg(n)
                        .arg([b"0123456789ab", &body[..]].concat()),
                };
            }
            commands.exec_async(&mut connection).await.expect("taken");
        }
        let hears_it = async {
            loop {
                match hears.receive(&channel).await {
                    Ok(came) => break came,
                    Err(LayerError::Lost(_)) => {}
                    Err(error) => panic!("{form:?}: {error}"),
                }
            }
        };
        tells.group_send("trip", message(1)).await.expect("sent");
        assert_eq!(
            within("it after all", hears_it).await,
            message(1),
            "{form:?}"
        );

        if form == Form::Core {
            // A key of another sort where a queue or a group should be is refused, and no more.
            let mut taken = redis::cmd("SET");
            taken.arg("asgi:group:taken").arg("x");
            taken.exec_async(&mut connection).await.expect("taken");
            let refused = tells.group_send("taken", message(2)).await;
            assert!(refused.is_err());
            assert!(tells.group_send("not a name", message(2)).await.is_err());
            tells.group_send("trip", message(3)).await.expect("sent");
        }
    }
}

#[tokio::test]
async fn a_full_queue_of_the_core_layer_loses_what_comes_and_holds_nobody_up() {
    let Some(redis) = TestRedis::find() else {
        return;
    };
    let (tells, prefix) = redis.layer(Form::Core, &[]).await;
    let mut connection = redis.connection().await;
    let group = format!("{prefix}:group:trip");
    let dead = format!("specific.{}!{}", "d".repeat(32), "d".repeat(32));
    let mut joins = redis::cmd("ZADD");
    joins.arg(&group).arg("4000000000").arg(dead);
    joins.exec_async(&mut connection).await.expect("in");
    let messages = (0..150).map(|n| ("trip".to_owned(), message(n))).collect();
    let full = tells.group_send_all(messages).await;
    assert!(matches!(full, Err(LayerError::Full)), "{full:?}");
    let queue = format!("{prefix}specific.{}!", "d".repeat(32));
    let waiting: usize = redis::cmd("ZCARD")
        .arg(&queue)
        .query_async(&mut connection)
        .await
        .expect("it");
    assert_eq!(waiting, 100);
}

#[tokio::test]
async fn a_group_of_a_django_project_is_its_own_though_its_name_begins_like_ours() {
    let Some(redis) = TestRedis::find() else {
        return;
    };
    let mut connection = redis.connection().await;
    for (name, is_ours) in [
        ("tertulia_1", false),
        ("tertulia", true),
        ("tertulia.chat_1", true),
    ] {
        let (tells, prefix) = redis.layer(Form::Core, &[]).await;
        let group = format!("{prefix}:group:{name}");
        let consumer = format!("specific.{}!{}", "d".repeat(32), "d".repeat(32));
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let an_hour_ago = since_1970.expect("a clock").as_secs() - 3600;
        let mut joins = redis::cmd("ZADD");
        joins.arg(&group).arg(an_hour_ago).arg(&consumer);
        joins.exec_async(&mut connection).await.expect("in");
        let messages = (0..150).map(|n| (name.to_owned(), message(n))).collect();
        let sent = tells.group_send_all(messages).await;
        let queue = format!("{prefix}specific.{}!", "d".repeat(32));
        let (members, waiting): (usize, usize) = redis::pipe()
            .zcard(&group)
            .zcard(&queue)
            .query_async(&mut connection)
            .await
            .expect("an answer");
        if is_ours {
            // A node would have joined again since.
            assert!(sent.is_ok(), "{name}: {sent:?}");
            assert_eq!((members, waiting), (0, 0), "{name}");
        } else {
            // A consumer joins once, for a day.
            assert!(matches!(sent, Err(LayerError::Full)), "{name}: {sent:?}");
            assert_eq!((members, waiting), (1, 100), "{name}");
        }
    }
}

#[tokio::test]
async fn groups_are_spread_over_several_servers() {
    for form in [Form::PubSub, Form::Core] {
        let (Some(one), Some(two)) = (TestRedis::start(), TestRedis::start()) else {
            return;
        };
        let open = || async {
            let options = tertulia::layer::RedisOptions {
                addresses: [&one, &two]
                    .map(|redis| redis.url().parse().expect("an address"))
                    .to_vec(),
                prefix: "asgi".to_owned(),
                encryption_keys: Vec::new(),
            };
            let layer: Arc<dyn ChannelLayer> = match form {
                Form::PubSub => Arc::new(tertulia::layer::PubSubLayer::open(options).await),
                Form::Core => Arc::new(tertulia::layer::CoreLayer::open(options).await),
            };
            layer
        };
        let (tells, hears) = (open().await, open().await);
        let channel = hears.new_channel().await.expect("a channel");
        for n in 0..40 {
            let group = format!("group-{n}");
            hears.group_add(&group, &channel).await.expect("in");
            tells.group_send(&group, message(n)).await.expect("sent");
            let came = within("a group's", hears.receive(&channel)).await;
            assert_eq!(came.expect("a message"), message(n), "{form:?}");
            // Upstream's own send misses every other one here.
            let other = hears.new_channel().await.expect("a channel");
            tells.send(&other, message(n)).await.expect("sent");
            let came = within("one's own", hears.receive(&other)).await;
            assert_eq!(came.expect("a message"), message(n), "{form:?}");
        }
        for redis in [&one, &two] {
            let mut connection = redis.connection().await;
            let count = match form {
                Form::PubSub => {
                    redis::cmd("PUBSUB")
                        .arg("CHANNELS")
                        .query_async::<Vec<String>>(&mut connection)
                        .await
                }
                Form::Core => {
                    redis::cmd("KEYS")
                        .arg("asgi:group:*")
                        .query_async(&mut connection)
                        .await
                }
            };
            assert!(
                count.expect("its names").len() > 5,
                "{form:?}: each has its share"
            );
        }
    }
}
