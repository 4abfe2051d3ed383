//! Greetings: pure, nothing is stored.

use dlc_domain::greetings::{Greeted, greet};
use poem_openapi::{Object, OpenApi, Tags, param::Path, payload::Json};

use super::{fields::field, problem::problems, scalars::ShortText};

#[derive(Tags)]
enum Tag {
    /// Saying hello.
    Greetings,
}

/// A greeting.
#[derive(Debug, Object)]
pub(super) struct GreetingView {
    /// What is said.
    message: String,
}

problems!(GreetWorldProblem {
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(GreetProblem {
    400 => "`validation_failed`: the name is blank, longer than 255 characters, or holds a NUL",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

pub(super) struct GreetingsApi;

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Greetings")]
impl GreetingsApi {
    /// Greet the world
    #[oai(path = "/greet", method = "get", operation_id = "greetWorld")]
    async fn greet_world(&self) -> Result<Json<GreetingView>, GreetWorldProblem> {
        Ok(Json(GreetingView {
            message: greet(&Greeted::default()),
        }))
    }

    /// Greet someone
    ///
    /// The same name gets the same greeting, always; nothing is recorded.
    #[oai(path = "/greet/:name", method = "get", operation_id = "greet")]
    async fn greet(
        &self,
        /// Whom to greet, percent-encoded.
        name: Path<ShortText>,
    ) -> Result<Json<GreetingView>, GreetProblem> {
        let whom = field("name", Greeted::parse(name.0.0))?;
        Ok(Json(GreetingView { message: greet(&whom) }))
    }
}
