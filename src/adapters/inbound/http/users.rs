//! One's own account.
//!
//! Not here: everybody's accounts (`admin`), signing in (`auth`).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_application::{
    auth::AuthService,
    ports::freshness::Freshness,
    users::{UserError, UserService},
};
use dlc_domain::users::{ProfileText, User, UserChange};
use poem::Request;
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    payload::Json,
    types::{Example, MaybeUndefined},
};

use super::{
    bearer::SignedIn,
    body::JsonBody,
    done::Done,
    door::Door,
    fields::Fields,
    freshness::ReadAfter,
    preconditions::IfMatch,
    problem::{Problem, problems},
    scalars::{ChosenPassword, EXAMPLE_TIME, LongText, TypedPassword},
};

#[derive(Tags)]
enum Tag {
    /// One's own account.
    Users,
}

/// An account, as its owner sees it.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct UserView {
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
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was changed last. Signing in is no change.
    updated_at: DateTime<Utc>,
    /// When its owner signed in last.
    #[oai(nullable)]
    last_login: Option<DateTime<Utc>>,
}

impl Example for UserView {
    fn example() -> Self {
        Self {
            id: 1,
            username: "ada".to_owned(),
            description: Some("Dances salsa on two.".to_owned()),
            current_goal: Some("a clean cross-body lead".to_owned()),
            is_admin: false,
            created_at: EXAMPLE_TIME,
            updated_at: EXAMPLE_TIME,
            last_login: None,
        }
    }
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let text = |text: &Option<ProfileText>| text.as_ref().map(|text| text.as_str().to_owned());
        Self {
            id: user.id.0,
            username: user.username.to_string(),
            description: text(&user.description),
            current_goal: text(&user.current_goal),
            is_admin: user.is_admin,
            created_at: user.created_at,
            updated_at: user.updated_at,
            last_login: user.last_login,
        }
    }
}

/// What is to be changed of one's account. What is not there stays as it is, `null` takes it away.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct ChangeMeBody {
    /// What one tells of oneself: 1–2000 characters, not blank.
    #[oai(nullable)]
    description: MaybeUndefined<LongText>,
    /// What one works towards: 1–2000 characters, not blank.
    #[oai(nullable)]
    current_goal: MaybeUndefined<LongText>,
}

impl Example for ChangeMeBody {
    fn example() -> Self {
        Self {
            description: MaybeUndefined::Null,
            current_goal: MaybeUndefined::Value(LongText("a clean cross-body lead".to_owned())),
        }
    }
}

/// One's present password, and the next one.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct ChangePasswordBody {
    /// The one that one has.
    current_password: TypedPassword,
    /// 12–128 characters (an installation may ask for 8 only), not one that is tried first.
    new_password: ChosenPassword,
}

impl Example for ChangePasswordBody {
    fn example() -> Self {
        Self {
            current_password: TypedPassword("tulip ferry onyx moss".to_owned()),
            new_password: ChosenPassword("heron slate 7 kiosks".to_owned()),
        }
    }
}

