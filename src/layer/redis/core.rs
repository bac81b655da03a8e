//! `channels_redis.core.RedisChannelLayer`: a group is a sorted set of channels, and each process has a queue of its own,
//! into which senders put what its channels are to hear.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use rand::RngCore;
use redis::{Pipeline, Value, from_redis_value};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, timeout},
};
use tracing::debug;

use super::{
    DEADLINE, MESSAGE_BYTES_MAX, RedisOptions, hex,
    inbox::{CUT_OFF, Channels},
    now,
    seal::Seal,
    shard,
};
use crate::{
    layer::{ChannelLayer, Complaints, LayerError, LayerMessage, Layered, MessageError},
    redis::{Link, LinkError},
};

/// Undelivered messages in a queue; one more is dropped by whoever sends it.
const CAPACITY: usize = 100;
/// The same in groups that only nodes of ours are in, which read steadily.
const CAPACITY_OF_NODES: usize = 10_000;
/// The group of nodes, and what the names of their other groups begin with.
const NODES: &str = "tertulia";
const NODES_BEGIN: &str = "tertulia.";
/// Seconds after which a message is dropped; and how much older an encrypted one may be.
const EXPIRY: u64 = 60;
const SEALED_MAX: Duration = Duration::from_secs(EXPIRY + 10);
/// Seconds after which a channel is in a group no more.
const GROUP_EXPIRY: u64 = 86_400;
/// The same in groups of nodes: one that crashed is not sent to for a day.
const GROUP_EXPIRY_OF_NODES: u64 = 180;
/// How often being in a group is renewed: somebody may have flushed the layer meanwhile.
const RENEWAL: Duration = Duration::from_secs(60);
/// Groups renewed by one round trip.
const AT_ONCE: usize = 1000;
/// Names are shorter than this.
const NAME_MAX: usize = 100;
/// Random bytes before each message, which keep equal ones apart.
const NONCE: usize = 12;
/// How long a read waits for a message: not so long that the question whether the connection lives would be late.
const WAIT_SECONDS: u64 = 1;
/// Messages taken at once after the first.
const TAKEN_AT_ONCE: usize = 500;

