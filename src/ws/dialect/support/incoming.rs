//! The client's requests: JSON-RPC 1.0 in style.

use entity::{MessageId, UserId};
use serde_json::Value;

use super::frames::Failure;

/// The methods, as the documents list them.
pub(in crate::ws::dialect) const METHODS: &[&str] = &[
    "message.auth",
    "message.send",
    "message.operatorSend",
    "message.history",
    "message.chats",
    "message.read",
    "message.typing",
];

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// To be whoever the token says; without, whoever the handshake said.
    Auth { token: Option<String> },
    /// A message to the operators.
    Send { text: String },
    /// An operator's message to a customer.
    OperatorSend { text: String, to: Option<UserId> },
    /// What was said before a message.
    History {
        of: Option<UserId>,
        before: Option<MessageId>,
    },
    /// The open support chats.
    Chats,
    /// Everything there is in a chat is read.
    Read { of: Option<UserId> },
    /// Somebody types, or stopped.
    Typing { is_typing: bool, of: Option<UserId> },
}

/// A request, and the id that its answer echoes.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) method: Result<Method, Failure>,
}

impl Request {
    pub(super) fn parse(frame: &str) -> Request {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(frame) else {
            return Request {
                id: Value::Null,
                method: Err(Failure::Json),
            };
        };
        let id = fields.remove("id").unwrap_or_default();
        let params = fields.remove("params").unwrap_or_default();
        let method = match fields.get("method") {
            Some(Value::String(method)) => Self::method(method, params),
            _ => Err(Failure::UnknownMethod),
        };
        Request { id, method }
    }

    fn method(name: &str, params: Value) -> Result<Method, Failure> {
        let mut params = Params::new(params);
        let method = match name {
            "message.auth" => Method::Auth {
                token: params.optional_string()?,
            },
            "message.send" => Method::Send {
                text: params.string()?,
            },
            "message.operatorSend" => Method::OperatorSend {
                text: params.string()?,
                to: params.optional_number()?.map(UserId),
            },
            "message.history" => Method::History {
                of: params.optional_number()?.map(UserId),
                before: params.optional_number()?.map(MessageId),
            },
            "message.chats" => Method::Chats,
            "message.read" => Method::Read {
                of: params.optional_number()?.map(UserId),
            },
            "message.typing" => Method::Typing {
                is_typing: params.boolean()?,
                of: params.optional_number()?.map(UserId),
            },
            _ => return Err(Failure::UnknownMethod),
        };
        params.end().map(|()| method)
    }
}

/// The arguments, in their order. No list at all is an empty one only where it is missing or null.
struct Params(Option<std::vec::IntoIter<Value>>);

impl Params {
    fn new(params: Value) -> Self {
        Params(match params {
            Value::Null => Some(Vec::new().into_iter()),
            Value::Array(params) => Some(params.into_iter()),
            _ => None,
        })
    }

    fn next(&mut self) -> Result<Value, Failure> {
        let params = self.0.as_mut().ok_or(Failure::Argument)?;
        Ok(params.next().unwrap_or_default())
    }

    fn string(&mut self) -> Result<String, Failure> {
        self.optional_string()?.ok_or(Failure::Argument)
    }

    fn optional_string(&mut self) -> Result<Option<String>, Failure> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(Failure::Argument),
        }
    }

    fn optional_number(&mut self) -> Result<Option<i64>, Failure> {
        match self.next()? {
            Value::Null => Ok(None),
            value => value.as_i64().map(Some).ok_or(Failure::Argument),
        }
    }

    fn boolean(&mut self) -> Result<bool, Failure> {
        self.next()?.as_bool().ok_or(Failure::Argument)
    }

    fn end(mut self) -> Result<(), Failure> {
        let params = self.0.as_mut().ok_or(Failure::Argument)?;
        match params.next() {
            None => Ok(()),
            Some(_) => Err(Failure::Argument),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_whatever_it_is_and_what_is_wrong_has_its_number() {
        for (frame, id, failure) in [
            ("x", Value::Null, Failure::Json),
            ("[]", Value::Null, Failure::Json),
            ("null", Value::Null, Failure::Json),
            (
                r#"{"id":[1,"a"]}"#,
                serde_json::json!([1, "a"]),
                Failure::UnknownMethod,
            ),
            (
                r#"{"method":"x","id":"7"}"#,
                "7".into(),
                Failure::UnknownMethod,
            ),
            (r#"{"method":7,"id":7}"#, 7.into(), Failure::UnknownMethod),
            (
                r#"{"method":"message.send","id":7}"#,
                7.into(),
                Failure::Argument,
            ),
            (
                r#"{"method":"message.send","params":[],"id":7}"#,
                7.into(),
                Failure::Argument,
            ),
            (
                r#"{"method":"message.send","params":["a","b"],"id":7}"#,
                7.into(),
                Failure::Argument,
            ),
            (
                r#"{"method":"message.send","params":{"0":"a"},"id":7}"#,
                7.into(),
                Failure::Argument,
            ),
            (
                r#"{"method":"message.operatorSend","params":["a","1"]}"#,
                Value::Null,
                Failure::Argument,
            ),
            (
                r#"{"method":"message.typing","params":[1]}"#,
                Value::Null,
                Failure::Argument,
            ),
            (
                r#"{"method":"message.chats","params":[1]}"#,
                Value::Null,
                Failure::Argument,
            ),
        ] {
            let wanted = Request {
                id,
                method: Err(failure),
            };
            assert_eq!(Request::parse(frame), wanted, "{frame}");
        }
    }

    #[test]
    fn arguments_may_be_left_out_or_null() {
        for (params, of, before) in [
            ("", None, None),
            (r#","params":null"#, None, None),
            (r#","params":[null,5]"#, None, Some(5)),
            (r#","params":[3]"#, Some(3), None),
        ] {
            let frame = format!(r#"{{"method":"message.history"{params}}}"#);
            let (of, before) = (of.map(UserId), before.map(MessageId));
            let wanted = Method::History { of, before };
            assert_eq!(Request::parse(&frame).method, Ok(wanted), "{frame}");
        }
    }
}
