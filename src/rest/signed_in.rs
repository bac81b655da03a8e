//! Who calls: the bearer of an access token, as simplejwt's `JWTAuthentication` reads it.

use std::sync::Arc;

use poem::{Request, RequestBody, Result, http::header};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::{
    chat::{Actor, AuthError, Domain},
    rest::{
        edge::{Arrival, Edge},
        problem::Problem,
    },
};

/// The security scheme's name, as drf-spectacular calls it.
const SCHEME: &str = "jwtAuth";

/// A caller who has signed in.
pub(crate) struct SignedIn {
    pub(crate) actor: Actor,
    pub(crate) edge: Arc<Edge>,
}

impl SignedIn {
    pub(crate) fn domain(&self) -> &Domain {
        &self.edge.domain
    }
}

/// The token of an `Authorization` header; none where it speaks another scheme (whose letters'
/// case counts, as it does in Django).
pub(crate) fn bearer(request: &Request) -> std::result::Result<Option<&str>, Problem> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    // What isn't ASCII is no token of anybody's.
    let mut words = value
        .to_str()
        .unwrap_or("Bearer ?")
        .split_ascii_whitespace();
    if words.next() != Some("Bearer") {
        return Ok(None);
    }
    match (words.next(), words.next()) {
        (Some(token), None) => Ok(Some(token)),
        _ => Err(Problem::bad_authorization_header()),
    }
}

/// Who a request's token says that it is; nobody without one.
pub(crate) async fn authenticate(
    domain: &Domain,
    request: &Request,
) -> std::result::Result<Option<Actor>, Problem> {
    let Some(token) = bearer(request)? else {
        return Ok(None);
    };
    match domain.sessions.authenticate(token).await {
        Ok(actor) => Ok(Some(actor)),
        Err(AuthError::Missing) => Ok(None),
        Err(error) => Err(Problem::bearer(&error)),
    }
}

impl<'a> ApiExtractor<'a> for SignedIn {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("An access token from `POST /api/token/`"),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let Arrival { edge, actor } = Arrival::of(request)?.clone();
        let actor = actor.ok_or_else(Problem::not_signed_in)?;
        Ok(Self { actor, edge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> std::result::Result<Option<String>, Problem> {
        let request = Request::builder().header("authorization", value).finish();
        bearer(&request).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn the_scheme_s_case_counts_and_the_number_of_spaces_does_not() {
        for other in ["", "bearer x", "JWT x", "Token x", "Basic YTpi"] {
            assert!(matches!(read(other), Ok(None)), "{other}");
        }
        assert_eq!(
            read("Bearer   x.y.z").ok().flatten().as_deref(),
            Some("x.y.z")
        );
        assert!(read("Bearer").is_err() && read("Bearer a b").is_err());
    }
}
