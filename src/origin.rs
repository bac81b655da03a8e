//! Where a request came from and what it asked for: the client's address, the scheme and host that
//! its links must carry, and whether a page of another site may speak to us.
//!
//! Not here: who the user is (`rest`, `ws`). Below every room that serves HTTP, since REST and the
//! sockets must judge an `Origin` and a proxy's word alike.
//! Relies on: the settings `TRUSTED_PROXIES`, `ALLOWED_ORIGINS` and `ALLOWED_HOSTS`, parsed once.

use std::net::IpAddr;

use ipnet::IpNet;
use poem::{
    Addr, Request,
    http::{HeaderMap, Uri, header, uri::Scheme},
};

/// The proxies whose `X-Forwarded-*` headers are believed. Nobody's are by default: a client could
/// else choose its own address and pass every throttle. A Unix socket's peer is believed always:
/// the file's mode has already said who may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

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

impl TrustedProxies {
    /// These networks' word is taken.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

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
            (Addr::Unix(_), None) => true,
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
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        // Item by item: what a client wrote before may be anything.
        let mut addresses = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .map_while(|item| parse_forwarded(std::str::from_utf8(item).ok()?.trim()));
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
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The sites whose pages may call us besides our own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<String>,
}

impl AllowedOrigins {
    /// From the setting's items: origins in lower case, or `*`.
    pub fn new(items: Vec<String>) -> Self {
        let any = items.iter().any(|item| item == "*");
        Self { any, listed: items }
    }

    /// Whether every origin is let in (`*`).
    pub fn any(&self) -> bool {
        self.any
    }

    /// Whether pages of other sites may call at all.
    pub fn admits_others(&self) -> bool {
        self.any || !self.listed.is_empty()
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

impl AllowedHosts {
    /// From the setting's items: host names in lower case; none, or `*`, for any.
    pub fn new(mut items: Vec<String>) -> Self {
        if items.iter().any(|item| item == "*") {
            items.clear();
        }
        Self(items)
    }

    /// Whether every host is answered for.
    pub fn admits_all(&self) -> bool {
        self.0.is_empty()
    }

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

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The last value of a list: the one that the proxy next to us wrote.
fn last_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.as_bytes();
    let last = line.rsplit(|byte| *byte == b',').next()?;
    std::str::from_utf8(last).ok().map(str::trim)
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

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

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

    fn proxies(network: &str) -> TrustedProxies {
        TrustedProxies::new(vec![network.parse().unwrap()])
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
            "10.0.0.0/8",
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
    fn bytes_that_are_no_text_before_the_proxys_word_take_nothing_from_it() {
        let mut headers = HeaderMap::new();
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        headers.append("x-forwarded-for", value(b"\xff, 203.0.113.9"));
        headers.append("x-forwarded-host", value(b"\xff, chat.example.org"));
        let uri = Uri::from_static("/api/users/");
        let peer = Addr::SocketAddr("10.1.2.3:4000".parse().unwrap());
        let approach = proxies("10.0.0.0/8").approach_of(&peer, &Scheme::HTTP, &headers, &uri);
        assert_eq!(approach.client, "203.0.113.9".parse().ok());
        assert_eq!(approach.host, "chat.example.org");
    }

    #[test]
    fn an_ipv4_proxy_that_arrives_on_an_ipv6_socket_is_known() {
        let headers = [("x-forwarded-for", "[2001:db8::1]:99")];
        let approach = approach("10.0.0.0/8", "[::ffff:10.1.2.3]:4000", &headers);
        assert_eq!(approach.client, "2001:db8::1".parse().ok());
    }

    #[test]
    fn a_page_of_the_same_host_may_call_and_one_of_another_only_if_listed() {
        let approach = Approach {
            client: None,
            scheme: "http",
            host: "chat.example.org:443".into(),
        };
        let origins: AllowedOrigins = AllowedOrigins::new(vec!["https://app.example.org".into()]);
        assert!(origins.admits("https://chat.example.org", &approach));
        assert!(origins.admits("https://APP.example.org", &approach));
        assert!(!origins.admits("https://evil.example", &approach));
        assert!(!origins.admits("null", &approach));
        assert!(!origins.admits("http://chat.example.org", &approach));
        assert!(AllowedOrigins::new(vec!["*".into()]).admits("null", &approach));
    }

    #[test]
    fn hosts_are_any_by_default_and_a_leading_dot_takes_subdomains_in() {
        assert!(AllowedHosts::default().admits("whatever"));
        let hosts = AllowedHosts::new(vec![".example.org".into(), "127.0.0.1".into()]);
        assert!(hosts.admits("chat.Example.org:8000") && hosts.admits("127.0.0.1:8000"));
        assert!(!hosts.admits("notexample.org") && !hosts.admits("evil"));
    }
}
