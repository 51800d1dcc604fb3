//! Results of checks, as `doctor` and `smoke` report them.

use std::io::{self, Write};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    exit::ExitStatus,
    output::{OutputFormat, print_json},
};

/// The state of the checked subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Ok,
    /// It works, but could be better.
    Advice,
    /// It does not work, or could not be checked.
    Problem,
}

impl Health {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Problem => "problem",
        }
    }
}

/// The result of one check.
pub(crate) struct Finding {
    /// The thing that was checked.
    pub(crate) subject: String,
    pub(crate) health: Health,
    /// Its condition, which completes the sentence that `subject` starts.
    pub(crate) detail: String,
    /// Advice on how to improve it; empty if there is none.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn ok(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(subject, Health::Ok, detail, "")
    }

    pub(crate) fn advice(
        subject: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(subject, Health::Advice, detail, advice)
    }

    pub(crate) fn problem(
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

    pub(crate) fn is_problem(&self) -> bool {
        self.health == Health::Problem
    }

    fn to_json(&self) -> Value {
        json!({
            "what": self.subject,
            "state": self.health.as_str(),
            "detail": self.detail,
            "advice": self.advice,
        })
    }
}

/// A report that is printed as it grows: a table line by line, JSON at the end.
pub(crate) struct Report {
    format: OutputFormat,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self {
            format,
            findings: Vec::new(),
        }
    }

    /// Adds `findings`, and prints them unless the format is JSON.
    pub(crate) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<()> {
        for finding in findings {
            if self.format == OutputFormat::Table {
                print(&finding)?;
            }
            self.findings.push(finding);
        }
        Ok(())
    }

    /// Completes the output. Returns [`ExitStatus::Problems`] if a finding is a problem.
    pub(crate) fn finish(self) -> Result<ExitStatus> {
        if self.format == OutputFormat::Json {
            print_json(&self.findings.iter().map(Finding::to_json).collect())?;
        }
        let is_ok = !self.findings.iter().any(Finding::is_problem);
        Ok(ExitStatus::done_if(is_ok))
    }
}

fn print(finding: &Finding) -> Result<()> {
    let Finding {
        subject,
        health,
        detail,
        advice,
    } = finding;
    let mut out = io::stdout();
    writeln!(out, "{:7}  {subject}: {detail}", health.as_str())?;
    if !advice.is_empty() {
        let advice = advice.replace('\n', "\n            ");
        writeln!(out, "{:7}  -> {advice}", "")?;
    }
    Ok(())
}
