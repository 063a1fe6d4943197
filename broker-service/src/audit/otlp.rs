//! Records as OpenTelemetry logs, in the JSON of OTLP/HTTP.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: identifiers in hexadecimal, 64-bit integers as
//! strings. The body is the record itself.

use accredit_policy::wire::audit::{Decision, Kind, Record};
use serde_json::{Value, json};

use super::filter::word;
use crate::clock;

/// The `ExportLogsServiceRequest` of these records.
pub fn request(records: &[Record]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource = attributes([("service.name", text("accredit")), ("service.version", text(version))]);
    let logs: Vec<_> = records.iter().map(log).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": resource },
        "scopeLogs": [{ "scope": { "name": "accredit.audit", "version": version }, "logRecords": logs }],
    }] })
}

fn log(record: &Record) -> Value {
    let time = clock::parse(&record.time).unwrap_or_else(clock::now);
    let nanos = u128::from(time.millis()).saturating_mul(1_000_000).to_string();
    // <https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>
    let (number, severity) = match (record.kind, record.decision) {
        (Kind::Gap, _) => (17, "ERROR"),
        (_, Some(Decision::Deny)) => (13, "WARN"),
        _ => (9, "INFO"),
    };
    let kind = word(record.kind).unwrap_or_default();
    let mut log = json!({
        "timeUnixNano": nanos,
        "observedTimeUnixNano": nanos,
        "severityNumber": number,
        "severityText": severity,
        "eventName": format!("accredit.audit.{kind}"),
        "body": { "stringValue": serde_json::to_string(record).unwrap_or_default() },
        "attributes": describe(record),
    });
    if let (Some(trace), Some(log)) = (record.trace_id.as_ref().filter(|id| traceable(id)), log.as_object_mut()) {
        log.insert("traceId".to_owned(), json!(trace.to_ascii_lowercase()));
    }
    log
}

/// Sixteen bytes in hexadecimal, not all of them zero.
fn traceable(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0')
}

/// What people search by, under the names there are: <https://github.com/open-telemetry/semantic-conventions-genai>.
fn describe(record: &Record) -> Vec<Value> {
    let (agent, credential, scopes) = (record.agent.as_ref(), record.credential.as_ref(), record.scopes.as_ref());
    let (admin, protocol) = (record.admin.as_ref(), record.protocol.as_deref());
    let spoken = |name| record.method.as_ref().filter(|_| protocol == Some(name));
    let status = record.upstream.as_ref().and_then(|upstream| upstream.status);
    let executed = record.tool.as_ref().filter(|_| protocol == Some("mcp"));
    attributes([
        ("accredit.record.id", text(&record.id)),
        ("accredit.record.kind", word(record.kind).and_then(text)),
        ("accredit.decision", record.decision.and_then(word).and_then(text)),
        ("accredit.reason", record.reason.as_ref().and_then(text)),
        ("accredit.shadow", record.shadow.then(|| json!({ "boolValue": true }))),
        ("accredit.agent.id", agent.and_then(|agent| text(&agent.id))),
        ("accredit.agent.issuer", agent.and_then(|agent| text(&agent.issuer))),
        ("accredit.subject", record.subject.as_ref().and_then(text)),
        ("accredit.chain", list(&record.chain)),
        ("accredit.server", record.server.as_ref().and_then(text)),
        ("accredit.protocol", protocol.and_then(text)),
        ("gen_ai.operation.name", executed.and_then(|_| text("execute_tool"))),
        ("gen_ai.tool.name", record.tool.as_ref().and_then(text)),
        ("mcp.method.name", spoken("mcp").and_then(text)),
        ("http.request.method", spoken("http").and_then(text)),
        ("http.response.status_code", status.map(|status| json!({ "intValue": status.to_string() }))),
        ("accredit.scopes.required", scopes.and_then(|scopes| list(&scopes.required))),
        ("accredit.scopes.lacked", scopes.and_then(|scopes| list(&scopes.lacked()))),
        ("accredit.credential.name", credential.and_then(|one| text(&one.name))),
        ("accredit.credential.lease", credential.and_then(|one| one.lease.as_ref().and_then(text))),
        ("accredit.request.id", record.request_id.as_ref().and_then(text)),
        ("accredit.proxy.node", record.proxy.as_ref().and_then(|proxy| text(&proxy.node))),
        ("accredit.policy", record.policy.as_ref().and_then(text)),
        ("accredit.admin.action", admin.and_then(|admin| text(&admin.action))),
        ("accredit.admin.target", admin.and_then(|admin| text(&admin.target))),
        ("accredit.admin.by", admin.and_then(|admin| text(&admin.by))),
        ("accredit.lost", record.lost.map(|lost| json!({ "intValue": lost.to_string() }))),
    ])
}

