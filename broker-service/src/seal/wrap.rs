//! What wraps the data keys: a key file, or a key in OpenBao that never leaves it.

use std::path::PathBuf;
use std::{error, fmt, io};

use super::file::KeyFile;
use super::transit::Transit;
use super::{DataKey, Id};
use crate::credential::Failure;

/// A key-encryption key.
#[derive(Clone, Debug)]
pub enum Wrapper {
    /// A file has it.
    File(KeyFile),
    /// OpenBao has it.
    Transit(Transit),
}

/// Why a data key was not wrapped or unwrapped; holds no secret.
#[derive(Debug)]
pub enum Unwrapped {
    /// The key file cannot be read or written.
    File(PathBuf, io::Error),
    /// Others may read the key file.
    Open(PathBuf, u32),
    /// The key file holds something else.
    Content(PathBuf),
    /// The data key was wrapped otherwise, or changed.
    Unfit(Id),
    /// OpenBao refuses, or cannot be had.
    Target(String, Failure),
}

impl fmt::Display for Unwrapped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Open(path, mode) => {
                let path = path.display();
                write!(formatter, "{path}: found mode `{mode:o}`, accepted is `600` (hint: chmod 600 {path})")
            }
            Self::Content(path) => {
                let path = path.display();
                write!(
                    formatter,
                    "{path}: no key, accepted are 64 hex digits (hint: make one with `openssl rand -hex 32`)"
                )
            }
            Self::Unfit(id) => write!(formatter, "the data key `{id}` was changed, or wrapped with another key"),
            Self::Target(name, failure) => write!(formatter, "`{name}`: {failure}"),
        }
    }
}

impl error::Error for Unwrapped {}

impl Wrapper {
    /// Which key it is, the same as long as it is the same key; no secret.
    pub fn name(&self) -> String {
        match self {
            Self::File(file) => file.name(),
            Self::Transit(transit) => transit.name(),
        }
    }

    /// `key`, to be kept under the name `id`.
    pub async fn wrap(&self, id: Id, key: &DataKey) -> Result<Vec<u8>, Unwrapped> {
        match self {
            Self::File(file) => file.wrap(id, key),
            Self::Transit(transit) => transit.wrap(id, key).await,
        }
    }

    /// The data key that was wrapped under the name `id`.
    pub async fn unwrap(&self, id: Id, wrapped: &[u8]) -> Result<DataKey, Unwrapped> {
        match self {
            Self::File(file) => file.unwrap(id, wrapped),
            Self::Transit(transit) => transit.unwrap(id, wrapped).await,
        }
    }
}

/// Where it is, for people.
impl fmt::Display for Wrapper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(formatter, "{} (`{}`)", file.path().display(), file.name()),
            Self::Transit(transit) => write!(formatter, "`{}`", transit.name()),
        }
    }
}
