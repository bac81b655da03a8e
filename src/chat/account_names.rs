//! The names of an account, checked as Django's user model checks them, and the keys by which they are unique.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unicode_normalization::UnicodeNormalization;

use super::names::folded;
use crate::store::Keyed;

/// Characters of user name, first name and last name.
const NAME_CHARS: usize = 150;
/// Characters of an e-mail address.
const EMAIL_CHARS: usize = 254;
/// Characters of the columns that hold keys.
const KEY_CHARS: usize = 300;

pub(crate) const USERNAME_TAKEN: &str = "A user with that username already exists.";
pub(crate) const EMAIL_TAKEN: &str = "A user with that email already exists.";
const USERNAME_INVALID: &str = "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ \
                                characters.";
const EMAIL_INVALID: &str = "Enter a valid email address.";
const BLANK: &str = "This field may not be blank.";
const NULL: &str = "Null characters are not allowed.";

/// What the account `id` is called once it was deleted.
pub(crate) fn deleted_username(id: entity::UserId) -> String {
    format!("deleted-{id}")
}

/// A user name: NFKC, letters, digits and `@.+-_`. Or all that is wrong with it.
pub(crate) fn username(raw: &str) -> Result<Keyed, Vec<String>> {
    let text: String = raw.nfkc().collect();
    if text.is_empty() {
        return Err(vec![BLANK.to_owned()]);
    }
    let mut faults = Vec::new();
    let may_stand = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
    if !text.chars().all(may_stand) {
        faults.push(USERNAME_INVALID.to_owned());
    }
    if text.chars().count() > NAME_CHARS {
        faults.push(too_long(NAME_CHARS));
    }
    let key = folded(&text);
    // An account that is deleted takes such a name: nobody else may have it.
    let id = key.strip_prefix("deleted-").unwrap_or_default();
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
        faults.push(USERNAME_TAKEN.to_owned());
    }
    match faults.is_empty() {
        true => Ok(Keyed {
            text,
            key: Some(key),
        }),
        false => Err(faults),
    }
}

/// An e-mail address with its domain in lower case, as Django stores it. An empty one is none.
pub(crate) fn email(raw: &str) -> Result<Keyed, Vec<String>> {
    if raw.is_empty() {
        let (text, key) = (String::new(), None);
        return Ok(Keyed { text, key });
    }
    if raw.chars().count() > EMAIL_CHARS {
        return Err(vec![too_long(EMAIL_CHARS)]);
    }
    let (local, domain) = raw.rsplit_once('@').unwrap_or_default();
    let key = folded(raw);
    if !is_local_part(local) || !is_domain(domain) || key.chars().count() > KEY_CHARS {
        return Err(vec![EMAIL_INVALID.to_owned()]);
    }
    Ok(Keyed {
        text: format!("{local}@{}", domain.to_lowercase()),
        key: Some(key),
    })
}

/// A first or last name: anything that isn't too long.
pub(crate) fn personal(raw: &str) -> Result<String, Vec<String>> {
    let mut faults = Vec::new();
    if raw.chars().count() > NAME_CHARS {
        faults.push(too_long(NAME_CHARS));
    }
    if raw.contains('\0') {
        faults.push(NULL.to_owned());
    }
    match faults.is_empty() {
        true => Ok(raw.to_owned()),
        false => Err(faults),
    }
}

fn too_long(max: usize) -> String {
    format!("Ensure this field has no more than {max} characters.")
}

/// `EmailValidator.user_regex`: words between dots, or anything in quotes.
fn is_local_part(local: &str) -> bool {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-!#$%&'*+/=?^_`{}|~".contains(c);
    let are_words = local
        .split('.')
        .all(|word| !word.is_empty() && word.chars().all(in_word));
    let quoted = local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    are_words || quoted.is_some_and(is_quotable)
}

fn is_quotable(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let may_stand = match character {
            '\\' => characters
                .next()
                .is_some_and(|next| next.is_ascii() && !matches!(next, '\0' | '\n' | '\r')),
            '\0' | '\t' | '\n' | '\r' | ' ' | '"' => false,
            other => other.is_ascii(),
        };
        if !may_stand {
            return false;
        }
    }
    true
}