/// Puts an entry into each queue that isn't full, and counts those that are; channels_redis' own.
const PUT: &str = "
    local over_capacity = 0
    local current_time = ARGV[#ARGV - 1]
    local expiry = ARGV[#ARGV]
    for i=1,#KEYS do
        if redis.call('ZCOUNT', KEYS[i], '-inf', '+inf') < tonumber(ARGV[i + #KEYS]) then
            redis.call('ZADD', KEYS[i], current_time, ARGV[i])
            redis.call('EXPIRE', KEYS[i], expiry)
        else
            over_capacity = over_capacity + 1
        end
    end
    return over_capacity
";

/// `redis+core://`
pub struct CoreLayer {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    prefix: String,
    seal: Seal,
    servers: Vec<Link>,
    /// Reads this process' queue, and waits there.
    hears: Link,
    /// What the names of this process' channels begin with, `!` included.
    client: String,
    state: Mutex<State>,
    complaints: Complaints,
    /// Whose turn it is to take a message for a channel of no process.
    turn: AtomicUsize,
}

#[derive(Default)]
struct State {
    channels: Channels,
    groups: HashMap<String, HashSet<String>>,
    /// The last message's score: of two sends by one process the first arrives first.
    score: f64,
}

/// What goes into queues of one server.
#[derive(Default)]
struct Batch {
    cleaned: HashSet<String>,
    clean: Pipeline,
    put: Pipeline,
}

impl CoreLayer {
    /// Connects to each server, and goes on without those that are away until they come.
    pub async fn open(options: RedisOptions) -> Self {
        let client = format!("specific.{}!", hex());
        let own = options.addresses[shard(&client, options.addresses.len())].clone();
        let opening = options
            .addresses
            .into_iter()
            .map(|address| Link::open(address, None));
        let (servers, hears) = tokio::join!(join_all(opening), Link::open(own, None));
        let shared = Arc::new(Shared {
            prefix: options.prefix,
            seal: Seal::new(&options.encryption_keys),
            servers,
            hears,
            client,
            state: Mutex::default(),
            complaints: Complaints::default(),
            turn: AtomicUsize::new(0),
        });
        let mut tasks = Vec::new();
        let reading = (shared.clone(), shared.hears.made());
        tasks.push(tokio::spawn(async move { reading.0.read(reading.1).await }));
        for (index, server) in shared.servers.iter().enumerate() {
            let (shared, made) = (shared.clone(), server.made());
            tasks.push(tokio::spawn(async move { shared.renew(index, made).await }));
        }
        CoreLayer { shared, tasks }
    }
}

impl Drop for CoreLayer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn group_key(&self, group: &str) -> String {
        format!("{}:group:{group}", self.prefix)
    }

    fn server(&self, group: &str) -> &Link {
        &self.servers[shard(group, self.servers.len())]
    }

    /// Reads this process' queue, for ever.
    async fn read(&self, mut made: watch::Receiver<u64>) {
        let mut connections = *made.borrow_and_update();
        let queue = format!("{}{}", self.prefix, self.client);
        loop {
            let now = *made.borrow_and_update();
            if std::mem::replace(&mut connections, now) != now {
                self.come_back().await;
            }
            if let Err(error) = self.take(&queue).await {
                debug!("the channel layer's queue: {error}");
                // Not before there is a connection that may do better.
                let _ = timeout(Duration::from_millis(100), made.changed()).await;
            }
        }
    }

    /// Tells of a loss once all groups are joined again; where that can't be yet, whoever renews them tells.
    async fn come_back(&self) {
        for index in 0..self.servers.len() {
            if self.join_all(index).await.is_err() {
                return;
            }
        }
        self.lose();
    }

    /// Waits for a message, and takes those behind it.
    async fn take(&self, queue: &str) -> Result<(), LinkError> {
        let mut wait = redis::pipe();
        wait.cmd("BZPOPMIN").arg(queue).arg(WAIT_SECONDS);
        let patience = Duration::from_secs(WAIT_SECONDS) + DEADLINE;
        let first: Vec<Option<(Value, Bytes, Value)>> = self.hears.run(&wait, patience).await?;
        let Some((_, first, _)) = first.into_iter().next().flatten() else {
            return Ok(());
        };
        self.hear(first);
        let mut rest = redis::pipe();
        rest.cmd("ZPOPMIN").arg(queue).arg(TAKEN_AT_ONCE);
        let rest: Vec<Vec<(Bytes, Value)>> = self.hears.run(&rest, DEADLINE).await?;
        rest.into_iter()
            .flatten()
            .for_each(|(entry, _)| self.hear(entry));
        Ok(())
    }

    fn hear(&self, entry: Bytes) {
        if let Err(error) = self.deliver(entry) {
            self.complaints.log(&error);
        }
    }

    fn deliver(&self, entry: Bytes) -> Result<(), MessageError> {
        if entry.len() < NONCE {
            return Err(MessageError::CutOff);
        }
        if entry.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::Content("too large".to_owned()));
        }
        let body = self
            .seal
            .open(entry.slice(NONCE..), Some((SEALED_MAX, now())))?;
        let (message, channels) = LayerMessage::from_wire(body)?.take_address()?;
        let state = self.state.lock();
        for channel in channels {
            // One that nobody here has is swallowed.
            if let Some(inbox) = state.channels.get(&channel) {
                inbox.put(message.packed().clone());
            }
        }
        Ok(())
    }

    /// Tells all channels that messages may have passed them by.
    fn lose(&self) {
        let state = self.state.lock();
        state
            .channels
            .values()
            .for_each(|inbox| inbox.lose(CUT_OFF));
    }

    /// Stays in the groups of one server, for ever.
    async fn renew(&self, index: usize, mut made: watch::Receiver<u64>) {
        let mut connections = *made.borrow_and_update();
        let mut renewals = tokio::time::interval(RENEWAL);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewals.reset();
        loop {
            tokio::select! {
                _ = made.changed() => {}
                _ = renewals.tick() => {}
            }
            let joined = self.join_all(index).await;
            let now = *made.borrow_and_update();
            if joined.is_ok() && std::mem::replace(&mut connections, now) != now {
                self.lose();
            }
        }
    }

    /// Joins all groups of one server anew.
    async fn join_all(&self, index: usize) -> Result<(), LinkError> {
        let members: Vec<(String, String)> = {
            let state = self.state.lock();
            let here = |group: &&String| shard(group, self.servers.len()) == index;
            let groups = state.groups.keys().filter(here);
            groups
                .flat_map(|group| {
                    state.groups[group]
                        .iter()
                        .map(|it| (group.clone(), it.clone()))
                })
                .collect()
        };
        for some in members.chunks(AT_ONCE) {
            let mut joins = redis::pipe();
            some.iter()
                .for_each(|(group, channel)| self.join(&mut joins, group, channel));
            self.servers[index]
                .run::<Vec<Value>>(&joins, DEADLINE)
                .await?;
        }
        Ok(())
    }

    fn join(&self, commands: &mut Pipeline, group: &str, channel: &str) {
        let key = self.group_key(group);
        commands
            .cmd("ZADD")
            .arg(&key)
            .arg(now().to_string())
            .arg(channel);
        commands.cmd("EXPIRE").arg(&key).arg(GROUP_EXPIRY);
    }

    /// Who is in each of these groups, by group.
    async fn members(
        &self,
        groups: HashSet<&str>,
    ) -> Result<HashMap<String, Vec<String>>, LayerError> {
        let mut batches: Vec<(Pipeline, Vec<&str>)> =
            self.servers.iter().map(|_| Default::default()).collect();
        for group in groups {
            let (batch, asked) = &mut batches[shard(group, self.servers.len())];
            let key = self.group_key(group);
            let expiry = if is_of_nodes(group) {
                GROUP_EXPIRY_OF_NODES
            } else {
                GROUP_EXPIRY
            };
            let before = (now() as u64).saturating_sub(expiry);
            batch
                .cmd("ZREMRANGEBYSCORE")
                .arg(&key)
                .arg(0)
                .arg(before)
                .ignore();
            batch.cmd("ZRANGE").arg(&key).arg(0).arg(-1);
            asked.push(group);
        }
        let asking = self
            .servers
            .iter()
            .zip(&batches)
            .filter(|(_, (batch, _))| !batch.is_empty());
        let asking = asking.map(|(server, (batch, asked))| async move {
            let members: Vec<Value> = server.run(batch, DEADLINE).await?;
            Ok::<_, LinkError>(asked.iter().zip(members))
        });
        let mut by_group = HashMap::new();
        for answer in join_all(asking).await {
            for (group, members) in answer? {
                // A group with a name that is no text is not ours to send to.
                let members: Vec<String> = from_redis_value(members).unwrap_or_default();
                by_group.insert((*group).to_owned(), members);
            }
        }
        Ok(by_group)
    }

    async fn tell_groups(&self, messages: Vec<(String, LayerMessage)>) -> Result<(), LayerError> {
        let groups = messages.iter().map(|(group, _)| group.as_str()).collect();
        let members = self.members(groups).await?;
        let mut batches: Vec<Batch> = self.servers.iter().map(|_| Batch::default()).collect();
        for (group, message) in &messages {
            let mut queues: HashMap<&str, Vec<&str>> = HashMap::new();
            for channel in members.get(group).into_iter().flatten() {
                queues.entry(queue_of(channel)).or_default().push(channel);
            }
            let capacity = if is_of_nodes(group) {
                CAPACITY_OF_NODES
            } else {
                CAPACITY
            };
            let score = self.score();
            let mut entries: HashMap<usize, Vec<(String, Bytes)>> = HashMap::new();
            for (queue, channels) in queues {
                if queue == self.client {
                    self.put_here(&channels, message);
                    continue;
                }
                let body = message.addressed(&channels);
                let body = body.map_err(|error| LayerError::Name(error.to_string()))?;
                let entry = (format!("{}{queue}", self.prefix), self.entry(body));
                entries
                    .entry(shard(queue, self.servers.len()))
                    .or_default()
                    .push(entry);
            }
            for (server, entries) in entries {
                batches[server].add(&entries, capacity, score);
            }
        }
        self.put(batches).await
    }

    async fn tell(&self, channel: &str, message: LayerMessage) -> Result<(), LayerError> {
        check_name(channel)?;
        let queue = queue_of(channel);
        if queue == self.client {
            self.put_here(&[channel], &message);
            return Ok(());
        }
        let is_of_process = queue.ends_with('!');
        // Where receivers listen: upstream's `send` looks at the whole name, and half of what it sends by way of
        // several servers is never heard.
        let server = match is_of_process {
            true => shard(queue, self.servers.len()),
            false => self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len(),
        };
        let body = match is_of_process {
            true => message
                .addressed(&channel)
                .map_err(|error| LayerError::Name(error.to_string()))?,
            false => message.packed().clone(),
        };
        let mut batches: Vec<Batch> = self.servers.iter().map(|_| Batch::default()).collect();
        let entry = (format!("{}{queue}", self.prefix), self.entry(body));
        batches[server].add(&[entry], CAPACITY, self.score());
        self.put(batches).await
    }

    async fn put(&self, batches: Vec<Batch>) -> Result<(), LayerError> {
        let putting = self
            .servers
            .iter()
            .zip(&batches)
            .filter(|(_, batch)| !batch.put.is_empty());
        let putting = putting.map(|(server, batch)| async move {
            // Sent one after the other on one connection: that is their order on the server.
            let cleaning = server.run::<Vec<Value>>(&batch.clean, DEADLINE);
            let putting = server.run::<Vec<usize>>(&batch.put, DEADLINE);
            let (cleaned, full) = tokio::join!(cleaning, putting);
            cleaned?;
            Ok::<_, LinkError>(full?.into_iter().sum::<usize>())
        });
        let full: Result<Vec<usize>, LinkError> = join_all(putting).await.into_iter().collect();
        match full?.into_iter().sum() {
            0 => Ok(()),
            _ => Err(LayerError::Full),
        }
    }

    /// What this process' own channels hear needs no Redis, and no room in the queue.
    fn put_here(&self, channels: &[&str], message: &LayerMessage) {
        let state = self.state.lock();
        for channel in channels {
            if let Some(inbox) = state.channels.get(*channel) {
                inbox.put(message.packed().clone());
            }
        }
    }

    fn entry(&self, body: Bytes) -> Bytes {
        let sealed = self.seal.seal(body);
        let mut entry = vec![0; NONCE + sealed.len()];
        rand::rng().fill_bytes(&mut entry[..NONCE]);
        entry[NONCE..].copy_from_slice(&sealed);
        entry.into()
    }

    /// The time, and later than the last one: entries of one score would come in any order.
    fn score(&self) -> f64 {
        let mut state = self.state.lock();
        state.score = now().max(state.score + 1e-6);
        state.score
    }
}

impl Batch {
    fn add(&mut self, entries: &[(String, Bytes)], capacity: usize, score: f64) {
        for (queue, _) in entries {
            if self.cleaned.insert(queue.clone()) {
                let before = (score as u64).saturating_sub(EXPIRY);
                self.clean
                    .cmd("ZREMRANGEBYSCORE")
                    .arg(queue)
                    .arg(0)
                    .arg(before);
            }
        }
        let put = self.put.cmd("EVAL").arg(PUT).arg(entries.len());
        entries.iter().for_each(|(queue, _)| {
            put.arg(queue);
        });
        entries.iter().for_each(|(_, entry)| {
            put.arg(&entry[..]);
        });
        entries.iter().for_each(|_| {
            put.arg(capacity);
        });
        put.arg(score.to_string()).arg(EXPIRY);
    }
}

/// A channel's name up to and including `!`: the queue of its process.
fn queue_of(channel: &str) -> &str {
    channel.find('!').map_or(channel, |end| &channel[..=end])
}

fn is_of_nodes(group: &str) -> bool {
    group == NODES || group.starts_with(NODES_BEGIN)
}

fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn check_group(group: &str) -> Result<(), LayerError> {
    match !group.is_empty() && group.len() < NAME_MAX && is_name(group) {
        true => Ok(()),
        false => Err(LayerError::Name(group.to_owned())),
    }
}

fn check_name(channel: &str) -> Result<(), LayerError> {
    let (process, local) = channel.split_once('!').unwrap_or((channel, ""));
    match !process.is_empty() && channel.len() < NAME_MAX && is_name(process) && is_name(local) {
        true => Ok(()),
        false => Err(LayerError::Name(channel.to_owned())),
    }
}

impl ChannelLayer for CoreLayer {
    fn new_channel(&self) -> Layered<'_, String> {
        let name = format!("{}{}", self.shared.client, hex());
        self.shared
            .state
            .lock()
            .channels
            .insert(name.clone(), Arc::default());
        Box::pin(async move { Ok(name) })
    }

    fn end_channel<'a>(&'a self, channel: &'a str) -> Layered<'a, ()> {
        let mut left: Vec<Pipeline> = self.shared.servers.iter().map(|_| redis::pipe()).collect();
        {
            let mut state = self.shared.state.lock();
            if let Some(inbox) = state.channels.remove(channel) {
                inbox.end();
            }
            state.groups.retain(|group, members| {
                if members.remove(channel) {
                    let commands = &mut left[shard(group, self.shared.servers.len())];
                    commands
                        .cmd("ZREM")
                        .arg(self.shared.group_key(group))
                        .arg(channel);
                }
                !members.is_empty()
            });
        }
        Box::pin(async move {
            for (server, commands) in self.shared.servers.iter().zip(&left) {
                if !commands.is_empty() {
                    server.run::<Vec<Value>>(commands, DEADLINE).await?;
                }
            }
            Ok(())
        })
    }

    fn group_add<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        Box::pin(async move {
            check_group(group)?;
            {
                let mut state = self.shared.state.lock();
                if !state.channels.contains_key(channel) {
                    return Err(LayerError::Name(channel.to_owned()));
                }
                let members = state.groups.entry(group.to_owned()).or_default();
                members.insert(channel.to_owned());
            }
            let mut commands = redis::pipe();
            self.shared.join(&mut commands, group, channel);
            let joined = self
                .shared
                .server(group)
                .run::<Vec<Value>>(&commands, DEADLINE);
            joined.await?;
            Ok(())
        })
    }

    fn group_discard<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        Box::pin(async move {
            {
                let mut state = self.shared.state.lock();
                if let Some(members) = state.groups.get_mut(group) {
                    members.remove(channel);
                    if members.is_empty() {
                        state.groups.remove(group);
                    }
                }
            }
            let mut commands = redis::pipe();
            commands
                .cmd("ZREM")
                .arg(self.shared.group_key(group))
                .arg(channel);
            let left = self
                .shared
                .server(group)
                .run::<Vec<Value>>(&commands, DEADLINE);
            left.await?;
            Ok(())
        })
    }

    fn group_send<'a>(&'a self, group: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        self.group_send_all(vec![(group.to_owned(), message)])
    }

    fn group_send_all(&self, messages: Vec<(String, LayerMessage)>) -> Layered<'_, ()> {
        Box::pin(async move {
            for (group, _) in &messages {
                check_group(group)?;
            }
            self.shared.tell_groups(messages).await
        })
    }

    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        Box::pin(self.shared.tell(channel, message))
    }

    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage> {
        let inbox = self.shared.state.lock().channels.get(channel).cloned();
        Box::pin(async move {
            let inbox = inbox.ok_or_else(|| LayerError::Name(channel.to_owned()))?;
            inbox.receive(LayerMessage::from_wire).await
        })
    }

    fn has_others(&self) -> bool {
        true
    }

    fn is_up(&self) -> bool {
        self.shared.hears.is_up() && self.shared.servers.iter().all(Link::is_up)
    }
}
