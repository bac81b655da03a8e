//! Where a request came from and what it asked for: the client's address, the scheme and host that
//! its links must carry, and whether a page of another site may speak to us.
//!
//! Not here: who the user is (`rest`, `ws`). Below every room that serves HTTP, since REST and the
//! sockets must judge an `Origin` and a proxy's word alike.
//! Relies on: the settings `TRUSTED_PROXIES`, `ALLOWED_ORIGINS` and `ALLOWED_HOSTS`, parsed once.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use poem::{
    Addr, Request,
    http::{HeaderMap, Uri, header, uri::Scheme},
};

/// Why a setting of this module can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not an address, a network or the word `unix`.
    #[error("`{0}` is neither an address, a network such as 10.0.0.0/8, nor `unix`")]
    Network(String),
    /// Not an origin as a browser sends it.
    #[error("`{0}` is no origin: write scheme and host, such as https://chat.example.org, or `*`")]
    Origin(String),
    /// Not a host.
    #[error("`{0}` is no host name")]
    Host(String),
}

/// The proxies whose `X-Forwarded-*` headers are believed. Nobody's are by default: a client could
/// else choose its own address and pass every throttle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<(IpAddr, u8)>,
    unix: bool,
}

/// What a request says about itself, with the word of trusted proxies taken for granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approach {
    /// The client's address; none on a Unix socket without a trusted proxy.
    pub client: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port as the client wrote them; empty where it sent none.
    pub host: String,
}

impl FromStr for TrustedProxies {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut proxies = Self::default();
        for item in items(text) {
            if item == "unix" {
                proxies.unix = true;
                continue;
            }
            let network = parse_network(item);
            proxies
                .networks
                .push(network.ok_or_else(|| OriginError::Network(item.to_owned()))?);
        }
        Ok(proxies)
    }
}

impl TrustedProxies {
    /// How this request reached us.
    pub fn approach(&self, request: &Request) -> Approach {
        self.approach_of(
            &request.remote_addr().0,
            request.scheme(),
            request.headers(),
            request.uri(),
        )
    }

    /// The same from a request's parts.
    pub fn approach_of(
        &self,
        peer: &Addr,
        scheme: &Scheme,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Approach {
        let peer_ip = match peer {
            Addr::SocketAddr(address) => Some(address.ip().to_canonical()),
            _ => None,
        };
        let direct = Approach {
            client: peer_ip,
            scheme: if *scheme == Scheme::HTTPS {
                "https"
            } else {
                "http"
            },
            host: text_of(headers, header::HOST.as_str())
                .or_else(|| uri.authority().map(|authority| authority.as_str()))
                .unwrap_or_default()
                .to_owned(),
        };
        let trusted = match (peer, peer_ip) {
            (_, Some(ip)) => self.trusts(ip),
            (Addr::Unix(_), None) => self.unix,
            _ => false,
        };
        if !trusted {
            return direct;
        }
        Approach {
            client: self.forwarded_client(headers).or(direct.client),
            scheme: match last_of(headers, "x-forwarded-proto") {
                Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
                Some(proto) if proto.eq_ignore_ascii_case("http") => "http",
                _ => direct.scheme,
            },
            host: match last_of(headers, "x-forwarded-host") {
                Some(host) if !host.is_empty() => host.to_owned(),
                _ => direct.host,
            },
        }
    }

    /// The last address in `X-Forwarded-For` that isn't one of ours: what stands before it was
    /// written by the client itself.
    fn forwarded_client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let mut addresses = lines
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(','))
            .map_while(|item| parse_forwarded(item.trim()));
        let mut nearest = None;
        for address in addresses.by_ref() {
            nearest = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|(network, bits)| prefix(*network, *bits) == prefix(address, *bits))
    }
}

/// The sites whose pages may call us besides our own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<String>,
}

impl FromStr for AllowedOrigins {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        for item in items(text) {
            if item == "*" {
                origins.any = true;
                continue;
            }
            let item = item.trim_end_matches('/');
            let is_origin = item.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.is_empty() && !host.contains('/')
            });
            if !is_origin {
                return Err(OriginError::Origin(item.to_owned()));
            }
            origins.listed.push(item.to_ascii_lowercase());
        }
        Ok(origins)
    }
}

impl AllowedOrigins {
    /// Whether every origin is let in (`*`).
    pub fn any(&self) -> bool {
        self.any
    }

    /// Whether this origin is named one by one.
    pub fn lists(&self, origin: &str) -> bool {
        self.listed
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    /// Whether a page of `origin` may speak to the host that it asked for.
    pub fn admits(&self, origin: &str, approach: &Approach) -> bool {
        self.any || self.lists(origin) || is_same_host(origin, approach)
    }
}

/// Whether the page was served by the host that it now calls. The scheme isn't compared: behind a
/// proxy that tells us nothing, every request looks like `http`.
pub fn is_same_host(origin: &str, approach: &Approach) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else {
        return false;
    };
    let default_port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    let bare = |host: &str| {
        host.strip_suffix(default_port)
            .unwrap_or(host)
            .to_ascii_lowercase()
    };
    !host.is_empty() && bare(host) == bare(&approach.host)
}

