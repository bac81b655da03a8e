//! Accounts, profiles and blocks.

use entity::UserId;
use poem_openapi::{Object, OpenApi, param::Path, types::Example};

use crate::{
    chat::{NewUser, PasswordError, Registration, SignInError, StaffPatch, UserPatch},
    rest::{
        answer::{Created, Drf, NoContent},
        body::Body,
        edge::Visitor,
        fields::{Complaints, Fields, FromFields},
        pagination::{Here, Page as PageNumber, PageSize, numbered},
        problem::Problem,
        query::Query,
        refused::{
            ANONYMOUS, FORBIDDEN, INVALID, MEMBER, Refused, SIGNED_IN, THROTTLED, UNAVAILABLE,
        },
        rules::{Flag, Text},
        schema::{Instant, Page, Tag, earlier, later},
        signed_in::SignedIn,
        tokens::TokenPair,
    },
    view::{AccountView, UserView},
};

/// The widths of Django's columns.
const NAME_CHARS: usize = 150;
const EMAIL_CHARS: usize = 254;
/// More than anybody types, and little enough to hash.
const PASSWORD_CHARS: usize = 1024;

pub(crate) struct Users;

/// A user's public page.
#[derive(Object)]
#[oai(example)]
struct User {
    id: i64,
    username: String,
    /// May be empty
    first_name: String,
    /// May be empty
    last_name: String,
    /// The picture's address
    #[oai(nullable)]
    avatar: Option<String>,
    /// Null where the caller shares no chat with them
    #[oai(nullable)]
    is_online: Option<bool>,
    /// Null where the caller shares no chat with them, or never
    #[oai(nullable)]
    last_seen: Option<Instant>,
}

impl Example for User {
    fn example() -> Self {
        Self {
            id: 1,
            username: "john_doe".to_owned(),
            first_name: "John".to_owned(),
            last_name: "Doe".to_owned(),
            avatar: None,
            is_online: Some(true),
            last_seen: Some(later()),
        }
    }
}

/// One's own account.
#[derive(Object)]
#[oai(example)]
pub(crate) struct Account {
    id: i64,
    username: String,
    /// May be empty
    first_name: String,
    /// May be empty
    last_name: String,
    /// The picture's address
    #[oai(nullable)]
    avatar: Option<String>,
    #[oai(nullable)]
    is_online: Option<bool>,
    #[oai(nullable)]
    last_seen: Option<Instant>,
    /// May be empty
    email: String,
    /// Operators of support chats
    is_staff: bool,
    is_active: bool,
    date_joined: Instant,
}

impl Example for Account {
    fn example() -> Self {
        let User {
            id,
            username,
            first_name,
            last_name,
            avatar,
            is_online,
            last_seen,
        } = User::example();
        let email = "john@example.org".to_owned();
        let (is_staff, is_active, date_joined) = (false, true, earlier());
        Self {
            id,
            username,
            first_name,
            last_name,
            avatar,
            is_online,
            last_seen,
            email,
            is_staff,
            is_active,
            date_joined,
        }
    }
}

/// An account to be made.
#[derive(Object)]
#[oai(example)]
struct Registering {
    /// Letters, digits and `@.+-_`
    #[oai(validator(max_length = 150))]
    username: String,
    /// At least 8 characters
    password: String,
    #[oai(validator(max_length = 254))]
    email: Option<String>,
    #[oai(validator(max_length = 150))]
    first_name: Option<String>,
    #[oai(validator(max_length = 150))]
    last_name: Option<String>,
}

impl FromFields for Registering {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username", Text::new().at_most(NAME_CHARS));
        let password = fields.required("password", Text::new().at_most(PASSWORD_CHARS));
        let email = fields.optional("email", Text::new().at_most(EMAIL_CHARS).or_blank());
        let first_name = fields.optional("first_name", Text::new().at_most(NAME_CHARS).or_blank());
        let last_name = fields.optional("last_name", Text::new().at_most(NAME_CHARS).or_blank());
        Some(Self {
            username: username?,
            password: password?,
            email,
            first_name,
            last_name,
        })
    }
}

impl Example for Registering {
    fn example() -> Self {
        Self {
            username: "john_doe".to_owned(),
            password: "correct horse 1".to_owned(),
            email: Some("john@example.org".to_owned()),
            first_name: Some("John".to_owned()),
            last_name: Some("Doe".to_owned()),
        }
    }
}

