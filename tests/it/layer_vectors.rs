//! What channels_redis 4.3 was seen to write to Redis, and to read from it: ours are the same bytes.

use std::fmt;

use redis::aio::MultiplexedConnection;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;
use tertulia::layer::LayerMessage;

use crate::support::redis::{Form, TestRedis};

/// What a Python dictionary holds, keys in their order; of JSON with tags for what JSON can't carry.
#[derive(Clone, Debug)]
enum Thing {
    Plain(Value),
    Bytes(Vec<u8>),
    Float(f64),
    List(Vec<Thing>),
    Dict(Vec<(String, Thing)>),
}

impl Serialize for Thing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Thing::Plain(value) => value.serialize(serializer),
            Thing::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Thing::Float(number) => serializer.serialize_f64(*number),
            Thing::List(things) => serializer.collect_seq(things),
            Thing::Dict(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, thing) in pairs {
                    map.serialize_entry(key, thing)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Thing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Things;
        impl<'de> Visitor<'de> for Things {
            type Value = Thing;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, it: bool) -> Result<Thing, E> {
                Ok(Thing::Plain(it.into()))
            }
            fn visit_i64<E>(self, it: i64) -> Result<Thing, E> {
                Ok(Thing::Plain(it.into()))
            }
            fn visit_u64<E>(self, it: u64) -> Result<Thing, E> {
                Ok(Thing::Plain(it.into()))
            }
            fn visit_str<E>(self, it: &str) -> Result<Thing, E> {
                Ok(Thing::Plain(it.into()))
            }
            fn visit_unit<E>(self) -> Result<Thing, E> {
                Ok(Thing::Plain(Value::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Thing, A::Error> {
                let mut things = Vec::new();
                while let Some(thing) = seq.next_element()? {
                    things.push(thing);
                }
                Ok(Thing::List(things))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Thing, A::Error> {
                let mut pairs: Vec<(String, Thing)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(match &pairs[..] {
                    [(tag, Thing::Plain(Value::String(text)))] => match tag.as_str() {
                        "$bytes_hex" => Thing::Bytes(unhex(text)),
                        "$float" => Thing::Float(text.parse().expect("a float")),
                        "$int" => Thing::Plain(
                            text.parse::<serde_json::Number>().expect("a number").into(),
                        ),
                        _ => Thing::Dict(pairs),
                    },
                    _ => Thing::Dict(pairs),
                })
            }
        }
        deserializer.deserialize_any(Things)
    }
}

impl Thing {
    /// The same in JSON, where JSON can carry it.
    fn json(&self) -> Option<Value> {
        Some(match self {
            Thing::Plain(value) => value.clone(),
            Thing::Bytes(_) => return None,
            Thing::Float(number) => serde_json::Number::from_f64(*number)?.into(),
            Thing::List(things) => things
                .iter()
                .map(Thing::json)
                .collect::<Option<Vec<_>>>()?
                .into(),
            Thing::Dict(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(key, thing)| Some((key.clone(), thing.json()?)));
                Value::Object(pairs.collect::<Option<_>>()?)
            }
        })
    }

    fn packed(&self) -> LayerMessage {
        LayerMessage::pack(self).expect("packed")
    }
}

/// One observation, as far as these tests look at it.
#[derive(Deserialize)]
struct Vector {
    name: String,
    serializer: String,
    op: Option<String>,
    message: Option<Thing>,
    payload_hex: Option<String>,
    body_hex: Option<String>,
    plaintext_hex: Option<String>,
    error: Option<String>,
    channel: Option<String>,
    redis_key: Option<String>,
    key_ttl_s: Option<u64>,
}

#[derive(Deserialize)]
struct Vectors {
    #[serde(default)]
    channels: Vec<String>,
    vectors: Vec<Vector>,
}

fn pubsub() -> Vectors {
    serde_json::from_str(include_str!("../vectors/pubsub_layer_payloads.json")).expect("vectors")
}

fn core() -> Vectors {
    serde_json::from_str(include_str!("../vectors/core_layer_payloads.json")).expect("vectors")
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn messages_are_packed_to_the_bytes_of_python() {
    let mut packed = 0;
    for vector in pubsub().vectors {
        let (Some(message), "msgpack") = (&vector.message, vector.serializer.as_str()) else {
            continue;
        };
        let wanted = vector
            .plaintext_hex
            .or(vector.payload_hex)
            .expect("its bytes");
        assert_eq!(hex(message.packed().packed()), wanted, "{}", vector.name);
        packed += 1;
    }
    assert!(packed >= 15, "{packed}");
}

#[test]
fn messages_of_python_are_read_in_either_form() {
    let mut read = 0;
    for vector in pubsub().vectors {
        let Some(bytes) = vector.plaintext_hex.or(vector.payload_hex) else {
            assert!(vector.error.is_some(), "{}", vector.name);
            continue;
        };
        let came =
            LayerMessage::from_wire(unhex(&bytes)).and_then(|message| message.read::<Value>());
        let Some(wanted) = vector.message.as_ref().and_then(Thing::json) else {
            // Bytes and numbers that are none: JSON can't carry them, so no client could be told.
            continue;
        };
        assert_eq!(
            came.expect("read"),
            wanted,
            "{} in {}",
            vector.name,
            vector.serializer
        );
        read += 1;
    }
    assert!(read >= 25, "{read}");
}

#[test]
fn what_python_reads_or_refuses_is_read_or_refused() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        hex: String,
        ok: bool,
        value: Option<Thing>,
    }
    #[derive(Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }
    let cases: Cases =
        serde_json::from_str(include_str!("../vectors/msgpack_decode_cases.json")).expect("cases");
    assert!(cases.cases.len() >= 19);
    for Case {
        name,
        hex,
        ok,
        value,
    } in cases.cases
    {
        let came = LayerMessage::from_wire(unhex(&hex)).and_then(|message| message.read::<Value>());
        match name.as_str() {
            // A Django consumer dies of these two, and JSON has no word for the next two and for bytes.
            "bin_key" | "array_top_level" | "timestamp_ext32" | "ext_type_5" | "bin_value" => {
                assert!(ok && came.is_err(), "{name}: {came:?}");
            }
            // As JSON.stringify writes it.
            "nan" => assert_eq!(came.expect("read")["v"], Value::Null),
            _ if ok => assert_eq!(came.ok(), value.and_then(|value| value.json()), "{name}"),
            _ => assert!(came.is_err(), "{name}: {came:?}"),
        }
    }
}

