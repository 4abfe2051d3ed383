//! The layers of a database, from its configuration up.

/// Layers in the order in which they stand on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The configuration.
    Configuration,
    /// The way to the server.
    Network,
    /// The server itself.
    Server,
    /// The SQLite file.
    File,
    /// What the role may do.
    Privileges,
    /// Where the tables are looked for.
    Schema,
    /// The schema's history.
    Migrations,
    /// The live schema against its migrations.
    Drift,
    /// How the database fares: it needs a session and nothing else.
    Health,
}

impl Layer {
    /// Whether a failure in `other` keeps this layer from being judged. Health stands on a session alone: somebody who
    /// may not write, or whose history is edited, wants to hear of a full disk all the same.
    pub(super) fn stands_on(self, other: Self) -> bool {
        other < self && (self != Self::Health || other < Self::Privileges)
    }

    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Network => "network",
            Self::Server => "server",
            Self::File => "file",
            Self::Privileges => "privileges",
            Self::Schema => "schema",
            Self::Migrations => "migrations",
            Self::Drift => "drift",
            Self::Health => "health",
        }
    }
}
