//! The client's requests: which methods there are, and what each must be given.

use base64::{Engine, prelude::BASE64_STANDARD};
use entity::{ChatId, ContentType, MessageId, UserId};

use super::{answer::Failure, literal, value::Value};
use crate::chat::KnownData;

/// The methods, as the documents list them.
pub(in super::super) const FRAMES: &[&str] = &[
    "checkConnection",
    "checkToken",
    "auth",
    "register",
    "logout",
    "createPersonalChat",
    "createChat",
    "getChats",
    "getMessages",
    "sendMessage",
    "deleteChat",
    "createGroup",
    "sendGroupMessage",
    "editGroup",
    "deleteGroup",
    "editMessage",
    "deleteMessage",
    "readMessages",
    "subscribe",
    "recovery",
    "recoveryConfirm",
    "changeUsername",
    "changeEmail",
    "setPhoto",
];

/// How a request was written, and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Literal,
}

/// A frame that could be read.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) encoding: Encoding,
    fields: Value,
}

/// What a client wants.
#[derive(Debug, PartialEq)]
pub(super) enum Method {
    CheckConnection,
    Auth {
        username: String,
        password: String,
    },
    Register {
        username: String,
        password: String,
        email: String,
    },
    Recovery {
        username: String,
        known: KnownData,
    },
    RecoveryConfirm {
        username: String,
        code: String,
        password: String,
    },
    /// What only somebody who has signed in may want.
    Signed {
        token: String,
        wants: Signed,
    },
}

/// What somebody who has signed in wants.
#[derive(Debug, PartialEq)]
pub(super) enum Signed {
    CheckToken,
    Logout,
    Subscribe,
    ChangeUsername {
        username: String,
    },
    ChangeEmail {
        email: String,
        password: String,
    },
    /// A picture in base64; what it is, its bytes say.
    SetPhoto {
        content: Vec<u8>,
    },
    CreatePersonalChat {
        with: Contact,
    },
    GetChats,
    GetMessages {
        chat: ChatId,
        from: Option<MessageId>,
    },
    SendMessage {
        chat: ChatId,
        content: String,
        content_type: ContentType,
        client_id: Option<String>,
    },
    DeleteChat {
        chat: ChatId,
    },
    CreateGroup {
        name: String,
        members: Vec<UserId>,
    },
    EditGroup {
        chat: ChatId,
        name: Option<String>,
        add: Vec<UserId>,
        remove: Vec<UserId>,
    },
    DeleteGroup {
        chat: ChatId,
    },
    EditMessage {
        chat: ChatId,
        message: MessageId,
        content: String,
    },
    DeleteMessage {
        chat: ChatId,
        message: MessageId,
    },
    ReadMessages {
        chat: ChatId,
        up_to: Option<MessageId>,
    },
}

/// How another user is named.
#[derive(Debug, PartialEq)]
pub(super) enum Contact {
    Id(UserId),
    Name(String),
}

impl Request {
    /// A frame as JSON, else as a Python literal.
    pub(super) fn read(frame: &str) -> Option<Request> {
        let json = Value::from_json(frame).map(|fields| (Encoding::Json, fields));
        let read = json.or_else(|_| literal::read(frame).map(|fields| (Encoding::Literal, fields)));
        let (encoding, fields) = read.ok()?;
        matches!(fields, Value::Dict(_)).then_some(Request { encoding, fields })
    }

    /// The method's name, where there is one.
    pub(super) fn mode(&self) -> Option<&str> {
        match self.fields.get("mode") {
            Some(Value::Str(mode)) => Some(mode),
            _ => None,
        }
    }

    /// What it asks for; else why it can't be answered.
    pub(super) fn method(&self, mode: &str) -> Result<Method, Failure> {
        let mut fields = Fields::of(&self.fields);
        let method = match mode {
            "checkConnection" => Method::CheckConnection,
            "auth" => Method::Auth {
                username: fields.text("username"),
                password: fields.text("password"),
            },
            "register" => Method::Register {
                username: fields.text("username"),
                password: fields.text("password"),
                email: fields.text("email"),
            },
            "recovery" => Method::Recovery {
                username: fields.text("username"),
                known: fields.known_data(),
            },
            "recoveryConfirm" => Method::RecoveryConfirm {
                username: fields.text("username"),
                code: fields.text("code"),
                password: fields.text("password"),
            },
            _ => {
                let token = fields.token();
                let wants = Signed::parse(mode, &mut fields).ok_or(Failure::unknown_mode())?;
                Method::Signed { token, wants }
            }
        };
        fields.finish()?;
        Ok(method)
    }
}

