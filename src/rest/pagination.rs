//! Lists by page numbers, as DRF's `PageNumberPagination` with `page_size_query_param`.

use poem::{FromRequest, Request, RequestBody, Result};

use crate::{
    chat::ChatError,
    rest::{edge::Arrival, problem::Problem, query::Parameter},
    view::{Links, PageView},
};

const PAGE_SIZE: u64 = 50;
const PAGE_SIZE_MAX: u64 = 100;

/// `?page=`: a number from 1, or `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Number(u64),
    Last,
}

impl Parameter for Page {
    type Shown = String;

    fn parse(_: &'static str, text: &str) -> std::result::Result<Self, Problem> {
        match text.trim() {
            "" => Ok(Page::Number(1)),
            "last" => Ok(Page::Last),
            text => match text.parse() {
                Ok(number) if number > 0 => Ok(Page::Number(number)),
                _ => Err(Problem::invalid_page()),
            },
        }
    }
}

/// `?page_size=`: cut to the largest one, and the usual one for nonsense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSize(pub(crate) u64);

impl Default for PageSize {
    fn default() -> Self {
        Self(PAGE_SIZE)
    }
}

impl Parameter for PageSize {
    type Shown = i64;

    fn parse(_: &'static str, text: &str) -> std::result::Result<Self, Problem> {
        Ok(match text.trim().parse::<u64>() {
            Ok(size) if size > 0 => Self(size.min(PAGE_SIZE_MAX)),
            _ => Self::default(),
        })
    }
}

/// The addresses of the asked list's pages.
pub(crate) struct Here(pub(crate) Links);

impl<'a> FromRequest<'a> for Here {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        let approach = Arrival::of(request)?.edge.proxies.approach(request);
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        Ok(Self(Links::new(
            approach.scheme,
            &approach.host,
            uri.path(),
            query,
        )))
    }
}

/// The page that was asked for: `read` gives the items of a page, and how many there are in all.
pub(crate) async fn numbered<T, F>(
    page: Option<Page>,
    size: Option<PageSize>,
    links: &Links,
    read: impl Fn(u64, u64) -> F,
) -> std::result::Result<PageView<T>, Problem>
where
    F: Future<Output = std::result::Result<(Vec<T>, u64), ChatError>>,
{
    let PageSize(size) = size.unwrap_or_default();
    let mut number = match page {
        Some(Page::Number(number)) => number,
        Some(Page::Last) | None => 1,
    };
    let (mut results, count) = read(number, size).await?;
    let pages = count.div_ceil(size).max(1);
    if page == Some(Page::Last) && pages > 1 {
        number = pages;
        (results, _) = read(number, size).await?;
    }
    if number > pages {
        return Err(Problem::invalid_page());
    }
    Ok(PageView {
        count: Some(count),
        next: (number < pages).then(|| links.page(number + 1)),
        previous: (number > 1).then(|| links.page(number - 1)),
        results,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(query: &str) -> std::result::Result<PageView<u64>, Problem> {
        let of = |name| crate::urlencoded::value(query, name);
        let page = of("page")
            .map(|text| Page::parse("page", &text))
            .transpose()?;
        let size = of("page_size")
            .map(|text| PageSize::parse("page_size", &text))
            .transpose()?;
        let links = Links::new("http", "testserver", "/api/rooms/", query);
        numbered(page, size, &links, |page, size| async move {
            let first = (page - 1) * size;
            Ok(((first + 1..=120).take(size as usize).collect(), 120))
        })
        .await
    }

    #[tokio::test]
    async fn pages_are_counted_and_linked_as_in_drf() {
        let first = page("").await.ok().unwrap();
        assert_eq!((first.count, first.results.len()), (Some(120), 50));
        assert_eq!(
            first.next.as_deref(),
            Some("http://testserver/api/rooms/?page=2")
        );
        assert_eq!(first.previous, None);
        let second = page("page=2").await.ok().unwrap();
        assert_eq!(
            second.previous.as_deref(),
            Some("http://testserver/api/rooms/")
        );
        let last = page("page=last").await.ok().unwrap();
        assert_eq!((last.results.len(), last.next), (20, None));
        assert_eq!(
            last.previous.as_deref(),
            Some("http://testserver/api/rooms/?page=2")
        );
    }

    #[tokio::test]
    async fn sizes_are_cut_and_nonsense_is_the_usual_size_but_a_bad_number_is_no_page() {
        for (query, size) in [
            ("page=", 50),
            ("page_size=0", 50),
            ("page_size=x", 50),
            ("page_size=999", 100),
        ] {
            assert_eq!(
                page(query).await.ok().unwrap().results.len(),
                size,
                "{query}"
            );
        }
        for query in ["page=0", "page=abc", "page=99", "page=-1"] {
            assert!(page(query).await.is_err(), "{query}");
        }
    }
}
