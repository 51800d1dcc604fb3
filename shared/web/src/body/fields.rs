//! Fields of a body, whatever its format.

use zeroize::Zeroizing;

use crate::problem::Problem;

/// Text of one field. It may be a password, so it is zeroized on drop.
pub type Field = Zeroizing<String>;

/// The requested fields, as far as the body could be read.
pub struct Fields<const N: usize> {
    names: [&'static str; N],
    values: [Option<Field>; N],
    problem: Option<Problem>,
}

impl<const N: usize> Fields<N> {
    pub(super) fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            values: [const { None }; N],
            problem: None,
        }
    }

    /// Returns what was sent as `name`, valid or not, to show it again. Returns an empty field if
    /// nothing was sent.
    #[must_use]
    pub fn typed(&self, name: &str) -> Field {
        self.position(name)
            .and_then(|index| self.values[index].clone())
            .unwrap_or_default()
    }

    /// Returns the values in the order of the names, `None` for a field that was not sent. Fails if
    /// a field is empty, repeated or not a string.
    pub fn finish(self) -> Result<[Option<Field>; N], Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        for (name, value) in self.names.into_iter().zip(&self.values) {
            if value.as_ref().is_some_and(|value| value.is_empty()) {
                return Err(Problem::field(
                    name,
                    format!("{name} is empty; fill it in."),
                ));
            }
        }
        Ok(self.values)
    }

    /// Returns the index of the field `name`; `None` for an unrequested field.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    /// Stores the value of the field at `index`. Fails if it already has one.
    pub(super) fn set(&mut self, index: usize, value: Field) -> Result<(), Problem> {
        let name = self.names[index];
        match self.values[index].replace(value) {
            Some(_) => Err(Problem::field(name, format!("Send {name} once."))),
            None => Ok(()),
        }
    }

    /// Records how reading the body ended, for [`Fields::finish`].
    pub(super) fn record(mut self, outcome: Result<(), Problem>) -> Self {
        self.problem = outcome.err();
        self
    }

    /// Returns the problem of a field at `index` that is not a string.
    pub(super) fn not_a_string(&self, index: usize) -> Problem {
        let name = self.names[index];
        Problem::field(name, format!("{name} has to be a string."))
    }
}

/// Returns the value of the required field `name`, or the problem that it is missing.
pub fn required(name: &'static str, field: Option<Field>) -> Result<Field, Problem> {
    field.ok_or_else(|| Problem::field(name, format!("{name} is missing; send it.")))
}

#[cfg(test)]
impl Fields<2> {
    /// Runs `read` on the fields `email` and `new_password`; returns their values or the problem's
    /// code.
    pub(super) fn values_after(
        read: impl FnOnce(&mut Self) -> Result<(), Problem>,
    ) -> Result<[Option<String>; 2], &'static str> {
        let mut fields = Self::new(["email", "new_password"]);
        let outcome = read(&mut fields);
        fields.record(outcome).into_strings()
    }

    pub(super) fn into_strings(self) -> Result<[Option<String>; 2], &'static str> {
        let values = self.finish().map_err(|problem| problem.code())?;
        Ok(values.map(|value| value.map(|value| value.to_string())))
    }
}
