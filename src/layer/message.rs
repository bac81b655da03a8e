//! A message of the layer: a dictionary, packed as msgpack once, whoever it goes to. The bytes are those that Python's
//! `msgpack.packb` makes, and what comes from elsewhere is checked before it is read: names for keys, text in UTF-8,
//! nothing behind the end.
//!
//! Bounded by: `DEPTH_MAX` dictionaries and lists in each other.

use std::ops::Range;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// Deeper than any message of ours or of a chat's client; msgpack for Python would take 1024.
const DEPTH_MAX: usize = 100;
/// Where the core layer names the channels of one process that a message is for.
const CHANNELS_KEY: &str = "__asgi_channel__";

/// What travels: a dictionary with a `type`, as in Django Channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerMessage {
    packed: Bytes,
}

/// Why something isn't a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Something other than a dictionary.
    #[error("not a dictionary")]
    NoDictionary,
    /// It ends before its end.
    #[error("cut off")]
    CutOff,
    /// Something follows its end.
    #[error("bytes behind its end")]
    BehindItsEnd,
    /// A key that is no text.
    #[error("a key that is no text")]
    Key,
    /// Text that is none.
    #[error("text that isn't UTF-8")]
    Text,
    /// No value begins with this byte.
    #[error("no value begins with 0xc1")]
    NoValue,
    /// Too many dictionaries and lists in each other.
    #[error("more than {DEPTH_MAX} levels deep")]
    Deep,
    /// Not what the reader asked for, or nothing that can be packed.
    #[error("{0}")]
    Content(String),
    /// It can't be decrypted.
    #[error("no key fits, or it is too old")]
    Sealed,
}

impl LayerMessage {
    /// Packs a dictionary.
    pub fn pack(dictionary: &impl Serialize) -> Result<Self, MessageError> {
        let mut packed = Vec::with_capacity(256);
        let mut serializer = rmp_serde::Serializer::new(&mut packed).with_struct_map();
        dictionary
            .serialize(&mut serializer)
            .map_err(|error| MessageError::Content(error.to_string()))?;
        match Head::read(&packed, 0)?.what {
            What::Map(_) => Ok(Self {
                packed: packed.into(),
            }),
            _ => Err(MessageError::NoDictionary),
        }
    }

    /// Takes what came over a wire. Dictionaries in JSON, as channels_redis sends them where it is told to, are taken
    /// too: none in msgpack begins like them.
    pub fn from_wire(bytes: impl Into<Bytes>) -> Result<Self, MessageError> {
        let packed = bytes.into();
        if packed.first() == Some(&b'{') {
            let dictionary: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(&packed)
                    .map_err(|error| MessageError::Content(error.to_string()))?;
            return Self::pack(&dictionary);
        }
        if !matches!(Head::read(&packed, 0)?.what, What::Map(_)) {
            return Err(MessageError::NoDictionary);
        }
        match end_of(&packed, 0)? {
            end if end == packed.len() => Ok(Self { packed }),
            _ => Err(MessageError::BehindItsEnd),
        }
    }

    /// As it goes over a wire.
    pub fn packed(&self) -> &Bytes {
        &self.packed
    }

