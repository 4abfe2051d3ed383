//! The routes there are: for the `Allow` header that a 405 must carry (RFC 9110 §15.5.6) and poem does not send, and for
//! metrics, which count by template and not by path.

use std::sync::LazyLock;

use poem_openapi::OpenApi;

use super::{Documented, document, metrics};

/// One route.
pub(super) struct Route {
    /// Its path with the names of its parameters: `/api/v1/coupons/{name}`.
    pub(super) template: String,
    segments: Vec<Segment>,
    /// The methods that it answers, for an `Allow` header.
    pub(super) methods: String,
}

enum Segment {
    Literal(String),
    Parameter,
}

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes = all();
    routes.sort_by_key(|route| {
        let is_parameter = |segment: &Segment| matches!(segment, Segment::Parameter);
        route.segments.iter().filter(|segment| is_parameter(segment)).count()
    });
    routes
});

fn all() -> Vec<Route> {
    let documented = <Documented as OpenApi>::meta()
        .into_iter()
        .flat_map(|api| api.paths)
        .map(|path| {
            let methods: Vec<String> = path
                .operations
                .iter()
                .map(|operation| operation.method.to_string())
                .collect();
            (path.path, methods)
        });
    let pages = document::PATHS
        .iter()
        .chain([&metrics::PATH])
        .map(|path| ((*path).to_owned(), vec!["GET".to_owned()]));
    documented
        .chain(pages)
        .map(|(path, mut methods)| {
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.sort();
            // poem writes parameters with a colon where OpenAPI has braces.
            let template: Vec<String> = path
                .split('/')
                .map(|segment| match segment.strip_prefix(':') {
                    Some(name) => format!("{{{name}}}"),
                    None => segment.to_owned(),
                })
                .collect();
            Route {
                segments: template
                    .iter()
                    .map(|segment| {
                        if segment.starts_with('{') {
                            Segment::Parameter
                        } else {
                            Segment::Literal(segment.clone())
                        }
                    })
                    .collect(),
                template: template.join("/"),
                methods: methods.join(", "),
            }
        })
        .collect()
}

impl Route {
    fn fits(&self, path: &[&str]) -> bool {
        self.segments.len() == path.len()
            && self.segments.iter().zip(path).all(|(segment, asked)| match segment {
                Segment::Literal(is) => is == asked,
                Segment::Parameter => !asked.is_empty(),
            })
    }
}

/// Segments of a path at most; a longer one belongs to no route.
const MAX_SEGMENTS: usize = 12;

/// The route that a path belongs to; a literal one comes before one with a parameter, as it does for poem. Every request asks,
/// so the path is taken apart once and on the stack.
pub(super) fn find(path: &str) -> Option<&'static Route> {
    let mut segments = [""; MAX_SEGMENTS];
    let mut count = 0;
    for segment in path.split('/') {
        *segments.get_mut(count)? = segment;
        count += 1;
    }
    ROUTES.iter().find(|route| route.fits(&segments[..count]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_its_template_and_a_literal_one_to_itself() {
        let template = |path| find(path).map(|route| route.template.as_str());
        assert_eq!(template("/healthz"), Some("/healthz"));
        assert_eq!(template("/api/v1/coupons/a%2Fb"), Some("/api/v1/coupons/{name}"));
        assert_eq!(
            template("/api/v1/coupons/a/claims"),
            Some("/api/v1/coupons/{name}/claims")
        );
        assert_eq!(template("/api/coupons/claim"), Some("/api/coupons/claim"));
        for nowhere in ["/", "", "/api/v1/coupons/", "/api/v1/coupons/a/b", "/healthz/"] {
            assert!(template(nowhere).is_none_or(|found| found == nowhere), "{nowhere}");
        }
        assert_eq!(
            find("/api/v1/coupons/c").map(|route| route.methods.as_str()),
            Some("GET, HEAD")
        );
    }
}
