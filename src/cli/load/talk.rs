//! People talking in chats: some send, everyone hears, and each checks what it hears.
//!
//! All of it runs on one thread: what is shared needs no lock, and the load can be pinned to a core
//! beside the server's. Bounded by the senders' windows: nobody has more on the way.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    crowd::{Crowd, Door},
    error::LoadError,
    journal::{Journal, Said},
    latency::Latency,
    meter::Meter,
    people::Chat,
    progress::Progress,
    report::{Report, micros_each},
    room::{Room, Window, width},
    socket::Socket,
    target::Target,
};

/// Before the clock starts: caches fill, and the pace settles.
const WARM_UP: Duration = Duration::from_secs(1);
/// When nothing has come for so long, what is still missing is lost.
const PATIENCE: Duration = Duration::from_secs(15);
/// When nothing has come for so long, nothing more will that is part of connecting.
const QUIET: Duration = Duration::from_secs(1);

/// Who sends, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Of each chat's members, the first so many send.
    pub(super) senders: usize,
    /// Messages that all senders together have on their way.
    pub(super) in_flight: usize,
    /// What makes room for the next one: that all members have the message, or its own echo.
    pub(super) waits_for_all: bool,
    /// Bytes of a message's text; at the limit server, of the whole frame.
    pub(super) text_bytes: usize,
    /// After so many in all they fall silent.
    pub(super) messages: u64,
}

/// The whole load, and what was counted.
pub(super) struct Talk {
    target: Target,
    manner: Manner,
    epoch: Instant,
    rooms: Vec<Rc<Room>>,
    is_silent: Cell<bool>,
    sent: Cell<u64>,
    /// Deliveries that are still to come for what was sent.
    owed: Cell<u64>,
    none_is_owed: Notify,
    frames: Cell<u64>,
    /// The server's id for the message in the middle of those that the manner allows.
    middle: Cell<Option<u64>>,
    tally: RefCell<Tally>,
}

/// What was counted since the clock started.
#[derive(Default)]
struct Tally {
    sends: u64,
    deliveries: u64,
    frame_bytes: u64,
    delivery: Latency,
    echo: Latency,
}

impl Talk {
    pub(super) fn new(target: &Target, chats: Vec<Chat>, manner: Manner) -> Rc<Self> {
        let senders = manner.senders * chats.len();
        // Dealt out to the first sender of every chat, then to the second, and so on.
        let every = chats.len().max(1);
        let widths = |chat: usize| (chat..senders).step_by(every);
        let rooms = chats.into_iter().enumerate().map(|(number, chat)| {
            Rc::new(Room::new(
                chat,
                widths(number).map(|sender| width(manner.in_flight, senders, sender)),
            ))
        });
        Rc::new(Self {
            target: target.clone(),
            manner,
            epoch: Instant::now(),
            rooms: rooms.collect(),
            is_silent: Cell::new(true),
            sent: Cell::default(),
            owed: Cell::default(),
            none_is_owed: Notify::new(),
            frames: Cell::default(),
            middle: Cell::default(),
            tally: RefCell::default(),
        })
    }

    /// Connects everyone; nobody says anything yet.
    pub(super) async fn join(self: &Rc<Self>) -> Result<Crowd, LoadError> {
        let door = Door::new(self.rooms.iter().map(|room| room.members.len()).sum());
        let mut crowd = Crowd::default();
        let mut number = 0;
        for room in &self.rooms {
            for place in 0..room.members.len() {
                let (talk, room, door) = (Rc::clone(self), Rc::clone(room), Rc::clone(&door));
                crowd.add(async move { talk.attend(&room, place, number, door).await });
                number += 1;
            }
        }
        crowd.until(door.all_are_in()).await?;
        Ok(crowd)
    }

