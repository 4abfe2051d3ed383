//! What the sentences of the features mean, one file per subject.

mod accounts;
mod configuration;
mod coupons;
mod engines;
mod greetings;
mod loss;
mod probes;
mod sessions;
mod start;
mod stop;
