//! What is wrong with a configuration: all of it at once, each with its place and its mend.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where, as a path of names: `servers.crm.match.path`.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What is accepted there.
    pub accepted: String,
    /// What to do about it, where there is more to say.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, found, accepted, hint } = self;
        write!(formatter, "`{path}`: found {found}, accepted is {accepted}")?;
        match hint {
            Some(hint) => write!(formatter, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with one file, at least one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors in the order of the file's structure.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

/// One error a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(formatter, "{gap}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects errors while a file is checked.
#[derive(Debug, Default)]
pub struct Report(ConfigErrors);

impl Report {
    /// Notes one error and goes on.
    pub fn add(&mut self, path: &Path, found: impl Into<String>, accepted: impl Into<String>) {
        self.push(path, found.into(), accepted.into(), None);
    }

    /// Notes one error with what to do about it.
    pub fn advise(&mut self, path: &Path, found: impl Into<String>, accepted: impl Into<String>, hint: &str) {
        self.push(path, found.into(), accepted.into(), Some(hint.to_owned()));
    }

    /// The checked `value` when nothing was wrong, else all that was.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.0.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }

    fn push(&mut self, path: &Path, found: String, accepted: String, hint: Option<String>) {
        let path = path.to_string();
        self.0.0.push(ConfigError { path, found, accepted, hint });
    }
}

/// A place in a file.
#[derive(Clone, Debug, Default)]
pub struct Path(String);

impl Path {
    /// The file as a whole.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member `name` below this place.
    pub fn at(&self, name: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name = match name.chars().all(plain) {
            true => name.to_owned(),
            false => format!("{name:?}"),
        };
        match self.0.is_empty() {
            true => Self(name),
            false => Self(format!("{}.{name}", self.0)),
        }
    }

    /// The element `index` of the list at this place.
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}
