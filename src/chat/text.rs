//! Texts that have been checked.

use crate::chat::ChatError;

/// A message's text: trimmed, neither empty nor too long, without U+0000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Checks `raw` against `chars_max` Unicode scalar values (0 = no limit), counted after trimming.
    pub fn parse(raw: &str, chars_max: usize) -> Result<Text, ChatError> {
        let text = raw.trim();
        if text.is_empty() {
            return Err(ChatError::EmptyText);
        }
        if text.contains('\0') {
            return Err(ChatError::NullCharacter);
        }
        // Bytes are never fewer than characters: most texts need no counting.
        if chars_max > 0 && text.len() > chars_max {
            let chars = text.chars().count();
            if chars > chars_max {
                return Err(ChatError::TextTooLong {
                    chars,
                    max: chars_max,
                });
            }
        }
        Ok(Text(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_characters_fit_and_one_more_does_not() {
        let fits = "ю".repeat(1000);
        assert_eq!(
            Text::parse(&format!("  {fits}\n"), 1000).unwrap().as_str(),
            fits
        );
        let over = "ю".repeat(1001);
        assert!(matches!(
            Text::parse(&over, 1000),
            Err(ChatError::TextTooLong {
                chars: 1001,
                max: 1000
            })
        ));
        assert!(Text::parse(&over, 0).is_ok());
    }

    #[test]
    fn blank_texts_and_null_characters_are_refused() {
        assert!(matches!(
            Text::parse(" \t\u{2003}", 10),
            Err(ChatError::EmptyText)
        ));
        assert!(matches!(
            Text::parse("a\0b", 10),
            Err(ChatError::NullCharacter)
        ));
    }
}
