//! The primary's write-ahead log, and places in it.
//!
//! Not here: asking for them (`questions`), the times that belong to them (`samples`).

use dlc_application::ports::freshness::Position;

/// Which log it is: positions of one mean nothing in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// The cluster's identifier, which a copy shares.
    pub(crate) system: String,
    /// The database's number in it.
    pub(crate) database: String,
    /// The timeline: another one begins with each promotion.
    pub(crate) timeline: u32,
}

impl Log {
    /// Whether both are of copies of one database.
    pub(crate) fn is_of_the_same_database(&self, other: &Self) -> bool {
        (&self.system, &self.database) == (&other.system, &other.database)
    }
}

/// The end of the last record, for a place where the next one would begin.
///
/// PostgreSQL counts the header of a page that is yet to be begun to the place for the next record, but not to the end of the last
/// one. After each switch to another file of the log (`archive_timeout` does one every minute) an idle primary would else be ahead
/// of its replica for ever, by such a header: 24 bytes, 40 at the beginning of a file. No record ends there.
pub(super) fn end_of_records(next: Position, page: u64, segment: u64) -> Position {
    let within = |size: u64| next.0.checked_rem(size).unwrap_or_default();
    let header = if within(segment) < page { 40 } else { 24 };
    Position(if within(page) == header {
        next.0 - header
    } else {
        next.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_yet_to_be_begun_has_no_record_on_it() {
        const PAGE: u64 = 8192;
        const FILE: u64 = 1 << 24;
        for (next, end) in [
            (FILE + 40, FILE),
            (FILE + PAGE + 24, FILE + PAGE),
            (FILE + PAGE + 40, FILE + PAGE + 40),
            (FILE + PAGE + 32, FILE + PAGE + 32),
            (FILE + 48, FILE + 48),
            (0, 0),
        ] {
            assert_eq!(end_of_records(Position(next), PAGE, FILE), Position(end), "{next}");
        }
    }
}
