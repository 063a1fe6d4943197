//! The collector: what it is sent, and what its answer means.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::outbound::{Outbound, Reply, send};

/// The longest time a collector may ask for.
const PATIENCE: u64 = 600;

/// Where records go, and how.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Asks.
    pub outbound: Outbound,
    /// The whole URL, such as `https://collector.internal/v1/logs`.
    pub url: Url,
    /// What every request carries.
    pub headers: HeaderMap,
    /// The most records one request has.
    pub batch: usize,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, but for so many records that the collector does not want.
    Taken(i64),
    /// Not now: why, and how long to wait where it says so.
    Later(String, Option<Duration>),
    /// Not as it is, ever.
    Refused(String),
}

impl Collector {
    /// Sends a request.
    pub(super) async fn send(&self, request: &Value) -> Outcome {
        let post = self.outbound.client().post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let post = post.headers(self.headers.clone()).body(request.to_string());
        match send(post).await {
            Ok(reply) => judge(&reply),
            Err(failure) => Outcome::Later(failure.to_string(), None),
        }
    }
}

fn judge(reply: &Reply) -> Outcome {
    let status = reply.status.as_u16();
    match status {
        200..=299 => Outcome::Taken(rejected(&reply.body)),
        // The batch is at fault. All else is our configuration's fault or the collector's, which people can put right.
        400 | 413 | 422 => Outcome::Refused(format!("status {status}")),
        _ => {
            let seconds = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Outcome::Later(format!("status {status}"), seconds.map(|wait: u64| Duration::from_secs(wait.min(PATIENCE))))
        }
    }
}

/// How many records were rejected in a partial success, which must not be sent again.
fn rejected(body: &[u8]) -> i64 {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = answer.pointer("/partialSuccess/rejectedLogRecords");
    // 64-bit integers are strings in the JSON of protobuf, and some write numbers.
    let count = count.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok())).unwrap_or_default();
    if count > 0 {
        tracing::error!(count, "the collector has rejected records for good");
    }
    count.max(0)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::HeaderValue;
    use zeroize::Zeroizing;

    use super::*;

    fn verdict(status: u16, wait: Option<&'static str>, body: &str) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = wait.map(|wait| (RETRY_AFTER, HeaderValue::from_static(wait))).into_iter().collect();
        judge(&Reply { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) })
    }

    #[test]
    fn only_a_fault_of_the_batch_gives_it_up() {
        for status in [400, 413, 422] {
            assert!(matches!(verdict(status, None, ""), Outcome::Refused(_)), "{status}");
        }
        for status in [301, 401, 403, 404, 408, 415, 429, 500, 502, 503, 504] {
            assert!(matches!(verdict(status, None, ""), Outcome::Later(_, None)), "{status}");
        }
    }

    #[test]
    fn a_collector_says_how_long_within_reason() {
        let wait = |text| match verdict(429, Some(text), "") {
            Outcome::Later(_, wait) => wait.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!([wait("7"), wait("99999999"), wait("-1"), wait("soon")], [Some(7), Some(PATIENCE), None, None]);
    }

    #[test]
    fn a_partial_success_is_counted_and_done() {
        for (body, count) in [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"x"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, 2),
            (r#"{"partialSuccess":{"rejectedLogRecords":"-9"}}"#, 0),
        ] {
            assert_eq!(verdict(200, None, body), Outcome::Taken(count), "{body}");
        }
    }
}
