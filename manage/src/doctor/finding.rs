//! The result of one check.

use serde_json::{Value, json};

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Ok,
    /// It works, but could be better.
    Advice,
    /// It does not work, or could not be checked.
    Problem,
}

impl Health {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Problem => "problem",
        }
    }
}

/// The result of one check.
pub(super) struct Finding {
    /// What was checked.
    pub(super) what: String,
    pub(super) health: Health,
    /// Its condition.
    pub(super) detail: String,
    /// What to do about it; empty if nothing.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(what, Health::Ok, detail, "")
    }

    pub(super) fn advice(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(what, Health::Advice, detail, advice)
    }

    pub(super) fn problem(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(what, Health::Problem, detail, advice)
    }

    fn new(
        what: impl Into<String>,
        health: Health,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            health,
            detail: detail.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "state": self.health.as_str(),
            "detail": self.detail,
            "advice": self.advice,
        })
    }
}
