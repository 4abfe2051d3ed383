//! gzip: who takes it, and packing. Not here: which answers are packed, and when (`middleware/compression`, `document`).

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use poem::http::{HeaderMap, header};

/// Whether a client takes gzip: it names it, or everything, and does not refuse it by `q=0`.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let quality_of = |wanted: [&str; 2]| {
        let of_one = |coding: &str| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('=')?.parse::<f32>().ok());
            wanted.contains(&name.as_str()).then_some(quality.unwrap_or(1.0))
        };
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .find_map(of_one)
    };
    // gzip's own word counts before that for everything.
    let quality = quality_of(["gzip", "x-gzip"]).or_else(|| quality_of(["*", "*"]));
    quality.is_some_and(|quality| quality > 0.0)
}

/// Packs bytes; the higher the level (to 9), the smaller and the slower. `None` never happens in practice: writing to memory does
/// not fail; whoever gets it sends what there was.
pub(super) fn packed(plain: &[u8], level: u32) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(level));
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            is_accepted(&headers)
        };
        for yes in [
            "gzip",
            "br, gzip;q=0.5",
            "GZIP",
            "x-gzip",
            "*",
            "*;q=0, gzip",
            "deflate,gzip;q=1.0",
        ] {
            assert!(accepts(yes), "{yes}");
        }
        for no in [
            "",
            "br",
            "gzip;q=0",
            "gzip; q=0.0, br",
            "*;q=0",
            "gzip;q=0, *",
            "identity",
        ] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }
}
