//! Greetings: said to whoever asks, and remembered for whoever wants.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_application::{
    greetings::{GreetingService, say},
    ports::{cursors::CursorSeal, greetings::HistoryPosition, idempotency::Performed},
};
use dlc_domain::greetings::{Greeted, Greeting, GreetingContext, GreetingId};
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
    types::Example,
};

use super::{
    bearer::{MaybeSignedIn, SignedIn},
    body::JsonBody,
    door::Door,
    fields::{Fields, field},
    freshness::ReadAfter,
    idempotency::{Answered, IdempotencyKey, kept},
    pages::{List, PageLimit, Place},
    problem::{Problem, problems},
    scalars::{EXAMPLE_TIME, Id, JsonObject, ShortText},
};

/// The history's path.
const HISTORY: &str = "/api/v1/greetings";

#[derive(Tags)]
enum Tag {
    /// Saying hello, and one's own history of it.
    Greetings,
}

/// What is said.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct SaidView {
    /// The words.
    message: String,
}

impl Example for SaidView {
    fn example() -> Self {
        Self {
            message: "Hello world!".to_owned(),
        }
    }
}

/// A greeting to be remembered.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct RecordGreetingBody {
    /// Whom to greet: 1–255 characters, not blank. Without it, whoever has signed in, else the world.
    #[oai(nullable)]
    name: Option<ShortText>,
    /// What is to be remembered with it: an object of at most 8192 bytes without white space, nested at most 5 deep.
    #[oai(nullable)]
    context: Option<JsonObject>,
}

impl Example for RecordGreetingBody {
    fn example() -> Self {
        Self {
            name: Some(ShortText("Ada".to_owned())),
            context: Some(example_context()),
        }
    }
}

fn example_context() -> JsonObject {
    JsonObject([("lesson".to_owned(), 7.into())].into_iter().collect())
}

/// A greeting that is remembered.
#[derive(Debug, Object)]
#[oai(example)]
struct GreetingView {
    /// Its number.
    id: i32,
    /// What was said.
    message: String,
    /// What is remembered with it.
    #[oai(nullable)]
    context: Option<JsonObject>,
    /// When it was said.
    created_at: DateTime<Utc>,
}

impl Example for GreetingView {
    fn example() -> Self {
        Self {
            id: 1,
            message: "Hello Ada!".to_owned(),
            context: Some(example_context()),
            created_at: EXAMPLE_TIME,
        }
    }
}

impl From<&Greeting> for GreetingView {
    fn from(greeting: &Greeting) -> Self {
        // What is stored is a JSON object; the columns see to it that it is JSON at least.
        let object = |context: &GreetingContext| serde_json::from_str(context.as_str()).unwrap_or_default();
        Self {
            id: greeting.id.0,
            message: greeting.message.clone(),
            context: greeting.context.as_ref().map(object).map(JsonObject),
            created_at: greeting.created_at,
        }
    }
}

/// Greetings, the youngest first.
#[derive(Debug, Object)]
#[oai(example)]
struct GreetingPageView {
    /// The greetings of this page.
    items: Vec<GreetingView>,
    /// For the next page; `null` on the last one.
    #[oai(nullable)]
    next_cursor: Option<String>,
}

impl Example for GreetingPageView {
    fn example() -> Self {
        Self {
            items: vec![GreetingView::example()],
            next_cursor: None,
        }
    }
}

/// Seconds, nanoseconds and number: neither database's own precision is lost.
impl Place for HistoryPosition {
    fn write(&self) -> String {
        let at = self.created_at;
        format!("{}.{}.{}", at.timestamp(), at.timestamp_subsec_nanos(), self.id)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (seconds, nanoseconds) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self {
            created_at: DateTime::from_timestamp(seconds, nanoseconds)?,
            id: GreetingId(parts.next()?.parse().ok()?),
        })
    }
}

