//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The other end; handlers take it as `ConnectInfo<Peer>`.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, that of the last proxy in between if there are any.
    pub address: SocketAddr,
    /// Its certificate, if it has shown one; the chain to `tls.client_ca_file` and the possession of the key are proved.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// What a client's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of its DER, as tokens are bound to it.
    ///
    /// [RFC 8705 §3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1)
    pub sha256: [u8; 32],
    /// Its DNS names, in lower case.
    pub dns: Vec<String>,
    /// Its URIs, a SPIFFE ID among them if it has one.
    pub uris: Vec<String>,
    /// Its subject.
    ///
    /// [RFC 4514 §2](https://www.rfc-editor.org/rfc/rfc4514#section-2)
    pub subject: String,
}

/// The certificate cannot be read; nobody can say whom it names.
#[derive(Debug)]
pub struct Unreadable(x509_cert::der::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the client's certificate cannot be read: {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

impl PeerCertificate {
    /// Reads DER.
    ///
    /// Other names than those of DNS and URIs are left out: nothing is decided by them.
    pub fn read(der: &[u8]) -> Result<Self, Unreadable> {
        let certificate = Certificate::from_der(der).map_err(Unreadable)?.tbs_certificate;
        // RFC 5280 §4.2: one extension of a kind; `get` refuses a second one.
        let names = certificate.get::<SubjectAltName>().map_err(Unreadable)?;
        let (mut dns, mut uris) = (Vec::new(), Vec::new());
        for name in names.map(|(_, SubjectAltName(names))| names).unwrap_or_default() {
            match name {
                GeneralName::DnsName(name) => dns.push(name.as_str().to_ascii_lowercase()),
                GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str().to_owned()),
                _ => {}
            }
        }
        Ok(Self { sha256: Sha256::digest(der).into(), dns, uris, subject: certificate.subject.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl req -x509 -newkey ed25519 -nodes -subj '/O=Ops, Inc./CN=gateway' -days 36500 -outform DER \
    /// -addext 'subjectAltName=DNS:GW.example,URI:spiffe://prod/gateway,IP:127.0.0.1,email:a@example'`
    const DER: &[u8] = include_bytes!("peer/gateway.der");

    #[test]
    fn names_are_read_by_their_kind() {
        let certificate = PeerCertificate::read(DER).unwrap();
        assert_eq!(certificate.dns, ["gw.example"]);
        assert_eq!(certificate.uris, ["spiffe://prod/gateway"]);
        assert_eq!(certificate.subject, "CN=gateway,O=Ops\\, Inc.");
        assert_eq!(certificate.sha256, <[u8; 32]>::from(Sha256::digest(DER)));
    }

    #[test]
    fn bytes_that_are_no_certificate_name_nobody() {
        for length in [0, 1, DER.len() / 2, DER.len() - 1] {
            assert!(PeerCertificate::read(&DER[..length]).is_err());
        }
        assert!(PeerCertificate::read(&[DER, &[0]].concat()).is_err());
    }
}
