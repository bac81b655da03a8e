//! What is written in the place of a socket's sleeping task.

use std::{
    io::{Error, ErrorKind, Result},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Wake, Waker},
};

use parking_lot::Mutex;

use crate::{
    chat::ConnectionId,
    hub::{
        Backlog, Close, Line, Queue, QueueLimits, QueueTotal, SharedFrame, Written, round::Round,
    },
};

/// Takes so many bytes, then none.
#[derive(Debug)]
struct Peer {
    takes: Mutex<usize>,
    taken: Mutex<Vec<u8>>,
}

impl Peer {
    fn taken(&self) -> String {
        String::from_utf8_lossy(&self.taken.lock()).replace("\u{fffd}\u{3}", "|")
    }
}

impl Line for Peer {
    fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        let mut takes = self.takes.lock();
        if *takes == 0 {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        let taken = bytes.len().min(*takes);
        *takes -= taken;
        self.taken.lock().extend(&bytes[..taken]);
        Ok(taken)
    }
}

/// The socket's task, as the queue sees it.
#[derive(Default)]
struct Task {
    is_woken: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Relaxed);
    }
}

struct Socket {
    queue: Arc<Queue>,
    peer: Arc<Peer>,
    task: Arc<Task>,
    in_hand: Backlog,
}

impl Socket {
    /// Connected, with nothing to do.
    fn asleep(takes: usize) -> Self {
        let total = QueueTotal::new(QueueLimits::default());
        let peer = Arc::new(Peer {
            takes: Mutex::new(takes),
            taken: Mutex::default(),
        });
        let queue = Queue::new(ConnectionId(1), total);
        queue.set_line(peer.clone());
        queue.open();
        let mut socket = Socket {
            queue,
            peer,
            task: Arc::default(),
            in_hand: Backlog::default(),
        };
        socket.has_its_turn();
        socket
    }

    fn has_its_turn(&mut self) {
        let waker = Waker::from(self.task.clone());
        let (written, in_hand) = (Written::default(), &mut self.in_hand);
        self.queue.turn(&waker, written, in_hand, false);
    }

    fn is_pushed(&self, texts: &[&str], round: &mut Round) {
        let mut frames = texts.iter().map(|text| SharedFrame::text(text)).collect();
        self.queue.push_in_round(&mut frames, round);
    }

    fn is_woken(&self) -> bool {
        self.task.is_woken.swap(false, Relaxed)
    }

    /// What the task would write, besides what was written in its place.
    fn has_in_hand(&mut self) -> String {
        self.has_its_turn();
        let mut bytes = Vec::new();
        while let Some(piece) = self.in_hand.next_piece(<[u8]>::to_vec) {
            self.in_hand.advance(piece.len(), |_| ());
            bytes.extend(piece);
        }
        String::from_utf8_lossy(&bytes).replace("\u{fffd}\u{3}", "|")
    }
}

/// The round ends, and its tasks with it.
async fn goes(round: Round) {
    drop(round);
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn a_sleeping_task_is_left_asleep_and_its_frames_are_written() {
    let socket = Socket::asleep(usize::MAX);
    let mut round = Round::default();
    socket.is_pushed(&["one", "two"], &mut round);
    socket.is_pushed(&["six"], &mut round);
    goes(round).await;
    assert_eq!(socket.peer.taken(), "|one|two|six");
    assert_eq!((socket.queue.bytes(), socket.queue.frames_out()), (0, 3));
    assert!(!socket.is_woken() && socket.queue.take_spoke() && !socket.queue.take_spoke());
}

#[tokio::test]
async fn what_the_peer_does_not_take_at_once_is_the_tasks_own_affair() {
    for takes in 0..15 {
        let mut socket = Socket::asleep(takes);
        let mut round = Round::default();
        socket.is_pushed(&["one", "two", "six"], &mut round);
        goes(round).await;
        assert!(socket.is_woken(), "{takes}");
        // Given up for 4008, but for the frame that is begun.
        if takes % 5 != 0 {
            socket.queue.close(Close::TOO_SLOW);
            let written = socket.peer.taken.lock().clone();
            let begun = [written, socket_bytes(&mut socket)].concat();
            assert_eq!(begun.len(), takes.next_multiple_of(5), "{takes}");
            continue;
        }
        let all = socket.peer.taken() + &socket.has_in_hand();
        assert_eq!(all, "|one|two|six", "{takes}");
    }
}

fn socket_bytes(socket: &mut Socket) -> Vec<u8> {
    socket.has_its_turn();
    let piece = socket.in_hand.next_piece(<[u8]>::to_vec);
    piece.unwrap_or_default()
}

#[tokio::test]
async fn nothing_is_written_behind_the_back_of_a_task_that_has_frames_in_hand() {
    let mut socket = Socket::asleep(usize::MAX);
    let mut round = Round::default();
    socket.is_pushed(&["one"], &mut round);
    // Something else woke the task meanwhile: it took the frame, and hasn't written it yet.
    socket.has_its_turn();
    socket.is_pushed(&["two"], &mut round);
    goes(round).await;
    assert_eq!(socket.peer.taken(), "");
    assert_eq!(socket.has_in_hand(), "|one|two");
}

#[tokio::test]
async fn a_ping_in_hand_and_a_close_are_never_overtaken() {
    let mut socket = Socket::asleep(usize::MAX);
    socket.queue.ping();
    socket.has_its_turn();
    let mut round = Round::default();
    socket.is_pushed(&["one"], &mut round);
    socket.queue.close(Close::new(4010, "Chat deleted"));
    goes(round).await;
    assert_eq!(socket.peer.taken(), "");
    assert_eq!(socket.has_in_hand(), "|one");
}