/// What a user may change of their own account.
#[derive(Object)]
#[oai(example)]
struct AccountPatch {
    #[oai(validator(max_length = 150))]
    username: Option<String>,
    #[oai(validator(max_length = 254))]
    email: Option<String>,
    #[oai(validator(max_length = 150))]
    first_name: Option<String>,
    #[oai(validator(max_length = 150))]
    last_name: Option<String>,
}

impl FromFields for AccountPatch {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let username = fields.optional("username", Text::new().at_most(NAME_CHARS));
        let email = fields.optional("email", Text::new().at_most(EMAIL_CHARS).or_blank());
        let first_name = fields.optional("first_name", Text::new().at_most(NAME_CHARS).or_blank());
        let last_name = fields.optional("last_name", Text::new().at_most(NAME_CHARS).or_blank());
        Some(Self {
            username,
            email,
            first_name,
            last_name,
        })
    }
}

impl Example for AccountPatch {
    fn example() -> Self {
        Self {
            username: None,
            email: None,
            first_name: Some("Johnny".to_owned()),
            last_name: None,
        }
    }
}

/// What staff may change of an account.
#[derive(Object)]
#[oai(example)]
struct Standing {
    /// Deactivation ends all sessions and sockets
    is_active: Option<bool>,
    is_staff: Option<bool>,
}

impl FromFields for Standing {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let is_active = fields.optional("is_active", Flag);
        Some(Self {
            is_active,
            is_staff: fields.optional("is_staff", Flag),
        })
    }
}

impl Example for Standing {
    fn example() -> Self {
        Self {
            is_active: Some(false),
            is_staff: None,
        }
    }
}

/// A new password.
#[derive(Object)]
#[oai(example)]
struct PasswordChange {
    old_password: String,
    /// At least 8 characters
    new_password: String,
}

impl FromFields for PasswordChange {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let old_password = fields.required("old_password", Text::new().at_most(PASSWORD_CHARS));
        let new_password = fields.required("new_password", Text::new().at_most(PASSWORD_CHARS));
        Some(Self {
            old_password: old_password?,
            new_password: new_password?,
        })
    }
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self {
            old_password: "correct horse 1".to_owned(),
            new_password: "quiet harbour 1987".to_owned(),
        }
    }
}

