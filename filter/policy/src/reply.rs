//! An answer the proxy gives itself.

/// Status, headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, values as they are sent.
    pub headers: Vec<(&'static str, String)>,
    /// The body, possibly empty.
    pub body: String,
}

impl Reply {
    /// An answer with a JSON body that no cache may keep.
    pub fn json(status: u16, body: String) -> Self {
        Self::of(status, "application/json", body)
    }

    /// An answer with a body of this media type that no cache may keep.
    pub fn of(status: u16, kind: &str, body: String) -> Self {
        let headers = vec![("content-type", kind.to_owned()), ("cache-control", "no-store".into())];
        Self { status, headers, body }
    }

    /// The same with one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
