//! What nodes hold in common, in Redis. Every question is one round trip, whatever it asks for.
//!
//! Relies on: Redis 6.2 (or Valkey). All keys begin with the prefix and `:tertulia:`; everything expires.
//! Bounded by: what is sent at once (`AT_ONCE`), and what waits to be sent without an answer (`POSTS_MAX`).

mod scripts;

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use entity::{ChatId, UserId};
use indexmap::IndexSet;
use parking_lot::RwLock;
use redis::{Cmd, FromRedisValue, Pipeline, cmd};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};
use tracing::debug;
use uuid::Uuid;

use self::scripts::{DISOWN, Script, Scripts};
use super::{
    Away, Claim, Grant, Lease, Leased, NODE_SILENT_AFTER, OWNER_EXPIRES, PRESENCE_KEPT, Place,
    Presence, Rule, There,
    memory::{DUEL_HOLD, DUEL_REPLACEMENTS, DUEL_SPAN},
};
use crate::redis::{Address, Link, LinkError};

/// A later answer delays a send noticeably: Redis counts as away.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// Commands whose answer nobody waits for. Beyond these they are lost: what they undo expires.
const POSTS_MAX: usize = 10_000;
/// Of these so many make one round trip.
const POSTS_AT_ONCE: usize = 256;

/// What a Redis that was started anew says of a script, in the words of the client.
const NO_SCRIPT: &str = "NoScript";
/// Keys of one script: Redis does nothing else while it runs.
const AT_ONCE: usize = 500;
/// Users of one command.
const USERS_AT_ONCE: usize = 1000;
/// Among who is online: all of them were put. Ids of users begin at 1.
const COMPLETE: i64 = 0;

/// One node's part of what is in a Redis.
#[derive(Debug)]
pub struct RedisLease {
    link: Arc<Link>,
    scripts: Scripts,
    prefix: String,
    node: Arc<str>,
    /// The nodes that lived at the last beat.
    living: RwLock<Vec<Arc<str>>>,
    /// What Redis' clock showed at the last beat, and when that was.
    clock: RwLock<Option<(u64, Instant)>>,
    posts: mpsc::Sender<Cmd>,
    posting: AbortHandle,
}

impl RedisLease {
    /// Connects, or does so as soon as Redis answers. Keys begin with `prefix`.
    pub async fn open(address: Address, prefix: &str) -> Self {
        let node = Uuid::new_v4().simple().to_string();
        let link = Arc::new(Link::open(address, None).await);
        let (posts, todo) = mpsc::channel(POSTS_MAX);
        let posting = tokio::spawn(post(link.clone(), todo)).abort_handle();
        RedisLease {
            link,
            scripts: Scripts::default(),
            prefix: format!("{prefix}:tertulia:"),
            node: Arc::from(&node[..16]),
            living: RwLock::default(),
            clock: RwLock::default(),
            posts,
            posting,
        }
    }

    fn window(&self, rule: &Rule, key: &str) -> String {
        format!("{}window:{}:{key}", self.prefix, rule.name)
    }

    fn place(&self, chat: ChatId, user: UserId) -> String {
        format!("{}owner:{chat}:{user}", self.prefix)
    }

    fn chat(&self, chat: ChatId) -> String {
        format!("{}present:{chat}", self.prefix)
    }

    fn users(&self, node: &str) -> String {
        format!("{}online:{node}", self.prefix)
    }

    /// A place's name: no other node's has it.
    fn member(&self, place: &Place) -> String {
        format!("{}:{}", self.node, place.number)
    }

    /// Runs a script over the items, `AT_ONCE` of them at a time, in one round trip; the answers in the order of the items.
    async fn run<I, T: FromRedisValue>(
        &self,
        script: &Script,
        items: &[I],
        call: impl Fn(&[I]) -> (Vec<String>, Vec<String>),
    ) -> Result<Vec<T>, Away> {
        let mut calls = redis::pipe();
        for some in items.chunks(AT_ONCE) {
            let (keys, arguments) = call(some);
            calls.add_command(script.call(&keys, &arguments));
        }
        let answers: Vec<Vec<T>> = self.pipe(&calls).await?;
        let answers: Vec<T> = answers.into_iter().flatten().collect();
        (answers.len() == items.len())
            .then_some(answers)
            .ok_or(Away)
    }

