//! HTTP as `request` and `confirm` speak it: events, bodies, problem details, CORS and pages.

mod body;
mod client;
mod cors;
pub mod event;
pub mod pages;
mod problem;
mod serve;

pub use body::{Field, Fields, MAX_BODY_BYTES, read_fields, required};
pub use client::client_network;
pub use cors::CorsOrigins;
pub use problem::{Problem, WeaknessDetail};
pub use serve::{secured, serve, worked};
