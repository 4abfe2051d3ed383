//! Access tokens as requests present them: `Authorization: Bearer …` (RFC 6750), and nothing else.
//!
//! poem-openapi's own optional scheme takes whoever presents a bad token for nobody; here that is 401 wherever a token is looked at,
//! so that a client whose token has expired learns it. Not here: what a token must be like (`AuthService`).

use std::sync::Arc;

use dlc_application::ports::sessions::Principal;
use poem::{
    Request, RequestBody,
    http::{HeaderMap, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{door::Door, problem::Problem};

/// The scheme's name in the document.
const SCHEME: &str = "accessToken";

/// Whoever has signed in.
pub(super) struct SignedIn(pub(super) Principal);

/// Whoever has signed in, or nobody.
pub(super) struct MaybeSignedIn(pub(super) Option<Principal>);

/// Whoever has signed in and administrates.
pub(super) struct Administrator(pub(super) Principal);

/// Says that an operation looks at a token; it does so itself.
pub(super) struct LooksAtToken;

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    Nothing,
    Token(&'a str),
    /// Something else: another scheme, or more than one thing.
    NoToken,
}

pub(super) fn presented(headers: &HeaderMap) -> Presented<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Presented::Nothing;
    };
    let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
    match (parts, values.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => Presented::Token(token.trim()),
        _ => Presented::NoToken,
    }
}

async fn principal(request: &Request) -> Result<Option<Principal>, Problem> {
    match presented(request.headers()) {
        Presented::Nothing => Ok(None),
        Presented::NoToken => Err(Problem::sign_in_required()),
        Presented::Token(token) => {
            let door = request.extensions().get::<Arc<Door>>().ok_or_else(Problem::internal)?;
            // In a box, so that whoever presents nothing carries none of it.
            Box::pin(door.authenticate(token)).await.map(Some)
        }
    }
}

async fn signed_in(request: &Request) -> Result<Principal, Problem> {
    principal(request).await?.ok_or_else(Problem::sign_in_required)
}

async fn administrator(request: &Request) -> Result<Principal, Problem> {
    let principal = signed_in(request).await?;
    if principal.is_admin {
        Ok(principal)
    } else {
        Err(Problem::not_allowed("this is for administrators"))
    }
}

fn register_scheme(registry: &mut Registry) {
    registry.create_security_scheme(
        SCHEME,
        MetaSecurityScheme {
            ty: "http",
            description: Some(
                "The `access_token` that `/api/v1/auth/login` and `/api/v1/auth/refresh` give. It is good for 15 minutes, and ends \
                 with its session.",
            ),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            flows: None,
            openid_connect_url: None,
        },
    );
}

macro_rules! extractor {
    ($type:ident, optional: $optional:literal, $request:ident => $extracted:expr) => {
        impl<'a> ApiExtractor<'a> for $type {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                register_scheme(registry);
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![SCHEME]
            }

            fn has_security_fallback() -> bool {
                $optional
            }

            async fn from_request(
                $request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok($extracted)
            }
        }
    };
}

extractor!(SignedIn, optional: false, request => Self(signed_in(request).await?));
extractor!(MaybeSignedIn, optional: true, request => Self(principal(request).await?));
extractor!(Administrator, optional: false, request => Self(administrator(request).await?));
extractor!(LooksAtToken, optional: true, _request => Self);

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_presented_as_a_bearer_once_or_not_at_all() {
        let mut headers = HeaderMap::new();
        assert_eq!(presented(&headers), Presented::Nothing);
        for (value, expected) in [
            ("Bearer a.b.c", Presented::Token("a.b.c")),
            ("bEARER   a.b.c ", Presented::Token("a.b.c")),
            ("Bearer", Presented::NoToken),
            ("Basic YTpi", Presented::NoToken),
            ("a.b.c", Presented::NoToken),
            ("", Presented::NoToken),
        ] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(presented(&headers), expected, "{value}");
        }
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(presented(&headers), Presented::NoToken);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert_eq!(presented(&headers), Presented::NoToken);
    }
}
