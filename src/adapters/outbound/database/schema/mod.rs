//! What the database remembers of its schema, and what this binary knows of it: the migrations as work to be done, the
//! history, the objects there are, who migrates just now. The runner and the doctor both stand on it.

pub(crate) mod catalogue;
pub(crate) mod history;
pub(crate) mod holder;
pub(crate) mod work;

pub use catalogue::catalogue;
