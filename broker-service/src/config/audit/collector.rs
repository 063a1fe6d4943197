//! Where records go beside the database.

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, refuse_unknown};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::super::{Files, raw};
use crate::audit::exporter::Collector;

/// The most records one request carries.
const BATCH: u64 = 512;

impl Files {
    pub(super) fn collector(&mut self, field: Field<raw::Otlp>, at: &Path) -> Option<Collector> {
        let raw::Otlp { url, headers_file, ca_file, batch, unknown } = field.optional(at, &mut self.report)?;
        refuse_unknown(&unknown, raw::Otlp::FIELDS, at, &mut self.report);
        let url = self.url(url, &at.at("url"));
        let headers = match headers_file {
            Field::Missing => Some(HeaderMap::new()),
            file => self.headers(file, &at.at("headers_file")),
        };
        let outbound = self.outbound(ca_file, &at.at("ca_file"));
        let batch = batch.optional(&at.at("batch"), &mut self.report).unwrap_or(BATCH);
        if !(1..=BATCH).contains(&batch) {
            self.report.add(&at.at("batch"), format!("`{batch}`"), format!("`1` to `{BATCH}`"));
        }
        let batch = usize::try_from(batch).ok()?;
        Some(Collector { outbound: outbound?, url: url?, headers: headers?, batch })
    }

    /// Headers of a request, one a line, as `name: value`. They can hold secrets, and are not shown.
    fn headers(&mut self, file: Field<String>, path: &Path) -> Option<HeaderMap> {
        let text = self.file(file, path)?;
        let lines = text.reveal().lines().filter(|line| !line.trim().is_empty());
        let read: Option<HeaderMap> = lines.map(header).collect();
        if read.is_none() {
            self.report.add(path, "a line that is no header", "lines such as `authorization: Bearer …`");
        }
        read
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_of_names_and_values() {
        let (name, value) = header("Authorization: Bearer a:b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a:b"));
        assert!(!format!("{value:?}").contains("Bearer"), "it is not shown");
        for bad in ["authorization", "a b: c", ": c", "a: \u{1}"] {
            assert_eq!(header(bad), None, "{bad:?}");
        }
    }
}
