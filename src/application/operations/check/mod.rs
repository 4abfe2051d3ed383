//! The doctor: judges facts about a database, layer by layer, and says what to do next.
//!
//! Pure: facts in, report out; only [`Doctor`] asks for them. A check is one entry in its family's file in `catalogue/`: what it
//! asks, how the answer is judged, what it means and how to mend it; its id never changes meaning. A layer that fails makes the
//! checks of the layers that stand on it *skipped*, never *passed*. The SQL is data here; asking is the inspector's
//! (`ports/inspection`).

pub mod catalogue;
mod doctor;
mod layer;
mod limits;
mod options;
mod report;
mod round;
mod verdict;

pub use catalogue::{Check, catalogue};
pub use doctor::Doctor;
pub use layer::Layer;
pub use limits::{Limits, Measured, Unit};
pub use options::{Options, Purpose};
pub use report::{Finding, Report};
pub use round::{inquiry, judge};
pub use verdict::{FailureClass, Status, Verdict};
