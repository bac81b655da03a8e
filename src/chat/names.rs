//! Names of chats that have been checked, and the form in which names are compared.

use unicode_normalization::UnicodeNormalization;

use crate::chat::ChatError;

/// Characters of a chat's name.
const NAME_CHARS: usize = 100;
/// Characters of the column that holds a room's key: one compatible form may stand for a whole phrase.
const KEY_CHARS: usize = 300;

/// Names that differ only in case or in compatible forms of letters are the same: NFKC, lower case.
pub(crate) fn folded(name: &str) -> String {
    name.nfkc().collect::<String>().to_lowercase()
}

/// A group's name: 1 to 100 characters after trimming, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupName(String);

impl GroupName {
    pub(crate) fn parse(raw: Option<&str>) -> Result<GroupName, ChatError> {
        Ok(GroupName(checked(raw)?.to_owned()))
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// A room's name: as a group's, and it stands in a URL, so no `/`; all digits would be a chat's number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName {
    name: String,
    key: String,
}

impl RoomName {
    /// Checks a name as it was given, white space at its ends aside.
    pub fn parse(raw: Option<&str>) -> Result<RoomName, ChatError> {
        let name = checked(raw)?;
        if name.contains('/') {
            return Err(ChatError::invalid("name", "A room's name has no \"/\"."));
        }
        let key = folded(name);
        if key.chars().count() > KEY_CHARS {
            return Err(ChatError::invalid("name", too_long()));
        }
        Ok(RoomName {
            name: name.to_owned(),
            key,
        })
    }

    /// As written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As compared.
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn too_long() -> String {
    format!("Ensure this field has no more than {NAME_CHARS} characters.")
}

fn checked(raw: Option<&str>) -> Result<&str, ChatError> {
    let name = raw
        .ok_or_else(|| ChatError::invalid("name", "This field is required."))?
        .trim();
    if name.is_empty() {
        return Err(ChatError::invalid("name", "This field may not be blank."));
    }
    if name.contains('\0') {
        return Err(ChatError::invalid(
            "name",
            "Null characters are not allowed.",
        ));
    }
    if name.chars().count() > NAME_CHARS {
        return Err(ChatError::invalid("name", too_long()));
    }
    if name.chars().any(char::is_control) {
        return Err(ChatError::invalid(
            "name",
            "Control characters are not allowed.",
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_differ_only_in_case_are_the_same_and_accents_are_not_case() {
        let key = |name| RoomName::parse(Some(name)).unwrap().key().to_owned();
        assert_eq!(key("General"), key("  gENERAL "));
        assert_eq!(key("ＡＢＣ"), key("abc"));
        assert_ne!(key("café"), key("cafe"));
    }

    #[test]
    fn names_that_cannot_stand_in_a_url_or_a_list_are_refused() {
        for raw in [
            None,
            Some(" "),
            Some("a/b"),
            Some("a\nb"),
            Some("a\0b"),
            Some("x".repeat(101).leak()),
            Some("\u{fdfa}".repeat(17).leak()),
        ] {
            assert!(RoomName::parse(raw).is_err(), "{raw:?}");
        }
        assert!(RoomName::parse(Some(&"я".repeat(100))).is_ok());
        assert!(GroupName::parse(Some("a/b")).is_ok());
    }
}