/// The form in which a password that isn't taken is told.
fn password_problem(error: PasswordError) -> Problem {
    match error {
        PasswordError::SignIn(SignInError::NoAccount) => {
            Problem::field("old_password", "Invalid password.")
        }
        PasswordError::SignIn(error) => error.into(),
        PasswordError::Weak(reasons) => {
            let mut complaints = Complaints::default();
            for reason in reasons {
                complaints.add("new_password", reason);
            }
            Problem::fields(complaints)
        }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl Users {
    /// Register
    ///
    /// Open to everybody, to staff, or to nobody, as the service is set up (`REGISTRATION`).
    #[oai(path = "/api/users/", method = "post", operation_id = "users_register")]
    async fn register(
        &self,
        visitor: Visitor,
        body: Body<Registering>,
    ) -> Result<
        Created<Account>,
        Refused<{ INVALID | ANONYMOUS | FORBIDDEN | THROTTLED | UNAVAILABLE }>,
    > {
        let users = &visitor.edge.domain.users;
        if users.registration() == Registration::Staff && visitor.actor.is_none() {
            return Err(Problem::not_signed_in().into());
        }
        let Body(Registering {
            username,
            password,
            email,
            first_name,
            last_name,
        }) = body;
        let new = NewUser {
            username,
            password,
            email: email.unwrap_or_default(),
            first_name: first_name.unwrap_or_default(),
            last_name: last_name.unwrap_or_default(),
        };
        let account = users
            .register(visitor.actor.as_ref(), new, visitor.address())
            .await;
        let account = account.map_err(Problem::all_of)?;
        let location = format!("/api/users/{}/", account.profile.id);
        Ok(Drf::of(&AccountView::from(&account))?.created(location))
    }

    /// List or search people
    #[oai(path = "/api/users/", method = "get", operation_id = "users_list")]
    async fn list(
        &self,
        caller: SignedIn,
        /// A part of a name
        search: Query<String>,
        /// From 1, or `last`
        page: Query<PageNumber>,
        /// At most 100
        page_size: Query<PageSize>,
        here: Here,
    ) -> Result<Drf<Page<User>>, Refused<MEMBER>> {
        let search = search.0.filter(|search| !search.trim().is_empty());
        let users = &caller.domain().users;
        let page = numbered(page.0, page_size.0, &here.0, |page, size| {
            users.list(&caller.actor, search.as_deref(), page, size)
        })
        .await?;
        Ok(Drf::of(&page.shown::<UserView<'_>>())?)
    }

    /// See somebody's page
    #[oai(path = "/api/users/:id/", method = "get", operation_id = "users_find")]
    async fn find(&self, caller: SignedIn, id: Path<i64>) -> Result<Drf<User>, Refused<MEMBER>> {
        let account = caller
            .domain()
            .users
            .find(&caller.actor, UserId(id.0))
            .await?;
        Ok(Drf::of(&UserView::from(&account))?)
    }

    /// Change somebody's standing, as staff
    #[oai(
        path = "/api/users/:id/",
        method = "patch",
        operation_id = "users_update"
    )]
    async fn update(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        body: Body<Standing>,
    ) -> Result<Drf<Account>, Refused<{ MEMBER | FORBIDDEN | INVALID }>> {
        let Body(Standing {
            is_active,
            is_staff,
        }) = body;
        let patch = StaffPatch {
            is_active,
            is_staff,
        };
        let users = &caller.domain().users;
        let account = users
            .update_as_staff(&caller.actor, UserId(id.0), patch)
            .await?;
        Ok(Drf::of(&AccountView::from(&account))?)
    }

    /// See one's own account
    #[oai(path = "/api/users/me/", method = "get", operation_id = "me_find")]
    async fn me(&self, caller: SignedIn) -> Result<Drf<Account>, Refused<SIGNED_IN>> {
        let account = caller
            .domain()
            .users
            .find(&caller.actor, caller.actor.id())
            .await?;
        Ok(Drf::of(&AccountView::from(&account))?)
    }

    /// Change one's own account
    #[oai(path = "/api/users/me/", method = "patch", operation_id = "me_update")]
    async fn update_me(
        &self,
        caller: SignedIn,
        body: Body<AccountPatch>,
    ) -> Result<Drf<Account>, Refused<{ SIGNED_IN | INVALID }>> {
        let Body(AccountPatch {
            username,
            email,
            first_name,
            last_name,
        }) = body;
        let patch = UserPatch {
            username,
            email,
            first_name,
            last_name,
        };
        let account = caller.domain().users.update(&caller.actor, patch).await;
        let account = account.map_err(Problem::all_of)?;
        Ok(Drf::of(&AccountView::from(&account))?)
    }

    /// Delete one's own account
    ///
    /// Sessions and sockets end, names and e-mail are emptied, memberships end. Messages stay.
    #[oai(path = "/api/users/me/", method = "delete", operation_id = "me_delete")]
    async fn delete_me(&self, caller: SignedIn) -> Result<NoContent, Refused<SIGNED_IN>> {
        caller.domain().users.delete(&caller.actor).await?;
        Ok(NoContent)
    }

    /// Change one's own password
    ///
    /// All sessions end, everywhere; the answer has the tokens of a new one.
    #[oai(
        path = "/api/users/me/password/",
        method = "post",
        operation_id = "me_password"
    )]
    async fn password(
        &self,
        caller: SignedIn,
        visitor: Visitor,
        body: Body<PasswordChange>,
    ) -> Result<Drf<TokenPair>, Refused<{ SIGNED_IN | INVALID | THROTTLED }>> {
        let Body(PasswordChange {
            old_password,
            new_password,
        }) = body;
        let (address, client) = (visitor.address(), &visitor.client);
        let sessions = &caller.domain().sessions;
        let pair = sessions
            .change_password(&caller.actor, &old_password, &new_password, address, client)
            .await
            .map_err(password_problem)?;
        Ok(Drf::of(&TokenPair::from(pair))?)
    }

    /// Block somebody
    ///
    /// They can't open a personal chat with the caller, add them to a group, or send in their chat.
    #[oai(
        path = "/api/users/:id/block/",
        method = "put",
        operation_id = "users_block"
    )]
    async fn block(
        &self,
        caller: SignedIn,
        id: Path<i64>,
    ) -> Result<NoContent, Refused<{ MEMBER | INVALID }>> {
        caller
            .domain()
            .users
            .block(&caller.actor, UserId(id.0))
            .await?;
        Ok(NoContent)
    }

    /// Unblock somebody
    #[oai(
        path = "/api/users/:id/block/",
        method = "delete",
        operation_id = "users_unblock"
    )]
    async fn unblock(&self, caller: SignedIn, id: Path<i64>) -> Result<NoContent, Refused<MEMBER>> {
        caller
            .domain()
            .users
            .unblock(&caller.actor, UserId(id.0))
            .await?;
        Ok(NoContent)
    }
}
