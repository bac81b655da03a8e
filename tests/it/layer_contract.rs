//! What every layer promises, tried on each: a new layer adds a line to `every_layer`.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tertulia::layer::{ChannelLayer, LayerError, LayerMessage, MemoryLayer};

use crate::support::{
    PATIENCE,
    redis::{Form, TestRedis},
};

/// More than any channel of ours holds.
const TOO_MANY: usize = 20_000;
/// What the inboxes of the layers on Redis do beyond their bounds is tried where they are.
const A_ROUND_TRIP_EACH: usize = 500;

/// Each layer, and the Redis that they are on, where there is one.
async fn every_layer() -> (
    Vec<(&'static str, Arc<dyn ChannelLayer>)>,
    Option<TestRedis>,
) {
    let mut layers: Vec<(_, Arc<dyn ChannelLayer>)> =
        vec![("memory", Arc::new(MemoryLayer::default()))];
    let redis = TestRedis::find();
    if let Some(redis) = &redis {
        layers.push(("pubsub", redis.layer(Form::PubSub, &[]).await.0));
        layers.push(("core", redis.layer(Form::Core, &[]).await.0));
        layers.push(("pubsub, sealed", redis.layer(Form::PubSub, &["k"]).await.0));
        layers.push(("core, sealed", redis.layer(Form::Core, &["k"]).await.0));
    }
    (layers, redis)
}

fn message(n: usize) -> LayerMessage {
    let message = json!({"type": "chat.message", "n": n, "text": "Привет"});
    LayerMessage::pack(&message).expect("packed")
}

async fn hears(layer: &dyn ChannelLayer, channel: &str) -> LayerMessage {
    let received = tokio::time::timeout(PATIENCE, layer.receive(channel)).await;
    received
        .unwrap_or_else(|_| panic!("waited in vain at {channel}"))
        .expect("done")
}

#[tokio::test]
async fn channels_have_names_of_their_own() {
    let (layers, _redis) = every_layer().await;
    for (name, layer) in layers {
        assert!(!layer.has_others() || name != "memory");
        let [one, two] = [layer.new_channel().await, layer.new_channel().await];
        assert_ne!(one.expect("done"), two.expect("done"), "{name}");
        assert!(layer.has_others(), "{name}");
    }
}

#[tokio::test]
async fn a_group_hears_each_message_once_in_the_order_of_one_sender_the_sender_too() {
    let (layers, _redis) = every_layer().await;
    for (_, layer) in layers {
        let [one, two, outside] = [
            layer.new_channel().await.expect("done"),
            layer.new_channel().await.expect("done"),
            layer.new_channel().await.expect("done"),
        ];
        for channel in [&one, &two, &two] {
            layer.group_add("trip", channel).await.expect("done");
        }
        layer.group_add("other", &outside).await.expect("done");
        for n in 0..100 {
            layer.group_send("trip", message(n)).await.expect("done");
        }
        layer.send(&outside, message(100)).await.expect("done");
        for channel in [&one, &two] {
            for n in 0..100 {
                assert_eq!(hears(&*layer, channel).await, message(n));
            }
        }
        assert_eq!(
            hears(&*layer, &outside).await,
            message(100),
            "nothing else came"
        );
    }
}

#[tokio::test]
async fn who_has_left_a_group_hears_no_more_of_it() {
    let (layers, _redis) = every_layer().await;
    for (_, layer) in layers {
        let (stays, goes) = (
            layer.new_channel().await.expect("done"),
            layer.new_channel().await.expect("done"),
        );
        for channel in [&stays, &goes] {
            layer.group_add("trip", channel).await.expect("done");
        }
        layer.group_discard("trip", &goes).await.expect("done");
        layer.group_discard("trip", &goes).await.expect("done");
        layer.group_discard("nobody's", &goes).await.expect("done");
        layer.group_send("trip", message(1)).await.expect("done");
        layer.send(&goes, message(2)).await.expect("done");
        assert_eq!(hears(&*layer, &stays).await, message(1));
        assert_eq!(hears(&*layer, &goes).await, message(2));
        layer.group_discard("trip", &stays).await.expect("done");
        layer.group_send("trip", message(3)).await.expect("done");
    }
}

#[tokio::test]
async fn a_receive_that_is_given_up_while_it_waits_loses_nothing() {
    let (layers, _redis) = every_layer().await;
    for (_, layer) in layers {
        let channel = layer.new_channel().await.expect("done");
        for n in 0..50 {
            let gives_up = tokio::time::timeout(Duration::ZERO, layer.receive(&channel)).await;
            assert!(gives_up.is_err());
            layer.send(&channel, message(n)).await.expect("done");
            assert_eq!(hears(&*layer, &channel).await, message(n));
        }
    }
}

#[tokio::test]
async fn who_waits_is_woken() {
    let (layers, _redis) = every_layer().await;
    for (_, layer) in layers {
        let channel = layer.new_channel().await.expect("done");
        layer.group_add("trip", &channel).await.expect("done");
        let waits = {
            let (layer, channel) = (layer.clone(), channel.clone());
            tokio::spawn(async move { hears(&*layer, &channel).await })
        };
        tokio::task::yield_now().await;
        layer.group_send("trip", message(1)).await.expect("done");
        assert_eq!(waits.await.expect("done"), message(1));
    }
}

#[tokio::test]
async fn a_channel_that_nobody_reads_holds_nobody_up() {
    let (layers, _redis) = every_layer().await;
    for (name, layer) in layers {
        let (deaf, other) = (
            layer.new_channel().await.expect("done"),
            layer.new_channel().await.expect("done"),
        );
        layer.group_add("trip", &deaf).await.expect("done");
        layer.group_add("trip", &other).await.expect("done");
        for n in 0..TOO_MANY {
            if name != "memory" && n == A_ROUND_TRIP_EACH {
                break;
            }
            // It may say that one channel is full; the others hear the message all the same.
            let sent = layer.group_send("trip", message(n)).await;
            assert!(
                matches!(sent, Ok(()) | Err(LayerError::Full)),
                "{name}: {sent:?}"
            );
            assert_eq!(hears(&*layer, &other).await, message(n), "{name}");
        }
    }
}

#[tokio::test]
async fn an_ended_channel_hears_nothing_and_its_group_goes_on() {
    let (layers, _redis) = every_layer().await;
    for (name, layer) in layers {
        let [stays, ends] = [
            layer.new_channel().await.expect("a channel"),
            layer.new_channel().await.expect("a channel"),
        ];
        for channel in [&stays, &ends] {
            layer.group_add("trip", channel).await.expect("in");
        }
        layer.end_channel(&ends).await.expect("ended");
        layer.group_send("trip", message(1)).await.expect("sent");
        assert_eq!(hears(&*layer, &stays).await, message(1), "{name}");
        let gone = layer.receive(&ends).await;
        assert!(gone.is_err(), "{name}: {gone:?}");
        assert!(layer.group_add("trip", &ends).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn many_messages_at_once_come_in_their_order_to_each_group() {
    let (layers, _redis) = every_layer().await;
    for (name, layer) in layers {
        let [one, both] = [
            layer.new_channel().await.expect("a channel"),
            layer.new_channel().await.expect("a channel"),
        ];
        for (group, channel) in [("odd", &one), ("odd", &both), ("even", &both)] {
            layer.group_add(group, channel).await.expect("in");
        }
        let group = |n: usize| ["even", "odd"][n % 2].to_owned();
        let messages = (0..200).map(|n| (group(n), message(n))).collect();
        layer.group_send_all(messages).await.expect("sent");
        for n in 0..200 {
            assert_eq!(hears(&*layer, &both).await, message(n), "{name}");
        }
        for n in (1..200).step_by(2) {
            assert_eq!(hears(&*layer, &one).await, message(n), "{name}");
        }
    }
}
