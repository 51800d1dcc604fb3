//! The result of one check.

use serde_json::{Value, json};

/// The state of the checked subject.
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
    /// The thing that was checked.
    pub(super) subject: String,
    pub(super) health: Health,
    /// Its condition, which completes the sentence that `subject` starts.
    pub(super) detail: String,
    /// Advice on how to improve it; empty if there is none.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn ok(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(subject, Health::Ok, detail, "")
    }

    pub(super) fn advice(
        subject: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(subject, Health::Advice, detail, advice)
    }

    pub(super) fn problem(
        subject: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(subject, Health::Problem, detail, advice)
    }

    fn new(
        subject: impl Into<String>,
        health: Health,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            health,
            detail: detail.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "what": self.subject,
            "state": self.health.as_str(),
            "detail": self.detail,
            "advice": self.advice,
        })
    }
}