    /// One round trip; one more where Redis has lost its scripts.
    async fn pipe<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Away> {
        if commands.is_empty() {
            // Redis has nothing to say to nothing.
            return T::from_redis_value(redis::Value::Array(Vec::new())).map_err(|_| Away);
        }
        match self.link.run(commands, ANSWER_WITHIN).await {
            Ok(answer) => Ok(answer),
            Err(LinkError::Refused(reason)) if reason.contains(NO_SCRIPT) => {
                let loaded = self
                    .link
                    .run::<()>(&self.scripts.load(), ANSWER_WITHIN)
                    .await;
                loaded.map_err(away)?;
                let again = self.link.run(commands, ANSWER_WITHIN).await;
                again.map_err(away)
            }
            Err(error) => Err(away(error)),
        }
    }

    fn post(&self, command: Cmd) {
        // A full queue: what it would have undone expires.
        let _ = self.posts.try_send(command);
    }
}

fn away(error: LinkError) -> Away {
    debug!("what nodes hold in common could not be asked: {error}");
    Away
}

/// Sends what nobody waits for: what has gathered, in one round trip.
async fn post(link: Arc<Link>, mut todo: mpsc::Receiver<Cmd>) {
    let mut commands = Vec::new();
    while todo.recv_many(&mut commands, POSTS_AT_ONCE).await > 0 {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands.drain(..) {
            pipeline.add_command(command).ignore();
        }
        if let Err(error) = link.run::<()>(&pipeline, ANSWER_WITHIN).await {
            away(error);
        }
    }
}

impl Drop for RedisLease {
    fn drop(&mut self) {
        self.posting.abort();
    }
}

/// The number of each item's key among the different ones, from 1, and these keys in that order.
fn numbered(keys: impl Iterator<Item = String>) -> (Vec<usize>, Vec<String>) {
    let mut different = IndexSet::new();
    let numbers = keys.map(|key| different.insert_full(key).0 + 1).collect();
    (numbers, different.into_iter().collect())
}

fn waits(answers: Vec<u64>) -> Vec<Option<Duration>> {
    let wait = |micros| (micros > 0).then(|| Duration::from_micros(micros));
    answers.into_iter().map(wait).collect()
}

fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