fn attributes<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Vec<Value> {
    let given = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    given.map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn text(text: impl AsRef<str>) -> Option<Value> {
    Some(json!({ "stringValue": text.as_ref() }))
}

fn list(words: &[impl AsRef<str>]) -> Option<Value> {
    let values: Vec<_> = words.iter().filter_map(text).collect();
    (!values.is_empty()).then(|| json!({ "arrayValue": { "values": values } }))
}

#[cfg(test)]
mod tests {
    use accredit_policy::wire::audit::{Scopes, Upstream};

    use super::*;

    fn one(record: Record) -> Value {
        request(&[record])["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].clone()
    }

    fn attribute<'a>(log: &'a Value, key: &str) -> &'a Value {
        let list = log["attributes"].as_array().unwrap();
        list.iter().find(|one| one["key"] == key).map_or(&Value::Null, |one| &one["value"])
    }

    #[test]
    fn a_record_is_a_log_by_the_rules_of_protobuf_in_json() {
        let record = Record {
            id: "r".into(),
            time: "2026-11-23T00:00:00.250Z".into(),
            decision: Some(Decision::Deny),
            chain: vec!["scout".into(), "planner".into()],
            protocol: Some("mcp".into()),
            method: Some("tools/call".into()),
            tool: Some("crm_delete".into()),
            trace_id: Some("0AF7651916CD43DD8448EB211C80319C".into()),
            upstream: Some(Upstream { status: Some(200), duration_ms: 1, bytes: None, tool_error: None }),
            scopes: Some(Scopes { required: vec!["a".into(), "b".into()], held: vec!["a".into()] }),
            ..Record::default()
        };
        let log = one(record.clone());
        assert_eq!(log["timeUnixNano"], "1795392000250000000");
        assert_eq!((&log["severityNumber"], &log["severityText"]), (&json!(13), &json!("WARN")));
        assert_eq!(log["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(attribute(&log, "http.response.status_code"), &json!({ "intValue": "200" }));
        assert_eq!(attribute(&log, "gen_ai.tool.name"), &json!({ "stringValue": "crm_delete" }));
        assert_eq!(attribute(&log, "mcp.method.name"), &json!({ "stringValue": "tools/call" }));
        let lacked = json!({ "arrayValue": { "values": [{ "stringValue": "b" }] } });
        assert_eq!(attribute(&log, "accredit.scopes.lacked"), &lacked);
        let body: Record = serde_json::from_str(log["body"]["stringValue"].as_str().unwrap()).unwrap();
        assert_eq!(body, record);
    }

    #[test]
    fn a_trace_that_is_none_is_left_out() {
        for bad in ["", "0".repeat(32).as_str(), "xyz", "0af7651916cd43dd8448eb211c80319g"] {
            let log = one(Record { trace_id: Some(bad.into()), ..Record::default() });
            assert_eq!(log.get("traceId"), None, "{bad}");
        }
        assert_eq!(one(Record { kind: Kind::Gap, lost: Some(3), ..Record::default() })["severityNumber"], 17);
    }
}
