//! Text for users: messages by language, and the two emails.

pub mod email;
pub mod language;
pub mod messages;
mod weakness;

pub use weakness::explain_weakness;
