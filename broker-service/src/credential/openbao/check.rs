//! The rules of the keys of `kind: openbao`.

use std::collections::BTreeMap;

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, Members, each, entries};

use super::route::{BadRoute, Route};
use super::server::Server;
use super::{Ask, OpenBao, Raw};
use crate::config::Files;
use crate::credential::template::Template;
use crate::credential::{Call, Ended};
use crate::outbound::Outbound;

impl OpenBao {
    /// Reads its keys; the server need not be there yet.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let raw: Raw = files.own(members, Raw::FIELDS, path);
        let address = files.address(raw.address, &path.at("address"));
        let token = files.place(raw.token_file, &path.at("token_file"));
        let outbound = outbound(raw.ca_file, files, &path.at("ca_file"));
        let at = path.at("namespace");
        let namespace = raw.namespace.stands().then(|| files.text(raw.namespace, &at)).flatten();
        if namespace.as_ref().is_some_and(|name| !name.is_ascii()) {
            files.report.add(&at, "a namespace that is not ASCII", "a path such as `teams/crm`");
        }
        let route = route(raw.path, files, &path.at("path"));
        let ask = ask(raw.method, raw.parameters, files, path);
        let fields = fields(raw.fields, files, &path.at("fields"));
        let at = path.at("policies");
        let policies = raw.policies.optional(&at, &mut files.report);
        let policies = policies.map(|list| each(list, &at, &mut files.report));
        if policies.as_ref().is_some_and(Vec::is_empty) {
            files.report.add(&at, "no policy", "at least one, or no such key");
        }
        let revocable = raw.revocable.optional(&path.at("revocable"), &mut files.report).unwrap_or(true);
        let fate = if revocable { Ended::Revoked } else { Ended::Expires };
        let server = Server { outbound: outbound?, address: address?, token: token?, namespace };
        Some(Self { server, route: route?, ask: ask?, fields, policies, fate })
    }
}

fn outbound(field: Field<String>, files: &mut Files, path: &Path) -> Option<Outbound> {
    let authorities = match field.stands() {
        true => Some(files.file(field, path)?),
        false => None,
    };
    let outbound = Outbound::new(authorities.as_ref().map(|pem| pem.reveal()));
    outbound.map_err(|error| files.report.add(path, error.to_string(), "a file with certificates in PEM")).ok()
}

fn route(field: Field<String>, files: &mut Files, path: &Path) -> Option<Route> {
    let text = field.required(path, &mut files.report)?;
    let (found, accepted) = match Route::parse(&text) {
        Ok(route) => return Some(route),
        Err(BadRoute::Segment) => (format!("{text:?}"), "a path such as `database/creds/reader`".to_owned()),
        Err(BadRoute::Place(bad)) => (bad.to_string(), places(Call::FACTS)),
    };
    files.report.add(path, found, accepted);
    None
}

fn ask(
    method: Field<String>,
    parameters: Field<BTreeMap<String, Field<String>>>,
    files: &mut Files,
    path: &Path,
) -> Option<Ask> {
    let at = path.at("method");
    let word = method.optional(&at, &mut files.report).unwrap_or_else(|| "read".into());
    let stand = parameters.stands();
    let here = path.at("parameters");
    let texts = parameters.optional(&here, &mut files.report).unwrap_or_default();
    let accepted: Vec<_> = Call::FACTS.iter().copied().chain(["ttl"]).collect();
    let mut written = Vec::new();
    for (name, text) in entries(texts, &here, &mut files.report) {
        match Template::parse(&text, &accepted) {
            Ok(template) => written.push((name, template)),
            Err(bad) => files.report.add(&here.at(&name), bad.to_string(), places(&accepted)),
        }
    }
    match word.as_str() {
        "read" if stand => files.report.add(&here, "parameters of what is read", "none, or `method: write`"),
        "read" => return Some(Ask::Read),
        "write" => return Some(Ask::Write(written)),
        _ => files.report.add(&at, format!("`{word}`"), "`read`, `write`"),
    }
    None
}