fn in_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// As expiries are given: none of ours is longer than an hour.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Lease for RedisLease {
    fn node(&self) -> &Arc<str> {
        &self.node
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn returned(&self) -> watch::Receiver<u64> {
        let mut returns = self.link.made();
        if *returns.borrow() > 0 {
            returns.mark_changed();
        }
        returns
    }

    fn clock(&self) -> u64 {
        match *self.clock.read() {
            Some((shown, at)) => shown + in_micros(at.elapsed()),
            // As good as any other guess, until it is asked.
            None => in_micros(UNIX_EPOCH.elapsed().unwrap_or_default()),
        }
    }

    fn take<'a>(
        &'a self,
        rule: &'a Rule,
        places: &'a [Place],
    ) -> Leased<'a, Vec<Option<Duration>>> {
        Box::pin(async move {
            let taken = self.run(&self.scripts.take, places, |some| {
                let keys = some.iter().map(|place| self.window(rule, &place.key));
                let (numbers, keys) = numbered(keys);
                let mut arguments = vec![rule.limit.to_string(), micros(rule.period)];
                for (number, place) in numbers.into_iter().zip(some) {
                    arguments.extend([number.to_string(), self.member(place)]);
                }
                (keys, arguments)
            });
            taken.await.map(waits)
        })
    }

    fn look<'a>(&'a self, rule: &'a Rule, keys: &'a [String]) -> Leased<'a, Vec<Option<Duration>>> {
        Box::pin(async move {
            let found = self.run(&self.scripts.look, keys, |some| {
                let keys = some.iter().map(|key| self.window(rule, key)).collect();
                (keys, vec![rule.limit.to_string(), micros(rule.period)])
            });
            found.await.map(waits)
        })
    }

    fn give_back(&self, rule: &Rule, place: Place) {
        let mut command = cmd("ZREM");
        command
            .arg(self.window(rule, &place.key))
            .arg(self.member(&place));
        self.post(command);
    }

    fn recall<'a>(&'a self, rule: &'a Rule, places: &'a [(Place, Duration)]) -> Leased<'a, ()> {
        Box::pin(async move {
            let answers = self.run::<_, u8>(&self.scripts.recall, places, |some| {
                let keys = some.iter().map(|(place, _)| self.window(rule, &place.key));
                let (numbers, keys) = numbered(keys);
                let mut arguments = vec![micros(rule.period)];
                for (number, (place, ago)) in numbers.into_iter().zip(some) {
                    arguments.extend([number.to_string(), self.member(place), micros(*ago)]);
                }
                (keys, arguments)
            });
            answers.await.map(drop)
        })
    }

    fn claim<'a>(&'a self, claim: &'a Claim) -> Leased<'a, Grant> {
        Box::pin(async move {
            let arguments = [
                u8::from(claim.rejects).to_string(),
                claim.deserted.to_string(),
                micros(OWNER_EXPIRES),
                DUEL_REPLACEMENTS.to_string(),
                micros(DUEL_SPAN),
                micros(DUEL_HOLD),
                self.node.to_string(),
                claim.above.to_string(),
            ];
            let keys = [self.place(claim.chat, claim.user)];
            let mut call = redis::pipe();
            call.add_command(self.scripts.claim.call(&keys, &arguments));
            let (answer,): ((u64, u8),) = self.pipe(&call).await?;
            Ok(match answer {
                (0, _) => Grant::Refused,
                (number, was_taken) => Grant::Granted {
                    number,
                    was_taken: was_taken == 1,
                },
            })
        })
    }

    fn renew<'a>(&'a self, owners: &'a [(ChatId, UserId, u64)]) -> Leased<'a, Vec<Option<u64>>> {
        Box::pin(async move {
            let renewed = self.run::<_, i64>(&self.scripts.renew, owners, |some| {
                let keys = some.iter().map(|(chat, user, _)| self.place(*chat, *user));
                let remembered = millis(OWNER_EXPIRES + DUEL_SPAN).to_string();
                let mut arguments = vec![micros(OWNER_EXPIRES), remembered, self.node.to_string()];
                arguments.extend(some.iter().map(|(.., number)| number.to_string()));
                (keys.collect(), arguments)
            });
            let renewed = renewed.await?.into_iter();
            Ok(renewed.map(|number| u64::try_from(number).ok()).collect())
        })
    }

    fn disown(&self, chat: ChatId, user: UserId, number: Option<u64>) {
        let mut command = cmd("EVAL");
        let number = number.map_or(String::new(), |number| number.to_string());
        command
            .arg(DISOWN)
            .arg(1)
            .arg(self.place(chat, user))
            .arg(number)
            .arg(&*self.node);
        self.post(command);
    }

    fn beat(&self, new: bool) -> Leased<'_, Option<Vec<Arc<str>>>> {
        Box::pin(async move {
            let keys = [format!("{}nodes", self.prefix)];
            let arguments = [
                self.node.to_string(),
                micros(NODE_SILENT_AFTER),
                millis(NODE_SILENT_AFTER).to_string(),
                u8::from(new).to_string(),
            ];
            let mut call = redis::pipe();
            call.add_command(self.scripts.beat.call(&keys, &arguments));
            let ((shown, living),): ((u64, Vec<String>),) = self.pipe(&call).await?;
            *self.clock.write() = Some((shown, Instant::now()));
            let living: Vec<Arc<str>> = living.into_iter().map(Arc::from).collect();
            self.living.write().clone_from(&living);
            Ok((!living.is_empty()).then_some(living))
        })
    }

    fn resign(&self) -> Leased<'_, ()> {
        Box::pin(async {
            let mut pipeline = redis::pipe();
            pipeline
                .zrem(format!("{}nodes", self.prefix), &*self.node)
                .ignore();
            pipeline.del(self.users(&self.node)).ignore();
            self.pipe(&pipeline).await
        })
    }

    fn put_presence<'a>(&'a self, changes: &'a [Presence]) -> Leased<'a, ()> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            let mut changes: Vec<_> = changes.iter().collect();
            changes.sort_unstable_by_key(|change| (change.chat, !change.is_here));
            for alike in changes.chunk_by(|a, b| (a.chat, a.is_here) == (b.chat, b.is_here)) {
                let key = self.chat(alike[0].chat);
                let somebody = |change: &&Presence| format!("{}:{}", self.node, change.user);
                let members: Vec<String> = alike.iter().map(somebody).collect();
                if alike[0].is_here {
                    pipeline.sadd(&key, members).ignore();
                    pipeline.pexpire(&key, millis(PRESENCE_KEPT)).ignore();
                } else {
                    pipeline.srem(&key, members).ignore();
                }
            }
            self.pipe(&pipeline).await
        })
    }

    fn presence<'a>(&'a self, chats: &'a [ChatId]) -> Leased<'a, Vec<There>> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            for chat in chats {
                pipeline.smembers(self.chat(*chat));
            }
            let found: Vec<Vec<String>> = self.pipe(&pipeline).await?;
            let mut names = IndexSet::<Arc<str>>::new();
            let mut somebody = |member: String| {
                let (node, user) = member.split_once(':')?;
                let node = match names.get(node) {
                    Some(known) => known.clone(),
                    None => {
                        let node: Arc<str> = Arc::from(node);
                        names.insert(node.clone());
                        node
                    }
                };
                Some((node, UserId(user.parse().ok()?)))
            };
            let found = found.into_iter();
            Ok(found
                .map(|present| present.into_iter().filter_map(&mut somebody).collect())
                .collect())
        })
    }

    fn forget(&self, chat: ChatId, left: Vec<(Arc<str>, UserId)>) {
        let members: Vec<String> = left
            .iter()
            .map(|(node, user)| format!("{node}:{user}"))
            .collect();
        if members.is_empty() {
            return;
        }
        let mut command = cmd("SREM");
        command.arg(self.chat(chat)).arg(members);
        self.post(command);
    }

    fn put_online<'a>(&'a self, users: &'a [(UserId, bool)]) -> Leased<'a, ()> {
        Box::pin(async move {
            let key = self.users(&self.node);
            let of = |online: bool| -> Vec<i64> {
                let of = users.iter().filter(|(_, is_online)| *is_online == online);
                of.map(|(user, _)| user.0).collect()
            };
            let mut pipeline = redis::pipe();
            let (came, gone) = (of(true), of(false));
            if !came.is_empty() {
                pipeline.sadd(&key, came).ignore();
                pipeline.pexpire(&key, millis(NODE_SILENT_AFTER)).ignore();
            }
            if !gone.is_empty() {
                pipeline.srem(&key, gone).ignore();
            }
            self.pipe(&pipeline).await
        })
    }

    fn put_online_anew<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, ()> {
        Box::pin(async move {
            let key = self.users(&self.node);
            let mut pipeline = redis::pipe();
            // As one step: nobody is to be seen gone in between.
            pipeline.atomic().del(&key).ignore();
            for some in users.chunks(USERS_AT_ONCE) {
                let users: Vec<i64> = some.iter().map(|user| user.0).collect();
                pipeline.sadd(&key, users).ignore();
            }
            if !users.is_empty() {
                pipeline.pexpire(&key, millis(NODE_SILENT_AFTER)).ignore();
            }
            self.pipe(&pipeline).await
        })
    }

    fn complete_online(&self) -> Leased<'_, ()> {
        Box::pin(async {
            let key = self.users(&self.node);
            let mut pipeline = redis::pipe();
            pipeline.sadd(&key, COMPLETE).ignore();
            pipeline.pexpire(&key, millis(NODE_SILENT_AFTER)).ignore();
            self.pipe(&pipeline).await
        })
    }

    fn renew_online(&self) -> Leased<'_, bool> {
        Box::pin(async {
            let key = self.users(&self.node);
            let mut pipeline = redis::pipe();
            pipeline.pexpire(&key, millis(NODE_SILENT_AFTER)).ignore();
            pipeline.sismember(&key, COMPLETE);
            let (is_complete,): (bool,) = self.pipe(&pipeline).await?;
            Ok(is_complete)
        })
    }

    fn online<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, Vec<bool>> {
        Box::pin(async move {
            let ids: Vec<i64> = users.iter().map(|user| user.0).collect();
            let mut pipeline = redis::pipe();
            if !ids.is_empty() {
                for node in self.living.read().iter().filter(|node| **node != self.node) {
                    pipeline.cmd("SMISMEMBER").arg(self.users(node)).arg(&ids);
                }
            }
            let found: Vec<Vec<bool>> = self.pipe(&pipeline).await?;
            let is_online = |at: usize| found.iter().any(|of_node| of_node.get(at) == Some(&true));
            Ok((0..users.len()).map(is_online).collect())
        })
    }
}
