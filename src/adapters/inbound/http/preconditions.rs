//! Conditional requests (RFC 9110 §13): `If-None-Match` for whoever has an answer already, `If-Match` for whoever changes what they
//! have looked at. Entity tags of this API are strong, and without commas and backslashes.

use std::borrow::Cow;

use poem::{
    Request, RequestBody,
    http::{HeaderMap, HeaderName, StatusCode, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef},
    types::Type,
};

use super::problem::Problem;

/// Whether one of a header's entity tags, which may be weak ones where `weakly`, is `etag`; `*` is every one.
pub(super) fn names(headers: &HeaderMap, header: HeaderName, etag: &str, weakly: bool) -> bool {
    let lines = headers.get_all(header);
    let mut lines = lines.iter().filter_map(|line| line.to_str().ok());
    lines.any(|line| is_any(line) || tags(line).any(|(is_weak, tag)| tag == etag && (weakly || !is_weak)))
}

fn is_any(line: &str) -> bool {
    line.trim() == "*"
}

/// The entity tags in a list, quotes included, and whether they are weak. A tag may hold commas, so that a list is not simply cut
/// at them. What follows something that is no tag is not read.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (is_weak, tag) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
        let end = tag.strip_prefix('"')?.find('"')? + 2;
        let (tag, after) = tag.split_at(end);
        rest = after;
        Some((is_weak, tag))
    })
}

/// Whether an `If-None-Match` header names `etag`: a list, `*`, weak comparison.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    names(headers, header::IF_NONE_MATCH, etag, true)
}

/// The `If-Match` of a request, which must have one. An argument of this type is called `If-Match` in the document.
pub(super) struct IfMatch<'a>(&'a HeaderMap);

impl IfMatch<'_> {
    /// Whether it names a state, and not whichever there is.
    pub(super) fn is_one(&self) -> bool {
        let mut lines = self.0.get_all(header::IF_MATCH).iter();
        !lines.any(|line| is_any(line.to_str().unwrap_or_default()))
    }

    /// Refuses whoever has not seen what they change as it is: a list, `*`, strong comparison.
    pub(super) fn names(&self, etag: &str) -> Result<(), Problem> {
        if names(self.0, header::IF_MATCH, etag, false) {
            Ok(())
        } else {
            Err(Problem::stale())
        }
    }
}

/// The header's place in the document.
pub(super) struct TagList;

impl Type for TagList {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<'a> ApiExtractor<'a> for IfMatch<'a> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = TagList;
    type ParamRawType = TagList;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(TagList::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<TagList>,
    ) -> poem::Result<Self> {
        let headers = request.headers();
        if headers.contains_key(header::IF_MATCH) {
            Ok(Self(headers))
        } else {
            let detail = "look at it first, and send its ETag as If-Match, so that nobody's change is lost";
            Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn an_entity_tag_is_named_alone_in_a_list_or_by_a_star() {
        for (value, strongly, weakly) in [
            ("\"a\"", true, true),
            ("*", true, true),
            ("\"b\", \"a\"", true, true),
            ("\"b\",\"a\"", true, true),
            ("W/\"a\"", false, true),
            ("W/\"b\", \"a\"", true, true),
            ("\"b\"", false, false),
            ("a", false, false),
            // One tag that holds what looks like a list.
            ("\"b,\\\"", false, false),
            ("\"b, *\"", false, false),
            ("", false, false),
            ("\"", false, false),
            ("\"a\"\"", true, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
            let named = |weakly| names(&headers, header::IF_MATCH, "\"a\"", weakly);
            assert_eq!((named(false), named(true)), (strongly, weakly), "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"b\""));
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"a\""));
        assert!(names(&headers, header::IF_MATCH, "\"a\"", false));
    }
}