impl Signed {
    fn parse(mode: &str, fields: &mut Fields<'_>) -> Option<Signed> {
        Some(match mode {
            "checkToken" => Signed::CheckToken,
            "logout" => Signed::Logout,
            "subscribe" => Signed::Subscribe,
            "changeUsername" => Signed::ChangeUsername {
                username: fields.text("username"),
            },
            "changeEmail" => Signed::ChangeEmail {
                email: fields.text("email"),
                password: fields.text("password"),
            },
            "setPhoto" => Signed::SetPhoto {
                content: fields.photo(),
            },
            "createPersonalChat" | "createChat" => Signed::CreatePersonalChat {
                with: fields.contact(),
            },
            "getChats" => Signed::GetChats,
            "getMessages" => Signed::GetMessages {
                chat: fields.chat(),
                from: fields.optional_id("min_message_id").map(MessageId),
            },
            "sendMessage" | "sendGroupMessage" => Signed::SendMessage {
                chat: fields.chat(),
                content: fields.said("content"),
                content_type: fields.content_type(),
                client_id: fields.optional_text("client_id"),
            },
            "deleteChat" => Signed::DeleteChat {
                chat: fields.chat(),
            },
            "createGroup" => Signed::CreateGroup {
                name: fields.text("name"),
                members: fields.ids("members"),
            },
            "editGroup" => Signed::EditGroup {
                chat: fields.chat(),
                name: fields.optional_text("name"),
                add: fields.optional_ids("add"),
                remove: fields.optional_ids("remove"),
            },
            "deleteGroup" => Signed::DeleteGroup {
                chat: fields.chat(),
            },
            "editMessage" => Signed::EditMessage {
                chat: fields.chat(),
                message: MessageId(fields.id("message_id")),
                content: fields.said("content"),
            },
            "deleteMessage" => Signed::DeleteMessage {
                chat: fields.chat(),
                message: MessageId(fields.id("message_id")),
            },
            "readMessages" => Signed::ReadMessages {
                chat: fields.chat(),
                up_to: fields.optional_id("message_id").map(MessageId),
            },
            _ => return None,
        })
    }
}

/// A request's fields on their way to a method. Reading goes on after what is missing or wrong, so that all of what is
/// missing is told at once; [`finish`](Self::finish) tells it.
struct Fields<'r> {
    of: &'r Value,
    missing: Vec<&'static str>,
    wrong: Option<String>,
}

impl<'r> Fields<'r> {
    fn of(of: &'r Value) -> Self {
        Fields {
            of,
            missing: Vec::new(),
            wrong: None,
        }
    }

    fn finish(self) -> Result<(), Failure> {
        if !self.missing.is_empty() {
            return Err(Failure::missing(&self.missing));
        }
        self.wrong.map_or(Ok(()), |wrong| Err(Failure::bad(wrong)))
    }

    /// What was given; `None` is nothing.
    fn given(&self, name: &str) -> Option<&'r Value> {
        self.of.get(name).filter(|value| **value != Value::None)
    }

    fn wanted(&mut self, name: &'static str) -> Option<&'r Value> {
        let given = self.given(name);
        if given.is_none() {
            self.missing.push(name);
        }
        given
    }

    fn is_wrong(&mut self, name: &str, must: &str) {
        let wrong = format!("field {name} must {must}");
        self.wrong.get_or_insert(wrong);
    }

    fn read<T: Default>(
        &mut self,
        name: &'static str,
        given: Option<&'r Value>,
        must: &str,
        read: impl Fn(&'r Value) -> Option<T>,
    ) -> T {
        let Some(given) = given else {
            return T::default();
        };
        let value = read(given);
        if value.is_none() {
            self.is_wrong(name, must);
        }
        value.unwrap_or_default()
    }

    /// Whether it is good is asked when it is shown: an empty one isn't.
    fn token(&mut self) -> String {
        self.said("token")
    }

    /// A string; whether it may be empty, the domain says.
    fn said(&mut self, name: &'static str) -> String {
        let given = self.wanted(name);
        self.read(name, given, "be a string", string)
    }

    /// A string with something in it.
    fn text(&mut self, name: &'static str) -> String {
        let given = self.wanted(name);
        self.read(name, given, "be a string that is not empty", |value| {
            string(value).filter(|text| !text.is_empty())
        })
    }

    fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let given = self.given(name);
        self.read(name, given, "be a string that is not empty", |value| {
            string(value).filter(|text| !text.is_empty()).map(Some)
        })
    }

    fn id(&mut self, name: &'static str) -> i64 {
        let given = self.wanted(name);
        self.read(name, given, "be a number", id)
    }

    fn optional_id(&mut self, name: &'static str) -> Option<i64> {
        let given = self.given(name);
        self.read(name, given, "be a number", |value| id(value).map(Some))
    }

    fn chat(&mut self) -> ChatId {
        ChatId(self.id("chat_id"))
    }

    fn ids(&mut self, name: &'static str) -> Vec<UserId> {
        let given = self.wanted(name);
        self.read(name, given, "be a list of users' ids", ids)
    }

    fn optional_ids(&mut self, name: &'static str) -> Vec<UserId> {
        let given = self.given(name);
        self.read(name, given, "be a list of users' ids", ids)
    }

    fn content_type(&mut self) -> ContentType {
        let given = self.wanted("content_type");
        let must = "be text, picture, sticker or file";
        let read = self.read("content_type", given, must, |value| {
            let Value::Str(name) = value else { return None };
            Some(Some(match name.as_str() {
                "text" => ContentType::Text,
                "picture" => ContentType::Picture,
                "sticker" => ContentType::Sticker,
                "file" => ContentType::File,
                _ => return None,
            }))
        });
        read.unwrap_or(ContentType::Text)
    }

    fn known_data(&mut self) -> KnownData {
        let data = self.text("known_data");
        match self.wanted("known_data_type") {
            Some(Value::Str(kind)) if kind == "email" => KnownData::Email(data),
            Some(Value::Str(kind)) if kind == "username" => KnownData::Username(data),
            Some(_) => {
                self.is_wrong("known_data_type", "be email or username");
                KnownData::Username(data)
            }
            None => KnownData::Username(data),
        }
    }

    fn photo(&mut self) -> Vec<u8> {
        let given = self.wanted("content");
        let _said = self.said("content_type");
        self.read("content", given, "be a picture in base64", |value| {
            let Value::Str(text) = value else { return None };
            // Python's encoder breaks lines.
            let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            BASE64_STANDARD.decode(text).ok()
        })
    }

    fn contact(&mut self) -> Contact {
        let value = self.wanted("contact_value");
        let mode = self.wanted("contact_mode");
        match (mode, value) {
            (Some(Value::Str(mode)), value) if mode == "id" => {
                let id = self.read("contact_value", value, "be a number", id);
                Contact::Id(UserId(id))
            }
            (Some(Value::Str(mode)), value) if mode == "username" => {
                Contact::Name(self.read("contact_value", value, "be a string", string))
            }
            (Some(_), _) => {
                self.is_wrong("contact_mode", "be id or username");
                Contact::Id(UserId::default())
            }
            (None, _) => Contact::Id(UserId::default()),
        }
    }
}

