//! New passwords: the policy that they must meet, and how they are hashed.
//!
//! A crate of its own because zxcvbn's word lists and Argon2 dominate a build, and only `confirm`
//! and the operator's command need them.

mod hash;
mod password;
mod policy;
pub mod pwned;

pub use hash::{HashError, HashFormat, HashParams, PasswordHasher, verify};
pub use password::Password;
pub use policy::{PasswordPolicy, prepare};
