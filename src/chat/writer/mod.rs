//! The writer: everything durable in a chat is committed here, in groups of what came while the last one ran.
//!
//! Here: the queue, the loop, retries, and what became of a commit whose answer was lost. Not here: rules of single
//! operations (`messages.rs`, `members.rs` ...), SQL (`store/batch.rs`), delivery (`Publish`).
//! Relies on: nobody else takes numbers of a chat; a commit that returns is on disk.
//! Guarantees: nothing is answered or published before its commit; what is committed is published, in the order of
//! its numbers, whether its caller still listens or not.
//! Bounded by: `QUEUE_JOBS_MAX`, `QUEUE_BYTES_MAX`, `BATCH_MAX`, `ANSWER_WITHIN`.

mod at_once;
mod marks;
mod operation;
mod queue;
mod sends;
#[cfg(test)]
mod tests;
mod turn;

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{ChatId, ChatKind, Seq, chat};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::JoinHandle};
use tracing::{error, info, warn};

pub(crate) use marks::{DueMark, Marks};
pub(crate) use operation::Operation;
pub(crate) use sends::{NewMessage, OverLimit, SendJob};
pub(crate) use turn::{By, Change, Turn};

use crate::{
    chat::{ChatError, ChatEvent, Publish, Sent, What, people::People},
    lease::{Slot, take_all},
    metrics,
    store::{Commit, Store, StoreError, Stored, database_time},
};
use at_once::{AtOnce, Known};
use operation::{Asked, Pending};
use queue::{Queue, Waiting};
use turn::{Filled, Taken};

/// Jobs of one transaction.
const BATCH_MAX: usize = 256;
/// Turns that others get between two batches.
const TURNS_MAX: usize = 8;
/// How often a rolled-back batch is tried again as it is, before its jobs run one by one.
const CONTENTION_RETRIES: usize = 5;
/// As a rule senders are members, and client ids come but once: the insert itself tells where that isn't so. Where it
/// did, all is looked at first for so long, since clients that send again come in crowds.
const CHECKS_FOR: Duration = Duration::from_secs(1);
/// The first wait before the database is asked again; doubled up to `RETRY_AT_MOST`.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_AT_MOST: Duration = Duration::from_secs(1);

/// Something for the writer to do.
pub(crate) enum Job {
    /// A new message.
    Send(Box<SendJob>),
    /// Any other operation.
    Other(Box<dyn Asked>),
}

impl Job {
    fn chats(&self, into: &mut BTreeSet<ChatId>) {
        match self {
            Job::Send(job) => drop(into.insert(job.message.chat)),
            Job::Other(job) => into.extend(job.chats()),
        }
    }

    fn answer(self, failed: Option<ChatError>) {
        match self {
            Job::Send(job) => job.answer(failed),
            Job::Other(job) => job.answer(failed),
        }
    }
}

/// The writer's near end: put something in, learn what became of it.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    marks: Arc<Marks>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// Starts the writer's task.
    pub(crate) fn start(
        store: Store,
        commit: Commit,
        people: Arc<People>,
        publish: Arc<dyn Publish>,
    ) -> Writer {
        let queue = Arc::new(Queue::default());
        let marks = Arc::new(Marks::default());
        let desk = Desk {
            store,
            commit,
            people,
            publish,
            queue: queue.clone(),
            marks: marks.clone(),
            known: Known::default(),
            checks_until: Mutex::new(None),
        };
        let task = tokio::spawn(desk.keep_running());
        Writer {
            queue,
            marks,
            task: Arc::new(Mutex::new(Some(task))),
        }
    }

    /// Takes a message, after those taken before it. What comes back waits until it is committed.
    pub(crate) fn append(
        &self,
        message: NewMessage,
        slot: Result<Slot<entity::UserId>, OverLimit>,
    ) -> Result<impl Future<Output = Result<Sent, ChatError>> + use<>, ChatError> {
        let (caller, answer) = oneshot::channel();
        let job = SendJob::new(message, slot, caller);
        let bytes = job.bytes();
        self.queue.ask(Job::Send(Box::new(job)), bytes, answer)
    }

    /// Carries out any other operation: what comes back is committed.
    pub(crate) async fn carry_out<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Output, ChatError> {
        let (caller, answer) = oneshot::channel();
        let pending = Pending {
            operation,
            output: None,
            caller,
        };
        let job = Job::Other(Box::new(pending));
        let bytes = size_of::<Pending<O>>();
        self.queue.ask(job, bytes, answer)?.await
    }

    /// Commits a mark of reading with the next batch and tells it, at most once a second per member and chat.
    pub(crate) fn mark(&self, mark: DueMark) {
        if self.marks.put(mark) {
            self.queue.nudge();
        }
    }

    /// The newest mark of a member that isn't committed yet.
    pub(crate) fn pending_mark(&self, chat: ChatId, user: entity::UserId) -> Option<Seq> {
        self.marks.pending(chat, user)
    }

    /// Finishes what waits and ends.
    pub(crate) async fn stop(&self) {
        self.queue.close();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(failed) = task.await
        {
            error!("the writer ended badly: {failed}");
        }
    }
}

