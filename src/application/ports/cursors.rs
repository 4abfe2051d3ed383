//! Seals on what a client carries from one page to the next.

/// Seals places in lists, so that a cursor is good for nothing but the list that it was given out for.
pub trait CursorSeal: Send + Sync {
    /// Seals a place. `context` says whose list it is, which and how filtered; it is not among what the client is given. Anybody
    /// can read the place: it MUST NOT be a secret.
    fn seal(&self, context: &str, place: &str) -> String;

    /// The place again. MUST answer `None` for whatever was not sealed for this very context.
    fn open(&self, context: &str, sealed: &str) -> Option<String>;
}
