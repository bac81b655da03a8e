//! What one receiver has heard, and that it was every message, once and in order.

use super::{
    dialect::{Dialect, Heard},
    error::LoadError,
    scan::{Event, parse_number},
};

/// The log of one connection to a chat.
pub(super) struct Journal {
    dialect: Dialect,
    is_established: bool,
    /// The last number of the chat that was heard: none where the server numbers nothing.
    seq: Option<u64>,
    /// By sender: the number that its next message has.
    next: Vec<u64>,
}

/// A message of this load.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) sender: usize,
    pub(super) number: u64,
    /// When it was sent, in nanoseconds of the load's clock.
    pub(super) sent_at: u64,
    /// The server's id for it.
    pub(super) id: Option<u64>,
}

impl Said {
    /// The beginning of a message's text. What follows is ballast.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(
            format!("{} {} {} ", self.sender, self.number, self.sent_at).as_bytes(),
        );
    }

    fn read(text: &[u8], id: Option<u64>) -> Option<Self> {
        let mut words = text.split(|byte| *byte == b' ').map(parse_number);
        let sender = usize::try_from(words.next()??).ok()?;
        Some(Self {
            sender,
            number: words.next()??,
            sent_at: words.next()??,
            id,
        })
    }
}

impl Journal {
    pub(super) fn new(dialect: Dialect, senders: usize) -> Self {
        Self {
            dialect,
            is_established: false,
            seq: None,
            next: vec![0; senders],
        }
    }

    /// Whether the server has said that the connection stands.
    pub(super) fn is_established(&self) -> bool {
        self.is_established
    }

    /// Takes note of a frame. Gives back the message that it brought.
    pub(super) fn hear(&mut self, frame: &[u8]) -> Result<Option<Said>, LoadError> {
        if !self.dialect.is_numbered() {
            return match self.dialect.hear(frame, self.is_established) {
                Heard::Established => {
                    self.is_established = true;
                    Ok(None)
                }
                Heard::Message(text) => self.note(Said::read(text, None), frame).map(Some),
                Heard::Refused => Err(LoadError::Refused(lossy(frame))),
                Heard::Other => Ok(None),
            };
        }
        let event =
            Event::scan(frame).ok_or(LoadError::Protocol("a frame that is no JSON object"))?;
        match event.kind {
            b"connection_established" => {
                self.is_established = true;
                self.seq = event.seq;
                return Ok(None);
            }
            b"error" => return Err(LoadError::Refused(lossy(frame))),
            _ => {}
        }
        if let (Some(last), Some(seq)) = (self.seq, event.seq) {
            in_order(last + 1, seq, frame)?;
            self.seq = Some(seq);
        }
        if event.kind != b"message" {
            return Ok(None);
        }
        let said = event.text.and_then(|text| Said::read(text, event.id));
        self.note(said, frame).map(Some)
    }

    /// A message must be its sender's next one.
    fn note(&mut self, said: Option<Said>, frame: &[u8]) -> Result<Said, LoadError> {
        let said = said.ok_or_else(|| LoadError::Strange(lossy(frame)))?;
        let next = self
            .next
            .get_mut(said.sender)
            .ok_or_else(|| LoadError::Strange(lossy(frame)))?;
        in_order(*next, said.number, frame)?;
        *next += 1;
        Ok(said)
    }
}

fn in_order(due: u64, got: u64, frame: &[u8]) -> Result<(), LoadError> {
    if got == due {
        Ok(())
    } else {
        Err(LoadError::OutOfOrder {
            due,
            got,
            frame: lossy(frame),
        })
    }
}

fn lossy(frame: &[u8]) -> String {
    String::from_utf8_lossy(frame).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, sender: usize, number: u64) -> String {
        format!(
            r#"{{"type":"message","seq":{seq},"data":{{"id":{seq}00,"text":"{sender} {number} 5 xx"}}}}"#
        )
    }

    fn established() -> Journal {
        let mut journal = Journal::new(Dialect::Chat, 2);
        assert!(!journal.is_established());
        journal
            .hear(br#"{"type":"connection_established","seq":7}"#)
            .unwrap();
        assert!(journal.is_established());
        journal
    }

    #[test]
    fn every_message_is_taken_once_and_in_order() {
        let mut journal = established();
        let said = journal.hear(message(8, 0, 0).as_bytes()).unwrap();
        assert_eq!(
            said,
            Some(Said {
                sender: 0,
                number: 0,
                sent_at: 5,
                id: Some(800)
            })
        );
        journal.hear(message(9, 1, 0).as_bytes()).unwrap();
        assert_eq!(
            journal
                .hear(br#"{"type":"member_joined","seq":10}"#)
                .unwrap(),
            None
        );
        assert_eq!(
            journal.hear(br#"{"type":"typing","user_id":1}"#).unwrap(),
            None
        );
        journal.hear(message(11, 0, 1).as_bytes()).unwrap();
        journal.hear(message(12, 1, 1).as_bytes()).unwrap();
    }

    #[test]
    fn a_gap_a_repeat_and_an_overtaken_message_are_errors() {
        for (seq, number) in [(9, 0), (7, 0), (8, 1)] {
            let error = established()
                .hear(message(seq, 0, number).as_bytes())
                .unwrap_err();
            assert!(matches!(error, LoadError::OutOfOrder { .. }), "{error}");
        }
    }

    #[test]
    fn where_the_server_numbers_nothing_each_senders_order_counts() {
        let mut journal = Journal::new(Dialect::Chat, 1);
        for number in 0..2 {
            let frame = format!(r#"{{"type":"message","data":{{"text":"0 {number} 5"}}}}"#);
            assert!(journal.hear(frame.as_bytes()).unwrap().is_some());
        }
        assert!(
            journal
                .hear(br#"{"type":"message","data":{"text":"0 3 5"}}"#)
                .is_err()
        );
    }

    #[test]
    fn errors_and_the_messages_of_others_end_the_load() {
        for frame in [
            r#"{"type":"error","code":"rate_limited"}"#,
            r#"{"type":"message","data":{"text":"hello"}}"#,
            r#"{"type":"message","data":{"text":"9 0 5"}}"#,
            "[]",
        ] {
            assert!(established().hear(frame.as_bytes()).is_err(), "{frame}");
        }
    }

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let said = Said {
            sender: 3,
            number: 4,
            sent_at: 5,
            id: None,
        };
        let mut text = Vec::new();
        said.write(&mut text);
        let event = Event {
            text: Some(&text),
            ..Event::default()
        };
        let text = event.text.expect("a text");
        assert_eq!(Said::read(text, event.id), Some(said));
    }
}
