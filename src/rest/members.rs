//! Who belongs to a chat: adding, roles, removing, leaving.

use entity::{ChatId, UserId};
use poem_openapi::{Object, OpenApi, param::Path, types::Example};

use crate::{
    rest::{
        answer::{Created, Drf, NoContent},
        body::Body,
        chats::MEMBERS_MAX,
        fields::{Fields, FromFields},
        pagination::{Here, Page as PageNumber, PageSize, numbered},
        query::Query,
        refused::{FORBIDDEN, INVALID, MEMBER, Refused},
        rules::{Choice, Keys},
        schema::{Instant, Page, Profile, Role, Tag, earlier},
        signed_in::SignedIn,
    },
    view::MemberView,
};

const ROLES: &[(&str, Role)] = &[
    ("owner", Role::Owner),
    ("admin", Role::Admin),
    ("member", Role::Member),
];

pub(crate) struct Members;

/// A user's membership of a chat.
#[derive(Object)]
#[oai(example)]
struct Member {
    user: Profile,
    role: Role,
    joined_at: Instant,
    /// How far they have read
    last_read_seq: i64,
}

impl Example for Member {
    fn example() -> Self {
        Self {
            user: Profile::example(),
            role: Role::Member,
            joined_at: earlier(),
            last_read_seq: 42,
        }
    }
}

/// Whom to add.
#[derive(Object)]
#[oai(example)]
struct Additions {
    /// Ids of users
    #[oai(validator(max_items = 1000))]
    members: Vec<i64>,
    /// `member` where not given
    role: Option<Role>,
}

impl FromFields for Additions {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let members = fields.required(
            "members",
            Keys {
                count_max: MEMBERS_MAX,
            },
        );
        let role = fields.optional("role", Choice(ROLES));
        Some(Self {
            members: members?,
            role,
        })
    }
}

impl Example for Additions {
    fn example() -> Self {
        Self {
            members: vec![2, 3],
            role: None,
        }
    }
}

/// A member's new role. `owner` hands the chat over: the caller becomes an admin.
#[derive(Object)]
#[oai(example)]
struct RoleChange {
    role: Role,
}

impl FromFields for RoleChange {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            role: fields.required("role", Choice(ROLES))?,
        })
    }
}

impl Example for RoleChange {
    fn example() -> Self {
        Self { role: Role::Admin }
    }
}

#[OpenApi(tag = "Tag::Members")]
impl Members {
    /// List a chat's members, longest-standing first
    #[oai(
        path = "/api/chats/:id/members/",
        method = "get",
        operation_id = "members_list"
    )]
    async fn list(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        /// From 1, or `last`
        page: Query<PageNumber>,
        /// At most 100
        page_size: Query<PageSize>,
        here: Here,
    ) -> Result<Drf<Page<Member>>, Refused<MEMBER>> {
        let members = &caller.domain().members;
        let page = numbered(page.0, page_size.0, &here.0, |page, size| {
            members.list(&caller.actor, ChatId(id.0), page, size)
        })
        .await?;
        Ok(Drf::of(&page.shown::<MemberView<'_>>())?)
    }

    /// Add people to a group or room
    ///
    /// Who is a member already stays as they are. Whoever was barred isn't any more.
    #[oai(
        path = "/api/chats/:id/members/",
        method = "post",
        operation_id = "members_add"
    )]
    async fn add(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        body: Body<Additions>,
    ) -> Result<Created<Vec<Member>>, Refused<{ MEMBER | INVALID | FORBIDDEN }>> {
        let Body(Additions { members, role }) = body;
        let users = members.into_iter().map(UserId).collect();
        let role = role.unwrap_or(Role::Member).into();
        let added = caller
            .domain()
            .members
            .add(&caller.actor, ChatId(id.0), users, role)
            .await?;
        let added: Vec<MemberView<'_>> = added.iter().map(MemberView::from).collect();
        Ok(Drf::of(&added)?.created(format!("/api/chats/{}/members/", id.0)))
    }

    /// See a member
    #[oai(
        path = "/api/chats/:id/members/:user_id/",
        method = "get",
        operation_id = "members_find"
    )]
    async fn find(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        user_id: Path<i64>,
    ) -> Result<Drf<Member>, Refused<MEMBER>> {
        let (chat, user) = (ChatId(id.0), UserId(user_id.0));
        let member = caller
            .domain()
            .members
            .find(&caller.actor, chat, user)
            .await?;
        Ok(Drf::of(&MemberView::from(&member))?)
    }

    /// Give a member another role
    #[oai(
        path = "/api/chats/:id/members/:user_id/",
        method = "patch",
        operation_id = "members_update"
    )]
    async fn update(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        user_id: Path<i64>,
        body: Body<RoleChange>,
    ) -> Result<Drf<Member>, Refused<{ MEMBER | INVALID | FORBIDDEN }>> {
        let (chat, user, role) = (ChatId(id.0), UserId(user_id.0), body.0.role.into());
        let member = caller
            .domain()
            .members
            .set_role(&caller.actor, chat, user, role)
            .await?;
        Ok(Drf::of(&MemberView::from(&member))?)
    }

    /// Remove a member, or leave
    ///
    /// Whoever is removed by another is barred until they are added again.
    #[oai(
        path = "/api/chats/:id/members/:user_id/",
        method = "delete",
        operation_id = "members_remove"
    )]
    async fn remove(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        user_id: Path<i64>,
    ) -> Result<NoContent, Refused<{ MEMBER | FORBIDDEN }>> {
        let (chat, user) = (ChatId(id.0), UserId(user_id.0));
        caller
            .domain()
            .members
            .remove(&caller.actor, chat, user)
            .await?;
        Ok(NoContent)
    }
}