/// `EmailValidator`'s domain: labels of letters, digits and hyphens with a top one that has no digits, `localhost`, or
/// an address in brackets.
fn is_domain(domain: &str) -> bool {
    if domain.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Some(address) = domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address = address.strip_prefix("IPv6:").unwrap_or(address);
        return address.parse::<Ipv4Addr>().map(IpAddr::from).is_ok()
            || address.parse::<Ipv6Addr>().map(IpAddr::from).is_ok();
    }
    let Some((labels, top)) = domain.rsplit_once('.') else {
        return false;
    };
    let letter = |c: char| c.is_ascii_alphabetic() || ('\u{a1}'..='\u{ffff}').contains(&c);
    let of = |label: &str, may_stand: &dyn Fn(char) -> bool| {
        !label.starts_with('-')
            && !label.ends_with('-')
            && (1..=63).contains(&label.chars().count())
            && label.chars().all(|c| may_stand(c) || c == '-')
    };
    let is_top = match top.to_ascii_lowercase().strip_prefix("xn--") {
        Some(code) => of(code, &|c| c.is_ascii_alphanumeric()) && code.len() <= 59,
        None => of(top, &letter) && top.chars().count() > 1,
    };
    let of_label = |c: char| letter(c) || c.is_ascii_digit();
    is_top && labels.split('.').all(|label| of(label, &of_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn django_s_user_names_are_taken_and_brought_into_one_form() {
        for name in ["anna", "Анна_99", "a.b+c@d-e", "张伟", &"я".repeat(150)] {
            assert_eq!(username(name).unwrap().text, name);
        }
        let wide = username("ＡＮＮＡ").unwrap();
        assert_eq!(wide.text, "ANNA");
        assert_eq!(wide.key.as_deref(), Some("anna"));
    }

    #[test]
    fn what_is_no_user_name_is_told_in_django_s_words() {
        for name in ["anna petrova", "an\0na", "anna!", "a/b", "\u{200b}", "🦊"] {
            assert_eq!(username(name).unwrap_err(), [USERNAME_INVALID], "{name}");
        }
        assert_eq!(username("").unwrap_err(), [BLANK]);
        let long = "я".repeat(151);
        assert_eq!(username(&long).unwrap_err(), [too_long(150)]);
        let both = format!("{long}!");
        assert_eq!(
            username(&both).unwrap_err(),
            [USERNAME_INVALID.to_owned(), too_long(150)]
        );
    }

    #[test]
    fn nobody_takes_the_name_of_an_account_that_was_deleted_or_will_be() {
        for name in ["deleted-7", "Deleted-12", "ｄeleted-1"] {
            assert_eq!(username(name).unwrap_err(), [USERNAME_TAKEN], "{name}");
        }
        for name in ["deleted-", "deleted-x7", "undeleted-7"] {
            assert!(username(name).is_ok(), "{name}");
        }
    }

    /// From Django's `tests/validators/tests.py`.
    #[test]
    fn addresses_are_judged_as_django_judges_them() {
        for valid in [
            "email@here.com",
            "weirder-email@here.and.there.com",
            "email@[127.0.0.1]",
            "email@[2001:dB8::1]",
            "email@[::fffF:127.0.0.1]",
            "example@valid-----hyphens.com",
            "example@valid-with-hyphens.com",
            "test@domain.with.idn.tld.उदाहरण.परीक्षा",
            "email@localhost",
            "\"test@test\"@example.com",
            "\"\\\t\"@here.com",
            "a@atm.xn--p1ai",
        ] {
            assert!(email(valid).is_ok(), "{valid}");
        }
        for invalid in [
            "abc",
            "abc@",
            "abc@bar",
            "a @x.cz",
            "abc@.com",
            "something@@somewhere.com",
            "email@127.0.0.1",
            "email@[127.0.0.256]",
            "email@[2001:db8::12345]",
            "email@[::ffff:127.0.0.256]",
            "example@invalid-.com",
            "example@-invalid.com",
            "example@invalid.com-",
            "example@inv-.alid-.com",
            "example@inv-.-alid.com",
            "test@example.com\n\n<script src=\"x.js\">",
            "\"\\\u{a}\"@here.com",
            "a\n@b.com",
            "John.Doe@exam_ple.com",
            "a..b@here.com",
            ".a@here.com",
            "email@here.c",
        ] {
            assert_eq!(email(invalid).unwrap_err(), [EMAIL_INVALID], "{invalid}");
        }
        assert_eq!(email("").unwrap().key, None);
        let stored = email("Anna.P@Example.ORG").unwrap();
        assert_eq!(stored.text, "Anna.P@example.org");
        assert_eq!(stored.key.as_deref(), Some("anna.p@example.org"));
    }

    #[test]
    fn first_and_last_names_may_be_anything_of_150_characters() {
        assert!(personal(&"я".repeat(150)).is_ok() && personal("").is_ok());
        assert_eq!(personal(&"я".repeat(151)).unwrap_err(), [too_long(150)]);
        assert_eq!(personal("a\0").unwrap_err(), [NULL]);
    }
}
