//! A page of a list, and the links to its neighbours: the same over REST and in the `messages` frame.

use serde::Serialize;

use crate::urlencoded;

/// A page as DRF's `PageNumberPagination` writes it. Keyset pages have no `count`: the key is absent.
#[derive(Clone, Debug, Serialize)]
pub struct PageView<T> {
    /// How many there are on all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The next page's address.
    pub next: Option<String>,
    /// The previous page's address.
    pub previous: Option<String>,
    /// What stands on it.
    pub results: Vec<T>,
}

impl<T> PageView<T> {
    /// The same page with its entries as they are shown.
    pub fn shown<'a, V: From<&'a T>>(&'a self) -> PageView<V> {
        PageView {
            count: self.count,
            next: self.next.clone(),
            previous: self.previous.clone(),
            results: self.results.iter().map(V::from).collect(),
        }
    }
}

/// The addresses of a list's pages: absolute, with the request's other parameters kept and sorted.
#[derive(Clone, Debug)]
pub struct Links {
    address: String,
    parameters: Vec<(String, String)>,
}

/// The parameters that say which page is asked for.
const PLACES: [&str; 3] = ["page", "before", "after"];

impl Links {
    /// Of the list at `path`, as it was asked for. Without a host the links are relative to it.
    pub fn new(scheme: &str, host: &str, path: &str, query: &str) -> Self {
        let address = match host {
            "" => path.to_owned(),
            host => format!("{scheme}://{host}{path}"),
        };
        let mut parameters = urlencoded::pairs(query);
        parameters.retain(|(name, _)| !PLACES.contains(&name.as_str()));
        parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self {
            address,
            parameters,
        }
    }

    /// The page of that number; the first one's link has none.
    pub fn page(&self, number: u64) -> String {
        match number {
            1 => self.with(None),
            number => self.with(Some(("page", &number.to_string()))),
        }
    }

    /// The page of what stands before a message.
    pub fn before(&self, id: i64) -> String {
        self.with(Some(("before", &id.to_string())))
    }

    /// The page of what follows a message.
    pub fn after(&self, id: i64) -> String {
        self.with(Some(("after", &id.to_string())))
    }

    fn with(&self, place: Option<(&str, &str)>) -> String {
        let mut pairs: Vec<(&str, &str)> = self
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(place)
            .collect();
        pairs.sort_by_key(|(name, _)| *name);
        let query = urlencoded::encode(pairs);
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{separator}{query}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parameters_are_kept_and_sorted_and_the_first_page_has_no_number() {
        let query = "x=y&page=2&page_size=3";
        let links = Links::new("http", "testserver", "/api/rooms/", query);
        assert_eq!(
            links.page(3),
            "http://testserver/api/rooms/?page=3&page_size=3&x=y"
        );
        assert_eq!(
            links.page(1),
            "http://testserver/api/rooms/?page_size=3&x=y"
        );
        let links = Links::new("http", "testserver", "/api/rooms/", "page=2");
        assert_eq!(links.page(1), "http://testserver/api/rooms/");
        assert_eq!(links.before(7), "http://testserver/api/rooms/?before=7");
    }
}