#[tokio::test]
async fn on_the_pubsub_layer_the_same_bytes_go_to_the_same_channel() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let layer = redis.layer_with(Form::PubSub, "asgi", &[]).await;
    let mut sees = redis::Client::open(redis.url())
        .expect("an address")
        .get_async_pubsub()
        .await
        .expect("a connection");
    sees.subscribe("asgi__group__chat_1")
        .await
        .expect("subscribed");
    let mut pushed = sees.into_on_message();
    for vector in pubsub().vectors {
        let (Some(message), "msgpack", None) = (
            &vector.message,
            vector.serializer.as_str(),
            &vector.plaintext_hex,
        ) else {
            continue;
        };
        layer
            .group_send("chat_1", message.packed())
            .await
            .expect("sent");
        let came = futures_util::StreamExt::next(&mut pushed)
            .await
            .expect("a message");
        assert_eq!(
            Some(hex(came.get_payload_bytes())),
            vector.payload_hex,
            "{}",
            vector.name
        );
    }
}

/// The entries of a queue with their scores, and how long it is kept.
async fn queue(redis: &mut MultiplexedConnection, key: &str) -> (Vec<(Vec<u8>, f64)>, i64) {
    redis::pipe()
        .cmd("ZRANGE")
        .arg(key)
        .arg(0)
        .arg(-1)
        .arg("WITHSCORES")
        .cmd("TTL")
        .arg(key)
        .query_async(redis)
        .await
        .expect("a queue")
}

#[tokio::test]
async fn on_the_core_layer_the_same_entries_go_into_the_same_queues() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let layer = redis.layer_with(Form::Core, "asgi", &[]).await;
    let mut sees = redis.connection().await;
    let vectors = core();
    for channel in &vectors.channels {
        let mut join = redis::cmd("ZADD");
        join.arg("asgi:group:chat_1").arg("4000000000").arg(channel);
        join.exec_async(&mut sees).await.expect("in the group");
    }
    let mut seen = 0;
    for vector in vectors.vectors {
        let (Some(message), "msgpack", None) = (
            &vector.message,
            vector.serializer.as_str(),
            &vector.plaintext_hex,
        ) else {
            continue;
        };
        match vector.op.as_deref() {
            Some("send") => {
                let channel = vector.channel.expect("a channel");
                layer.send(&channel, message.packed()).await.expect("sent");
            }
            _ => layer
                .group_send("chat_1", message.packed())
                .await
                .expect("sent"),
        }
        let key = vector.redis_key.expect("a queue");
        let (entries, lives) = queue(&mut sees, &key).await;
        let [(entry, score)] = &entries[..] else {
            panic!("{}: {} entries", vector.name, entries.len());
        };
        assert_eq!(Some(hex(&entry[12..])), vector.body_hex, "{}", vector.name);
        assert!(
            vector.key_ttl_s.is_none_or(|ttl| ttl == lives as u64),
            "{}: {lives}",
            vector.name
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age = now.expect("after 1970").as_secs_f64() - score;
        assert!((-1.0..60.0).contains(&age), "{}: {age} s old", vector.name);
        redis::cmd("DEL")
            .arg(&key)
            .exec_async(&mut sees)
            .await
            .expect("gone");
        seen += 1;
    }
    assert!(seen >= 14, "{seen}");
}