/// What became of a try to commit.
enum Attempt {
    /// Committed; this is to be told.
    Committed(Vec<Arc<ChatEvent>>),
    /// Certainly rolled back.
    RolledBack(StoreError),
    /// The same, since a chat stands otherwise than was known, or a sender may not write: the long way tells.
    Stale,
    /// The connection broke at COMMIT: these numbers may be taken, and this is to be told if they are.
    Unknown {
        error: StoreError,
        taken: Vec<Taken>,
        events: Vec<Arc<ChatEvent>>,
    },
}

impl Attempt {
    /// Counts what became of it.
    fn measure(&self, began: Instant, jobs: usize) {
        let cause = match self {
            Attempt::Committed(_) => {
                metrics::COMMIT_SECONDS.took(began.elapsed());
                metrics::COMMIT_JOBS.observe(jobs as f64);
                return;
            }
            Attempt::RolledBack(StoreError::Contended(_)) => "contended",
            Attempt::RolledBack(StoreError::Duplicate(_) | StoreError::Unmet) | Attempt::Stale => {
                "repeated"
            }
            Attempt::RolledBack(error) if error.is_away() => "away",
            Attempt::RolledBack(_) => "refused",
            Attempt::Unknown { .. } => "unknown",
        };
        metrics::COMMITS_FAILED.of(cause).one();
    }
}

/// Counts what was committed.
fn count(events: &[Arc<ChatEvent>]) {
    let numbered = events.iter().filter(|event| event.seq.is_some()).count();
    let is_message = |event: &&Arc<ChatEvent>| matches!(event.what, What::Sent(_));
    let messages = events.iter().filter(is_message).count();
    metrics::MESSAGES.add(messages);
    metrics::CHANGES.add(numbered - messages);
}

/// The writer's far end.
struct Desk {
    store: Store,
    commit: Commit,
    people: Arc<People>,
    publish: Arc<dyn Publish>,
    queue: Arc<Queue>,
    marks: Arc<Marks>,
    /// How chats stand.
    known: Known,
    /// Until then all is looked at before anything is inserted.
    checks_until: Mutex<Option<Instant>>,
}

impl Desk {
    /// Runs to the end, whatever happens on the way: a fault in one batch must not end all sending. What it had
    /// committed is found by the sweep, since the hubs then see the database ahead of them.
    async fn keep_running(self) {
        while AssertUnwindSafe(self.run()).catch_unwind().await.is_err() {
            error!(
                "writer: a fault ended a batch; its callers are told that the service is unavailable"
            );
        }
    }

