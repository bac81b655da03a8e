//! `channels_redis.pubsub.RedisPubSubChannelLayer`: a group is a channel of Redis, which keeps nothing.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Pipeline, PushInfo, PushKind, Value};
use tokio::task::JoinHandle;

use super::{
    DEADLINE, MESSAGE_BYTES_MAX, RedisOptions, hex,
    inbox::{CUT_OFF, Channels, Inbox},
    seal::Seal,
    shard,
    subscriptions::Subscriptions,
};
use crate::{
    layer::{ChannelLayer, LayerError, LayerMessage, Layered},
    redis::Link,
};

/// `redis+pubsub://`
pub struct PubSubLayer {
    prefix: String,
    seal: Seal,
    routes: Arc<Routes>,
    servers: Vec<Server>,
}

/// A Redis: what is told goes by one connection, what is heard comes by another, which may be slow.
struct Server {
    tells: Link,
    hears: Arc<Link>,
    subscriptions: Arc<Subscriptions>,
    keeper: JoinHandle<()>,
}

/// Which of this process' channels hear what.
#[derive(Default)]
struct Routes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channels: Channels,
    /// By the name of the group's channel on Redis.
    groups: HashMap<String, HashMap<String, Arc<Inbox>>>,
}

impl PubSubLayer {
    /// Connects to each server, and goes on without those that are away until they come.
    pub async fn open(options: RedisOptions) -> Self {
        let routes = Arc::new(Routes::default());
        let opening = options.addresses.into_iter().map(|address| {
            let routes = routes.clone();
            async move {
                let on_push = {
                    let routes = routes.clone();
                    Arc::new(move |push| routes.hear(push))
                };
                let tells = Link::open(address.clone(), None).await;
                let hears = Arc::new(Link::open(address, Some(on_push)).await);
                let subscriptions = Arc::new(Subscriptions::default());
                let (kept, link, made) = (subscriptions.clone(), hears.clone(), hears.made());
                let keeper = tokio::spawn(async move {
                    kept.keep(&link, made, || routes.lose()).await;
                });
                Server {
                    tells,
                    hears,
                    subscriptions,
                    keeper,
                }
            }
        });
        PubSubLayer {
            prefix: options.prefix,
            seal: Seal::new(&options.encryption_keys),
            servers: join_all(opening).await,
            routes,
        }
    }

    /// A group's channel on Redis.
    fn topic(&self, group: &str) -> String {
        format!("{}__group__{group}", self.prefix)
    }

    fn server(&self, topic: &str) -> &Server {
        &self.servers[shard(topic, self.servers.len())]
    }

    /// Waits until a topic is heard, unless its Redis is away: then it will be, once that is back.
    async fn hears(&self, topic: &str) -> Result<(), LayerError> {
        let server = self.server(topic);
        let change = server.subscriptions.want(topic);
        if server.hears.is_up() && server.subscriptions.applied(change).await {
            return Ok(());
        }
        Err(LayerError::Away(server.hears.address().to_string()))
    }

    async fn publish(&self, messages: Vec<(String, LayerMessage)>) -> Result<(), LayerError> {
        let mut batches: Vec<Pipeline> = self.servers.iter().map(|_| Pipeline::new()).collect();
        for (topic, message) in messages {
            let sealed = self.seal.seal(message.packed().clone());
            batches[shard(&topic, self.servers.len())]
                .cmd("PUBLISH")
                .arg(topic)
                .arg(&sealed[..]);
        }
        let sending = self
            .servers
            .iter()
            .zip(&batches)
            .filter(|(_, batch)| !batch.is_empty());
        let sending =
            sending.map(|(server, batch)| server.tells.run::<Vec<Value>>(batch, DEADLINE));
        let sent: Result<Vec<_>, _> = join_all(sending).await.into_iter().collect();
        sent?;
        Ok(())
    }
}

