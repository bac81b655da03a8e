//! The mapping file: which tables and columns of another project hold what (`docs/import.md`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::store::{Columns, TextRow, boolean};

/// A whole mapping file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    #[serde(default)]
    pub(super) users: UsersTable,
    #[serde(default)]
    pub(super) chats: Vec<ChatsTable>,
}

/// Accounts: Django's own table where nothing else is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UsersTable {
    pub(super) table: String,
    pub(super) id: String,
    pub(super) username: Field,
    pub(super) password: Field,
    pub(super) email: Option<Field>,
    pub(super) first_name: Option<Field>,
    pub(super) last_name: Option<Field>,
    pub(super) is_staff: Option<Field>,
    pub(super) is_active: Option<Field>,
    pub(super) date_joined: Option<Field>,
    pub(super) last_login: Option<Field>,
}

impl Default for UsersTable {
    fn default() -> Self {
        let column = |name: &str| Field::Column(name.to_owned());
        Self {
            table: "auth_user".to_owned(),
            id: "id".to_owned(),
            username: column("username"),
            password: column("password"),
            email: Some(column("email")),
            first_name: Some(column("first_name")),
            last_name: Some(column("last_name")),
            is_staff: Some(column("is_staff")),
            is_active: Some(column("is_active")),
            date_joined: Some(column("date_joined")),
            last_login: Some(column("last_login")),
        }
    }
}

/// Chats of one table, with their members and messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatsTable {
    pub(super) table: String,
    pub(super) id: String,
    pub(super) kind: Field,
    pub(super) name: Option<Field>,
    pub(super) created_by: Option<Field>,
    pub(super) created_at: Option<Field>,
    pub(super) is_private: Option<Field>,
    /// Without, whoever wrote in a chat is a member of it.
    pub(super) members: Option<MembersTable>,
    pub(super) messages: MessagesTable,
}

/// Who belongs to the chats.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MembersTable {
    pub(super) table: String,
    pub(super) chat: String,
    pub(super) user: Field,
    pub(super) role: Option<Field>,
    pub(super) joined_at: Option<Field>,
    /// Without, members have read everything.
    pub(super) read_at: Option<Field>,
}

/// What was said in the chats.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagesTable {
    pub(super) table: String,
    pub(super) id: String,
    pub(super) chat: String,
    pub(super) sender: Field,
    pub(super) text: Field,
    pub(super) timestamp: String,
    pub(super) edited_at: Option<Field>,
    pub(super) is_deleted: Option<Field>,
    pub(super) reply_to: Option<Field>,
    /// A file's path or address, where a message has no text.
    pub(super) file: Option<Field>,
}

/// Where a value comes from: a column, or more than that.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Field {
    Column(String),
    Spec(Spec),
}

/// A column whose words mean others here, or one value for all rows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    column: Option<String>,
    /// What the column's values mean; `true` and `false` fit every form of a boolean.
    #[serde(default)]
    words: BTreeMap<String, String>,
    /// In the place of null, and of words that aren't listed.
    default: Option<String>,
    /// One value for all rows, without a column.
    value: Option<String>,
}

impl Mapping {
    /// Reads a file's text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mapping: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for chats in &mapping.chats {
            let fields = [Some(&chats.kind), chats.name.as_ref()];
            for field in fields.into_iter().flatten() {
                field.check()?;
            }
        }
        Ok(mapping)
    }
}

impl Field {
    fn check(&self) -> Result<(), String> {
        match self {
            Field::Spec(spec) if spec.column.is_none() == spec.value.is_none() => {
                Err("a field needs a column, or a value, and not both".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Where a field is found in a row.
#[derive(Debug)]
pub(super) struct Place {
    column: Option<usize>,
    words: BTreeMap<String, String>,
    default: Option<String>,
}

/// The columns that are read of a table, and where the fields are in them.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) columns: Columns,
}

impl Reader {
    pub(super) fn of(table: &str) -> Self {
        let columns = Columns {
            table: table.to_owned(),
            columns: Vec::new(),
        };
        Self { columns }
    }

    pub(super) fn column(&mut self, name: &str) -> usize {
        let columns = &mut self.columns.columns;
        columns.push(name.to_owned());
        columns.len() - 1
    }

    pub(super) fn field(&mut self, field: &Field) -> Place {
        match field {
            Field::Column(name) => Place {
                column: Some(self.column(name)),
                words: BTreeMap::new(),
                default: None,
            },
            Field::Spec(spec) => Place {
                column: spec.column.as_deref().map(|name| self.column(name)),
                words: spec.words.clone(),
                default: spec.default.clone().or_else(|| spec.value.clone()),
            },
        }
    }

    pub(super) fn optional(&mut self, field: &Option<Field>) -> Place {
        match field {
            Some(field) => self.field(field),
            None => Place {
                column: None,
                words: BTreeMap::new(),
                default: None,
            },
        }
    }
}

impl Place {
    /// The field's value in a row.
    pub(super) fn of<'a>(&'a self, row: &'a TextRow) -> Option<&'a str> {
        let found = self.column.and_then(|column| row.get(column)?.as_deref());
        let meant = match found {
            Some(found) if !self.words.is_empty() => self.word(found),
            found => found,
        };
        meant.or(self.default.as_deref())
    }

    fn word(&self, found: &str) -> Option<&str> {
        let as_written = self.words.get(found);
        let as_boolean = || {
            let name = boolean(found)?.to_string();
            self.words.get(&name)
        };
        as_written.or_else(as_boolean).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_examples_are_mappings() {
        for text in [
            include_str!("../../../examples/import/chats.toml"),
            include_str!("../../../examples/import/rooms.toml"),
        ] {
            let mapping = Mapping::parse(text);
            assert!(mapping.is_ok_and(|mapping| mapping.chats.len() == 1));
        }
        assert_eq!(Mapping::default().users.table, "auth_user");
    }

    #[test]
    fn a_slip_of_the_pen_is_told() {
        let told = |text: &str| Mapping::parse(text).err().unwrap_or_default();
        assert!(told("[users]\ntabel = \"x\"").contains("tabel"));
        assert!(told("[[chats]]\ntable = \"x\"").contains("missing field"));
    }

    #[test]
    fn words_of_a_column_mean_others_here() {
        let words = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(word, meant)| ((*word).to_owned(), (*meant).to_owned()));
            Field::Spec(Spec {
                column: Some("kind".to_owned()),
                words: pairs.collect(),
                default: Some("group".to_owned()),
                value: None,
            })
        };
        let mut reader = Reader::of("chat");
        let kind = reader.field(&words(&[("P", "personal")]));
        let is_group = reader.field(&words(&[("true", "group"), ("false", "personal")]));
        let row = |first: &str, second: Option<&str>| {
            vec![Some(first.to_owned()), second.map(str::to_owned)]
        };
        assert_eq!(kind.of(&row("P", None)), Some("personal"));
        assert_eq!(kind.of(&row("X", None)), Some("group"));
        for (word, meant) in [("1", "group"), ("t", "group"), ("0", "personal")] {
            assert_eq!(is_group.of(&row("", Some(word))), Some(meant));
        }
        assert_eq!(is_group.of(&row("", None)), Some("group"));
    }
}
