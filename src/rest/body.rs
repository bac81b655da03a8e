//! Request bodies: JSON, forms and multipart text fields, read within a bound and checked field by
//! field. In the document a body shows as the object that it holds.

use std::time::Duration;

use poem::{
    Body as RawBody, Request, RequestBody, Result,
    error::ReadBodyError,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};

use crate::{
    rest::{
        edge::Arrival,
        fields::{Complaints, Fields, FromFields},
        json::{self, Given},
        problem::Problem,
    },
    urlencoded,
};

/// The media types that a body may have, as in Django projects by default.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
];

/// Fields of a form: as Django's `DATA_UPLOAD_MAX_NUMBER_FIELDS` has it by default. Each is looked for among those before it.
const FIELDS_MAX: usize = 1000;
/// How long a body may take to arrive, however steadily it drips.
pub(crate) const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// An operation's body, read and checked.
pub(crate) struct Body<T>(pub(crate) T);

impl<'a, T: Type + FromFields> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = MEDIA_TYPES
            .map(|content_type| MetaMediaType {
                content_type,
                schema: T::schema_ref(),
            })
            .into();
        Some(MetaRequest {
            description: None,
            content,
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let bytes_max = Arrival::of(request)?.edge.body_bytes_max;
        let content_type = match request.headers().get(header::CONTENT_TYPE) {
            Some(value) => String::from_utf8_lossy(value.as_bytes()),
            None => "".into(),
        };
        let content = read_limited(request, body, bytes_max).await?;
        let given = parse(&content_type, &content)?;
        Ok(Self(checked(given).map_err(Problem::fields)?))
    }
}

/// `T` from what was given, or everything that is wrong with it.
pub(crate) fn checked<T: FromFields>(given: Given) -> std::result::Result<T, Complaints> {
    let mut fields = Fields::new(given)?;
    let value = T::from_fields(&mut fields);
    let complaints = fields.into_complaints();
    match value {
        Some(value) if complaints.is_empty() => Ok(value),
        _ => Err(complaints),
    }
}

/// A request's body, if it is no larger; refused where its sender has lost their sign-in meanwhile.
pub(crate) async fn read_limited(
    request: &Request,
    body: &mut RequestBody,
    bytes_max: usize,
) -> Result<bytes::Bytes> {
    let reading = read(body.take()?, bytes_max, declared_length(request));
    let content = tokio::time::timeout(ARRIVES_WITHIN, reading).await;
    let content = content.map_err(|_| Problem::too_slow())??;
    Arrival::of(request)?.still_holds().await?;
    Ok(content)
}

pub(crate) fn declared_length(request: &Request) -> Option<u64> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// A body that declares too much isn't read at all; one that doesn't declare is cut off at the bound.
async fn read(
    body: RawBody,
    bytes_max: usize,
    declared: Option<u64>,
) -> std::result::Result<bytes::Bytes, Problem> {
    if declared.is_some_and(|length| length > bytes_max as u64) {
        return Err(Problem::too_large());
    }
    body.into_bytes_limit(bytes_max)
        .await
        .map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => Problem::too_large(),
            _ => Problem::malformed(),
        })
}

fn parse(content_type: &str, content: &[u8]) -> std::result::Result<Given, Problem> {
    // As in DRF: where nothing came, nobody asks in which form.
    if content.is_empty() {
        return Ok(Given::Object(Vec::new()));
    }
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => json::parse(content).map_err(|reason| Problem::not_json(&reason)),
        "application/x-www-form-urlencoded" => {
            form(urlencoded::pairs(&String::from_utf8_lossy(content)))
        }
        "multipart/form-data" => boundary(content_type)
            .and_then(|boundary| multipart(content, &boundary))
            .map_or_else(|| Err(Problem::malformed()), form),
        _ => Err(Problem::unsupported_media_type(content_type)),
    }
}

/// Pairs by name, each with all of its values.
pub(crate) fn form(pairs: Vec<(String, String)>) -> std::result::Result<Given, Problem> {
    if pairs.len() > FIELDS_MAX {
        let detail = format!("At most {FIELDS_MAX} fields are taken.");
        return Err(Problem::detail(StatusCode::BAD_REQUEST, &detail));
    }
    let mut entries: Vec<(String, Given)> = Vec::new();
    for (name, value) in pairs {
        match entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, Given::Form(values))) => values.push(value),
            _ => entries.push((name, Given::Form(vec![value]))),
        }
    }
    Ok(Given::Object(entries))
}

