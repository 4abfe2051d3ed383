//! Lists, a page at a time (§5.1): `{items, next_cursor}` and a `Link` to the next page; no totals.
//!
//! A cursor is the place of a page's last item, sealed together with whose list it is, which and how filtered: it is of no use
//! anywhere else. Whatever a list is of, such as a coupon, stands in its path. Not here: the seal itself (`ports/cursors`).

use std::{fmt::Write, sync::Arc};

use dlc_application::ports::cursors::CursorSeal;
use dlc_domain::users::UserId;
use poem::http::StatusCode;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromParameter, ParseResult, ToJSON, Type},
};

use super::problem::Problem;

/// How many items a page has at most: 1 to 100, 20 where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLimit(u32);

impl PageLimit {
    const MOST: u32 = 100;
    const WORDS: &'static str = "must be a whole number from 1 to 100";
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(20)
    }
}

impl Type for PageLimit {
    const IS_REQUIRED: bool = false;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "integer".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(1.0),
            maximum: Some(f64::from(Self::MOST)),
            ..MetaSchema::new_with_format("integer", "int32")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for PageLimit {
    fn to_json(&self) -> Option<serde_json::Value> {
        Some(self.0.into())
    }
}

impl ParseFromParameter for PageLimit {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let limit = value.parse().ok().filter(|limit| (1..=Self::MOST).contains(limit));
        limit.map(Self).ok_or_else(|| ParseError::custom(Self::WORDS))
    }
}

/// A place in a list, as it is written into a cursor.
pub(super) trait Place: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

/// One list as one request asks for it.
pub(super) struct List<'a> {
    pub(super) seal: &'a Arc<dyn CursorSeal>,
    /// Its path, percent-encoded.
    pub(super) path: &'a str,
    /// Who asks; `None`: it is the same list for everybody.
    pub(super) whose: Option<UserId>,
    /// How it is filtered, as it stands in a query: `state=all`, or nothing.
    pub(super) filter: String,
    pub(super) limit: PageLimit,
}

/// A page that was cut to its length.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
    /// For a `Link` header.
    pub(super) link: Option<String>,
}

impl List<'_> {
    fn context(&self) -> String {
        let whose = self.whose.map(|id| id.to_string());
        format!(
            "{} {}?{}",
            whose.as_deref().unwrap_or("anybody"),
            self.path,
            self.filter
        )
    }

    /// The place after which the page begins.
    pub(super) fn after<P: Place>(&self, cursor: Option<&str>) -> Result<Option<P>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        let place = self.seal.open(&self.context(), cursor);
        match place.as_deref().and_then(P::read) {
            Some(place) => Ok(Some(place)),
            None => {
                let detail = "the cursor is not one of this list; begin without one";
                Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_cursor", detail))
            }
        }
    }

    /// How many items to read: one more than the page has tells whether there is another page.
    pub(super) fn wanted(&self) -> u32 {
        self.limit.0 + 1
    }

    /// Makes a page of what was read.
    pub(super) fn page<T, V, P: Place>(&self, mut items: Vec<T>, place: impl FnOnce(&T) -> P) -> Page<V>
    where
        V: for<'item> From<&'item T>,
    {
        let length = usize::try_from(self.limit.0).unwrap_or(usize::MAX);
        let is_last = items.len() <= length;
        items.truncate(length);
        let last = items.last().filter(|_| !is_last);
        let next_cursor = last.map(|last| self.seal.seal(&self.context(), &place(last).write()));
        let link = next_cursor.as_ref().map(|cursor| {
            let mut link = format!("<{}?limit={}", self.path, self.limit.0);
            if !self.filter.is_empty() {
                let _ = write!(link, "&{}", self.filter);
            }
            let _ = write!(link, "&cursor={cursor}>; rel=\"next\"");
            link
        });
        Page {
            items: items.iter().map(V::from).collect(),
            next_cursor,
            link,
        }
    }
}
