//! `secrets`: what wraps the keys that seal at rest.

use std::net::IpAddr;
use std::path::{Path as Folder, PathBuf};

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, refuse_unknown};

use super::{Files, raw};
use crate::outbound::Outbound;
use crate::seal::file::KeyFile;
use crate::seal::transit::Transit;
use crate::seal::wrap::{Unwrapped, Wrapper};
use crate::store::Database;

/// The key-encryption keys of the file.
#[derive(Debug, Default)]
pub struct Wrapping {
    /// Wraps data keys; a key file among the data, made when there is none, unless the file says.
    pub wrapper: Option<Wrapper>,
    /// Has wrapped them until now; what it still wraps is wrapped anew.
    pub previous: Option<Wrapper>,
}

/// What `secrets` and `secrets.previous` have to be.
const ONE: &str = "`key_file` or `openbao`";

impl Files {
    pub(super) fn wrapping(
        &mut self,
        field: Field<raw::Secrets>,
        database: Option<&Database>,
        path: &Path,
    ) -> Wrapping {
        let missing = matches!(field, Field::Missing);
        let Some(raw) = field.optional(path, &mut self.report) else {
            if missing && matches!(database, Some(Database::Postgres(_))) {
                let hint = "brokers that share a database share what wraps its keys";
                self.report.advise(path, "nothing", ONE, hint);
            }
            return Wrapping::default();
        };
        let raw::Secrets { key_file, openbao, previous, unknown } = raw;
        refuse_unknown(&unknown, raw::Secrets::FIELDS, path, &mut self.report);
        let wrapper = self.wrapper(key_file, openbao, path);
        let at = path.at("previous");
        let previous = previous.optional(&at, &mut self.report).and_then(|raw| {
            let raw::Previous { key_file, openbao, unknown } = raw;
            refuse_unknown(&unknown, raw::Previous::FIELDS, &at, &mut self.report);
            self.wrapper(key_file, openbao, &at)
        });
        Wrapping { wrapper, previous }
    }

    fn wrapper(&mut self, file: Field<String>, openbao: Field<raw::Transit>, path: &Path) -> Option<Wrapper> {
        let file = file.optional(&path.at("key_file"), &mut self.report);
        let openbao = openbao.optional(&path.at("openbao"), &mut self.report);
        match (file, openbao) {
            (Some(name), None) => self.key_file(&name, &path.at("key_file")).map(Wrapper::File),
            (None, Some(raw)) => self.transit(raw, &path.at("openbao")).map(Wrapper::Transit),
            (None, None) => {
                self.report.add(path, "neither", ONE);
                None
            }
            (Some(_), Some(_)) => {
                self.report.add(path, "both", ONE);
                None
            }
        }
    }

    fn key_file(&mut self, name: &str, path: &Path) -> Option<KeyFile> {
        let name = self.folder.join(name);
        let shown = name.display();
        match KeyFile::read(&name) {
            Ok(file) => return Some(file),
            Err(Unwrapped::Open(_, mode)) => {
                let hint = format!("chmod 600 {shown}");
                self.report.advise(path, format!("`{shown}` with mode `{mode:o}`"), "mode `600`", &hint);
            }
            Err(Unwrapped::File(_, error)) => {
                let hint = "make one with `(umask 077; openssl rand -hex 32 > FILE)`";
                self.report.advise(path, format!("`{shown}`, which cannot be read: {error}"), "a key file", hint);
            }
            Err(_) => {
                let hint = "make one with `openssl rand -hex 32`";
                self.report.advise(path, format!("`{shown}`, which holds no key"), "64 hex digits", hint);
            }
        }
        None
    }

    fn transit(&mut self, raw: raw::Transit, path: &Path) -> Option<Transit> {
        let raw::Transit { address, token_file, mount, key, ca_file, unknown } = raw;
        refuse_unknown(&unknown, raw::Transit::FIELDS, path, &mut self.report);
        let address = self.openbao(address, &path.at("address"));
        let at = path.at("token_file");
        let token_file = token_file.required(&at, &mut self.report).map(|name| self.folder.join(name));
        if let Some(error) = token_file.as_ref().and_then(|file| std::fs::metadata(file).err()) {
            self.report.add(&at, format!("a file that cannot be read: {error}"), "a file with a token of OpenBao");
        }
        let mount = match mount {
            Field::Missing => Some("transit".to_owned()),
            given => self.segments(given, &path.at("mount")),
        };
        let key = self.segments(key, &path.at("key"));
        let at = path.at("ca_file");
        let ca = ca_file.optional(&at, &mut self.report).map(|name| std::fs::read_to_string(self.folder.join(name)));
        let outbound = match ca.transpose().map(|ca| Outbound::new(ca.as_deref())) {
            Ok(Ok(outbound)) => Some(outbound),
            Ok(Err(_)) => {
                self.report.add(&at, "no certificates", "a file with certificates in PEM");
                None
            }
            Err(error) => {
                self.report.add(&at, format!("a file that cannot be read: {error}"), "certificates in PEM");
                None
            }
        };
        Some(Transit { outbound: outbound?, address: address?, token_file: token_file?, mount: mount?, key: key? })
    }

    /// An address whose way is encrypted, or short.
    fn openbao(&mut self, field: Field<String>, path: &Path) -> Option<String> {
        let address = field.required(path, &mut self.report)?;
        let url = reqwest::Url::parse(&address).ok();
        let loopback = |host: &str| {
            let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        let fits = url.is_some_and(|url| {
            let safe = url.scheme() == "https" || (url.scheme() == "http" && url.host_str().is_some_and(loopback));
            safe && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        });
        if !fits {
            self.report.add(path, format!("`{address}`"), "an `https://` URL, or `http://` on loopback");
            return None;
        }
        Some(address.trim_end_matches('/').to_owned())
    }

    /// A name that may stand in the path of a URL as it is.
    fn segments(&mut self, field: Field<String>, path: &Path) -> Option<String> {
        let name = field.required(path, &mut self.report)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let word = |word: &str| !word.is_empty() && word.chars().all(plain);
        if !name.split('/').all(word) {
            self.report.add(path, format!("{name:?}"), "letters, digits, `-` and `_`");
            return None;
        }
        Some(name)
    }
}

/// Where the key file lies that is made when no other is named.
pub fn made(data: &Folder) -> PathBuf {
    data.join("master.key")
}
