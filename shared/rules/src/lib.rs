//! Pure rules of account recovery: no I/O, no clock, no AWS.
//!
//! Every other crate builds on this one, so it depends on none of them.

pub mod address;
pub mod brand;
pub mod canary;
pub mod client;
pub mod environment;
pub mod hex;
pub mod recovery;
pub mod token;
pub mod weakness;
