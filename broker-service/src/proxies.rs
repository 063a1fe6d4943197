//! The proxies there are, and how each proves to be itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use accredit_policy::Secret;

use crate::listener::peer::PeerCertificate;

/// The proxies, by client identifier.
#[derive(Debug, Default)]
pub struct Proxies {
    /// Each one's secret, if it has one.
    secrets: BTreeMap<String, Option<Secret>>,
    /// Which one a name in a certificate stands for.
    names: BTreeMap<San, String>,
}

/// A name in a certificate, a subject alternative name.
///
/// [RFC 5280 §4.2.1.6](https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.6)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// A DNS name, in lower case.
    Dns(String),
    /// A URI, such as a SPIFFE ID.
    Uri(String),
}

impl San {
    /// Reads a URI or a DNS name; `None` for what is neither, patterns among it: names are compared as they are.
    pub fn parse(text: &str) -> Option<Self> {
        let label = |label: &str| {
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            plain && (1..=63).contains(&label.len())
        };
        let uri = |(scheme, rest): (&str, &str)| {
            let plain = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
            plain
                && !scheme.is_empty()
                && !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
        };
        match text.split_once(':') {
            _ if text.len() > 2048 => None,
            Some(parts) => uri(parts).then(|| Self::Uri(text.to_owned())),
            None => (text.len() <= 253 && text.split('.').all(label)).then(|| Self::Dns(text.to_ascii_lowercase())),
        }
    }
}

/// The name stands for another proxy already.
#[derive(Debug)]
pub struct Taken(pub String);

impl Proxies {
    /// Adds a proxy.
    pub fn add(&mut self, id: &str, secret: Option<Secret>) {
        self.secrets.insert(id.to_owned(), secret);
    }

    /// Lets certificates with the name `san` stand for the proxy `id`.
    pub fn name(&mut self, id: &str, san: San) -> Result<(), Taken> {
        match self.names.entry(san) {
            Entry::Vacant(entry) => {
                entry.insert(id.to_owned());
                Ok(())
            }
            Entry::Occupied(entry) => Err(Taken(entry.get().clone())),
        }
    }

    /// Whether `id` is a proxy, and then its secret.
    pub fn secret(&self, id: &str) -> Option<Option<&Secret>> {
        self.secrets.get(id).map(Option::as_ref)
    }

    /// The one proxy a certificate names; `None` also when it names two, for then it says nothing.
    pub fn named(&self, certificate: &PeerCertificate) -> Option<&str> {
        let dns = certificate.dns.iter().cloned().map(San::Dns);
        let uris = certificate.uris.iter().cloned().map(San::Uri);
        let mut found = dns.chain(uris).filter_map(|san| self.names.get(&san));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(dns: &[&str], uris: &[&str]) -> PeerCertificate {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        PeerCertificate { sha256: [0; 32], dns: own(dns), uris: own(uris), subject: String::new() }
    }

    fn proxies() -> Proxies {
        let mut proxies = Proxies::default();
        proxies.name("one", San::parse("spiffe://prod/one").unwrap()).unwrap();
        proxies.name("one", San::parse("One.example").unwrap()).unwrap();
        proxies.name("two", San::parse("two.example").unwrap()).unwrap();
        proxies
    }

    #[test]
    fn a_name_counts_whole_and_by_its_kind() {
        let proxies = proxies();
        let named = |dns: &[&str], uris: &[&str]| proxies.named(&certificate(dns, uris)).map(str::to_owned);
        assert_eq!(named(&[], &["spiffe://prod/one"]).as_deref(), Some("one"));
        assert_eq!(named(&["other.example", "one.example"], &[]).as_deref(), Some("one"));
        for (dns, uris) in [
            (&[][..], &["spiffe://prod/one/more"][..]),
            (&[], &["spiffe://prod/on"]),
            (&[], &["SPIFFE://prod/one"]),
            (&[], &["one.example"]),
            (&["spiffe://prod/one"], &[]),
            (&["*.example"], &[]),
            (&["a.one.example"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(named(dns, uris), None, "{dns:?} {uris:?}");
        }
    }

    #[test]
    fn a_certificate_of_two_proxies_is_neithers() {
        let proxies = proxies();
        assert_eq!(proxies.named(&certificate(&["one.example"], &["spiffe://prod/one"])), Some("one"));
        assert_eq!(proxies.named(&certificate(&["one.example", "two.example"], &[])), None);
    }

    #[test]
    fn names_are_no_patterns() {
        for bad in
            ["", "*.example", "a b", "a..b", "spiffe://prod/*", "spiffe:", ":x", "a\u{e9}.example", "spiffe://a b"]
        {
            assert_eq!(San::parse(bad), None, "{bad}");
        }
        let mut proxies = proxies();
        let Taken(by) = proxies.name("two", San::parse("ONE.example").unwrap()).unwrap_err();
        assert_eq!(by, "one");
    }
}