    /// Talks for that long, and reports what the server did and spent.
    pub(super) async fn measure(
        &self,
        crowd: &mut Crowd,
        time: Duration,
        meter: Option<&Meter>,
        report: Report,
    ) -> Result<Report, LoadError> {
        self.speak_up();
        crowd.until(Progress::wait("warming up", WARM_UP)).await?;
        let (cpu_before, started) = (meter.and_then(Meter::cpu), Instant::now());
        self.tally.take();
        crowd.until(Progress::wait("measuring", time)).await?;
        let (cpu_after, took) = (meter.and_then(Meter::cpu), started.elapsed().as_secs_f64());
        let tally = self.tally.take();
        self.fall_silent(crowd).await?;

        let cpu = cpu_after
            .zip(cpu_before)
            .map(|(after, before)| after.saturating_sub(before));
        let per_delivery = 1.0 / tally.deliveries.max(1) as f64;
        Ok(report
            .with("seconds", took.round())
            .with_number("sends_per_second", tally.sends as f64 / took)
            .with_number("deliveries_per_second", tally.deliveries as f64 / took)
            .with_number(
                "server_cpu_us_per_delivery",
                micros_each(cpu, tally.deliveries),
            )
            .with_number("server_cpu_us_per_send", micros_each(cpu, tally.sends))
            .with_number("server_cpu_share", cpu.map(|cpu| cpu.as_secs_f64() / took))
            .with_number("frame_bytes", tally.frame_bytes as f64 * per_delivery)
            .with_latency("echo", &tally.echo)
            .with_latency("delivery", &tally.delivery)
            .with("messages_checked", self.sent.get())
            .with_number("server_rss_mib", meter.and_then(Meter::rss_mib)))
    }

    /// Lets the senders begin.
    pub(super) fn speak_up(&self) {
        self.is_silent.set(false);
        self.rooms
            .iter()
            .flat_map(|room| &room.windows)
            .for_each(|window| window.has_room.notify_one());
    }

    /// Sends as many messages as the manner allows, and waits until they have arrived.
    pub(super) async fn say_all(&self, crowd: &mut Crowd) -> Result<(), LoadError> {
        self.speak_up();
        let all_are_said = async {
            while self.sent.get() < self.manner.messages && self.is_going_on(crowd).await? {}
            self.fall_silent(crowd).await
        };
        let messages = self.manner.messages as usize;
        Progress::follow("sending", messages, || self.sent.get(), all_are_said).await
    }

    pub(super) fn middle(&self) -> Option<u64> {
        self.middle.get()
    }

