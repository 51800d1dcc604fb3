//! HTTP for `request` and `confirm`: events, bodies, problem details, CORS and pages.

mod body;
mod client;
mod cors;
mod csp;
mod edge;
pub mod event;
mod negotiation;
pub mod pages;
mod path;
mod problem;
mod request_log;
mod response;
mod serve;
mod theme;

pub use body::{Field, Fields, MAX_BODY_BYTES, read_fields, required};
pub use cors::CorsOrigins;
pub use csp::source_hash;
pub use edge::Edge;
pub use negotiation::{language, wants_page};
pub use problem::{Problem, WeaknessDetail};
pub use request_log::LogClient;
pub use response::{SECURITY_HEADERS, secured, worked};
pub use serve::{Site, serve};
pub use theme::Theme;
