//! Why a request was refused, in DRF's and simplejwt's forms. One function puts each of the domain's
//! errors into its form; `Refused` lists in the document which of them an operation answers.

use std::{borrow::Cow, time::Duration};

use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use serde::Serialize;

use crate::{
    chat::{AuthError, ChatError, SignInError, Thing},
    journal::Cause,
    rest::fields::Complaints,
};

/// How a client should wait when the database is away: long enough for a restart to have begun.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(2);

/// An error answer.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: String,
    retry_after: Option<u64>,
    /// What the log is told besides.
    cause: Option<Cow<'static, str>>,
}

/// `{"detail": ...}`, with simplejwt's further keys.
#[derive(Serialize)]
struct Detail<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<[TokenMessage; 1]>,
}

#[derive(Serialize)]
struct TokenMessage {
    token_class: &'static str,
    token_type: &'static str,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, body: &impl Serialize) -> Self {
        // Strings and lists of strings always can be written.
        let body = serde_json::to_string(body).unwrap_or_default();
        Self {
            status,
            body,
            retry_after: None,
            cause: None,
        }
    }

    pub(crate) fn detail(status: StatusCode, detail: &str) -> Self {
        Self::new(
            status,
            &Detail {
                detail,
                code: None,
                messages: None,
            },
        )
    }

    fn coded(detail: &str, code: &'static str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            &Detail {
                detail,
                code: Some(code),
                messages: None,
            },
        )
    }

    /// 400: what is wrong with which field.
    pub(crate) fn fields(complaints: Complaints) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &complaints)
    }

    /// 400: one field's complaint.
    pub(crate) fn field(name: &'static str, sentence: impl Into<String>) -> Self {
        Self::fields(Complaints::of(name, sentence))
    }

    pub(crate) fn not_json(reason: &str) -> Self {
        Self::detail(
            StatusCode::BAD_REQUEST,
            &format!("JSON parse error - {reason}"),
        )
    }

    pub(crate) fn not_signed_in() -> Self {
        Self::detail(
            StatusCode::UNAUTHORIZED,
            "Authentication credentials were not provided.",
        )
    }

    pub(crate) fn bad_authorization_header() -> Self {
        Self::coded(
            "Authorization header must contain two space-delimited values",
            "bad_authorization_header",
        )
    }

    pub(crate) fn forbidden() -> Self {
        let detail = "You do not have permission to perform this action.";
        Self::detail(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "Not found.")
    }

    pub(crate) fn invalid_page() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "Invalid page.")
    }

    pub(crate) fn method_not_allowed(method: &str) -> Self {
        let detail = format!("Method \"{method}\" not allowed.");
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, &detail)
    }

    pub(crate) fn not_acceptable() -> Self {
        let detail = "Could not satisfy the request Accept header.";
        Self::detail(StatusCode::NOT_ACCEPTABLE, detail)
    }

    pub(crate) fn too_large() -> Self {
        Self::detail(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large.")
    }

    pub(crate) fn malformed() -> Self {
        Self::detail(StatusCode::BAD_REQUEST, "Malformed request.")
    }

    /// The request's body didn't come in time.
    pub(crate) fn too_slow() -> Self {
        let detail = "The request's body took too long.";
        Self::detail(StatusCode::REQUEST_TIMEOUT, detail)
    }

    pub(crate) fn unsupported_media_type(content_type: &str) -> Self {
        let detail = format!("Unsupported media type \"{content_type}\" in request.");
        Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &detail)
    }

    pub(crate) fn throttled(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let unit = if seconds == 1 { "second" } else { "seconds" };
        let detail = format!("Request was throttled. Expected available in {seconds} {unit}.");
        Self::detail(StatusCode::TOO_MANY_REQUESTS, &detail).retry(seconds)
    }

    pub(crate) fn unavailable() -> Self {
        let detail = "Service temporarily unavailable, try again later.";
        Self::detail(StatusCode::SERVICE_UNAVAILABLE, detail).retry(UNAVAILABLE_RETRY.as_secs())
    }

    pub(crate) fn fault() -> Self {
        Self::detail(
            StatusCode::INTERNAL_SERVER_ERROR,
            "A server error occurred.",
        )
    }

    /// Why the bearer of an access token isn't let in (simplejwt's `JWTAuthentication`).
    pub(crate) fn bearer(error: &AuthError) -> Self {
        Self::of_bearer(error).because(error.to_string())
    }

    fn of_bearer(error: &AuthError) -> Self {
        match error {
            AuthError::Missing => Self::not_signed_in(),
            AuthError::Invalid
            | AuthError::Expired
            | AuthError::WrongType
            | AuthError::MissingClaim(_)
            | AuthError::Blacklisted => Self::new(
                StatusCode::UNAUTHORIZED,
                &Detail {
                    detail: "Given token not valid for any token type",
                    code: Some("token_not_valid"),
                    messages: Some([TokenMessage {
                        token_class: "AccessToken",
                        token_type: "access",
                        message: error.to_string(),
                    }]),
                },
            ),
            AuthError::NoUserId => Self::coded(&error.to_string(), "token_not_valid"),
            AuthError::UserNotFound => Self::coded(&error.to_string(), "user_not_found"),
            AuthError::UserInactive => Self::coded(&error.to_string(), "user_inactive"),
            AuthError::PasswordChanged => Self::coded(&error.to_string(), "password_changed"),
            AuthError::Unavailable => Self::unavailable(),
        }
    }

    /// Why a token that was sent in a body isn't taken (simplejwt's serializers).
    pub(crate) fn token(error: &AuthError) -> Self {
        Self::of_token(error).because(error.to_string())
    }

    fn of_token(error: &AuthError) -> Self {
        match error {
            AuthError::Missing
            | AuthError::Invalid
            | AuthError::Expired
            | AuthError::WrongType
            | AuthError::MissingClaim(_)
            | AuthError::NoUserId
            | AuthError::PasswordChanged
            | AuthError::Blacklisted => Self::coded(&error.to_string(), "token_not_valid"),
            AuthError::UserNotFound | AuthError::UserInactive => Self::detail(
                StatusCode::UNAUTHORIZED,
                "No active account found for the given token.",
            ),
            AuthError::Unavailable => Self::unavailable(),
        }
    }

    /// Field errors of the domain, all at once; anything else among them stands alone.
    pub(crate) fn all_of(errors: Vec<ChatError>) -> Self {
        let mut complaints = Complaints::default();
        for error in errors {
            match error {
                ChatError::Invalid { field, reason } => complaints.add(field, reason),
                other => return other.into(),
            }
        }
        Self::fields(complaints)
    }

    fn because(self, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    fn retry(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::NotFound(thing) => {
                let model = match thing {
                    Thing::Chat => "Chat",
                    Thing::Message => "Message",
                    Thing::Member => "Member",
                    Thing::User => "User",
                    Thing::Session => "Session",
                    Thing::Attachment => "Attachment",
                };
                let detail = format!("No {model} matches the given query.");
                Self::detail(StatusCode::NOT_FOUND, &detail)
            }
            // The reason is the log's: clients compare DRF's sentence.
            ChatError::Forbidden(reason) => Self::forbidden().because(reason),
            ChatError::EmptyText => Self::field("text", "This field may not be blank."),
            ChatError::TextTooLong { max, .. } => Self::field(
                "text",
                format!("Ensure this field has no more than {max} characters."),
            ),
            ChatError::NullCharacter => Self::field("text", "Null characters are not allowed."),
            ChatError::Invalid { field: "page", .. } => Self::invalid_page(),
            ChatError::Invalid { field, reason } => Self::field(field, reason),
            ChatError::TooManyMessages { retry_after, .. }
            | ChatError::TooManyRequests { retry_after } => Self::throttled(retry_after),
            ChatError::Unavailable => Self::unavailable(),
            ChatError::Store(error) if error.is_away() => Self::unavailable(),
            ChatError::Store(error) => {
                tracing::error!(%error, "a request failed in storage");
                Self::fault()
            }
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::NoAccount => Self::detail(
                StatusCode::UNAUTHORIZED,
                "No active account found with the given credentials",
            ),
            SignInError::Throttled { retry_after } => Self::throttled(retry_after),
            SignInError::TooManySessions => {
                Self::detail(StatusCode::FORBIDDEN, "Too many sign-ins at once.")
            }
            SignInError::Busy => Self::unavailable(),
            SignInError::Chat(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .status(self.status)
            .content_type("application/json")
            .body(self.body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"api\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let mut response = problem.into_response();
        let cause: Option<Cause> = response.extensions_mut().remove();
        let mut error = poem::Error::from_response(response);
        if let Some(cause) = cause {
            error.set_data(cause);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(problem: Problem) -> (u16, String, Vec<(String, String)>) {
        let response = problem.into_response();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let status = response.status().as_u16();
        (
            status,
            response.into_body().into_string().await.unwrap(),
            headers,
        )
    }

    #[tokio::test]
    async fn a_wait_is_rounded_up_and_told_twice() {
        let (status, body, headers) =
            shown(Problem::throttled(Duration::from_millis(59_001))).await;
        assert_eq!(status, 429);
        assert_eq!(
            body,
            r#"{"detail":"Request was throttled. Expected available in 60 seconds."}"#
        );
        assert!(headers.contains(&("retry-after".into(), "60".into())));
        let (_, body, _) = shown(Problem::throttled(Duration::from_secs(1))).await;
        assert!(body.contains("in 1 second."), "{body}");
    }

    #[tokio::test]
    async fn a_401_names_its_scheme_and_the_token_s_fault() {
        let (status, body, headers) = shown(Problem::bearer(&AuthError::Expired)).await;
        assert_eq!(status, 401);
        assert_eq!(
            body,
            concat!(
                r#"{"detail":"Given token not valid for any token type","code":"token_not_valid","#,
                r#""messages":[{"token_class":"AccessToken","token_type":"access","message":"Token is expired"}]}"#
            )
        );
        assert!(headers.contains(&("www-authenticate".into(), "Bearer realm=\"api\"".into())));
    }
}