/// The words of a command as `redis-cli monitor` prints it, those that differ each time cut out.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, &mut word) {
            ('"', None) => word = Some(String::new()),
            ('"', Some(_)) => words.extend(word.take()),
            // A quote may be in a word, behind a backslash.
            ('\\', Some(word)) => word.extend([letter].into_iter().chain(letters.next())),
            (_, Some(word)) => word.push(letter),
            (_, None) => {}
        }
    }
    let without_time = |word: String| match word.parse::<f64>() {
        Ok(number) if number > 1e9 => "<time>".to_owned(),
        _ => word,
    };
    words.into_iter().map(without_time).collect()
}

/// What a Redis is asked while something is done, by whom it is asked first left out.
async fn monitored(redis: &TestRedis, does: impl Future<Output = ()>) -> Vec<Vec<String>> {
    use futures_util::StreamExt;
    let client = redis::Client::open(redis.url()).expect("an address");
    let monitor = client.get_async_monitor().await.expect("watching");
    let mut lines = monitor.into_on_message::<String>();
    does.await;
    let marker = format!("marker-{}", rand::random::<u64>());
    let mut connection = redis.connection().await;
    redis::cmd("ECHO")
        .arg(&marker)
        .exec_async(&mut connection)
        .await
        .expect("said");
    let mut seen = Vec::new();
    while let Some(line) = lines.next().await {
        let words = words(&line);
        if words.contains(&marker) {
            break;
        }
        let of_connection = ["HELLO", "CLIENT", "PING", "BZPOPMIN", "ZPOPMIN", "SELECT"];
        if !line.contains("lua]") && !of_connection.contains(&words[0].as_str()) {
            seen.push(words);
        }
    }
    seen
}

#[tokio::test]
async fn on_the_core_layer_redis_is_asked_what_channels_redis_asks() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let layer = redis.layer_with(Form::Core, "asgi", &[]).await;
    let channel = layer.new_channel().await.expect("a channel");
    let key = "asgi:group:chat_1";
    let added = monitored(&redis, async {
        layer.group_add("chat_1", &channel).await.expect("in")
    })
    .await;
    assert_eq!(
        added,
        [
            vec!["ZADD", key, "<time>", &channel],
            vec!["EXPIRE", key, "86400"]
        ]
    );
    let theirs = "specific.0123456789abcdef0123456789abcdef!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let queue = "asgispecific.0123456789abcdef0123456789abcdef!";
    let mut joins = redis::cmd("ZADD");
    joins.arg(key).arg("4000000000").arg(theirs);
    joins
        .exec_async(&mut redis.connection().await)
        .await
        .expect("in");
    let message = LayerMessage::pack(&serde_json::json!({"type": "x"})).expect("packed");
    let sent = monitored(&redis, async {
        layer.group_send("chat_1", message).await.expect("sent")
    })
    .await;
    assert_eq!(sent[0], ["ZREMRANGEBYSCORE", key, "0", "<time>"]);
    assert_eq!(sent[1], ["ZRANGE", key, "0", "-1"]);
    assert_eq!(sent[2], ["ZREMRANGEBYSCORE", queue, "0", "<time>"]);
    assert_eq!(sent[3][0], "EVAL");
    assert_eq!(sent[3][2..4], ["1", queue]);
    assert_eq!(sent[3].last().expect("the expiry"), "60");
    assert_eq!(sent.len(), 4);
    let left = monitored(&redis, async {
        layer.group_discard("chat_1", &channel).await.expect("out")
    })
    .await;
    assert_eq!(left, [["ZREM", key, channel.as_str()]]);
}

#[tokio::test]
async fn on_the_pubsub_layer_redis_is_asked_what_channels_redis_asks() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let layer = redis.layer_with(Form::PubSub, "asgi", &[]).await;
    let channel = layer.new_channel().await.expect("a channel");
    assert_eq!(channel.len(), "asgispecific.".len() + 32);
    let second = layer.new_channel().await.expect("a channel");
    let topic = "asgi__group__chat_1";
    let message = LayerMessage::pack(&serde_json::json!({"type": "x"})).expect("packed");
    let asked = monitored(&redis, async {
        layer.group_add("chat_1", &channel).await.expect("in");
        layer.group_add("chat_1", &second).await.expect("in");
        layer
            .group_send("chat_1", message.clone())
            .await
            .expect("sent");
        layer.send(&second, message.clone()).await.expect("sent");
        layer.group_discard("chat_1", &channel).await.expect("out");
        layer.group_discard("chat_1", &second).await.expect("out");
        // Heard when what came before it has been done.
        layer.group_add("last", &second).await.expect("in");
    })
    .await;
    let packed = r"\x81\xa4type\xa1x";
    assert_eq!(
        asked,
        [
            vec!["SUBSCRIBE", topic],
            vec!["PUBLISH", topic, packed],
            vec!["PUBLISH", &second, packed],
            vec!["UNSUBSCRIBE", topic],
            vec!["SUBSCRIBE", "asgi__group__last"],
        ]
    );
}
