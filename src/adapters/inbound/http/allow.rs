//! Which methods a path answers, for the `Allow` header that a 405 must carry (RFC 9110 §15.5.6) and poem does not send.

use std::sync::LazyLock;

use poem_openapi::OpenApi;

use super::{Documented, document, metrics};

struct Route {
    segments: Vec<String>,
    methods: Vec<String>,
}

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let documented = <Documented as OpenApi>::meta()
        .into_iter()
        .flat_map(|api| api.paths)
        .map(|path| {
            let methods = path
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
        .map(|(path, mut methods): (String, Vec<String>)| {
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.sort();
            Route {
                segments: segments(&path),
                methods,
            }
        })
        .collect()
});

fn segments(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

/// The methods of a path, for an `Allow` header.
pub(super) fn methods(path: &str) -> Option<String> {
    let asked = segments(path);
    let fits =
        |route: &&Route| {
            route.segments.len() == asked.len()
                && route.segments.iter().zip(&asked).all(|(is, asked)| {
                    is == asked || ((is.starts_with(':') || is.starts_with('{')) && !asked.is_empty())
                })
        };
    ROUTES.iter().find(fits).map(|route| route.methods.join(", "))
}
