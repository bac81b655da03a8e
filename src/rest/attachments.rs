//! Files: sent to a chat as a form, fetched by whoever has the address.

use std::{
    fmt::Write,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use entity::{ChatId, MessageId};
use futures_util::StreamExt;
use multer::{Constraints, Multipart, SizeLimit};
use poem::{
    Body, IntoResponse, Request, RequestBody, Response, Result as PoemResult,
    http::{HeaderValue, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi,
    param::Path,
    registry::{
        MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef,
        Registry,
    },
    types::Type,
};

use crate::{
    chat::{FileTold, Incoming, Served},
    rest::{
        answer::CreatedOrFound,
        body::{checked, declared_length, form},
        edge::{Arrival, Visitor, still_holds},
        fields::{Fields, FromFields},
        messages::sent,
        problem::Problem,
        query::Query,
        refused::{FORBIDDEN, INVALID, MEMBER, NOT_FOUND, Refused, THROTTLED, UNAVAILABLE},
        rules::{Key, Text},
        schema::{Message, Tag},
        signed_in::SignedIn,
    },
};

/// What a form may hold besides its file: other fields, and what is around them.
const AROUND_BYTES: u64 = 64 << 10;
/// Bytes of one such field.
const FIELD_BYTES: usize = 4096;
/// How far the form may come ahead of the file that is written: what is read of a connection at once, a few times over.
const AHEAD_BYTES: u64 = 1 << 20;
/// How long a file may take to arrive, however steadily it drips.
const ARRIVES_WITHIN: Duration = Duration::from_secs(600);

pub(crate) struct Attachments;

/// What stands in the form beside the file.
struct Beside {
    client_id: Option<String>,
    reply_to: Option<i64>,
}

impl FromFields for Beside {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let client_id = fields.nullable("client_id", Text::new());
        let reply_to = fields.nullable("reply_to", Key);
        Some(Self {
            client_id,
            reply_to,
        })
    }
}

/// A form with a file, of which nothing is read yet.
struct Form {
    parts: Multipart<'static>,
    /// Bytes of the file that are on the disk; what else has come is in memory.
    written: Arc<AtomicU64>,
}

impl<'a> ApiExtractor<'a> for Form {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let file = MetaSchema {
            format: Some("binary"),
            ..MetaSchema::new("string")
        };
        let schema = MetaSchema {
            required: vec!["file"],
            properties: vec![
                ("file", MetaSchemaRef::Inline(Box::new(file))),
                ("client_id", String::schema_ref()),
                ("reply_to", i64::schema_ref()),
            ],
            example: Some(serde_json::json!({"file": "the file's bytes", "client_id": "b7a1-43"})),
            ..MetaSchema::new("object")
        };
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "multipart/form-data",
                schema: MetaSchemaRef::Inline(Box::new(schema)),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> PoemResult<Self> {
        let bytes_max = Arrival::of(request)?.edge.domain.attachments.bytes_max();
        let bytes_max = bytes_max.saturating_add(AROUND_BYTES);
        let content_type = match request.headers().get(header::CONTENT_TYPE) {
            Some(value) => String::from_utf8_lossy(value.as_bytes()),
            None => "".into(),
        };
        let boundary = multer::parse_boundary(&content_type)
            .map_err(|_| Problem::unsupported_media_type(&content_type))?;
        if declared_length(request).is_some_and(|length| length > bytes_max) {
            return Err(Problem::too_large().into());
        }
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(bytes_max));
        let written = Arc::new(AtomicU64::new(0));
        let (of_file, mut come) = (written.clone(), 0);
        let pieces = body.take()?.into_bytes_stream().map(move |piece| {
            let piece: Bytes = piece?;
            come += piece.len() as u64;
            match come > of_file.load(Relaxed) + AROUND_BYTES + AHEAD_BYTES {
                true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
                false => Ok(piece),
            }
        });
        Ok(Self {
            parts: Multipart::with_constraints(pieces, boundary, limits),
            written,
        })
    }
}

impl Form {
    /// Reads all of it, the file straight onto the disk; refused where its sender has lost their sign-in meanwhile.
    async fn receive(
        self,
        caller: &SignedIn,
        chat: ChatId,
    ) -> Result<(Incoming, FileTold), Problem> {
        // A place first: whoever has none makes us hold nothing.
        let incoming = caller.domain().attachments.receive(&caller.actor, chat);
        let reading = self.read(incoming.await?, chat);
        let read = tokio::time::timeout(ARRIVES_WITHIN, reading).await;
        let read = read.map_err(|_| Problem::too_slow())??;
        still_holds(&caller.edge, &caller.actor).await?;
        Ok(read)
    }

