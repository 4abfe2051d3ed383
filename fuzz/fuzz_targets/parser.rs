//! Holds one property against whatever libFuzzer makes up; `DLC_FUZZ_PARSER` names its parser. One program for all of them, because
//! it is linked with all of dlc. Not here: the properties (`src/fuzzing.rs`), and how it is run (`scripts/fuzz-parsers`).

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static PROPERTY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let properties = || dlc::fuzzing::PROPERTIES.iter().chain(dlc::database::fuzzing::PROPERTIES);
    let name = std::env::var("DLC_FUZZ_PARSER").unwrap_or_default();
    let found = properties().find(|(known, _)| *known == name);
    let names: Vec<&str> = properties().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("DLC_FUZZ_PARSER is none of {}", names.join(", "))).1
});

fuzz_target!(|data: &[u8]| PROPERTY(data));
