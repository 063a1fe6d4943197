//! The form of a token request: single values once, nothing in the query.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

use crate::error::{ApiError, Code};

/// A form, each name with its values.
#[derive(Debug)]
pub struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// Reads a body of `application/x-www-form-urlencoded`.
    pub fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ApiError::new(Code::InvalidRequest, "the body is not a form"));
        }
        let mut form = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in form_urlencoded::parse(body) {
            form.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Ok(Self(form))
    }

    /// A value that has to be there.
    pub fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.optional(name)?.ok_or_else(|| ApiError::new(Code::InvalidRequest, "a parameter is missing").because(name))
    }

    /// All values of a parameter that may be there several times, those that say nothing left out.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        values.iter().map(String::as_str).filter(|value| !value.is_empty()).collect()
    }

    /// A value that may be there once.
    ///
    /// [RFC 6749 §3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2): parameters without a value count as left
    /// out, repeated ones are refused.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name).map(Vec::as_slice) {
            None => Ok(None),
            Some([one]) => Ok(Some(one.as_str()).filter(|value| !value.is_empty())),
            Some(_) => Err(ApiError::new(Code::InvalidRequest, "a parameter stands more than once").because(name)),
        }
    }
}