    async fn read(
        mut self,
        mut incoming: Incoming,
        chat: ChatId,
    ) -> Result<(Incoming, FileTold), Problem> {
        let (mut file_name, mut pairs, mut around) = (None, Vec::new(), 0);
        while let Some(mut field) = self.parts.next_field().await.map_err(broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            let called = field.file_name().map(str::to_owned);
            match (&*name, called) {
                ("file", Some(called)) if file_name.is_none() => {
                    while let Some(piece) = field.chunk().await.map_err(broken)? {
                        if !incoming.write(&piece).await? {
                            return Err(Problem::too_large());
                        }
                        self.written.fetch_add(piece.len() as u64, Relaxed);
                    }
                    file_name = Some(called);
                }
                ("file", Some(_)) => {
                    return Err(Problem::field("file", "Only one file is taken at a time."));
                }
                ("file", None) => {
                    let sentence =
                        "The submitted data was not a file. Check the encoding type on the form.";
                    return Err(Problem::field("file", sentence));
                }
                (_, Some(_)) => {}
                (_, None) => {
                    let mut value = Vec::new();
                    while let Some(piece) = field.chunk().await.map_err(broken)? {
                        value.extend_from_slice(&piece);
                        if value.len() > FIELD_BYTES {
                            return Err(Problem::too_large());
                        }
                    }
                    around += (name.len() + value.len()) as u64;
                    if around > AROUND_BYTES {
                        return Err(Problem::too_large());
                    }
                    pairs.push((name, String::from_utf8_lossy(&value).into_owned()));
                }
            }
        }
        let name = file_name.ok_or_else(|| Problem::field("file", "No file was submitted."))?;
        let Beside {
            client_id,
            reply_to,
        } = checked(form(pairs)?).map_err(Problem::fields)?;
        let told = FileTold {
            chat,
            name,
            client_id,
            reply_to: reply_to.map(MessageId),
        };
        Ok((incoming, told))
    }
}

fn broken(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            Problem::too_large()
        }
        multer::Error::StreamReadFailed(cause) if is_too_much(&*cause) => Problem::too_large(),
        _ => Problem::malformed(),
    }
}

/// Whether it is the end that a form was given which came too far ahead of its file.
fn is_too_much(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let cause = cause.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::FileTooLarge)
}

/// A file, to be kept and not to be shown as a page of ours.
struct Download(Served);

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let Served {
            content,
            bytes,
            name,
            content_type,
        } = self.0;
        let mut response = Response::builder()
            .content_type(content_type)
            .header(header::CACHE_CONTROL, "private, max-age=3600, immutable")
            .header(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; sandbox",
            )
            .header("cross-origin-resource-policy", "cross-origin")
            .body(Body::from_async_read(content));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
        let disposition = HeaderValue::try_from(disposition(&name));
        headers.insert(
            header::CONTENT_DISPOSITION,
            disposition.unwrap_or(HeaderValue::from_static("attachment")),
        );
        response
    }
}

/// RFC 6266: a name that every client understands, and the real one.
fn disposition(name: &str) -> String {
    let plain = |c: char| match c {
        ' '..='~' if c != '"' && c != '\\' => c,
        _ => '_',
    };
    let fallback: String = name.chars().map(plain).collect();
    let mut value = format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => value.push(byte.into()),
            _ => {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let content = MetaSchema {
            format: Some("binary"),
            example: Some("the file's bytes".into()),
            ..MetaSchema::new("string")
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The file",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "application/octet-stream",
                    schema: MetaSchemaRef::Inline(Box::new(content)),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

#[OpenApi(tag = "Tag::Messages")]
impl Attachments {
    /// Send a file
    ///
    /// As a form with the field `file`, at most `ATTACHMENT_BYTES`. It is a message whose text is the file's name, and
    /// counts as one; what the file is, its content says. A repeated `client_id` gives the first message again, with
    /// 200.
    #[oai(
        path = "/api/chats/:id/attachments/",
        method = "post",
        operation_id = "attachments_send"
    )]
    async fn send(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        form: Form,
    ) -> Result<CreatedOrFound<Message>, Refused<{ MEMBER | INVALID | FORBIDDEN | THROTTLED }>>
    {
        let files = &caller.domain().attachments;
        let (incoming, told) = form.receive(&caller, ChatId(id.0)).await?;
        Ok(sent(&files.send(&caller.actor, incoming, told).await?)?)
    }

    /// Fetch a file
    ///
    /// By the address that stands in its message, without a token: it holds for an hour, and each answer has a new
    /// one. Browsers keep the file, they don't show it.
    #[oai(
        path = "/api/attachments/:id/",
        method = "get",
        operation_id = "attachments_find"
    )]
    async fn find(
        &self,
        visitor: Visitor,
        id: Path<i64>,
        /// When the address ends, in Unix seconds
        expires: Query<i64>,
        /// Of the address
        signature: Query<String>,
    ) -> Result<Download, Refused<{ FORBIDDEN | NOT_FOUND | UNAVAILABLE }>> {
        let (Some(expires), Some(signature)) = (expires.0, signature.0) else {
            return Err(Problem::forbidden().into());
        };
        let files = &visitor.edge.domain.attachments;
        Ok(Download(files.open(id.0, expires, &signature).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_to_old_clients_and_new_ones() {
        assert_eq!(
            disposition("a \"b\".txt"),
            "attachment; filename=\"a _b_.txt\"; filename*=UTF-8''a%20%22b%22.txt"
        );
        assert_eq!(
            disposition("ёж"),
            "attachment; filename=\"__\"; filename*=UTF-8''%D1%91%D0%B6"
        );
    }
}