/// The hosts that we answer for: any, or those listed (`.example.org` takes its subdomains in).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl FromStr for AllowedHosts {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut hosts = Vec::new();
        for item in items(text) {
            if item == "*" {
                return Ok(Self::default());
            }
            if item.contains(['/', ' ']) {
                return Err(OriginError::Host(item.to_owned()));
            }
            hosts.push(item.to_ascii_lowercase());
        }
        Ok(Self(hosts))
    }
}

impl AllowedHosts {
    /// Whether requests for `host` (with or without its port) are answered.
    pub fn admits(&self, host: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        self.0
            .iter()
            .any(|allowed| match allowed.strip_prefix('.') {
                Some(domain) => name == domain || name.ends_with(allowed.as_str()),
                None => name == allowed || host == *allowed,
            })
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The last value of a list: the one that the proxy next to us wrote.
fn last_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim)
}

fn parse_network(item: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match item.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (item, None),
    };
    let address = address.parse::<IpAddr>().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(bits_max);
    (bits <= bits_max).then_some((address, bits))
}

/// An entry of `X-Forwarded-For`; some proxies add the port.
fn parse_forwarded(item: &str) -> Option<IpAddr> {
    let bare = item.trim_start_matches('[');
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| bare.split_once(']')?.0.parse::<IpAddr>().ok())
        .or_else(|| bare.rsplit_once(':')?.0.parse::<IpAddr>().ok())?;
    Some(address.to_canonical())
}

fn prefix(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(bits.min(32)))
                .unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approach(proxies_text: &str, peer: &str, headers: &[(&str, &str)]) -> Approach {
        let mut request = Request::builder().uri(Uri::from_static("/api/users/"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.finish();
        let peer = Addr::SocketAddr(peer.parse().unwrap());
        proxies(proxies_text).approach_of(&peer, &Scheme::HTTP, request.headers(), request.uri())
    }

    fn proxies(text: &str) -> TrustedProxies {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_who_claims_another_address_is_not_believed() {
        let approach = approach(
            "10.0.0.0/8",
            "192.0.2.7:4000",
            &[
                ("host", "chat.example.org"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil.example"),
            ],
        );
        assert_eq!(approach.client, "192.0.2.7".parse().ok());
        assert_eq!(
            (approach.scheme, approach.host.as_str()),
            ("http", "chat.example.org")
        );
    }

    #[test]
    fn what_the_trusted_proxy_adds_counts_and_what_the_client_wrote_before_it_does_not() {
        let approach = approach(
            "10.0.0.0/8, unix",
            "10.1.2.3:4000",
            &[
                ("host", "127.0.0.1:8000"),
                ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.9.9.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "chat.example.org"),
            ],
        );
        assert_eq!(approach.client, "203.0.113.9".parse().ok());
        assert_eq!(
            (approach.scheme, approach.host.as_str()),
            ("https", "chat.example.org")
        );
    }

    #[test]
    fn an_ipv4_proxy_that_arrives_on_an_ipv6_socket_is_known() {
        let headers = [("x-forwarded-for", "[2001:db8::1]:99")];
        let approach = approach("10.0.0.0/8", "[::ffff:10.1.2.3]:4000", &headers);
        assert_eq!(approach.client, "2001:db8::1".parse().ok());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_by_name() {
        assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
        assert!("chat.example.org".parse::<AllowedOrigins>().is_err());
        assert!(
            "https://chat.example.org/path"
                .parse::<AllowedOrigins>()
                .is_err()
        );
        assert!("a/b".parse::<AllowedHosts>().is_err());
        assert_eq!(proxies("::/0").networks.len(), 1);
    }

    #[test]
    fn a_page_of_the_same_host_may_call_and_one_of_another_only_if_listed() {
        let approach = Approach {
            client: None,
            scheme: "http",
            host: "chat.example.org:443".into(),
        };
        let origins: AllowedOrigins = "https://app.example.org/".parse().unwrap();
        assert!(origins.admits("https://chat.example.org", &approach));
        assert!(origins.admits("https://APP.example.org", &approach));
        assert!(!origins.admits("https://evil.example", &approach));
        assert!(!origins.admits("null", &approach));
        assert!(!origins.admits("http://chat.example.org", &approach));
        assert!(
            "*".parse::<AllowedOrigins>()
                .unwrap()
                .admits("null", &approach)
        );
    }

    #[test]
    fn hosts_are_any_by_default_and_a_leading_dot_takes_subdomains_in() {
        assert!(AllowedHosts::default().admits("whatever"));
        let hosts: AllowedHosts = ".example.org, 127.0.0.1".parse().unwrap();
        assert!(hosts.admits("chat.Example.org:8000") && hosts.admits("127.0.0.1:8000"));
        assert!(!hosts.admits("notexample.org") && !hosts.admits("evil"));
    }
}
