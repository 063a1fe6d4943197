//! What kinds with a target share: where it is, whom to believe there, and what we are known by.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;

use accredit_policy::Secret;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::Field;
use reqwest::Url;

use super::Files;
use crate::credential::Call;
use crate::credential::template::{BadTemplate, Template};
use crate::outbound::Outbound;

impl Files {
    /// The URL of a target: `https`, or `http` where nobody else can listen.
    pub fn url(&mut self, field: Field<String>, path: &Path) -> Option<Url> {
        let text = field.required(path, &mut self.report)?;
        let url = Url::parse(&text).ok().filter(|url| {
            let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            plain && (url.scheme() == "https" || url.scheme() == "http" && loopback(url))
        });
        if url.is_none() {
            let hint = "no user and no fragment; `http://` only on loopback";
            // What stands before an `@` can be a password.
            let found = if text.contains('@') { "a URL with a user".into() } else { format!("`{text}`") };
            self.report.advise(path, found, "an `https://` URL", hint);
        }
        url
    }

    /// A client that trusts the authorities of a file besides those of the system.
    pub fn outbound(&mut self, ca_file: Field<String>, path: &Path) -> Option<Outbound> {
        let pem = match ca_file.optional(path, &mut self.report) {
            Some(name) => Some(self.content(&name, path)?),
            None => None,
        };
        let outbound = Outbound::new(pem.as_ref().map(Secret::reveal));
        outbound.map_err(|_| self.report.add(path, "no certificates", "certificates in PEM")).ok()
    }

    /// A secret a target has given us, which may be shorter than our own.
    pub fn given(&mut self, file: Field<String>, path: &Path) -> Option<Secret> {
        let name = file.required(path, &mut self.report)?;
        let text = self.content(&name, path)?;
        let text = Secret::new(text.reveal().trim());
        if text.is_empty() || text.reveal().len() > 4096 || text.reveal().chars().any(char::is_control) {
            self.report.add(path, "a file of another kind", "a file with one line, the secret");
            return None;
        }
        Some(text)
    }

    /// The text of a file with a private key, which only its owner may read.
    pub fn key(&mut self, file: Field<String>, path: &Path) -> Option<Secret> {
        let name = file.required(path, &mut self.report)?;
        let mode = fs::metadata(self.folder.join(&name)).map_or(0, |data| data.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            let hint = format!("chmod 600 {name}");
            self.report.advise(path, format!("a file with mode `{mode:o}`"), "mode `600` or less", &hint);
            return None;
        }
        self.content(&name, path)
    }

    /// The text of a file, not shown, whatever is wrong with it.
    fn content(&mut self, name: &str, path: &Path) -> Option<Secret> {
        let file = self.folder.join(name);
        let read = fs::read_to_string(&file).map(Secret::new);
        let tell =
            |error| self.report.add(path, format!("`{}`, which cannot be read: {error}", file.display()), "a file");
        read.map_err(tell).ok()
    }

    /// A text with places for the facts of a call; `usual` where none is given.
    pub fn template(&mut self, field: Field<String>, usual: &str, path: &Path) -> Option<Template> {
        let text = field.optional(path, &mut self.report).unwrap_or_else(|| usual.to_owned());
        let bad = |bad: BadTemplate| {
            let places: Vec<_> = Call::FACTS.iter().map(|fact| format!("`{{{fact}}}`")).collect();
            self.report.add(path, bad.to_string(), format!("a text with places from {}", places.join(", ")));
        };
        Template::parse(&text, Call::FACTS).map_err(bad).ok()
    }

    /// A text where one is given.
    pub fn maybe(&mut self, field: Field<String>, path: &Path) -> Option<String> {
        if field.stands() { self.text(field, path) } else { None }
    }
}

fn loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