    async fn run(&self) {
        loop {
            let jobs = self.queue.take(BATCH_MAX);
            let due = self.marks.take_due(self.queue.is_closed());
            if !jobs.is_empty() || !due.marks.is_empty() {
                let taken = jobs.len();
                self.commit_all(jobs, &due.marks).await;
                drop(due);
                self.let_others_speak(taken).await;
                continue;
            }
            if self.queue.is_closed() && self.queue.is_empty() {
                info!("writer: queue is empty, ending");
                return;
            }
            match self.marks.next_due() {
                None => self.queue.arrival().await,
                Some(due) => {
                    // Ends early with whatever arrives; late it ends with the mark.
                    let _ = tokio::time::timeout_at(due.into(), self.queue.arrival()).await;
                }
            }
        }
    }

    /// Whoever was answered just now may have more to say: what comes within a few turns shares the next commit's fsync.
    /// `answered` is how many were; more can't be expected.
    async fn let_others_speak(&self, answered: usize) {
        if answered < 2 {
            return;
        }
        for _ in 0..TURNS_MAX {
            if self.queue.len() >= answered {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Commits a batch, whatever it takes: as a whole, else job by job.
    async fn commit_all(&self, mut jobs: Vec<Waiting>, marks: &[DueMark]) {
        count_everywhere(&mut jobs).await;
        let Some((jobs, error)) = self.commit_group(jobs, marks).await else {
            return;
        };
        let count = jobs.len();
        warn!(
            jobs = count,
            "writer: the database refused a batch, its {count} operations go one by one: {error}"
        );
        for waiting in jobs {
            if let Some((refused, error)) = self.commit_group(vec![waiting], &[]).await {
                for waiting in refused {
                    error!("writer: the database refused an operation: {error}");
                    waiting.job.answer(Some(ChatError::Store(error.clone())));
                }
            }
        }
        if !marks.is_empty()
            && let Some((_, error)) = self.commit_group(Vec::new(), marks).await
        {
            error!(
                marks = marks.len(),
                "writer: the database refused marks of reading: {error}"
            );
        }
    }

    /// Tries until the group is committed, or the database says no: then the jobs come back.
    async fn commit_group(
        &self,
        mut jobs: Vec<Waiting>,
        marks: &[DueMark],
    ) -> Option<(Vec<Waiting>, StoreError)> {
        let mut contended = 0;
        let mut wait = RETRY_FIRST;
        let mut checks_first = self.checks_first();
        // When all was to be one call.
        let mut was_refused = false;
        loop {
            let began = Instant::now();
            let attempt = self
                .attempt(&mut jobs, marks, checks_first, was_refused)
                .await;
            attempt.measure(began, jobs.len());
            match attempt {
                Attempt::Committed(events) => {
                    self.conclude(jobs, events);
                    return None;
                }
                Attempt::Stale => (checks_first, was_refused) = (true, true),
                Attempt::RolledBack(StoreError::Contended(_)) if contended < CONTENTION_RETRIES => {
                    contended += 1
                }
                Attempt::RolledBack(StoreError::Duplicate(_) | StoreError::Unmet)
                    if !checks_first =>
                {
                    checks_first = true;
                    *self.checks_until.lock() = Some(Instant::now() + CHECKS_FOR);
                }
                Attempt::RolledBack(error) if error.is_away() => {
                    warn!(jobs = jobs.len(), "writer: {error}");
                    let left = give_up(&mut jobs);
                    if left == 0 && marks.is_empty() {
                        return None;
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_AT_MOST);
                }
                Attempt::RolledBack(error) => return Some((jobs, error)),
                Attempt::Unknown {
                    error,
                    taken,
                    events,
                } => {
                    warn!(
                        jobs = jobs.len(),
                        "writer: the outcome of a commit is unknown: {error}"
                    );
                    if self.was_committed(&taken).await {
                        info!(numbers = taken.len(), "writer: the commit had happened");
                        self.conclude(jobs, events);
                        return None;
                    }
                    info!(
                        numbers = taken.len(),
                        "writer: the commit had not happened, once more"
                    );
                    give_up(&mut jobs);
                }
            }
        }
    }

    fn checks_first(&self) -> bool {
        let until = *self.checks_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// One transaction.
    async fn attempt(
        &self,
        jobs: &mut [Waiting],
        marks: &[DueMark],
        checks_first: bool,
        was_refused: bool,
    ) -> Attempt {
        let chats_max = self.store.chats_at_once(&self.commit);
        let is_plain = !checks_first && marks.is_empty() && chats_max > 0;
        if is_plain
            && let Some(at_once) = AtOnce::prepare(jobs, &self.known, chats_max, database_time())
        {
            return self.attempt_at_once(jobs, at_once).await;
        }
        let batch = match self.store.begin_batch(self.commit.clone()).await {
            Ok(batch) => batch,
            Err(error) => return Attempt::RolledBack(error),
        };
        let filling = self.fill(&batch, jobs, marks, checks_first, was_refused);
        let filled = match filling.await {
            Ok(filled) => filled,
            Err(error) => return Attempt::RolledBack(error),
        };
        let Filled {
            taken,
            events,
            chats,
        } = filled;
        match batch.commit().await {
            Ok(()) => {
                if chats_max > 0 {
                    self.known.keep(chats.into_values());
                }
                Attempt::Committed(events)
            }
            Err(error @ StoreError::Contended(_)) => Attempt::RolledBack(error),
            Err(error) => {
                self.known.forget(chats.into_keys());
                Attempt::Unknown {
                    error,
                    taken,
                    events,
                }
            }
        }
    }

    /// One transaction that is one call.
    async fn attempt_at_once(&self, jobs: &mut [Waiting], at_once: AtOnce) -> Attempt {
        let (rows, counters, stood) = (&at_once.rows, &at_once.counters, &at_once.stood);
        let inserted = self
            .store
            .insert_at_once(&self.commit, rows, counters, stood);
        let ids = match inserted.await {
            Ok(ids) => Some(ids),
            Err(StoreError::Unmet) => return Attempt::Stale,
            Err(error @ (StoreError::Duplicate(_) | StoreError::Contended(_))) => {
                self.known.forget(at_once.chats());
                return Attempt::RolledBack(error);
            }
            Err(error) => {
                warn!(
                    jobs = jobs.len(),
                    "writer: the outcome of a commit is unknown: {error}"
                );
                let ids = self
                    .ask_until_answered(|| self.store.find_ids_of(rows))
                    .await;
                if ids.is_none() {
                    self.known.forget(at_once.chats());
                    return Attempt::RolledBack(error);
                }
                ids
            }
        };
        Attempt::Committed(at_once.conclude(jobs, &ids.unwrap_or_default(), &self.known))
    }

    /// Applies the jobs in their order; neighbouring sends together.
    async fn fill(
        &self,
        batch: &crate::store::Batch,
        jobs: &mut [Waiting],
        marks: &[DueMark],
        checks_first: bool,
        was_refused: bool,
    ) -> Stored<Filled> {
        let mut chats = BTreeSet::new();
        for waiting in jobs.iter() {
            waiting.job.chats(&mut chats);
        }
        // Theirs is the chat's own row.
        let marked = marks.iter().filter(|mark| mark.as_operator);
        chats.extend(marked.map(|mark| mark.chat));
        let mut turn = Turn::begin(batch, &self.people, &chats).await?;
        let is_personal = |chat: &chat::Model| chat.kind == ChatKind::Personal;
        let may_be_blocked = turn.locked().any(is_personal);
        if !self.known.was_stale(turn.locked()) && was_refused && !may_be_blocked {
            // Then it was somebody who may not write. Whoever is blocked is no crowd.
            *self.checks_until.lock() = Some(Instant::now() + CHECKS_FOR);
        }
        let mut rest = jobs;
        while !rest.is_empty() {
            let sends = rest
                .iter()
                .take_while(|waiting| matches!(waiting.job, Job::Send(_)))
                .count();
            let (now, later) = rest.split_at_mut(sends.max(1));
            rest = later;
            let applied = if sends > 0 {
                let mut sends: Vec<&mut SendJob> = now
                    .iter_mut()
                    .filter_map(|waiting| match &mut waiting.job {
                        Job::Send(job) => Some(&mut **job),
                        Job::Other(_) => None,
                    })
                    .collect();
                sends::apply(&mut turn, &mut sends, checks_first).await
            } else {
                let mut applied = Ok(());
                for waiting in now {
                    if let Job::Other(job) = &mut waiting.job {
                        applied = job.apply(&mut turn).await;
                    }
                }
                applied
            };
            match applied {
                Ok(()) => {}
                Err(ChatError::Store(error)) => return Err(error),
                Err(other) => return Err(StoreError::Refused(other.to_string().into())),
            }
        }
        marks::apply(&mut turn, marks).await?;
        turn.finish().await
    }

    /// After the commit: publish, then answer.
    fn conclude(&self, jobs: Vec<Waiting>, events: Vec<Arc<ChatEvent>>) {
        count(&events);
        if !events.is_empty() {
            self.publish.publish(events);
        }
        for waiting in jobs {
            waiting.job.answer(None);
        }
    }

    /// Whether the rows at these numbers are this transaction's own. Asks until the database answers: what was
    /// committed must be published, and its callers learn of it if they still wait.
    async fn was_committed(&self, taken: &[Taken]) -> bool {
        self.ask_until_answered(|| self.stands(taken)).await
    }

    async fn ask_until_answered<T, F: Future<Output = Stored<T>>>(&self, ask: impl Fn() -> F) -> T {
        let mut wait = RETRY_FIRST;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    warn!("writer: can't read what became of a commit: {error}");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_AT_MOST);
                }
            }
        }
    }