fn string(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        _ => None,
    }
}

/// Numbers, and digits in a string.
fn id(value: &Value) -> Option<i64> {
    match value {
        Value::Int(id) => Some(*id),
        Value::Str(digits) => digits.trim().parse().ok(),
        _ => None,
    }
}

/// A list of them, or the form in which `chat_members` gives them: joined by commas.
fn ids(value: &Value) -> Option<Vec<UserId>> {
    match value {
        Value::List(items) => items.iter().map(|item| id(item).map(UserId)).collect(),
        Value::Int(id) => Some(vec![UserId(*id)]),
        Value::Str(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::Str(text) => {
            let ids = text.split(',').map(|id| id.trim().parse().ok());
            ids.map(|id| id.map(UserId)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(frame: &str) -> Result<Method, Failure> {
        let request = Request::read(frame).unwrap();
        request.method(request.mode().unwrap())
    }

    #[test]
    fn all_that_is_missing_is_told_at_once_in_the_documents_order() {
        let told = |frame| method(frame).unwrap_err().error_msg.unwrap();
        assert_eq!(
            told(r#"{"mode": "sendMessage"}"#),
            "field(s) token, chat_id, content, content_type not provided"
        );
        assert_eq!(
            told("{'mode': 'auth', 'username': 'anna', 'password': None}"),
            "field(s) password not provided"
        );
        assert_eq!(
            told("{'mode': 'createChat', 'token': 't'}"),
            "field(s) contact_value, contact_mode not provided"
        );
    }

    #[test]
    fn ids_are_numbers_or_digits_and_nothing_else() {
        let chat = |id: &str| {
            let frame = format!("{{'mode': 'deleteChat', 'token': 't', 'chat_id': {id}}}");
            match method(&frame) {
                Ok(Method::Signed {
                    wants: Signed::DeleteChat { chat },
                    ..
                }) => Some(chat.0),
                _ => None,
            }
        };
        assert_eq!(
            (chat("7"), chat("'7'"), chat("\"7\"")),
            (Some(7), Some(7), Some(7))
        );
        for wrong in ["7.0", "True", "'seven'", "''", "[7]", "{}"] {
            assert_eq!(chat(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_method_that_is_listed_is_known_and_no_other() {
        for mode in FRAMES {
            let frame = format!("{{'mode': '{mode}'}}");
            let told = method(&frame).err().and_then(|failure| failure.error_msg);
            let is_known = told.is_none_or(|told| told.ends_with("not provided"));
            assert!(is_known, "{mode}");
        }
        let unknown = method("{'mode': 'sudo', 'token': 't'}").unwrap_err();
        assert_eq!(unknown.status, "501");
    }

    #[test]
    fn users_are_listed_in_every_form_that_clients_have() {
        let user = |id| UserId(id);
        for (text, wanted) in [
            ("[1, '2']", vec![user(1), user(2)]),
            ("(1,)", vec![user(1)]),
            ("'1, 2'", vec![user(1), user(2)]),
            ("3", vec![user(3)]),
            ("''", vec![]),
            ("[]", vec![]),
        ] {
            let value = literal::read(text).unwrap();
            assert_eq!(ids(&value), Some(wanted), "{text}");
        }
        for wrong in ["[None]", "'a'", "1.5", "{}", "[[1]]", "True"] {
            assert_eq!(ids(&literal::read(wrong).unwrap()), None, "{wrong}");
        }
    }
}