    /// Waits until all that was sent has arrived, and nothing is missing anywhere.
    async fn fall_silent(&self, crowd: &mut Crowd) -> Result<(), LoadError> {
        self.is_silent.set(true);
        while self.owed.get() > 0 && self.is_going_on(crowd).await? {}
        for room in &self.rooms {
            for (place, member) in room.members.iter().enumerate() {
                let (heard, sent) = (member.heard.get(), room.sent());
                if heard != sent {
                    let path = &member.seat.path;
                    return Err(LoadError::Lost(format!(
                        "member {place} of {path} has {heard} of {sent}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Waits for the moment when nothing is on its way. False where nothing came for a long time.
    async fn is_going_on(&self, crowd: &mut Crowd) -> Result<bool, LoadError> {
        let frames = self.frames.get();
        let arrived = crowd
            .until(timeout(PATIENCE, self.none_is_owed.notified()))
            .await?;
        Ok(arrived.is_ok() || self.frames.get() > frames)
    }

    /// Waits until no frame has come for a while: what connecting brought along has been read.
    pub(super) async fn is_quiet(&self) {
        let mut frames = None;
        while frames.replace(self.frames.get()) != Some(self.frames.get()) {
            sleep(QUIET).await;
        }
    }

    /// One connection's life: it hears and, where it is a sender's, speaks.
    async fn attend(
        &self,
        room: &Room,
        place: usize,
        number: usize,
        door: Rc<Door>,
    ) -> Result<Infallible, LoadError> {
        let member = &room.members[place];
        let (mut socket, mut journal) = door
            .enter(&self.target, number, &member.seat, room.windows.len())
            .await?;
        drop(door);
        let Some(window) = room.windows.get(place) else {
            loop {
                self.listen(room, place, &mut socket, &mut journal).await?;
            }
        };
        loop {
            self.speak(room, place, window, &mut socket);
            tokio::select! {
                heard = self.listen(room, place, &mut socket, &mut journal) => heard?,
                () = window.has_room.notified() => {}
            }
        }
    }

    async fn listen(
        &self,
        room: &Room,
        place: usize,
        socket: &mut Socket,
        journal: &mut Journal,
    ) -> Result<(), LoadError> {
        // One look at the clock for all that came at once.
        let mut now = None;
        socket
            .turn(|frame| {
                self.frames.set(self.frames.get() + 1);
                if let Some(said) = journal.hear(frame)? {
                    let now = *now.get_or_insert_with(|| self.epoch.elapsed());
                    self.note(room, place, &said, now, frame.len());
                }
                Ok(())
            })
            .await
    }

    fn note(&self, room: &Room, place: usize, said: &Said, now: Duration, frame_bytes: usize) {
        let is_echo = said.sender == place;
        let took = now.saturating_sub(Duration::from_nanos(said.sent_at));
        let mut tally = self.tally.borrow_mut();
        tally.deliveries += 1;
        tally.frame_bytes += frame_bytes as u64;
        tally.delivery.record(took);
        if is_echo {
            if said.number == self.manner.messages / 2 {
                self.middle.set(said.id);
            }
            tally.sends += 1;
            tally.echo.record(took);
        }
        let heard = &room.members[place].heard;
        heard.set(heard.get() + 1);
        let window = &room.windows[said.sender];
        if is_echo {
            // Its task speaks again once it has read; nobody has to tell it.
            window.hear(said.number);
        } else if self.manner.waits_for_all && window.hear(said.number) > 0 {
            window.has_room.notify_one();
        }
        self.owed.set(self.owed.get() - 1);
        if self.owed.get() == 0 {
            self.none_is_owed.notify_one();
        }
    }

    /// Fills the sender's window; its socket writes all of it at once.
    fn speak(&self, room: &Room, place: usize, window: &Window, socket: &mut Socket) {
        let members = room.members.len();
        while !self.is_silent.get() && self.sent.get() < self.manner.messages && !window.is_full() {
            let number = window.send(if self.manner.waits_for_all {
                members
            } else {
                1
            });
            self.sent.set(self.sent.get() + 1);
            self.owed.set(self.owed.get() + members as u64);
            let sent_at = self.epoch.elapsed().as_nanos() as u64;
            let said = Said {
                sender: place,
                number,
                sent_at,
                id: None,
            };
            socket.queue(&self.frame(&said));
        }
    }

    /// A message as the chat dialect takes it; for the limit, which gives it back as it is, as the
    /// chat dialect would give it back.
    fn frame(&self, said: &Said) -> Vec<u8> {
        let number = said.number;
        let (head, tail) = match self.target.is_limit {
            true => (
                r#"{"type":"message","data":{"text":""#,
                format!(r#""}},"client_id":"{number}"}}"#),
            ),
            false => (
                r#"{"type":"message","text":""#,
                format!(r#"","client_id":"{number}"}}"#),
            ),
        };
        let mut frame = Vec::with_capacity(head.len() + self.manner.text_bytes + tail.len());
        frame.extend_from_slice(head.as_bytes());
        let text_begins = frame.len();
        said.write(&mut frame);
        let end = match self.target.is_limit {
            true => self.manner.text_bytes.saturating_sub(tail.len()),
            false => text_begins + self.manner.text_bytes,
        };
        frame.resize(end.max(frame.len() + 1), b'x');
        frame.extend_from_slice(tail.as_bytes());
        frame
    }
}