    /// Reads it as something.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, MessageError> {
        rmp_serde::from_slice(&self.packed)
            .map_err(|error| MessageError::Content(error.to_string()))
    }

    /// The same with one key more, at its end: which of a process's channels it is for.
    pub(super) fn addressed(&self, channels: &impl Serialize) -> Result<Bytes, MessageError> {
        let head = Head::read(&self.packed, 0)?;
        let What::Map(keys) = head.what else {
            return Err(MessageError::NoDictionary);
        };
        let mut packed = Vec::with_capacity(self.packed.len() + 128);
        begin_map(&mut packed, keys + 1);
        packed.extend_from_slice(&self.packed[head.end..]);
        let mut put = |value: &dyn Fn(&mut Vec<u8>) -> Result<(), rmp_serde::encode::Error>| {
            value(&mut packed).map_err(|error| MessageError::Content(error.to_string()))
        };
        put(&|packed| rmp_serde::encode::write(packed, CHANNELS_KEY))?;
        put(&|packed| rmp_serde::encode::write(packed, channels))?;
        Ok(packed.into())
    }

    /// The same without that key, and what it said; nothing where it isn't there.
    pub(super) fn take_address(self) -> Result<(Self, Vec<String>), MessageError> {
        let Some(Entry { key, value }) = self.find(CHANNELS_KEY)? else {
            return Ok((self, Vec::new()));
        };
        let channels: Address = rmp_serde::from_slice(&self.packed[value.clone()])
            .map_err(|error| MessageError::Content(error.to_string()))?;
        let head = Head::read(&self.packed, 0)?;
        let What::Map(keys) = head.what else {
            return Err(MessageError::NoDictionary);
        };
        let mut packed = Vec::with_capacity(self.packed.len());
        begin_map(&mut packed, keys - 1);
        packed.extend_from_slice(&self.packed[head.end..key.start]);
        packed.extend_from_slice(&self.packed[value.end..]);
        let channels = match channels {
            Address::One(channel) => vec![channel],
            Address::Many(channels) => channels,
        };
        Ok((
            Self {
                packed: packed.into(),
            },
            channels,
        ))
    }

    /// Where a key of the dictionary itself lies, and its value.
    fn find(&self, name: &str) -> Result<Option<Entry>, MessageError> {
        let head = Head::read(&self.packed, 0)?;
        let What::Map(keys) = head.what else {
            return Err(MessageError::NoDictionary);
        };
        let mut at = head.end;
        for _ in 0..keys {
            let key = at..Head::read(&self.packed, at)?.end;
            let value = key.end..end_of(&self.packed, key.end)?;
            if self.packed[key.clone()].ends_with(name.as_bytes())
                && rmp_serde::from_slice::<&str>(&self.packed[key.clone()])
                    .is_ok_and(|key| key == name)
            {
                return Ok(Some(Entry { key, value }));
            }
            at = value.end;
        }
        Ok(None)
    }
}

/// Where a key of a dictionary and its value lie.
struct Entry {
    key: Range<usize>,
    value: Range<usize>,
}

/// `send` names one channel, `group_send` a list.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Address {
    One(String),
    Many(Vec<String>),
}

enum What {
    /// With so many keys.
    Map(u64),
    /// Of so many values.
    List(u64),
    /// From here to the end.
    Text(usize),
    Other,
}

/// How a value begins, and where that ends: of a map or list its values follow.
struct Head {
    what: What,
    end: usize,
}

impl Head {
    fn read(bytes: &[u8], at: usize) -> Result<Self, MessageError> {
        let first = *bytes.get(at).ok_or(MessageError::CutOff)?;
        let number = |width: usize| -> Result<u64, MessageError> {
            let digits = bytes
                .get(at + 1..at + 1 + width)
                .ok_or(MessageError::CutOff)?;
            Ok(digits
                .iter()
                .fold(0, |number, digit| number << 8 | u64::from(*digit)))
        };
        let short = |mask: u8| u64::from(first & mask);
        // How many bytes tell the length; what it is a length of.
        let (width, what, length) = match first {
            0x80..=0x8f => (0, What::Map(short(0x0f)), 0),
            0x90..=0x9f => (0, What::List(short(0x0f)), 0),
            0xa0..=0xbf => (0, What::Text(0), short(0x1f)),
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, What::Other, 0),
            0xc1 => return Err(MessageError::NoValue),
            0xc4..=0xc6 => {
                let width = 1 << (first - 0xc4);
                (width, What::Other, number(width)?)
            }
            0xc7..=0xc9 => {
                let width = 1 << (first - 0xc7);
                (width, What::Other, number(width)? + 1)
            }
            0xca => (0, What::Other, 4),
            0xcb => (0, What::Other, 8),
            0xcc..=0xcf => (0, What::Other, 1 << (first - 0xcc)),
            0xd0..=0xd3 => (0, What::Other, 1 << (first - 0xd0)),
            0xd4..=0xd8 => (0, What::Other, 1 + (1 << (first - 0xd4))),
            0xd9..=0xdb => {
                let width = 1 << (first - 0xd9);
                (width, What::Text(0), number(width)?)
            }
            0xdc | 0xdd => {
                let width = if first == 0xdc { 2 } else { 4 };
                (width, What::List(number(width)?), 0)
            }
            0xde | 0xdf => {
                let width = if first == 0xde { 2 } else { 4 };
                (width, What::Map(number(width)?), 0)
            }
        };
        let begin = at + 1 + width;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| begin.checked_add(length));
        match end {
            Some(end) if end <= bytes.len() => {
                let what = match what {
                    What::Text(_) => What::Text(begin),
                    other => other,
                };
                Ok(Head { what, end })
            }
            _ => Err(MessageError::CutOff),
        }
    }
}

