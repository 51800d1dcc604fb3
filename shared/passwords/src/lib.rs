//! New passwords: the policy that they must meet, and how they are hashed.
//!
//! Only what handles passwords depends on this crate: its word lists and Argon2 are the largest
//! part of a build.

mod hash;
mod password;
mod policy;
pub mod pwned;

pub use hash::{HashError, HashFormat, HashParams, PasswordHasher, verify};
pub use password::Password;
pub use policy::{PasswordPolicy, prepare};