impl ChannelLayer for PubSubLayer {
    fn new_channel(&self) -> Layered<'_, String> {
        let name = format!("{}specific.{}", self.prefix, hex());
        self.routes
            .state
            .lock()
            .channels
            .insert(name.clone(), Arc::default());
        Box::pin(async move {
            match self.hears(&name).await {
                // It will be heard once Redis is there.
                Ok(()) | Err(LayerError::Away(_)) => Ok(name),
                Err(error) => Err(error),
            }
        })
    }

    fn end_channel<'a>(&'a self, channel: &'a str) -> Layered<'a, ()> {
        let mut state = self.routes.state.lock();
        if let Some(inbox) = state.channels.remove(channel) {
            inbox.end();
            self.server(channel).subscriptions.forget(channel);
        }
        state.groups.retain(|topic, members| {
            members.remove(channel);
            if members.is_empty() {
                self.server(topic).subscriptions.forget(topic);
            }
            !members.is_empty()
        });
        Box::pin(async { Ok(()) })
    }

    fn group_add<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        let topic = self.topic(group);
        Box::pin(async move {
            {
                let mut state = self.routes.state.lock();
                let inbox = state.channels.get(channel).cloned();
                let inbox = inbox.ok_or_else(|| LayerError::Name(channel.to_owned()))?;
                let members = state.groups.entry(topic.clone()).or_default();
                members.insert(channel.to_owned(), inbox);
            }
            self.hears(&topic).await
        })
    }

    fn group_discard<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        let topic = self.topic(group);
        let mut state = self.routes.state.lock();
        if let Some(members) = state.groups.get_mut(&topic) {
            members.remove(channel);
            if members.is_empty() {
                state.groups.remove(&topic);
                self.server(&topic).subscriptions.forget(&topic);
            }
        }
        Box::pin(async { Ok(()) })
    }

    fn group_send<'a>(&'a self, group: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        Box::pin(self.publish(vec![(self.topic(group), message)]))
    }

    fn group_send_all(&self, mut messages: Vec<(String, LayerMessage)>) -> Layered<'_, ()> {
        for (group, _) in &mut messages {
            *group = self.topic(group);
        }
        Box::pin(self.publish(messages))
    }

    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        Box::pin(self.publish(vec![(channel.to_owned(), message)]))
    }

    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage> {
        let inbox = self.routes.state.lock().channels.get(channel).cloned();
        Box::pin(async move {
            let inbox = inbox.ok_or_else(|| LayerError::Name(channel.to_owned()))?;
            inbox
                .receive(|body| LayerMessage::from_wire(self.seal.open(body, None)?))
                .await
        })
    }

    fn has_others(&self) -> bool {
        true
    }

    fn is_up(&self) -> bool {
        self.servers
            .iter()
            .all(|server| server.tells.is_up() && server.hears.is_up())
    }
}

impl Routes {
    /// Puts what Redis pushes into the channels that hear it.
    fn hear(&self, push: PushInfo) {
        if push.kind != PushKind::Message {
            return;
        }
        let Ok([Value::BulkString(topic), Value::BulkString(body)]) =
            <[Value; 2]>::try_from(push.data)
        else {
            return;
        };
        let Ok(topic) = std::str::from_utf8(&topic) else {
            return;
        };
        let state = self.state.lock();
        let members = state
            .groups
            .get(topic)
            .into_iter()
            .flat_map(HashMap::values);
        let inboxes = state.channels.get(topic).into_iter().chain(members);
        if body.len() > MESSAGE_BYTES_MAX {
            inboxes.for_each(|inbox| inbox.lose("one was too large"));
            return;
        }
        let body = Bytes::from(body);
        inboxes.for_each(|inbox| inbox.put(body.clone()));
    }

    /// Tells all channels that messages may have passed them by.
    fn lose(&self) {
        let state = self.state.lock();
        state
            .channels
            .values()
            .for_each(|inbox| inbox.lose(CUT_OFF));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
