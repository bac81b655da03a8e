//! What a new password must not be: Django's four default validators, with their messages.
//!
//! All that is wrong is told at once, in the order of Django's settings, so that nobody corrects a
//! password four times.
//!
//! The list of common passwords is ours: well-known ones, and the patterns by which people make
//! them (a word and digits, walks over the keyboard in Latin and Russian, repeated words). It is
//! looked up in the text itself, one per line and sorted by bytes, so it takes no memory of its own.

use std::collections::HashMap;

static COMMON: &str = include_str!("common_passwords.txt");

/// From this share of common letters on, a password is too similar to a name.
const SIMILARITY_MAX: f64 = 0.7;

/// What is known of the person whose password it is to be. Empty is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Person<'a> {
    /// The name that one signs in with.
    pub username: &'a str,
    /// The given name.
    pub first_name: &'a str,
    /// The family name.
    pub last_name: &'a str,
    /// The e-mail address.
    pub email: &'a str,
}

/// The rules for new passwords.
#[derive(Debug, Clone, Copy)]
pub struct PasswordPolicy {
    chars_min: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { chars_min: 8 }
    }
}

impl PasswordPolicy {
    /// What is wrong with a password, in Django's words. Empty: it will do.
    pub fn faults(&self, password: &str, person: &Person<'_>) -> Vec<String> {
        let lower = password.to_lowercase();
        let mut faults = Vec::new();
        if let Some(name) = similar_to(&lower, person) {
            faults.push(format!("The password is too similar to the {name}."));
        }
        if password.chars().count() < self.chars_min {
            let min = self.chars_min;
            faults.push(format!(
                "This password is too short. It must contain at least {min} characters."
            ));
        }
        if is_common(lower.trim()) {
            faults.push("This password is too common.".to_owned());
        }
        if !password.is_empty() && password.chars().all(char::is_numeric) {
            faults.push("This password is entirely numeric.".to_owned());
        }
        faults
    }
}

