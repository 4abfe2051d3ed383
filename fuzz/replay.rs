//! Holds what fuzzing has been given, `seeds/<name>/…`, against the properties: the suites of both packages that have some take this
//! file in. What fuzzing finds is put there, and is a test from then on.

use std::{fs, panic, path::Path};

/// The name of a parser, and what must hold for whatever it is given.
type Property<'a> = (&'a str, fn(&[u8]));

pub(crate) fn replay(seeds: &Path, properties: &[Property<'_>]) {
    let mut broken = Vec::new();
    for (name, property) in properties {
        let folder = seeds.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(!paths.is_empty(), "{} has no seeds", folder.display());
        for path in paths {
            let data = fs::read(&path).unwrap();
            if panic::catch_unwind(|| property(&data)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "these do not hold: {broken:#?}");
}
