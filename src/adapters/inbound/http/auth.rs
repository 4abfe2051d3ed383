//! Registering, signing in and out, and new passwords for whoever has lost theirs.
//!
//! Nothing here takes an `Idempotency-Key`: an answer that is kept would be a token that is kept. Not here: how often an address may
//! try (`middleware/rates`), whether a token is good (`door`).

use std::sync::Arc;

use dlc_application::auth::{AuthService, Tokens};
use dlc_domain::users::{User, Username};
use poem::Request;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags, payload::Json, types::Example};
use secrecy::ExposeSecret;

use super::{
    bearer::{MaybeSignedIn, SignedIn},
    body::JsonBody,
    done::Done,
    door::Door,
    fields::Fields,
    problem::problems,
    scalars::{ChosenName, ChosenPassword, TypedPassword, TypedText},
    users::UserView,
};

#[derive(Tags)]
enum Tag {
    /// Registering, signing in and out. An access token is good for 15 minutes, a refresh token for 30 days and for one use.
    #[oai(rename = "Sessions")]
    Auth,
}

/// An account to be made.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct RegisterBody {
    /// Its name: 3–50 of the letters A to Z, digits, and `_ . -`; compared without case.
    username: ChosenName,
    /// 12–128 characters (an installation may ask for 8 only), not one that is tried first.
    password: ChosenPassword,
}

impl Example for RegisterBody {
    fn example() -> Self {
        Self {
            username: ChosenName("ada".to_owned()),
            password: ChosenPassword("tulip ferry onyx moss".to_owned()),
        }
    }
}

/// Who signs in.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct LoginBody {
    /// The account's name.
    username: TypedText,
    /// Its password.
    password: TypedPassword,
}

impl Example for LoginBody {
    fn example() -> Self {
        Self {
            username: TypedText("ada".to_owned()),
            password: TypedPassword("tulip ferry onyx moss".to_owned()),
        }
    }
}

/// A refresh token to be exchanged.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct RefreshBody {
    /// The last one that was given.
    refresh_token: TypedText,
}

impl Example for RefreshBody {
    fn example() -> Self {
        Self {
            refresh_token: TypedText("dlc_rt_…".to_owned()),
        }
    }
}

/// A new password, and the code that allows it.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct PasswordResetBody {
    /// The account's name.
    username: TypedText,
    /// The code that an administrator has passed on. Blanks, dashes and case in it do not matter.
    code: TypedText,
    /// 12–128 characters (an installation may ask for 8 only), not one that is tried first.
    new_password: ChosenPassword,
}

impl Example for PasswordResetBody {
    fn example() -> Self {
        Self {
            username: TypedText("ada".to_owned()),
            code: TypedText("7K3Q9-XW2M-4TB0-PZD6-HVN8-RCF1A".to_owned()),
            new_password: ChosenPassword("heron slate 7 kiosks".to_owned()),
        }
    }
}

/// What whoever has signed in is given.
#[derive(Object)]
#[oai(example)]
struct TokensView {
    /// Says who one is: `Authorization: Bearer …`.
    access_token: String,
    /// `Bearer`
    token_type: String,
    /// How long the access token is good, in seconds.
    expires_in: i64,
    /// Gets the next tokens, once.
    refresh_token: String,
}

impl Example for TokensView {
    fn example() -> Self {
        Self {
            access_token: "eyJhbGciOiJIUzI1NiJ9.…".to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: 900,
            refresh_token: RefreshBody::example().refresh_token.0,
        }
    }
}

impl From<&Tokens> for TokensView {
    fn from(tokens: &Tokens) -> Self {
        Self {
            access_token: tokens.access_token.expose_secret().to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token.expose_secret().to_owned(),
        }
    }
}

#[derive(ApiResponse)]
enum Registered {
    /// The account is made.
    #[oai(status = 201)]
    Created(
        Json<UserView>,
        /// Where to look at it.
        #[oai(header = "Location")]
        String,
    ),
}

