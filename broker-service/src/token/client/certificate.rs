//! Certificates that the connection has proved.
//!
//! [RFC 8705 §2.1](https://www.rfc-editor.org/rfc/rfc8705#section-2.1)

use super::Failure;
use crate::agents::Name;
use crate::listener::peer::PeerCertificate;

/// Whether `certificate` has the name its agent is registered under. Names are compared as they are: no patterns.
pub(super) fn check(name: Option<&Name>, certificate: &PeerCertificate) -> Result<(), Failure> {
    let holds = match name {
        // RFC 4343 §3: the case of ASCII letters does not count.
        Some(Name::Dns(dns)) => certificate.dns.iter().any(|own| own.eq_ignore_ascii_case(dns)),
        Some(Name::Subject(subject)) => certificate.subject == *subject,
        Some(Name::Uri(uri)) => certificate.uris.contains(uri),
        None => false,
    };
    if holds { Ok(()) } else { Err(Failure::Unproved("the certificate does not have the client's name")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_whole_and_by_its_kind() {
        let certificate = PeerCertificate {
            sha256: [0; 32],
            dns: vec!["scout.example".into()],
            uris: vec!["spiffe://prod/scout".into()],
            subject: "CN=scout,O=Ops".into(),
        };
        let holds = |name: Name| check(Some(&name), &certificate).is_ok();
        assert!(holds(Name::Dns("Scout.example".into())));
        assert!(holds(Name::Uri("spiffe://prod/scout".into())));
        assert!(holds(Name::Subject("CN=scout,O=Ops".into())));
        for name in [
            Name::Dns("spiffe://prod/scout".into()),
            Name::Dns("example".into()),
            Name::Dns("*.example".into()),
            Name::Uri("scout.example".into()),
            Name::Uri("spiffe://prod/scout/1".into()),
            Name::Uri("SPIFFE://prod/scout".into()),
            Name::Subject("CN=scout".into()),
            Name::Subject("scout.example".into()),
        ] {
            assert!(!holds(name.clone()), "{name:?}");
        }
        assert!(check(None, &certificate).is_err());
    }
}