#[derive(ApiResponse)]
enum FoundMe {
    /// The account.
    #[oai(status = 200)]
    Found(
        Json<UserView>,
        /// Names this state of it, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

impl From<&User> for FoundMe {
    fn from(user: &User) -> Self {
        Self::Found(Json(UserView::from(user)), etag(user))
    }
}

problems!(FindMeProblem {
    400 => "`validation_failed`: `X-Dlc-Read-After` is no position",
    401 => "`authentication_required`, `invalid_token`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(ChangeMeProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`authentication_required`, `invalid_token`",
    408 => "`body_timeout`: the body did not come in time",
    412 => "`precondition_failed`: it was changed since; look at it again",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    428 => "`precondition_required`: send the `ETag` as `If-Match`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(DeleteMeProblem {
    401 => "`authentication_required`, `invalid_token`",
    409 => "`last_administrator`: make somebody else one first",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(ChangePasswordProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`authentication_required`, `invalid_token`",
    403 => "`wrong_password`: the present password is not right",
    408 => "`body_timeout`: the body did not come in time",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    429 => "`too_many_failures` under this name; `rate_limited`: too many tries from this address. Ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

/// Names one state of an account.
pub(super) fn etag(user: &User) -> String {
    format!("\"{}-{}\"", user.id, user.updated_at.timestamp_micros())
}

/// Parses what is to become of a text.
pub(super) fn text(fields: &mut Fields, name: &str, given: MaybeUndefined<LongText>) -> Option<Option<ProfileText>> {
    match given {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(text) => fields.take(name, ProfileText::parse(text.0)).map(Some),
    }
}

/// Whoever is signed in has an account; if it is gone by now, so is their session.
fn gone(error: UserError) -> Problem {
    match error {
        UserError::Unknown => Problem::invalid_token(),
        other => other.into(),
    }
}

pub(super) struct UsersApi {
    users: Arc<UserService>,
    auth: Arc<AuthService>,
    door: Arc<Door>,
}

impl UsersApi {
    pub(super) fn new(users: &Arc<UserService>, auth: &Arc<AuthService>, door: &Arc<Door>) -> Self {
        Self {
            users: Arc::clone(users),
            auth: Arc::clone(auth),
            door: Arc::clone(door),
        }
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Users")]
impl UsersApi {
    /// Look at one's account
    #[oai(path = "/users/me", method = "get", operation_id = "getMe")]
    async fn find(
        &self,
        who: SignedIn,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<FoundMe, FindMeProblem> {
        let user = self.users.find(who.0.id, fresh.0).await.map_err(gone)?;
        Ok(FoundMe::from(&user))
    }

    /// Change one's account
    #[oai(path = "/users/me", method = "patch", operation_id = "changeMe")]
    async fn change(
        &self,
        request: &Request,
        who: SignedIn,
        /// The `ETag` of the account as it was seen; a list of them, or `*`.
        #[oai(name = "If-Match")]
        seen: IfMatch<'_>,
        body: JsonBody<ChangeMeBody>,
    ) -> Result<FoundMe, ChangeMeProblem> {
        let mut fields = Fields::default();
        let change = UserChange {
            description: text(&mut fields, "description", body.0.description),
            current_goal: text(&mut fields, "current_goal", body.0.current_goal),
            is_admin: None,
        };
        fields.passed()?;
        let user = self.users.find(who.0.id, Freshness::Current).await.map_err(gone)?;
        seen.names(&etag(&user))?;
        let caller = self.door.caller(request, Some(&who.0));
        let expected = seen.is_one().then_some(user.updated_at);
        let changed = self.users.change(user.id, expected, &change, caller);
        Ok(FoundMe::from(&changed.await.map_err(gone)?))
    }

    /// Delete one's account
    ///
    /// Its owner is signed out everywhere. Its name stays taken, and an administrator can restore it until it is purged.
    #[oai(path = "/users/me", method = "delete", operation_id = "deleteMe")]
    async fn delete(&self, request: &Request, who: SignedIn) -> Result<Done, DeleteMeProblem> {
        let caller = self.door.caller(request, Some(&who.0));
        self.users.delete(who.0.id, caller).await.map_err(gone)?;
        Ok(Done::Done)
    }

    /// Change one's password
    ///
    /// One is signed out everywhere, here too.
    #[oai(path = "/users/me/password", method = "put", operation_id = "changePassword")]
    async fn change_password(
        &self,
        request: &Request,
        who: SignedIn,
        body: JsonBody<ChangePasswordBody>,
    ) -> Result<Done, ChangePasswordProblem> {
        let mut fields = Fields::default();
        let present = fields.password("current_password", body.0.current_password.0);
        let new = fields.typed("new_password", body.0.new_password.0);
        let (Some(present), Some(new)) = (present, new) else {
            return Err(fields.problem().into());
        };
        let caller = self.door.caller(request, Some(&who.0));
        self.auth.change_password(&who.0, &present, new, caller).await?;
        Ok(Done::Done)
    }
}