#[derive(ApiResponse)]
enum Said {
    /// The greeting.
    #[oai(status = 200)]
    Said(
        Json<SaidView>,
        /// `Authorization`: it is another one for whoever has signed in.
        #[oai(header = "Vary")]
        String,
        /// `no-store` for whoever has signed in.
        #[oai(header = "Cache-Control")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum RecordedGreeting {
    /// It is remembered.
    #[oai(status = 201)]
    Created(
        Answered<GreetingView>,
        /// Where its owner finds it again; not for whoever has not signed in, because nobody does.
        #[oai(header = "Location")]
        Option<String>,
        /// `true` where the request was done before and this is the answer that it got.
        #[oai(header = "Idempotency-Replayed")]
        Option<bool>,
    ),
}

#[derive(ApiResponse)]
enum History {
    /// A page of one's greetings.
    #[oai(status = 200)]
    Page(
        Json<GreetingPageView>,
        /// The next page, as `rel="next"`; not on the last one.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

problems!(GreetWorldProblem {
    401 => "`invalid_token`, `authentication_required`: a token was sent, and is not good",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`overloaded`, `request_timeout`, `starting`; with a token: `database_unavailable`, `database_timeout`, `database_conflict`. Ask again after `Retry-After` seconds",
});

problems!(GreetProblem {
    400 => "`validation_failed`: the name is blank, longer than 255 characters, or holds a NUL",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(RecordGreetingProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`invalid_token`, `authentication_required`: a token was sent, and is not good",
    408 => "`body_timeout`: the body did not come in time",
    409 => "`idempotency_key_in_use`: a request under that key is being worked on",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    422 => "`idempotency_key_reused`: another request was answered under that key",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(HistoryProblem {
    400 => "`validation_failed`; `invalid_cursor`: the cursor is not one of this list",
    401 => "`authentication_required`, `invalid_token`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(FindGreetingProblem {
    400 => "`validation_failed`: `X-Dlc-Read-After` is no position",
    401 => "`authentication_required`, `invalid_token`",
    404 => "`greeting_not_found`: there is none, or it is somebody else's",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

pub(super) struct GreetingsApi {
    greetings: Arc<GreetingService>,
    seal: Arc<dyn CursorSeal>,
    door: Arc<Door>,
}

impl GreetingsApi {
    pub(super) fn new(greetings: &Arc<GreetingService>, seal: &Arc<dyn CursorSeal>, door: &Arc<Door>) -> Self {
        Self {
            greetings: Arc::clone(greetings),
            seal: Arc::clone(seal),
            door: Arc::clone(door),
        }
    }
}

/// What a caller wants remembered, as the compact text that is judged and stored.
fn context_of(object: &JsonObject) -> Result<GreetingContext, dlc_domain::greetings::ContextError> {
    GreetingContext::parse(serde_json::to_string(&object.0).unwrap_or_default())
}

/// The same with its members in one order.
fn sorted(object: &serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
    let mut value = serde_json::Value::Object(object.clone());
    value.sort_all_objects();
    value
}

/// The number in an answer that was kept.
fn id_of(kept: &str) -> Option<i64> {
    let answer: serde_json::Value = serde_json::from_str(kept).ok()?;
    answer.get("id")?.as_i64()
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Greetings")]
impl GreetingsApi {
    /// Greet the world, or whoever has signed in
    ///
    /// Nothing is recorded.
    #[oai(path = "/greet", method = "get", operation_id = "greetWorld")]
    async fn greet_world(&self, who: MaybeSignedIn) -> Result<Said, GreetWorldProblem> {
        let view = SaidView {
            message: say(None, who.0.as_ref()),
        };
        let cache = who.0.map(|_| "no-store".to_owned());
        Ok(Said::Said(Json(view), "authorization".to_owned(), cache))
    }

    /// Greet someone
    ///
    /// The same name gets the same greeting, always and from everybody; nothing is recorded.
    #[oai(path = "/greet/:name", method = "get", operation_id = "greet")]
    async fn greet(
        &self,
        /// Whom to greet, percent-encoded.
        name: Path<ShortText>,
    ) -> Result<Json<SaidView>, GreetProblem> {
        let whom = field("name", Greeted::parse(name.0.0))?;
        Ok(Json(SaidView {
            message: say(Some(&whom), None),
        }))
    }

    /// Greet and remember it
    #[oai(path = "/greetings", method = "post", operation_id = "recordGreeting")]
    async fn record(
        &self,
        who: MaybeSignedIn,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<RecordGreetingBody>,
    ) -> Result<RecordedGreeting, RecordGreetingProblem> {
        self.door.database_at_hand()?;
        let (who, RecordGreetingBody { name, context }) = (who.0, body.0);
        let mut fields = Fields::default();
        let asked = (name.map(|name| name.0), context);
        // An object is the same one in whichever order its members come.
        let content = (&asked.0, asked.1.as_ref().map(|context| sorted(&context.0)));
        let keyed = key.of(who.as_ref(), "POST /api/v1/greetings", &content, |greeting| {
            kept(&GreetingView::from(greeting))
        });
        let context = asked.1.as_ref();
        let context = context.and_then(|context| fields.take("context", context_of(context)));
        let whom = asked.0.and_then(|name| fields.take("name", Greeted::parse(name)));
        fields.passed()?;
        let recorded = self.greetings.record(whom.as_ref(), context, who.as_ref(), keyed);
        let (answer, id, was_before) = match recorded.await? {
            Performed::Now(greeting) => {
                let id = i64::from(greeting.id.0);
                (Answered::now(&GreetingView::from(&greeting)), Some(id), None)
            }
            Performed::Before(answer) => {
                let id = id_of(&answer);
                (Answered::before(answer), id, Some(true))
            }
        };
        let place = who.and(id).map(|id| format!("{HISTORY}/{id}"));
        Ok(RecordedGreeting::Created(answer, place, was_before))
    }

    /// Look at one's history, the youngest first
    #[oai(path = "/greetings", method = "get", operation_id = "listGreetings")]
    async fn history(
        &self,
        who: SignedIn,
        /// How many there are on a page at most.
        #[oai(default)]
        limit: Query<PageLimit>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<History, HistoryProblem> {
        let list = List {
            seal: &self.seal,
            path: HISTORY,
            whose: Some(who.0.id),
            filter: String::new(),
            limit: limit.0,
        };
        let before = list.after(cursor.0.as_deref())?;
        let wanted = list.wanted();
        let greetings = self.greetings.history(&who.0, before, wanted, fresh.0).await?;
        let place = |last: &Greeting| HistoryPosition {
            created_at: last.created_at,
            id: last.id,
        };
        let page = list.page(greetings, place);
        let view = GreetingPageView {
            items: page.items,
            next_cursor: page.next_cursor,
        };
        Ok(History::Page(Json(view), page.link))
    }

    /// Look at one of one's greetings
    #[oai(path = "/greetings/:id", method = "get", operation_id = "getGreeting")]
    async fn find(
        &self,
        who: SignedIn,
        /// Its number.
        id: Path<Id>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<Json<GreetingView>, FindGreetingProblem> {
        let unknown = || Problem::from(dlc_application::greetings::FindGreetingError::Unknown);
        let id = id.0.0.map(GreetingId).ok_or_else(unknown)?;
        let greeting = self.greetings.find(&who.0, id, fresh.0).await?;
        Ok(Json(GreetingView::from(&greeting)))
    }
}
