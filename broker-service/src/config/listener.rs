//! Where and how the broker listens, and which proxies it knows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, each, entries, refuse_unknown};
use accredit_policy::config::unit::Span;

use super::{Files, raw};
use crate::limit::{Quota, Rate};
use crate::listener::Limits;
use crate::listener::tls::{Flaw, Part, Paths, Tls};
use crate::proxies::{Proxies, San, Taken};

/// Where and how to listen.
#[derive(Debug)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// How many and how long.
    pub limits: Limits,
    /// How often.
    pub rates: Quota,
    /// Whether clients are asked for certificates.
    pub clients: Clients,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nobody is.
    Anonymous,
    /// Everybody is; nobody has to have one.
    Asked,
}

impl Files {
    /// The listener, and what may be said of clients; the latter also when the former is not to be had.
    pub(super) fn listener(
        &mut self,
        listen: Field<String>,
        insecure: Field<bool>,
        tls: Field<raw::Tls>,
        limits: Field<raw::Limits>,
    ) -> (Option<Listen>, Clients) {
        let root = Path::root();
        let secured = tls.stands();
        let paths = tls.optional(&root.at("tls"), &mut self.report).and_then(|raw| self.paths(raw, &root.at("tls")));
        let clients = match &paths {
            Some(Paths { client_ca: None, .. }) => Clients::Anonymous,
            // What is wrong about `tls` is told there.
            _ if secured => Clients::Asked,
            _ => Clients::Anonymous,
        };
        let tls = paths.map(|paths| self.tls(paths, &root.at("tls")));
        let insecure = insecure.optional(&root.at("insecure"), &mut self.report).unwrap_or_default();
        let address = self.socket(listen, secured || insecure, &root.at("listen"));
        let (limits, rates) = self.limits(limits, &root.at("limits"));
        let listen = || {
            let tls = tls.map_or(Some(None), |tls| tls.map(Some))?;
            Some(Listen { address: address?, tls, limits, rates, clients })
        };
        (listen(), clients)
    }

