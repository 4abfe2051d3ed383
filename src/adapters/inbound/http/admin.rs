//! Everybody's accounts, for administrators.
//!
//! Not here: one's own account (`users`); making accounts is `auth`'s, whoever does it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_application::{
    ports::{cursors::CursorSeal, freshness::Freshness, users::UserFilter},
    users::{ResetCode, UserError, UserService},
};
use dlc_domain::users::{ProfileText, User, UserChange, UserId};
use poem::Request;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
    types::{Example, MaybeUndefined},
};
use secrecy::ExposeSecret;

use super::{
    bearer::Administrator,
    body::JsonBody,
    done::Done,
    door::Door,
    fields::Fields,
    freshness::ReadAfter,
    pages::{List, PageLimit, Place},
    preconditions::IfMatch,
    problem::{Problem, problems},
    scalars::{EXAMPLE_TIME, Id, LongText},
    users::{etag, text},
};

/// The list's path.
const LIST: &str = "/api/v1/admin/users";

#[derive(Tags)]
enum Tag {
    /// Everybody's accounts, for administrators.
    Administration,
}

/// An account, as administrators see it.
#[derive(Debug, Object)]
#[oai(example)]
struct AdminUserView {
    /// Its number.
    id: i32,
    /// Its name.
    username: String,
    /// What its owner tells of themself.
    #[oai(nullable)]
    description: Option<String>,
    /// What its owner works towards.
    #[oai(nullable)]
    current_goal: Option<String>,
    /// Whether its owner administrates.
    is_admin: bool,
    /// Whether its owner may set a new password, with the code that goes with it.
    allow_password_reset: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was changed last. Signing in is no change.
    updated_at: DateTime<Utc>,
    /// Since when it is deleted.
    #[oai(nullable)]
    deleted_at: Option<DateTime<Utc>>,
    /// When its owner signed in last.
    #[oai(nullable)]
    last_login: Option<DateTime<Utc>>,
}

impl Example for AdminUserView {
    fn example() -> Self {
        Self {
            id: 1,
            username: "ada".to_owned(),
            description: Some("Dances salsa on two.".to_owned()),
            current_goal: Some("a clean cross-body lead".to_owned()),
            is_admin: false,
            allow_password_reset: false,
            created_at: EXAMPLE_TIME,
            updated_at: EXAMPLE_TIME,
            deleted_at: None,
            last_login: None,
        }
    }
}

impl From<&User> for AdminUserView {
    fn from(user: &User) -> Self {
        let text = |text: &Option<ProfileText>| text.as_ref().map(|text| text.as_str().to_owned());
        Self {
            id: user.id.0,
            username: user.username.to_string(),
            description: text(&user.description),
            current_goal: text(&user.current_goal),
            is_admin: user.is_admin,
            allow_password_reset: user.allow_password_reset,
            created_at: user.created_at,
            updated_at: user.updated_at,
            deleted_at: user.deleted_at,
            last_login: user.last_login,
        }
    }
}

/// Accounts, in the order of their numbers.
#[derive(Debug, Object)]
#[oai(example)]
struct UserPageView {
    /// The accounts of this page.
    items: Vec<AdminUserView>,
    /// For the next page; `null` on the last one.
    #[oai(nullable)]
    next_cursor: Option<String>,
}

impl Example for UserPageView {
    fn example() -> Self {
        Self {
            items: vec![AdminUserView::example()],
            next_cursor: None,
        }
    }
}

/// What is to be changed of an account. What is not there stays as it is, `null` takes a text away.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct ChangeUserBody {
    /// What its owner tells of themself: 1–2000 characters, not blank.
    #[oai(nullable)]
    description: MaybeUndefined<LongText>,
    /// What its owner works towards: 1–2000 characters, not blank.
    #[oai(nullable)]
    current_goal: MaybeUndefined<LongText>,
    /// Whether its owner administrates; `null` leaves it as it is. Whoever does not any more has to renew the access token.
    #[oai(nullable)]
    is_admin: Option<bool>,
}

impl Example for ChangeUserBody {
    fn example() -> Self {
        Self {
            description: MaybeUndefined::Undefined,
            current_goal: MaybeUndefined::Undefined,
            is_admin: Some(true),
        }
    }
}