problems!(RegisterProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`invalid_token`, `authentication_required`: a token was sent, and is not good",
    403 => "`registration_closed`: this installation's accounts are made by administrators, or on the command line",
    408 => "`body_timeout`: the body did not come in time",
    409 => "`username_taken`: the name is an account's, maybe a deleted one's",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(LoginProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`invalid_credentials`: the name or the password is not right, or the account is deleted",
    408 => "`body_timeout`: the body did not come in time",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    429 => "`too_many_failures` under this name, whether or not it is an account's; `rate_limited`: too many tries from this address. Ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(RefreshProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`invalid_refresh_token`: it is not good, or not any more; sign in again",
    408 => "`body_timeout`: the body did not come in time",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(LogoutProblem {
    401 => "`authentication_required`, `invalid_token`",
    408 => "`body_timeout`: the body did not come in time",
    413 => "`body_too_large`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(PasswordResetProblem {
    400 => "`reset_refused`: the name, the code or the time is not right; `validation_failed`: the new password is not good enough, whatever the code; `invalid_body`",
    408 => "`body_timeout`: the body did not come in time",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

pub(super) struct AuthApi {
    auth: Arc<AuthService>,
    door: Arc<Door>,
}

impl AuthApi {
    pub(super) fn new(auth: &Arc<AuthService>, door: &Arc<Door>) -> Self {
        Self {
            auth: Arc::clone(auth),
            door: Arc::clone(door),
        }
    }
}

/// Where whoever made an account finds it.
fn place_of(user: &User, by_admin: bool) -> String {
    if by_admin {
        format!("/api/v1/admin/users/{}", user.id)
    } else {
        "/api/v1/users/me".to_owned()
    }
}

#[OpenApi(prefix_path = "/api/v1/auth", tag = "Tag::Auth")]
impl AuthApi {
    /// Make an account
    ///
    /// For oneself, or for somebody else where an administrator asks. Nobody is signed in by it.
    #[oai(path = "/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        request: &Request,
        by: MaybeSignedIn,
        body: JsonBody<RegisterBody>,
    ) -> Result<Registered, RegisterProblem> {
        self.door.database_at_hand()?;
        let (RegisterBody { username, password }, by) = (body.0, by.0);
        let mut fields = Fields::default();
        let username = fields.take("username", Username::parse(username.0));
        let password = fields.typed("password", password.0);
        let (Some(username), Some(password)) = (username, password) else {
            return Err(fields.problem().into());
        };
        let caller = self.door.caller(request, by.as_ref());
        let user = self.auth.register(username, password, by.as_ref(), caller).await?;
        let by_admin = by.is_some_and(|principal| principal.is_admin);
        Ok(Registered::Created(
            Json(UserView::from(&user)),
            place_of(&user, by_admin),
        ))
    }

    /// Sign in
    ///
    /// Unknown names, wrong passwords and deleted accounts are refused alike. After five failures under a name, each further one
    /// takes longer, up to 15 minutes.
    #[oai(path = "/login", method = "post", operation_id = "login")]
    async fn login(&self, request: &Request, body: JsonBody<LoginBody>) -> Result<Json<TokensView>, LoginProblem> {
        self.door.database_at_hand()?;
        let LoginBody { username, password } = body.0;
        let mut fields = Fields::default();
        // Whatever cannot be a name is nobody's, and is refused like one.
        let username = fields.typed("username", username.0);
        let password = fields.password("password", password.0);
        let (Some(username), Some(password)) = (username, password) else {
            return Err(fields.problem().into());
        };
        let caller = self.door.caller(request, None);
        let tokens = self.auth.sign_in(&username, &password, caller).await?;
        Ok(Json(TokensView::from(&tokens)))
    }

    /// Stay signed in
    ///
    /// Exchanges a refresh token for new tokens. It is good for one use; a second within 10 seconds is taken for a lost answer,
    /// a later one for theft, and ends the session.
    #[oai(path = "/refresh", method = "post", operation_id = "refresh")]
    async fn refresh(
        &self,
        request: &Request,
        body: JsonBody<RefreshBody>,
    ) -> Result<Json<TokensView>, RefreshProblem> {
        self.door.database_at_hand()?;
        let mut fields = Fields::default();
        let Some(token) = fields.typed("refresh_token", body.0.refresh_token.0) else {
            return Err(fields.problem().into());
        };
        let tokens = self.auth.refresh(&token, self.door.caller(request, None)).await?;
        Ok(Json(TokensView::from(&tokens)))
    }

    /// Sign out
    ///
    /// Ends the session that the access token came of: its refresh token and all its access tokens are worthless at once.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(&self, request: &Request, who: SignedIn) -> Result<Done, LogoutProblem> {
        let caller = self.door.caller(request, Some(&who.0));
        self.auth.sign_out(&who.0, caller).await?;
        Ok(Done::Done)
    }

    /// Sign out everywhere
    #[oai(path = "/logout-all", method = "post", operation_id = "logoutAll")]
    async fn logout_all(&self, request: &Request, who: SignedIn) -> Result<Done, LogoutProblem> {
        let caller = self.door.caller(request, Some(&who.0));
        self.auth.sign_out_everywhere(&who.0, caller).await?;
        Ok(Done::Done)
    }

    /// Set a new password with a code
    ///
    /// An administrator's `password-reset` makes the code, and passes it on. The account is signed out everywhere.
    #[oai(path = "/password-reset", method = "post", operation_id = "resetPassword")]
    async fn reset_password(
        &self,
        request: &Request,
        body: JsonBody<PasswordResetBody>,
    ) -> Result<Done, PasswordResetProblem> {
        self.door.database_at_hand()?;
        let PasswordResetBody {
            username,
            code,
            new_password,
        } = body.0;
        let mut fields = Fields::default();
        let username = fields.typed("username", username.0);
        let code = fields.typed("code", code.0);
        let new_password = fields.typed("new_password", new_password.0);
        let (Some(username), Some(code), Some(new)) = (username, code, new_password) else {
            return Err(fields.problem().into());
        };
        let caller = self.door.caller(request, None);
        self.auth.reset_password(&username, &code, new, caller).await?;
        Ok(Done::Done)
    }
}
