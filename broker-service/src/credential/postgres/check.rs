//! The rules of the keys of `kind: postgres`.

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, Members, each};

use super::link::{BadUrl, Link};
use super::quote::Name;
use super::{Postgres, Raw};
use crate::config::Files;
use crate::credential::template::Template;

/// The names of roles end with a UUID's 32 digits; longer ones than 63 bytes the server cuts.
const PREFIX: usize = 31;

/// The most sessions a role may be given.
const CONNECTIONS: u64 = 100;

/// Commands that would end the one transaction a role is made in.
const TRANSACTIONS: &[&str] =
    &["abort", "begin", "commit", "end", "prepare", "release", "rollback", "savepoint", "start"];

impl Postgres {
    /// Reads its keys, and the file with the URL; the server need not be there yet.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let Raw { url_file, role_prefix, grants, statements, connection_limit, owner, unknown: _ } =
            files.own(members, Raw::FIELDS, path);
        let link = link(url_file, files, &path.at("url_file"));
        let admin = link.as_ref().map(Link::username);
        let prefix = prefix(role_prefix, files, &path.at("role_prefix"));
        let at = path.at("grants");
        let names = grants.optional(&at, &mut files.report).unwrap_or_default();
        let names = each(names, &at, &mut files.report).into_iter().enumerate();
        let grants = names.filter_map(|(index, word)| name(&word, admin, files, &at.item(index))).collect();
        let at = path.at("statements");
        let texts = statements.optional(&at, &mut files.report).unwrap_or_default();
        let texts = each(texts, &at, &mut files.report).into_iter().enumerate();
        let statements = texts.filter_map(|(index, text)| command(&text, files, &at.item(index))).collect();
        let at = path.at("connection_limit");
        let connections = connection_limit.optional(&at, &mut files.report).unwrap_or(1);
        if !(1..=CONNECTIONS).contains(&connections) {
            files.report.add(&at, format!("`{connections}`"), format!("`1` to `{CONNECTIONS}`"));
        }
        let at = path.at("owner");
        let owner = owner.optional(&at, &mut files.report);
        let owner = owner.and_then(|word| name(&word, admin, files, &at));
        Some(Self { link: link?, prefix: prefix?, grants, statements, connections, owner })
    }
}

fn link(field: Field<String>, files: &mut Files, path: &Path) -> Option<Link> {
    let url = files.file(field, path)?;
    let found = match Link::parse(&url) {
        Ok(link) => return Some(link),
        Err(BadUrl::Malformed) => "a file without such a URL",
        Err(BadUrl::Unproved) => "the URL of another machine whose certificate is not verified",
    };
    let accepted = "a file with `postgres://user:password@host/database?sslmode=verify-full`";
    files.report.advise(path, found, accepted, "`sslrootcert=…` in the URL names the authority, where it is your own");
    None
}

fn prefix(field: Field<String>, files: &mut Files, path: &Path) -> Option<String> {
    let prefix = field.optional(path, &mut files.report).unwrap_or_else(|| "accredit_".into());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first = prefix.starts_with(|letter: char| letter.is_ascii_lowercase());
    // The server keeps `pg_` for itself.
    if !first || !prefix.bytes().all(plain) || prefix.len() > PREFIX || prefix.starts_with("pg_") {
        let accepted = format!("1 to {PREFIX} of `a-z`, `0-9` and `_`, a letter first and not `pg_`");
        files.report.add(path, format!("{prefix:?}"), accepted);
        return None;
    }
    Some(prefix)
}

/// The name of an existing role, other than the one that makes roles: an agent must not become that one, and what an
/// agent has written must not run with its rights.
fn name(word: &str, admin: Option<&str>, files: &mut Files, path: &Path) -> Option<Name> {
    let name = Name::quote(word).filter(|_| Some(word) != admin);
    if name.is_none() {
        files.report.add(path, format!("{word:?}"), "an existing role other than the one in the URL");
    }
    name
}

