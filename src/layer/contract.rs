//! What every layer promises, tried on each: a new layer adds a line to `every_layer`.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{ChannelLayer, LayerError, LayerMessage, MemoryLayer};

/// Only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any channel of ours holds.
const TOO_MANY: usize = 20_000;

fn every_layer() -> Vec<(&'static str, Arc<dyn ChannelLayer>)> {
    vec![("memory", Arc::new(MemoryLayer::default()))]
}

fn message(n: usize) -> LayerMessage {
    let Value::Object(message) = json!({"type": "chat.message", "n": n, "text": "Привет"})
    else {
        panic!("an object");
    };
    message
}

async fn hears(layer: &dyn ChannelLayer, channel: &str) -> LayerMessage {
    let received = tokio::time::timeout(PATIENCE, layer.receive(channel)).await;
    received
        .unwrap_or_else(|_| panic!("waited in vain at {channel}"))
        .unwrap()
}

#[tokio::test]
async fn channels_have_names_of_their_own() {
    for (name, layer) in every_layer() {
        assert!(!layer.has_others() || name != "memory");
        let [one, two] = [layer.new_channel().await, layer.new_channel().await];
        assert_ne!(one.unwrap(), two.unwrap(), "{name}");
        assert!(layer.has_others(), "{name}");
    }
}

#[tokio::test]
async fn a_group_hears_each_message_once_in_the_order_of_one_sender_the_sender_too() {
    for (_, layer) in every_layer() {
        let [one, two, outside] = [
            layer.new_channel().await.unwrap(),
            layer.new_channel().await.unwrap(),
            layer.new_channel().await.unwrap(),
        ];
        for channel in [&one, &two, &two] {
            layer.group_add("trip", channel).await.unwrap();
        }
        layer.group_add("other", &outside).await.unwrap();
        for n in 0..100 {
            layer.group_send("trip", message(n)).await.unwrap();
        }
        layer.send(&outside, message(100)).await.unwrap();
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
    for (_, layer) in every_layer() {
        let (stays, goes) = (
            layer.new_channel().await.unwrap(),
            layer.new_channel().await.unwrap(),
        );
        for channel in [&stays, &goes] {
            layer.group_add("trip", channel).await.unwrap();
        }
        layer.group_discard("trip", &goes).await.unwrap();
        layer.group_discard("trip", &goes).await.unwrap();
        layer.group_discard("nobody's", &goes).await.unwrap();
        layer.group_send("trip", message(1)).await.unwrap();
        layer.send(&goes, message(2)).await.unwrap();
        assert_eq!(hears(&*layer, &stays).await, message(1));
        assert_eq!(hears(&*layer, &goes).await, message(2));
        layer.group_discard("trip", &stays).await.unwrap();
        layer.group_send("trip", message(3)).await.unwrap();
    }
}

#[tokio::test]
async fn a_receive_that_is_given_up_while_it_waits_loses_nothing() {
    for (_, layer) in every_layer() {
        let channel = layer.new_channel().await.unwrap();
        for n in 0..50 {
            let gives_up = tokio::time::timeout(Duration::ZERO, layer.receive(&channel)).await;
            assert!(gives_up.is_err());
            layer.send(&channel, message(n)).await.unwrap();
            assert_eq!(hears(&*layer, &channel).await, message(n));
        }
    }
}

#[tokio::test]
async fn who_waits_is_woken() {
    for (_, layer) in every_layer() {
        let channel = layer.new_channel().await.unwrap();
        layer.group_add("trip", &channel).await.unwrap();
        let waits = {
            let (layer, channel) = (layer.clone(), channel.clone());
            tokio::spawn(async move { hears(&*layer, &channel).await })
        };
        tokio::task::yield_now().await;
        layer.group_send("trip", message(1)).await.unwrap();
        assert_eq!(waits.await.unwrap(), message(1));
    }
}

#[tokio::test]
async fn a_channel_that_nobody_reads_holds_nobody_up() {
    for (name, layer) in every_layer() {
        let (deaf, other) = (
            layer.new_channel().await.unwrap(),
            layer.new_channel().await.unwrap(),
        );
        layer.group_add("trip", &deaf).await.unwrap();
        layer.group_add("trip", &other).await.unwrap();
        for n in 0..TOO_MANY {
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