    async fn stands(&self, taken: &[Taken]) -> Stored<bool> {
        // All or nothing: the first number tells for the whole transaction.
        match taken.first() {
            // Marks alone: the same again does no harm.
            None => Ok(false),
            Some(Taken::Message(row)) => {
                let rows = self
                    .store
                    .find_messages_at(&[(row.chat_id, row.seq)])
                    .await?;
                Ok(rows.iter().any(|stored| row.is_stored_as(stored)))
            }
            Some(Taken::Change(row)) => {
                let rows = self
                    .store
                    .find_changes_at(&[(row.chat_id, row.seq)])
                    .await?;
                Ok(rows.contains(row))
            }
        }
    }
}

/// Takes the senders' places over all nodes, where there are several: one question for the batch.
async fn count_everywhere(jobs: &mut [Waiting]) {
    let mut sends: Vec<&mut SendJob> = Vec::new();
    for waiting in jobs {
        if let Job::Send(job) = &mut waiting.job
            && job.slot.as_ref().is_ok_and(Slot::is_common)
        {
            sends.push(job);
        }
    }
    if sends.is_empty() {
        return;
    }
    let slots: Vec<_> = sends.iter().flat_map(|job| &job.slot).collect();
    let waits = take_all(&slots).await;
    for (job, wait) in sends.into_iter().zip(waits) {
        if let Some(retry_after) = wait {
            job.is_over(retry_after);
        }
    }
}

/// Drops the jobs whose callers have been answered; how many are left.
fn give_up(jobs: &mut Vec<Waiting>) -> usize {
    let (given_up, kept): (Vec<_>, Vec<_>) = std::mem::take(jobs)
        .into_iter()
        .partition(Waiting::is_given_up);
    *jobs = kept;
    for waiting in given_up {
        waiting.job.answer(Some(ChatError::Unavailable));
    }
    jobs.len()
}

#[cfg(test)]
impl Job {
    /// A job that does nothing and is answered by nobody.
    pub(crate) fn nothing() -> Job {
        struct Nothing;
        impl Operation for Nothing {
            type Output = ();
            fn chats(&self) -> Vec<ChatId> {
                Vec::new()
            }
            async fn apply(&self, _: &mut Turn<'_>) -> Result<(), ChatError> {
                Ok(())
            }
        }
        Job::Other(Box::new(Pending {
            operation: Nothing,
            output: None,
            caller: oneshot::channel().0,
        }))
    }
}