    fn socket(&mut self, listen: Field<String>, anywhere: bool, path: &Path) -> Option<SocketAddr> {
        let text = listen.required(path, &mut self.report)?;
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() || anywhere => Some(address),
            Ok(_) => {
                let hint = "give `tls` a certificate; put `insecure: true` only where something else encrypts";
                self.report.advise(path, format!("`{text}`"), "a loopback address, as there is no `tls`", hint);
                None
            }
            Err(_) => {
                self.report.add(path, format!("`{text}`"), "an address and a port such as `127.0.0.1:10002`");
                None
            }
        }
    }

    fn paths(&mut self, raw: raw::Tls, path: &Path) -> Option<Paths> {
        let raw::Tls { certificate_file, key_file, client_ca_file, unknown } = raw;
        refuse_unknown(&unknown, raw::Tls::FIELDS, path, &mut self.report);
        let certificate = certificate_file.required(&path.at("certificate_file"), &mut self.report);
        let key = key_file.required(&path.at("key_file"), &mut self.report);
        let asked = client_ca_file.stands();
        let client_ca = client_ca_file.optional(&path.at("client_ca_file"), &mut self.report);
        if asked && client_ca.is_none() {
            return None;
        }
        let file = |name: String| self.folder.join(name);
        Some(Paths { certificate: file(certificate?), key: file(key?), client_ca: client_ca.map(file) })
    }

    fn tls(&mut self, paths: Paths, path: &Path) -> Option<Tls> {
        let unfit = match Tls::open(paths) {
            Ok(tls) => return Some(tls),
            Err(unfit) => unfit,
        };
        let (name, accepted) = match unfit.part {
            Part::Certificate => ("certificate_file", "a chain of certificates in PEM, the broker's own first"),
            Part::Key => ("key_file", "the certificate's key in PEM, readable by its owner alone"),
            Part::ClientCa => ("client_ca_file", "certificates of authorities in PEM"),
        };
        match unfit.flaw {
            Flaw::Open(_) => {
                let hint = format!("chmod 600 {}", unfit.path.display());
                self.report.advise(&path.at(name), unfit.to_string(), accepted, &hint);
            }
            _ => self.report.add(&path.at(name), unfit.to_string(), accepted),
        }
        None
    }

    fn limits(&mut self, limits: Field<raw::Limits>, path: &Path) -> (Limits, Quota) {
        let raw = limits.optional(path, &mut self.report).unwrap_or_default();
        let raw::Limits { connections, request, answer, drain, token, failures, unknown } = raw;
        refuse_unknown(&unknown, raw::Limits::FIELDS, path, &mut self.report);
        let usual = Limits::default();
        let at = path.at("connections");
        let connections = match connections.optional(&at, &mut self.report).map(|count| (count, usize::try_from(count)))
        {
            None => usual.connections,
            Some((1..=65_536, Ok(count))) => count,
            Some((other, _)) => {
                self.report.add(&at, format!("`{other}`"), "`1` to `65536`");
                usual.connections
            }
        };
        let mut span = |field: Field<Span>, name, usual, range: RangeInclusive<u64>, accepted| {
            let Some(Span(span)) = field.optional(&path.at(name), &mut self.report) else { return usual };
            if !u64::try_from(span.as_millis()).is_ok_and(|millis| range.contains(&millis)) {
                self.report.add(&path.at(name), format!("{} milliseconds", span.as_millis()), accepted);
            }
            span
        };
        let limits = Limits {
            connections,
            request: span(request, "request", usual.request, 100..=60_000, "`100ms` to `1m`"),
            answer: span(answer, "answer", usual.answer, 100..=300_000, "`100ms` to `5m`"),
            drain: span(drain, "drain", usual.drain, 0..=300_000, "`0s` to `5m`"),
        };
        let usual = Quota::default();
        let requests = self.rate(token, usual.requests, &path.at("token"));
        let failures = self.rate(failures, usual.failures, &path.at("failures"));
        (limits, Quota { requests, failures })
    }

    fn rate(&mut self, rate: Field<raw::Rate>, usual: Rate, path: &Path) -> Rate {
        let raw::Rate { per_second, burst, unknown } = rate.optional(path, &mut self.report).unwrap_or_default();
        refuse_unknown(&unknown, raw::Rate::FIELDS, path, &mut self.report);
        let mut count = |field: Field<u64>, name, usual| {
            let Some(count) = field.optional(&path.at(name), &mut self.report) else { return usual };
            match u32::try_from(count) {
                Ok(count @ 1..=1_000_000) => count,
                _ => {
                    self.report.add(&path.at(name), format!("`{count}`"), "`1` to `1000000`");
                    usual
                }
            }
        };
        Rate {
            per_second: count(per_second, "per_second", usual.per_second),
            burst: count(burst, "burst", usual.burst),
        }
    }

    pub(super) fn proxies(
        &mut self,
        proxies: Field<BTreeMap<String, Field<raw::Proxy>>>,
        clients: Clients,
        path: &Path,
    ) -> Proxies {
        let map = proxies.required(path, &mut self.report).unwrap_or_default();
        let mut known = Proxies::default();
        for (id, raw) in entries(map, path, &mut self.report) {
            self.proxy(&mut known, &id, raw, clients, &path.at(&id));
        }
        known
    }

    fn proxy(&mut self, known: &mut Proxies, id: &str, raw: raw::Proxy, clients: Clients, path: &Path) {
        let raw::Proxy { secret_file, san, sans, unknown } = raw;
        refuse_unknown(&unknown, raw::Proxy::FIELDS, path, &mut self.report);
        let secured = secret_file.stands();
        known.add(id, if secured { self.secret(secret_file, &path.at("secret_file")) } else { None });
        let one = san.optional(&path.at("san"), &mut self.report).map(|name| (path.at("san"), name));
        let list = sans.optional(&path.at("sans"), &mut self.report).unwrap_or_default();
        if list.is_empty() && one.is_none() && !secured {
            self.report.add(path, "nothing to know it by", "`secret_file`, `san` or both");
        }
        let list = each(list, &path.at("sans"), &mut self.report).into_iter().enumerate();
        let names = one.into_iter().chain(list.map(|(index, name)| (path.at("sans").item(index), name)));
        for (at, text) in names {
            if clients == Clients::Anonymous {
                let hint = "without it, clients are not asked for certificates";
                self.report.advise(&at, format!("`{text}`"), "a name only beside `tls.client_ca_file`", hint);
                continue;
            }
            match San::parse(&text).map(|san| known.name(id, san)) {
                Some(Ok(())) => {}
                Some(Err(Taken(by))) => {
                    self.report.add(&at, format!("`{text}`, which stands for `{by}`"), "a name of one proxy, once");
                }
                None => self.report.add(&at, format!("{text:?}"), "a URI or a DNS name, without patterns"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn files() -> Files {
        Files { folder: std::path::PathBuf::new(), report: Default::default() }
    }

    #[test]
    fn limits_have_bounds() {
        let read = |text: &str| {
            let mut files = files();
            let limits = files.limits(Field::Read(serde_json::from_str(text).unwrap()), &Path::root().at("limits"));
            files.report.finish(Some(limits)).map_err(|errors| errors.to_string())
        };
        assert_eq!(read("{}"), Ok((Limits::default(), Quota::default())));
        let (given, _) = read(r#"{"connections": 1, "request": "100ms", "answer": "5m", "drain": "0s"}"#).unwrap();
        assert_eq!((given.connections, given.drain), (1, Duration::ZERO));
        for (text, place) in [
            (r#"{"connections": 0}"#, "`limits.connections`: found `0`"),
            (r#"{"connections": 70000}"#, "`limits.connections`: found `70000`"),
            (r#"{"request": "99ms"}"#, "`limits.request`: found 99 milliseconds, accepted is `100ms` to `1m`"),
            (r#"{"answer": "6m"}"#, "`limits.answer`"),
            (r#"{"drain": "6m"}"#, "`limits.drain`"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(place), "{said}");
        }
    }
}
