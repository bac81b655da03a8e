//! Users' pictures: sent by themselves, seen by everybody who has the address.

use entity::UserId;
use poem::{
    IntoResponse, Request, RequestBody, Response, Result as PoemResult,
    http::{HeaderValue, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi,
    param::Path,
    registry::{
        MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef,
        Registry,
    },
};

use crate::{
    chat::Avatar,
    rest::{
        answer::{Drf, NoContent},
        body::read_limited,
        edge::{Arrival, Visitor},
        query::Query,
        refused::{INVALID, NOT_FOUND, Refused, SIGNED_IN, UNAVAILABLE},
        schema::Tag,
        signed_in::SignedIn,
        users::Account,
    },
    view::AccountView,
};

/// What pictures may be sent as; what they are is read off their bytes.
const SENT: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];
const SERVED: [&str; 2] = ["image/png", "image/jpeg"];
/// An address with a hash never shows another picture.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("public, no-cache");

pub(crate) struct Avatars;

/// Bytes, as the document shows them.
fn binary() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        format: Some("binary"),
        example: Some("the picture's bytes".into()),
        ..MetaSchema::new("string")
    }))
}

/// The bytes of a picture as they were sent.
struct Picture(Vec<u8>);

impl<'a> ApiExtractor<'a> for Picture {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let content = SENT.map(|content_type| MetaMediaType {
            content_type,
            schema: binary(),
        });
        Some(MetaRequest {
            description: None,
            content: content.into(),
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> PoemResult<Self> {
        let bytes_max = Arrival::of(request)?.edge.domain.users.avatar_bytes_max();
        let bytes = read_limited(request, body, bytes_max).await?;
        Ok(Self(bytes.into()))
    }
}

/// A picture, and how long its address shows it.
struct Shown {
    avatar: Avatar,
    is_for_ever: bool,
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let Avatar {
            bytes,
            hash,
            media_type,
        } = self.avatar;
        let cache = if self.is_for_ever {
            FOR_EVER
        } else {
            ASK_AGAIN
        };
        let mut response = Response::builder()
            .content_type(media_type)
            .header(header::CACHE_CONTROL, cache)
            .header(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; sandbox",
            )
            .header("cross-origin-resource-policy", "cross-origin")
            .body(bytes);
        if let Ok(tag) = HeaderValue::try_from(format!("\"{hash}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

impl ApiResponse for Shown {
    fn meta() -> MetaResponses {
        let content = SERVED.map(|content_type| MetaMediaType {
            content_type,
            schema: binary(),
        });
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The picture",
                status: Some(200),
                status_range: None,
                content: content.into(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

#[OpenApi(tag = "Tag::Users")]
impl Avatars {
    /// Show a picture of oneself
    ///
    /// PNG, JPEG or WebP, as the body itself. It is decoded and encoded anew, at most 512 pixels wide and high.
    #[oai(
        path = "/api/users/me/avatar/",
        method = "put",
        operation_id = "me_avatar_put"
    )]
    async fn put(
        &self,
        caller: SignedIn,
        picture: Picture,
    ) -> Result<Drf<Account>, Refused<{ SIGNED_IN | INVALID }>> {
        let users = &caller.domain().users;
        let account = users.set_avatar(&caller.actor, picture.0).await?;
        Ok(Drf::of(&AccountView::from(&account))?)
    }

    /// Show no picture of oneself
    #[oai(
        path = "/api/users/me/avatar/",
        method = "delete",
        operation_id = "me_avatar_delete"
    )]
    async fn delete(&self, caller: SignedIn) -> Result<NoContent, Refused<SIGNED_IN>> {
        caller.domain().users.delete_avatar(&caller.actor).await?;
        Ok(NoContent)
    }

    /// See somebody's picture
    ///
    /// Public, so that a page can show it: without a token. With the content's hash, as in the address that accounts
    /// carry, it may be kept for ever.
    #[oai(
        path = "/api/users/:id/avatar/",
        method = "get",
        operation_id = "users_avatar"
    )]
    async fn find(
        &self,
        visitor: Visitor,
        id: Path<i64>,
        /// The content's hash
        v: Query<String>,
    ) -> Result<Shown, Refused<{ NOT_FOUND | UNAVAILABLE }>> {
        let avatar = visitor.edge.domain.users.avatar(UserId(id.0)).await?;
        let is_for_ever = v.0.as_ref() == Some(&avatar.hash);
        Ok(Shown {
            avatar,
            is_for_ever,
        })
    }
}