/// Which of the person's names the password is too similar to, as Django calls it. The first one.
fn similar_to(password: &str, person: &Person<'_>) -> Option<&'static str> {
    let names = [
        ("username", person.username),
        ("first name", person.first_name),
        ("last name", person.last_name),
        ("email address", person.email),
    ];
    let similar = |name: &str| {
        let name = name.to_lowercase();
        let word = |c: char| c.is_alphanumeric() || c == '_';
        name.split(|c| !word(c))
            .chain([&*name])
            .any(|part| is_similar(password, part))
    };
    names
        .into_iter()
        .find(|(_, name)| similar(name))
        .map(|(label, _)| label)
}

/// `quick_ratio()` of Python's `SequenceMatcher`: twice the letters that both have, whatever their
/// order, by the letters of both.
fn is_similar(password: &str, part: &str) -> bool {
    let (password_chars, part_chars) = (password.chars().count(), part.chars().count());
    if part_chars == 0 || password_chars >= 10 * part_chars {
        return false; // at most 0.2, whatever the letters
    }
    let mut left: HashMap<char, usize> = HashMap::new();
    for c in part.chars() {
        *left.entry(c).or_default() += 1;
    }
    let take = |c: char| match left.get_mut(&c) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let both = password.chars().map(take).filter(|taken| *taken).count();
    2.0 * both as f64 / (password_chars + part_chars) as f64 >= SIMILARITY_MAX
}

/// True if the list has this password, which is in lower case.
fn is_common(password: &str) -> bool {
    // Bisection over bytes: the line around the middle decides which half is next.
    let (mut from, mut to) = (0, COMMON.len());
    let bytes = COMMON.as_bytes();
    while from < to {
        let middle = from + (to - from) / 2;
        let line_from = bytes[from..middle]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(from, |before| from + before + 1);
        let line_to = bytes[middle..to]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(to, |after| middle + after);
        match bytes[line_from..line_to].cmp(password.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = line_to + 1,
            std::cmp::Ordering::Greater => to = line_from,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = "This password is too short. It must contain at least 8 characters.";
    const COMMON_FAULT: &str = "This password is too common.";
    const NUMERIC: &str = "This password is entirely numeric.";

    fn faults(password: &str) -> Vec<String> {
        let anna = Person {
            username: "anna.petrova",
            first_name: "Анна",
            last_name: "Петрова-Водкина",
            email: "anna1987@example.com",
        };
        PasswordPolicy::default().faults(password, &anna)
    }

    #[test]
    fn a_good_password_has_no_fault() {
        for good in [
            "correct horse battery",
            "wq8x!kfz",
            "длинный забор",
            "🔑🔑🔑🔑🔑🔑🔑🔑",
        ] {
            assert_eq!(faults(good), [""; 0], "{good}");
        }
    }

    #[test]
    fn eight_characters_are_enough_and_seven_are_not_however_many_bytes_they_have() {
        assert_eq!(faults("wq8x!kf"), [SHORT]);
        assert_eq!(faults("wq8x!kfz"), [""; 0]);
        assert_eq!(faults("ЖЩЯФЪЮЬ"), [SHORT]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        assert_eq!(faults("12345"), [SHORT, COMMON_FAULT, NUMERIC]);
        let similar = "The password is too similar to the username.";
        let named = Person {
            username: "1234567",
            ..Person::default()
        };
        assert_eq!(
            PasswordPolicy::default().faults("1234567", &named),
            [similar, SHORT, COMMON_FAULT, NUMERIC]
        );
    }

    #[test]
    fn a_common_password_stays_common_in_capitals_and_between_spaces() {
        for common in [
            "password",
            "PassWord123",
            " qwertyuiop ",
            "Пароль123",
            "p@ssw0rd1",
        ] {
            assert!(
                faults(common).contains(&COMMON_FAULT.to_owned()),
                "{common}"
            );
        }
        for rare in ["password-of-anna's", "qwertyuiop\u{0}", "", "\n"] {
            assert!(!faults(rare).contains(&COMMON_FAULT.to_owned()), "{rare:?}");
        }
    }

    #[test]
    fn digits_alone_are_refused_one_letter_saves_them() {
        assert_eq!(faults("80264915370"), [NUMERIC]);
        assert_eq!(faults("٨٠٢٦٤٩١٥٣٧"), [NUMERIC]);
        assert_eq!(faults("8026491x5370"), [""; 0]);
    }

    #[test]
    fn a_password_like_ones_own_names_is_refused_and_the_name_told() {
        let too_similar = |name| [format!("The password is too similar to the {name}.")];
        assert_eq!(faults("anna.petrova"), too_similar("username"));
        assert_eq!(faults("AvortepXnna"), too_similar("username"));
        assert_eq!(faults("водкина1"), too_similar("last name"));
        assert_eq!(faults("anna1987!"), too_similar("email address"));
        // A name of three letters in a password of many is no likeness.
        assert_eq!(faults("Анна любит борщ и пельмени"), [""; 0]);
    }

    /// The ratios are those that Python's `SequenceMatcher(a=..., b=...).quick_ratio()` gives.
    #[test]
    fn the_likeness_is_pythons() {
        assert!(is_similar("abcdefgxyz", "abcdefghij")); // 0.7
        assert!(!is_similar("abcdefgxyzw", "abcdefghij")); // 0.667
        assert!(is_similar("aabb", "abab")); // 1.0
        assert!(!is_similar("aaaa", "abab")); // 0.5
        assert!(!is_similar("anything", ""));
    }

    #[test]
    fn the_list_is_sorted_in_lower_case_and_every_line_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() > 5000);
        for pair in lines.windows(2) {
            assert!(pair[0].as_bytes() < pair[1].as_bytes(), "{pair:?}");
        }
        for line in &lines {
            assert_eq!(*line, line.to_lowercase().trim());
            assert!(is_common(line), "{line}");
            assert!(!is_common(&format!("{line}\u{1}")), "{line}");
        }
    }
}
