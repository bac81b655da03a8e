//! Getting back into an account whose password is lost.

use poem_openapi::{Object, OpenApi, types::Example};

use crate::{
    chat::{AskRecovery, KnownData, PasswordError, SignInError},
    rest::{
        answer::NoContent,
        body::Body,
        edge::Visitor,
        fields::{Complaints, Fields, FromFields},
        problem::Problem,
        refused::{INVALID, Refused, THROTTLED, UNAVAILABLE},
        rules::Text,
        schema::Tag,
    },
};

/// More than anybody types, and little enough to hash.
const PASSWORD_CHARS: usize = 1024;
const NAME_CHARS: usize = 150;
const EMAIL_CHARS: usize = 254;
const CODE_CHARS: usize = 64;

pub(crate) struct Recovery;

/// Whose password is lost.
#[derive(Object)]
#[oai(example)]
struct Lost {
    /// Exact: letters' case counts
    #[oai(validator(max_length = 150))]
    username: String,
    /// The account's address; where it is given it must be right
    #[oai(validator(max_length = 254))]
    email: Option<String>,
}

impl FromFields for Lost {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username", Text::new().at_most(NAME_CHARS));
        let email = fields.optional("email", Text::new().at_most(EMAIL_CHARS));
        Some(Self {
            username: username?,
            email,
        })
    }
}

impl Example for Lost {
    fn example() -> Self {
        Self {
            username: "john_doe".to_owned(),
            email: Some("john@example.org".to_owned()),
        }
    }
}

/// A code and what it is for.
#[derive(Object)]
#[oai(example)]
struct Recovering {
    #[oai(validator(max_length = 150))]
    username: String,
    /// Ten letters and digits, as they were mailed
    #[oai(validator(max_length = 64))]
    code: String,
    /// At least 8 characters
    password: String,
}

impl FromFields for Recovering {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username", Text::new().at_most(NAME_CHARS));
        let code = fields.required("code", Text::new().at_most(CODE_CHARS));
        let password = fields.required("password", Text::new().at_most(PASSWORD_CHARS));
        Some(Self {
            username: username?,
            code: code?,
            password: password?,
        })
    }
}

impl Example for Recovering {
    fn example() -> Self {
        Self {
            username: "john_doe".to_owned(),
            code: "K7QXR2MWPA".to_owned(),
            password: "quiet harbour 1987".to_owned(),
        }
    }
}

fn problem(error: PasswordError) -> Problem {
    match error {
        PasswordError::SignIn(SignInError::NoAccount) => {
            Problem::field("code", "This code is not valid, or not any more.")
        }
        PasswordError::SignIn(error) => error.into(),
        PasswordError::Weak(reasons) => {
            let mut complaints = Complaints::default();
            for reason in reasons {
                complaints.add("password", reason);
            }
            Problem::fields(complaints)
        }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl Recovery {
    /// Have a recovery code mailed
    ///
    /// The answer is the same whether there is such an account or not, and comes before anything is looked up. Three
    /// mails an hour and account; a code is good for 15 minutes and five tries.
    #[oai(
        path = "/api/users/recovery/",
        method = "post",
        operation_id = "recovery_ask"
    )]
    async fn ask(&self, visitor: Visitor, body: Body<Lost>) -> Result<NoContent, Refused<INVALID>> {
        let Body(Lost { username, email }) = body;
        visitor.edge.domain.recovery.ask(AskRecovery {
            username,
            known: email.map(KnownData::Email),
            address: visitor.address(),
        });
        Ok(NoContent)
    }

    /// Set a new password by a recovery code
    ///
    /// All sessions end, everywhere.
    #[oai(
        path = "/api/users/recovery/confirm/",
        method = "post",
        operation_id = "recovery_confirm"
    )]
    async fn confirm(
        &self,
        visitor: Visitor,
        body: Body<Recovering>,
    ) -> Result<NoContent, Refused<{ INVALID | THROTTLED | UNAVAILABLE }>> {
        let Body(Recovering {
            username,
            code,
            password,
        }) = body;
        let recovery = &visitor.edge.domain.recovery;
        let confirmed = recovery.confirm(&username, &code, password, visitor.address());
        confirmed.await.map_err(problem)?;
        Ok(NoContent)
    }
}
