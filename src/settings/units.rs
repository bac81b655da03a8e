//! How values are written: durations, sizes, numbers, addresses. What is refused is told as the
//! end of a sentence that begins with the setting's name.

use std::{fmt::Display, net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

/// `500ms`, `10s`, `15m`, `24h`, `30d`. The unit is not optional: `15` alone means seconds to one
/// reader and minutes to another.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    number
        .zip(milliseconds)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration such as 500ms, 10s, 15m, 24h or 30d"))
}

/// A duration that is not nothing, and not so long that adding it to a date would overflow.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
    let duration = duration(text)?;
    if duration.is_zero() || duration > LONGEST {
        return Err(format!("{text} is not between 1ms and 3650d"));
    }
    Ok(duration)
}

/// `65536`, `64KiB`, `1MiB`, `1GiB`, at least `least` and at most `most` bytes.
pub(super) fn size_between(text: &str, least: u64, most: u64) -> Result<usize, String> {
    let (number, unit) = number_and_unit(text);
    let shift = match unit {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let bytes = number
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("{text:?} is not a size such as 65536, 64KiB, 1MiB or 1GiB"))?;
    if !(least..=most).contains(&bytes) {
        let (least, most) = (size_text(least), size_text(most));
        return Err(format!("{text} is not between {least} and {most}"));
    }
    usize::try_from(bytes).map_err(|_| format!("{text} is more than this machine can address"))
}

fn size_text(bytes: u64) -> String {
    match bytes.trailing_zeros() / 10 {
        0 => bytes.to_string(),
        1 => format!("{}KiB", bytes >> 10),
        2 => format!("{}MiB", bytes >> 20),
        _ => format!("{}GiB", bytes >> 30),
    }
}

fn number_and_unit(text: &str) -> (Option<u64>, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit.trim_start())
}

/// A whole number from `least` to `most`.
pub(super) fn between<N: FromStr + PartialOrd + Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    match text.trim().parse::<N>() {
        Ok(number) if (&least..=&most).contains(&&number) => Ok(number),
        _ => Err(format!("{text} is not between {least} and {most}")),
    }
}

/// A whole number.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let number = text.trim().parse();
    number.map_err(|_| format!("{text:?} is not a whole number"))
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// The name of a claim that may name a user: none of those that have a meaning of their own.
pub(super) fn claim(text: &str) -> Result<String, String> {
    const TAKEN: &[&str] = &[
        "token_type",
        "exp",
        "iat",
        "nbf",
        "iss",
        "aud",
        "jti",
        "sid",
    ];
    match text.trim() {
        "" => Err("is empty".to_owned()),
        taken if TAKEN.contains(&taken) => {
            Err(format!("{taken:?} means something else in a token"))
        }
        name => Ok(name.to_owned()),
    }
}

/// `ours=theirs`: a column of users that has another name, or none.
pub(super) fn renamed(text: &str) -> Result<(String, String), String> {
    const COLUMNS: &[&str] = &[
        "id",
        "username",
        "password",
        "email",
        "first_name",
        "last_name",
        "is_staff",
        "is_superuser",
        "is_active",
        "date_joined",
    ];
    const NEEDED: &[&str] = &["id", "username", "password"];
    let (ours, theirs) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not ours=theirs, as in username=login"))?;
    let (ours, theirs) = (ours.trim(), theirs.trim());
    if !COLUMNS.contains(&ours) {
        return Err(format!("{ours:?} is not one of {}", COLUMNS.join(", ")));
    }
    if NEEDED.contains(&ours) && theirs.is_empty() {
        return Err(format!("users need the column {ours}"));
    }
    Ok((ours.to_owned(), theirs.to_owned()))
}

/// `*`, or what browsers send as `Origin`: scheme and host, a port unless it is the scheme's own.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' '])
    });
    if origin != "*" && !is_origin {
        return Err(format!(
            "{text:?} is not an origin such as https://chat.example.org, nor *"
        ));
    }
    Ok(origin)
}

/// A host name or address, without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    let host = text.trim().to_ascii_lowercase();
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(['/', '@', ' ']) || (host.contains(':') && !is_ipv6) {
        return Err(format!("{text:?} is not a host name without a port"));
    }
    Ok(host)
}

/// `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
}

/// What begins every name on Redis.
pub(super) fn layer_prefix(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// A group's name with a place for a chat's number: channels_redis' core layer takes no other characters, and the nodes'
/// own groups are nobody else's.
pub(super) fn layer_group(text: &str) -> Result<String, String> {
    const OF_NODES: &str = "tertulia.";
    if text.starts_with(OF_NODES) {
        return Err(format!(
            "{text:?} begins with {OF_NODES:?}, as only the nodes' own groups do"
        ));
    }
    let is_name = |text: &str| {
        text.len() < 80
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match text.split_once("{id}") {
        Some((before, after)) if is_name(before) && is_name(after) => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is not a pattern such as chat_{{id}}: letters, digits, -, _ and ., and {{id}} once"
        )),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|_| format!("{text:?} is not a filter such as info or info,tertulia=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in [
            "",
            "15",
            "m",
            "-5s",
            "1.5h",
            "5 minutes",
            "99999999999999999999d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(lifetime("0s").is_err() && lifetime("4000d").is_err());
    }

    #[test]
    fn sizes_are_binary_and_bounded() {
        let size = |text| size_between(text, 1 << 10, 1 << 20);
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("65536"), Ok(65536));
        assert_eq!(size("1 MiB"), Ok(1 << 20));
        assert_eq!(
            size("2MiB"),
            Err("2MiB is not between 1KiB and 1MiB".to_owned())
        );
        for wrong in ["", "KiB", "64kb", "1.5MiB", "-1", "1023"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert!(network("127.0.0.1").is_ok_and(|only| only.contains(&loopback)));
        assert!(network("127.0.0.0/8").is_ok_and(|net| net.contains(&loopback)));
        assert!(network("localhost").is_err());
    }

    #[test]
    fn a_group_is_a_pattern_and_none_of_the_nodes_own() {
        for pattern in [
            "chat_{id}",
            "{id}",
            "tertulia_{id}",
            "tertulia{id}.x",
            "t.tertulia.{id}",
        ] {
            assert_eq!(layer_group(pattern), Ok(pattern.to_owned()));
        }
        for wrong in ["", "chat", "chat {id}", "{id}{id}", "чат_{id}"] {
            assert!(layer_group(wrong).is_err(), "{wrong}");
        }
        let refused = layer_group("tertulia.chat_{id}").unwrap_err();
        assert!(refused.contains("the nodes' own"), "{refused}");
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        assert_eq!(
            origin("HTTPS://Chat.example.org/"),
            Ok("https://chat.example.org".into())
        );
        assert_eq!(origin("*"), Ok("*".into()));
        assert!(origin("chat.example.org").is_err() && origin("https://a/b").is_err());
    }
}
