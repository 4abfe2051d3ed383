//! What holds for whatever bytes the parsers that dlc owns are given, each under the name of its fuzz target.
//!
//! Properties stand beside their parsers: `adapters/inbound/http/fuzzing`, `adapters/outbound/crypto/fuzzing`, `config/fuzzing` and
//! those of `dlc-database`. Fuzzing calls them with what it makes up, the suite with what is kept in `fuzz/seeds`. They are in no
//! build but those.

use crate::{
    adapters::{inbound::http::fuzzing as http, outbound::crypto::fuzzing as crypto},
    config::fuzzing as config,
};

/// A property of a parser: it panics when it does not hold.
pub type Property = fn(&[u8]);

/// Each parser's name and its property; those of `dlc_database::fuzzing` are others.
pub const PROPERTIES: &[(&str, Property)] = &[
    ("accept_encoding", http::accept_encoding),
    ("bearer", http::bearer),
    ("body", http::body),
    ("cursor", crypto::cursor),
    ("database_parts", config::database_parts),
    ("forwarded", http::forwarded),
    ("greeting_context", http::greeting_context),
    ("idempotency_key", http::idempotency_key),
    ("page", http::page),
    ("preconditions", http::preconditions),
    ("read_after", http::read_after),
    ("settings", config::settings),
    ("token", crypto::token),
];

#[cfg(test)]
#[path = "../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_fuzzing_was_given_holds() {
        replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds"), PROPERTIES);
    }
}
