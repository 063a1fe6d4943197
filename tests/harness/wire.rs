//! Clients for what no SDK sends: request trailers, bodies in odd pieces, raw header bytes, half a request.
//!
//! In: bytes and frames as the test names them. Out: the [`Reply`], or how the connection ended without one.

mod one;
mod two;

use std::fmt;
use std::time::Duration;

pub use one::{One, Post, chunked};
pub use two::{End, Two};

/// How long an answer may take before the connection counts as [`Closed`].
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The values of the header `name` (lower case), lossy where not UTF-8.
    pub fn header(&self, name: &str) -> Vec<String> {
        let named = self.headers.iter().filter(|(held, _)| held == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The body as text, lossy where not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        write!(f, "\n{}", self.text())
    }
}

/// No answer: the connection or the stream ended first; holds how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed(pub String);

impl Closed {
    fn by(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, Closed>>) -> Result<T, Closed> {
    let slow = |_| Err(Closed::by(format!("no answer within {PATIENCE:?}")));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(slow)
}