fn boundary(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_boundary = name.trim().eq_ignore_ascii_case("boundary");
        is_boundary.then(|| format!("--{}", value.trim().trim_matches('"')))
    })
}

/// The text fields of a multipart body; files are left out, as nothing here takes one.
fn multipart(content: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let content = String::from_utf8_lossy(content);
    let mut pairs = Vec::new();
    for part in content.split(boundary).skip(1) {
        let Some(part) = part.strip_prefix("\r\n") else {
            return part.starts_with("--").then_some(pairs);
        };
        let (head, value) = part.split_once("\r\n\r\n")?;
        let disposition = head.lines().find(|line| {
            line.to_ascii_lowercase()
                .starts_with("content-disposition:")
        })?;
        let parameter = |name: &str| {
            disposition.split(';').find_map(|item| {
                let value = item.trim().strip_prefix(name)?.strip_prefix('=')?;
                Some(value.trim_matches('"').to_owned())
            })
        };
        if parameter("filename").is_none() {
            pairs.push((parameter("name")?, value.strip_suffix("\r\n")?.to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::rules::{Choice, Flag, Integer, Key, Keys, Text};

    /// What the observed Django project's models had, and what ours have besides.
    #[derive(Debug, PartialEq)]
    struct Everything {
        name: String,
        slug: Option<String>,
        is_private: Option<bool>,
        rating: Option<i64>,
        room: Option<i64>,
        members: Option<Vec<i64>>,
        kind: Option<char>,
    }

    impl FromFields for Everything {
        fn from_fields(fields: &mut Fields) -> Option<Self> {
            let name = fields.required("name", Text::new().at_most(20));
            let slug = fields.optional("slug", Text::new().or_blank());
            let is_private = fields.optional("is_private", Flag);
            let rating = fields.optional("rating", Integer);
            let room = fields.nullable("room", Key);
            let members = fields.optional("members", Keys { count_max: 3 });
            let kind = fields.optional("kind", Choice(&[("text", 't'), ("file", 'f')]));
            Some(Self {
                name: name?,
                slug,
                is_private,
                rating,
                room,
                members,
                kind,
            })
        }
    }

    fn read(content_type: &str, content: &[u8]) -> std::result::Result<Everything, String> {
        let given = parse(content_type, content).map_err(|problem| format!("{problem:?}"))?;
        checked(given).map_err(|wrong| serde_json::to_string(&wrong).unwrap())
    }

    fn refusal(body: &str) -> String {
        read("application/json", body.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_a_text_is_told_in_drf_s_words() {
        for (body, expected) in [
            ("{}", "This field is required."),
            (r#"{"name": ""}"#, "This field may not be blank."),
            (r#"{"name": "   "}"#, "This field may not be blank."),
            (r#"{"name": null}"#, "This field may not be null."),
            (
                r#"{"name": "xxxxxxxxxxxxxxxxxxxxx"}"#,
                "Ensure this field has no more than 20 characters.",
            ),
            (r#"{"name": {"a": 1}}"#, "Not a valid string."),
            (r#"{"name": ["a"]}"#, "Not a valid string."),
            (r#"{"name": true}"#, "Not a valid string."),
            (
                r#"{"name": "a\u0000b"}"#,
                "Null characters are not allowed.",
            ),
            (
                r#"{"name": "\ud800"}"#,
                "Surrogate characters are not allowed: U+D800.",
            ),
        ] {
            assert_eq!(
                refusal(body),
                format!(r#"{{"name":["{expected}"]}}"#),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_no_object_has_a_sentence_of_its_own() {
        for (body, expected) in [
            (
                "[1, 2]",
                "Invalid data. Expected a dictionary, but got list.",
            ),
            ("\"x\"", "Invalid data. Expected a dictionary, but got str."),
            ("5", "Invalid data. Expected a dictionary, but got int."),
            ("null", "No data provided"),
        ] {
            assert_eq!(
                refusal(body),
                format!(r#"{{"non_field_errors":["{expected}"]}}"#)
            );
        }
    }

    #[test]
    fn all_fields_are_told_at_once_in_their_own_order() {
        let body = r#"{"kind": "video", "members": "x", "room": "abc", "rating": "x",
            "is_private": "maybe", "slug": null}"#;
        assert_eq!(
            refusal(body),
            concat!(
                r#"{"name":["This field is required."],"slug":["This field may not be null."],"#,
                r#""is_private":["Must be a valid boolean."],"rating":["A valid integer is required."],"#,
                r#""room":["Incorrect type. Expected pk value, received str."],"#,
                r#""members":["Expected a list of items but got type \"str\"."],"#,
                r#""kind":["\"video\" is not a valid choice."]}"#
            )
        );
        let body =
            r#"{"name": "x", "rating": 99999999999999999999, "members": [1, 2, 3, 4], "kind": 5}"#;
        assert_eq!(
            refusal(body),
            concat!(
                r#"{"rating":["Ensure this value is less than or equal to 9223372036854775807."],"#,
                r#""members":["Ensure this field has no more than 3 elements."],"#,
                r#""kind":["\"5\" is not a valid choice."]}"#
            )
        );
    }

    #[test]
    fn numbers_and_texts_pass_for_each_other_and_unknown_fields_are_ignored() {
        let body = r#"{"name": 5, "rating": "7", "room": "1", "is_private": "off", "members": ["2", 3.0],
            "nope": {}, "name": "  last wins "}"#;
        assert_eq!(
            read("application/json; charset=utf-8", body.as_bytes()),
            Ok(Everything {
                name: "last wins".into(),
                slug: None,
                is_private: Some(false),
                rating: Some(7),
                room: Some(1),
                members: Some(vec![2, 3]),
                kind: None,
            })
        );
        assert_eq!(
            read("application/json", br#"{"name": 1e16}"#).unwrap().name,
            "1e+16"
        );
    }

    #[test]
    fn forms_are_read_as_html_sends_them() {
        let form = b"name=a+%26+b&members=1&members=2&room=&kind=&is_private=on";
        let read_form = read("application/x-www-form-urlencoded", form).unwrap();
        assert_eq!(
            (read_form.name.as_str(), read_form.members),
            ("a & b", Some(vec![1, 2]))
        );
        assert_eq!(
            (read_form.room, read_form.kind, read_form.is_private),
            (None, None, Some(true))
        );
        let multipart = |value: &str| {
            let body = format!(
                "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n{value}\r\n--B--\r\n"
            );
            read("multipart/form-data; boundary=B", body.as_bytes())
        };
        assert_eq!(multipart("two\r\nlines").unwrap().name, "two\r\nlines");
        assert_eq!(
            multipart("").unwrap_err(),
            r#"{"name":["This field may not be blank."]}"#
        );
        assert!(read("multipart/form-data; boundary=B", b"--B\r\nx").is_err());
    }

    #[test]
    fn a_form_of_a_million_bytes_of_names_is_refused_unread() {
        let fields = |count: usize| (0..count).map(|n| format!("f{n}=&")).collect::<String>();
        let named = |count: usize| {
            read(
                "application/x-www-form-urlencoded",
                (fields(count) + "name=x").as_bytes(),
            )
        };
        assert_eq!(named(999).unwrap().name, "x");
        let wrong = named(1000).unwrap_err();
        assert!(wrong.contains("At most 1000 fields are taken."), "{wrong}");
    }

    #[test]
    fn of_a_name_that_is_given_again_the_last_value_counts_whatever_was_read_before() {
        // What is taken out first leaves a gap: nothing may be moved into it.
        let body = r#"{"name": "x", "slug": "one", "slug": "two"}"#;
        assert_eq!(
            read("application/json", body.as_bytes())
                .unwrap()
                .slug
                .as_deref(),
            Some("two")
        );
    }

    #[test]
    fn an_empty_body_is_an_empty_object_and_another_media_type_is_named_as_it_came() {
        assert_eq!(
            read("", b"").unwrap_err(),
            r#"{"name":["This field is required."]}"#
        );
        for sent in ["text/plain", "", "application/xml; charset=utf-8"] {
            let wrong = read(sent, b"x").unwrap_err();
            assert!(
                wrong.contains(&format!("Unsupported media type \\\\\\\"{sent}\\\\\\\"")),
                "{wrong}"
            );
        }
    }
}