/// A code for a new password.
#[derive(Object)]
#[oai(example)]
struct ResetCodeView {
    /// The code. It is told this once; pass it on to the account's owner.
    code: String,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
}

impl Example for ResetCodeView {
    fn example() -> Self {
        Self {
            code: "7K3Q9-XW2M-4TB0-PZD6-HVN8-RCF1A".to_owned(),
            expires_at: EXAMPLE_TIME,
        }
    }
}

impl From<ResetCode> for ResetCodeView {
    fn from(reset: ResetCode) -> Self {
        Self {
            code: reset.code.expose_secret().to_owned(),
            expires_at: reset.expires_at,
        }
    }
}

/// Which accounts are listed.
#[derive(Clone, Copy, Debug, Default, Enum)]
#[oai(rename_all = "lowercase")]
enum UserState {
    /// Those that can be used.
    #[default]
    Active,
    /// Deleted ones.
    Deleted,
    /// Both.
    All,
}

impl UserState {
    fn filter(self) -> (UserFilter, &'static str) {
        match self {
            Self::Active => (UserFilter::Active, "state=active"),
            Self::Deleted => (UserFilter::Deleted, "state=deleted"),
            Self::All => (UserFilter::All, "state=all"),
        }
    }
}

impl Place for UserId {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

#[derive(ApiResponse)]
enum FoundUsers {
    /// A page of accounts.
    #[oai(status = 200)]
    Page(
        Json<UserPageView>,
        /// The next page, as `rel="next"`; not on the last one.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum FoundUser {
    /// The account.
    #[oai(status = 200)]
    Found(
        Json<AdminUserView>,
        /// Names this state of it, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

impl From<&User> for FoundUser {
    fn from(user: &User) -> Self {
        Self::Found(Json(AdminUserView::from(user)), etag(user))
    }
}

problems!(ListUsersProblem {
    400 => "`validation_failed`; `invalid_cursor`: the cursor is not one of this list",
    401 => "`authentication_required`, `invalid_token`",
    403 => "`not_allowed`: this is for administrators",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(FindUserProblem {
    400 => "`validation_failed`: `X-Dlc-Read-After` is no position",
    401 => "`authentication_required`, `invalid_token`",
    403 => "`not_allowed`: this is for administrators",
    404 => "`user_not_found`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(ReachUserProblem {
    400 => "`validation_failed`: the path is not percent-encoded UTF-8",
    401 => "`authentication_required`, `invalid_token`",
    403 => "`not_allowed`: this is for administrators",
    404 => "`user_not_found`",
    408 => "`body_timeout`: the body did not come in time",
    413 => "`body_too_large`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(ChangeUserProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`authentication_required`, `invalid_token`",
    403 => "`not_allowed`: this is for administrators",
    404 => "`user_not_found`: there is none, or it is deleted",
    408 => "`body_timeout`: the body did not come in time",
    409 => "`last_administrator`: make somebody else one first",
    412 => "`precondition_failed`: it was changed since; look at it again",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    428 => "`precondition_required`: send the `ETag` as `If-Match`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(DeleteUserProblem {
    400 => "`validation_failed`: the path is not percent-encoded UTF-8",
    401 => "`authentication_required`, `invalid_token`",
    403 => "`not_allowed`: this is for administrators",
    404 => "`user_not_found`: there is none, or it is deleted",
    409 => "`last_administrator`: make somebody else one first",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

pub(super) struct AdminApi {
    users: Arc<UserService>,
    seal: Arc<dyn CursorSeal>,
    door: Arc<Door>,
}

impl AdminApi {
    pub(super) fn new(users: &Arc<UserService>, seal: &Arc<dyn CursorSeal>, door: &Arc<Door>) -> Self {
        Self {
            users: Arc::clone(users),
            seal: Arc::clone(seal),
            door: Arc::clone(door),
        }
    }
}

/// Whose account; what is no number is nobody's.
fn known(id: Id) -> Result<UserId, Problem> {
    id.0.map(UserId).ok_or_else(|| UserError::Unknown.into())
}

#[OpenApi(prefix_path = "/api/v1/admin", tag = "Tag::Administration")]
impl AdminApi {
    /// List accounts
    #[oai(path = "/users", method = "get", operation_id = "listUsers")]
    async fn list(
        &self,
        who: Administrator,
        /// How many there are on a page at most.
        #[oai(default)]
        limit: Query<PageLimit>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// Which accounts.
        #[oai(default)]
        state: Query<UserState>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<FoundUsers, ListUsersProblem> {
        let (filter, written) = state.0.filter();
        let list = List {
            seal: &self.seal,
            path: LIST,
            whose: Some(who.0.id),
            filter: written.to_owned(),
            limit: limit.0,
        };
        let after = list.after(cursor.0.as_deref())?;
        let users = self.users.page(filter, after, list.wanted(), fresh.0).await?;
        let page = list.page(users, |last| last.id);
        let view = UserPageView {
            items: page.items,
            next_cursor: page.next_cursor,
        };
        Ok(FoundUsers::Page(Json(view), page.link))
    }

    /// Look at an account, deleted or not
    #[oai(path = "/users/:id", method = "get", operation_id = "getUser")]
    async fn find(
        &self,
        _who: Administrator,
        /// Its number.
        id: Path<Id>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<FoundUser, FindUserProblem> {
        let user = self.users.find(known(id.0)?, fresh.0).await?;
        Ok(FoundUser::from(&user))
    }

    /// Change an account
    #[oai(path = "/users/:id", method = "patch", operation_id = "changeUser")]
    async fn change(
        &self,
        request: &Request,
        who: Administrator,
        /// Its number.
        id: Path<Id>,
        /// The `ETag` of the account as it was seen; a list of them, or `*`.
        #[oai(name = "If-Match")]
        seen: IfMatch<'_>,
        body: JsonBody<ChangeUserBody>,
    ) -> Result<FoundUser, ChangeUserProblem> {
        let mut fields = Fields::default();
        let change = UserChange {
            description: text(&mut fields, "description", body.0.description),
            current_goal: text(&mut fields, "current_goal", body.0.current_goal),
            is_admin: body.0.is_admin,
        };
        fields.passed()?;
        let user = self.users.find(known(id.0)?, Freshness::Current).await?;
        if user.deleted_at.is_some() {
            return Err(UserError::Unknown.into());
        }
        seen.names(&etag(&user))?;
        let caller = self.door.caller(request, Some(&who.0));
        let expected = seen.is_one().then_some(user.updated_at);
        let changed = self.users.change(user.id, expected, &change, caller);
        Ok(FoundUser::from(&changed.await?))
    }

    /// Delete an account
    ///
    /// Its owner is signed out everywhere. Its name stays taken, and it can be restored until it is purged.
    #[oai(path = "/users/:id", method = "delete", operation_id = "deleteUser")]
    async fn delete(
        &self,
        request: &Request,
        who: Administrator,
        /// Its number.
        id: Path<Id>,
    ) -> Result<Done, DeleteUserProblem> {
        let caller = self.door.caller(request, Some(&who.0));
        self.users.delete(known(id.0)?, caller).await?;
        Ok(Done::Done)
    }

    /// Restore a deleted account
    #[oai(path = "/users/:id/restore", method = "post", operation_id = "restoreUser")]
    async fn restore(
        &self,
        request: &Request,
        who: Administrator,
        /// Its number.
        id: Path<Id>,
    ) -> Result<FoundUser, ReachUserProblem> {
        let caller = self.door.caller(request, Some(&who.0));
        let user = self.users.restore(known(id.0)?, caller).await?;
        Ok(FoundUser::from(&user))
    }

    /// Let an account's owner set a new password
    ///
    /// The code is told here and nowhere else; an earlier one is worthless from now on.
    #[oai(
        path = "/users/:id/password-reset",
        method = "post",
        operation_id = "allowPasswordReset"
    )]
    async fn allow_reset(
        &self,
        request: &Request,
        who: Administrator,
        /// Its number.
        id: Path<Id>,
    ) -> Result<Json<ResetCodeView>, ReachUserProblem> {
        let caller = self.door.caller(request, Some(&who.0));
        let reset = self.users.allow_reset(known(id.0)?, caller).await?;
        Ok(Json(ResetCodeView::from(reset)))
    }
}