/// Where the value that begins at `at` ends. Each of its parts is looked at once; what it claims to hold costs nothing.
fn end_of(bytes: &[u8], mut at: usize) -> Result<usize, MessageError> {
    // Of each dictionary and list that isn't over: values to come, and whether every other one is a key.
    let mut open: Vec<(u64, bool)> = Vec::new();
    loop {
        let is_key = open
            .last()
            .is_some_and(|(left, is_map)| *is_map && left % 2 == 0);
        let head = Head::read(bytes, at)?;
        at = head.end;
        let (children, is_map) = match head.what {
            What::Text(begin) => {
                std::str::from_utf8(&bytes[begin..at]).map_err(|_| MessageError::Text)?;
                (0, false)
            }
            _ if is_key => return Err(MessageError::Key),
            What::Map(keys) => (keys * 2, true),
            What::List(values) => (values, false),
            What::Other => (0, false),
        };
        if children > 0 {
            if open.len() == DEPTH_MAX {
                return Err(MessageError::Deep);
            }
            open.push((children, is_map));
            continue;
        }
        loop {
            let Some((left, _)) = open.last_mut() else {
                return Ok(at);
            };
            *left -= 1;
            if *left > 0 {
                break;
            }
            open.pop();
        }
    }
}

fn begin_map(packed: &mut Vec<u8>, keys: u64) {
    match keys {
        0..=15 => packed.push(0x80 | keys as u8),
        16..=0xffff => {
            packed.push(0xde);
            packed.extend_from_slice(&(keys as u16).to_be_bytes());
        }
        _ => {
            packed.push(0xdf);
            packed.extend_from_slice(&(keys as u32).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_to_the_end_and_comes_out_again() {
        let wide: serde_json::Map<String, serde_json::Value> =
            (0..15).map(|n| (format!("k{n:02}"), n.into())).collect();
        let message = LayerMessage::pack(&wide).expect("packed");
        assert_eq!(message.packed()[0], 0x8f);
        let names = ["specific.a!b", "specific.a!c"];
        let addressed = message.addressed(&names).expect("addressed");
        assert_eq!(
            &addressed[..3],
            [0xde, 0, 16],
            "one key more than a short head has room for"
        );
        let taken = LayerMessage::from_wire(addressed)
            .expect("a message")
            .take_address();
        assert_eq!(
            taken,
            Ok((message.clone(), names.map(str::to_owned).to_vec()))
        );
        let one = LayerMessage::from_wire(message.addressed(&"specific.a!b").expect("addressed"));
        let taken = one.expect("a message").take_address();
        assert_eq!(
            taken,
            Ok((message.clone(), vec!["specific.a!b".to_owned()]))
        );
        assert_eq!(message.clone().take_address(), Ok((message, Vec::new())));
    }

    #[test]
    fn what_claims_to_be_large_or_deep_costs_nothing() {
        let read = |bytes: &[u8]| LayerMessage::from_wire(bytes.to_vec());
        assert_eq!(read(b"\xdf\xff\xff\xff\xff"), Err(MessageError::CutOff));
        assert_eq!(read(b"\x81\xdb\xff\xff\xff\xff"), Err(MessageError::CutOff));
        assert_eq!(
            read(b"\x81\xa1a\xc6\xff\xff\xff\xff"),
            Err(MessageError::CutOff)
        );
        let deep = [b"\x81\xa1a".as_slice(), &[0x91; 100_000], b"\xc0"].concat();
        assert_eq!(read(&deep), Err(MessageError::Deep));
        let json = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(
            read(json.as_bytes()),
            Err(MessageError::Content(_))
        ));
    }
}
