//! Answers in DRF's form. An object is written with serde straight into the answer's bytes, perhaps
//! from borrowed parts; the document shows the type that says what was written.

use std::{io, marker::PhantomData};

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::rest::problem::Problem;

const JSON: &str = "application/json";

/// 200 with an object that the document calls `T`.
pub(crate) struct Drf<T> {
    body: Vec<u8>,
    shown_as: PhantomData<fn() -> T>,
}

/// 201 with the object and where it is found.
pub(crate) struct Created<T> {
    answer: Drf<T>,
    location: String,
}

/// 201 where it was made, 200 where it was there before.
pub(crate) struct CreatedOrFound<T> {
    answer: Created<T>,
    was_there: bool,
}

/// 204 without a body.
pub(crate) struct NoContent;

impl<T> Drf<T> {
    /// Writes `value` in the form that the document calls `T`.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self {
            body: encode(value)?,
            shown_as: PhantomData,
        })
    }

    pub(crate) fn created(self, location: String) -> Created<T> {
        Created {
            answer: self,
            location,
        }
    }
}

impl<T> Created<T> {
    pub(crate) fn unless(self, was_there: bool) -> CreatedOrFound<T> {
        CreatedOrFound {
            answer: self,
            was_there,
        }
    }
}

/// Compact JSON as Python writes it for DRF.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut body, DrfFormatter);
    value.serialize(&mut serializer).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::fault()
    })?;
    Ok(body)
}

/// serde_json's compact form; besides, DRF escapes the two line separators that JavaScript minds.
struct DrfFormatter;

impl Formatter for DrfFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Both separators begin with this byte, and hardly any text has it.
        if !fragment.as_bytes().contains(&0xe2) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            let (before, separator) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            writer.write_all(if separator.starts_with('\u{2028}') {
                b"\\u2028"
            } else {
                b"\\u2029"
            })?;
            rest = &separator['\u{2028}'.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

impl<T: Send> IntoResponse for Drf<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(JSON).body(self.body)
    }
}

impl<T: Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        response.set_status(StatusCode::CREATED);
        if let Ok(location) = HeaderValue::try_from(self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl<T: Send> IntoResponse for CreatedOrFound<T> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        if self.was_there {
            response.set_status(StatusCode::OK);
        }
        response
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::CONTENT_LENGTH, 0)
            .finish()
    }
}

fn meta<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    let location = MetaHeader {
        name: "LOCATION".to_owned(),
        description: Some("Where it is found".to_owned()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: JSON,
            schema: T::schema_ref(),
        }],
        headers: if status == 201 {
            vec![location]
        } else {
            Vec::new()
        },
    }
}

impl<T: Type> ApiResponse for Drf<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![meta::<T>(200, "Done")],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![meta::<T>(201, "Made")],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for CreatedOrFound<T> {
    fn meta() -> MetaResponses {
        let responses = vec![
            meta::<T>(200, "It was there already"),
            meta::<T>(201, "Made"),
        ];
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl ApiResponse for NoContent {
    fn meta() -> MetaResponses {
        let response = MetaResponse {
            description: "Done; no body",
            status: Some(204),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![response],
        }
    }

    fn register(_: &mut Registry) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_written_as_drf_writes_them() {
        let text = "ü🙂\u{2028}/<&>\"\u{1}\u{2029}…\\";
        let written = String::from_utf8(encode(&[text]).ok().unwrap()).unwrap();
        assert_eq!(written, "[\"ü🙂\\u2028/<&>\\\"\\u0001\\u2029…\\\\\"]");
        assert_eq!(
            serde_json::from_str::<[String; 1]>(&written).unwrap()[0],
            text
        );
    }
}
