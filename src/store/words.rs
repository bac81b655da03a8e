//! What a text's words are, in the search index and in what is asked of it: the same on every database, whose own
//! parsers differ in what they split, fold and leave out.
//!
//! Words are runs of letters, digits and marks, without regard to case, accents and width; an ideograph is a word. In
//! the index each has a letter before it that keeps it apart from a chat's number, and nothing that any database's
//! language of searches has a meaning for.

use std::{collections::BTreeSet, fmt::Write};

use entity::ChatId;
use sea_orm::DbBackend;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Words of one text that are found; far above what a message holds by default.
const WORDS_MAX: usize = 5000;
/// Words that are looked for; more don't make an answer better.
const ASKED_MAX: usize = 16;
/// Bytes of a word; longer ones are cut, here as there.
const WORD_BYTES: usize = 120;
/// MySQL indexes 84 characters of a word, which are two a byte and the letter before them.
const MYSQL_WORD_BYTES: usize = 41;

/// What is looked for: all of the words, and any that begins with the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    words: Vec<String>,
    beginning: String,
}

impl Question {
    /// What a person typed; none where no word is in it.
    pub fn parse(text: &str) -> Option<Question> {
        let (mut words, mut last) = (Vec::new(), None);
        split(text, |word| {
            if let Some(previous) = last.replace(word.to_owned())
                && words.len() + 1 < ASKED_MAX
                && !words.contains(&previous)
            {
                words.push(previous);
            }
        });
        let beginning = last?;
        words.retain(|word| *word != beginning);
        Some(Question { words, beginning })
    }

    /// The question in a database's own language, of these chats, or of all where none is named.
    pub(super) fn expression(&self, database: DbBackend, chats: &[ChatId]) -> String {
        let chats: Vec<String> = chats.iter().map(|chat| of_chat(*chat)).collect();
        let beginning = of_word(&self.beginning, database);
        let one_of = |between: &str| (!chats.is_empty()).then(|| chats.join(between));
        let (chats, beginning, and) = match database {
            DbBackend::Postgres => (
                one_of("' | '").map(|chats| format!("('{chats}')")),
                format!("'{beginning}':*"),
                " & ",
            ),
            DbBackend::MySql => (
                one_of(" ").map(|chats| format!("+({chats})")),
                format!("+{beginning}*"),
                " ",
            ),
            _ => (
                one_of("\" OR \"").map(|chats| format!("(\"{chats}\")")),
                format!("\"{beginning}\" *"),
                " AND ",
            ),
        };
        let words = self.words.iter().map(|word| {
            let word = of_word(word, database);
            match database {
                DbBackend::Postgres => format!("'{word}'"),
                DbBackend::MySql => format!("+{word}"),
                _ => format!("\"{word}\""),
            }
        });
        let clauses: Vec<String> = chats.into_iter().chain(words).chain([beginning]).collect();
        clauses.join(and)
    }
}

/// What the index holds of a message.
pub(super) fn indexed(chat: ChatId, text: &str, database: DbBackend) -> String {
    let mut words = BTreeSet::new();
    split(text, |word| {
        if words.len() < WORDS_MAX {
            words.insert(of_word(word, database));
        }
    });
    let mut indexed = of_chat(chat);
    for word in words {
        indexed.push(' ');
        indexed.push_str(&word);
    }
    indexed
}

/// MySQL leaves out words of fewer than three characters.
fn of_chat(chat: ChatId) -> String {
    format!("c{:02}", chat.0)
}

fn of_word(word: &str, database: DbBackend) -> String {
    if database != DbBackend::MySql {
        return format!("w{word}");
    }
    // Its parser knows by the collation what a letter is: it is given digits only.
    let mut coded = String::from("w");
    for byte in cut(word, MYSQL_WORD_BYTES).bytes() {
        let _ = write!(coded, "{byte:02x}");
    }
    coded
}

fn cut(word: &str, bytes_max: usize) -> &str {
    let mut end = word.len().min(bytes_max);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    &word[..end]
}

/// Tells each word of a text, in its order.
fn split(text: &str, mut tell: impl FnMut(&str)) {
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            tell(cut(word, WORD_BYTES));
            word.clear();
        }
    };
    let mut before = ' ';
    let without_accents = text.nfkd().filter(move |character| {
        let is_accent = ('\u{300}'..='\u{36f}').contains(character);
        // The breve makes another letter of the Cyrillic i; other accents are left out as often as written.
        let is_kept = !is_accent || (*character == '\u{306}' && matches!(before, 'и' | 'И'));
        before = *character;
        is_kept
    });
    for character in without_accents.nfc().flat_map(char::to_lowercase) {
        if is_ideograph(character) {
            end(&mut word);
            word.push(character);
            end(&mut word);
        } else if character.is_alphanumeric() || is_combining_mark(character) {
            word.push(character);
        } else {
            end(&mut word);
        }
    }
    end(&mut word);
}

/// Scripts that write no space between words.
fn is_ideograph(character: char) -> bool {
    matches!(
        character,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        split(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn case_accents_and_width_make_no_difference_and_letters_of_their_own_do() {
        assert_eq!(
            words("Café, CAFE\u{301} & ｃａｆé"),
            ["cafe", "cafe", "cafe"]
        );
        assert_eq!(
            words("Ёлка в ЛЕСУ: мой, мои"),
            ["елка", "в", "лесу", "мой", "мои"]
        );
        assert_eq!(words("don't 3.14 a_b"), ["don", "t", "3", "14", "a", "b"]);
        assert_eq!(words("東京へ go"), ["東", "京", "へ", "go"]);
        assert_eq!(words("हिन्दी"), ["हिन्दी"]);
        assert_eq!(words(" \"*()+-~<>@:^'\\% 🙂"), Vec::<String>::new());
        let long = "ю".repeat(1000);
        assert_eq!(words(&long), ["ю".repeat(60)]);
    }

    #[test]
    fn a_question_is_all_words_and_the_beginning_of_one() {
        let question = Question::parse("Hello \"wor").unwrap();
        let chats = [ChatId(7), ChatId(42)];
        for (database, of_chats, of_all) in [
            (
                DbBackend::Sqlite,
                r#"("c07" OR "c42") AND "whello" AND "wwor" *"#,
                r#""whello" AND "wwor" *"#,
            ),
            (
                DbBackend::Postgres,
                "('c07' | 'c42') & 'whello' & 'wwor':*",
                "'whello' & 'wwor':*",
            ),
            (
                DbBackend::MySql,
                "+(c07 c42) +w68656c6c6f +w776f72*",
                "+w68656c6c6f +w776f72*",
            ),
        ] {
            assert_eq!(question.expression(database, &chats), of_chats);
            assert_eq!(question.expression(database, &[]), of_all);
        }
        assert_eq!(Question::parse(" *\"'"), None);
        let many: String = (0..100).map(|n| format!("{n} ")).collect();
        assert_eq!(Question::parse(&many).unwrap().words.len(), ASKED_MAX - 1);
    }

    #[test]
    fn what_is_indexed_has_nothing_but_words() {
        let text = "b a, a";
        assert_eq!(indexed(ChatId(3), text, DbBackend::Sqlite), "c03 wa wb");
        assert_eq!(indexed(ChatId(3), text, DbBackend::MySql), "c03 w61 w62");
    }
}