/// Names of parts, and JSON Pointers to them.
///
/// [RFC 6901 §3](https://www.rfc-editor.org/rfc/rfc6901#section-3)
fn fields(field: Field<BTreeMap<String, Field<String>>>, files: &mut Files, path: &Path) -> Vec<(String, String)> {
    let Some(map) = field.required(path, &mut files.report) else {
        return Vec::new();
    };
    if map.is_empty() {
        files.report.add(path, "no part", "at least one, such as `password: password`");
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut read = Vec::new();
    for (name, text) in entries(map, path, &mut files.report) {
        if name.is_empty() || !name.bytes().all(plain) {
            files.report.add(&path.at(&name), format!("the name {name:?}"), "`a-z`, `0-9` and `_`");
        } else if text.trim_matches('/').is_empty() {
            files.report.add(&path.at(&name), format!("{text:?}"), "a member of the answer's `data`");
        } else {
            read.push((name, format!("/{}", text.trim_start_matches('/'))));
        }
    }
    read
}

fn places(accepted: &[&str]) -> String {
    let places: Vec<_> = accepted.iter().map(|place| format!("`{{{place}}}`")).collect();
    format!("a text with places from {}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use harness::stack::fresh;
    use serde_json::{Value, json};

    use super::*;

    fn errors(change: impl FnOnce(&mut Value)) -> String {
        let mut keys = json!({
            "address": "https://bao.internal:8200/", "token_file": "token", "path": "database/creds/{agent}",
            "fields": { "password": "password" },
        });
        change(&mut keys);
        let members = keys.as_object().unwrap().clone().into_iter().collect();
        let mut files = Files::at(&fresh("openbao-check"));
        let read = OpenBao::check(members, &mut files, &Path::root().at("credentials").at("bao"));
        let Err(errors) = files.report.finish(read) else { return String::new() };
        errors.to_string().replace("credentials.bao.", "")
    }

    #[test]
    fn mistakes_are_told_with_what_is_accepted() {
        assert_eq!(errors(|_| ()), "");
        assert_eq!(errors(|keys| keys["address"] = json!("http://127.0.0.1:8200")), "");
        let mut told = String::new();
        for (key, value) in [
            ("address", json!("http://bao.internal:8200")),
            ("address", json!("http://127.0.0.1.example.test")),
            ("path", json!("/database/creds/reader")),
            ("path", json!("database/{arguments}")),
            ("method", json!("list")),
            ("parameters", json!({ "ip": "127.0.0.1" })),
            ("fields", json!({})),
            ("fields", json!({ "a-b": "x", "c": "/" })),
            ("policies", json!([])),
            ("namespace", json!("é")),
            ("revocable", json!("no")),
            ("feilds", json!({})),
        ] {
            told = told + &errors(|keys| keys[key] = value) + "\n";
        }
        let write = |keys: &mut Value| {
            keys["method"] = json!("write");
            keys["parameters"] = json!({ "ttl": "{ttl}s", "x": "{secret}" });
        };
        told += &errors(write);
        let expected = r#"`address`: found `http://bao.internal:8200`, accepted is an `https://` URL, or an `http://` URL of this machine
`address`: found `http://127.0.0.1.example.test`, accepted is an `https://` URL, or an `http://` URL of this machine
`path`: found "/database/creds/reader", accepted is a path such as `database/creds/reader`
`path`: found `{arguments}`, accepted is a text with places from `{agent}`, `{subject}`, `{tool}`, `{scope}`, `{lease}`
`method`: found `list`, accepted is `read`, `write`
`parameters`: found parameters of what is read, accepted is none, or `method: write`
`fields`: found no part, accepted is at least one, such as `password: password`
`fields.a-b`: found the name "a-b", accepted is `a-z`, `0-9` and `_`
`fields.c`: found "/", accepted is a member of the answer's `data`
`policies`: found no policy, accepted is at least one, or no such key
`namespace`: found a namespace that is not ASCII, accepted is a path such as `teams/crm`
`revocable`: found `"no"`, accepted is `true` or `false`
`feilds`: found unknown key `feilds`, accepted is one of `kind`, `ttl`, `reuse`, `until`, `headers`, `address`, `token_file`, `ca_file`, `namespace`, `path`, `method`, `parameters`, `fields`, `policies`, `revocable` (hint: did you mean `fields`?)
`parameters.x`: found `{secret}`, accepted is a text with places from `{agent}`, `{subject}`, `{tool}`, `{scope}`, `{lease}`, `{ttl}`"#;
        assert_eq!(told, expected);
    }
}