fn command(text: &str, files: &mut Files, path: &Path) -> Option<Template> {
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if first.is_empty() || text.contains([';', '\0']) || TRANSACTIONS.contains(&first.as_str()) {
        let accepted = "one command without `;`, such as `GRANT SELECT ON customers TO {name}`";
        files.report.advise(
            path,
            format!("{text:?}"),
            accepted,
            "all run in one transaction, each in an entry of its own",
        );
        return None;
    }
    let template = Template::parse(text, &["name"]);
    template.map_err(|bad| files.report.add(path, bad.to_string(), "a text with the place `{name}`")).ok()
}

#[cfg(test)]
mod tests {
    use harness::stack::fresh;
    use serde_json::{Value, json};

    use super::*;

    fn errors(change: impl FnOnce(&mut Value)) -> String {
        let dir = fresh("postgres-check");
        std::fs::write(dir.join("url"), "postgres://maker:secret-password@127.0.0.1/crm\n").unwrap();
        std::fs::write(dir.join("far"), "postgres://maker:secret-password@db.internal/crm").unwrap();
        let mut keys = json!({ "url_file": "url", "grants": ["reader"] });
        change(&mut keys);
        let members = keys.as_object().unwrap().clone().into_iter().collect();
        let mut files = Files::at(&dir);
        let read = Postgres::check(members, &mut files, &Path::root().at("credentials").at("db"));
        let Err(errors) = files.report.finish(read) else { return String::new() };
        let text = errors.to_string();
        assert!(!text.contains("secret-password"), "{text}");
        text.replace("credentials.db.", "")
    }

    #[test]
    fn mistakes_are_told_with_what_is_accepted() {
        assert_eq!(errors(|_| ()), "");
        assert_eq!(errors(|keys| keys["statements"] = json!(["GRANT SELECT ON t TO {name}", "SELECT '{{}}'"])), "");
        let mut told = String::new();
        for (key, value) in [
            ("url_file", json!("far")),
            ("role_prefix", json!(r#"a"; DROP ROLE postgres; --"#)),
            ("role_prefix", json!("pg_x")),
            ("grants", json!(["maker", ""])),
            ("statements", json!(["GRANT a TO {name}; GRANT b TO {name}"])),
            ("statements", json!(["GRANT a TO {agent}"])),
            ("statements", json!([" Commit"])),
            ("connection_limit", json!(0)),
            ("owner", json!("maker")),
            ("grant", json!([])),
        ] {
            told = told + &errors(|keys| keys[key] = value) + "\n";
        }
        let expected = r#"`url_file`: found the URL of another machine whose certificate is not verified, accepted is a file with `postgres://user:password@host/database?sslmode=verify-full` (hint: `sslrootcert=…` in the URL names the authority, where it is your own)
`role_prefix`: found "a\"; DROP ROLE postgres; --", accepted is 1 to 31 of `a-z`, `0-9` and `_`, a letter first and not `pg_`
`role_prefix`: found "pg_x", accepted is 1 to 31 of `a-z`, `0-9` and `_`, a letter first and not `pg_`
`grants[0]`: found "maker", accepted is an existing role other than the one in the URL
`grants[1]`: found "", accepted is an existing role other than the one in the URL
`statements[0]`: found "GRANT a TO {name}; GRANT b TO {name}", accepted is one command without `;`, such as `GRANT SELECT ON customers TO {name}` (hint: all run in one transaction, each in an entry of its own)
`statements[0]`: found `{agent}`, accepted is a text with the place `{name}`
`statements[0]`: found " Commit", accepted is one command without `;`, such as `GRANT SELECT ON customers TO {name}` (hint: all run in one transaction, each in an entry of its own)
`connection_limit`: found `0`, accepted is `1` to `100`
`owner`: found "maker", accepted is an existing role other than the one in the URL
`grant`: found unknown key `grant`, accepted is one of `kind`, `ttl`, `reuse`, `until`, `headers`, `url_file`, `role_prefix`, `grants`, `statements`, `connection_limit`, `owner` (hint: did you mean `grants`?)
"#;
        assert_eq!(told, expected);
    }
}
