//! Certificates: an authority, and whom it knows.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use reqwest::{Certificate, ClientBuilder, Identity};

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub pem: String,
}

/// A certificate and its key.
pub struct Signed {
    /// The certificate, PEM.
    pub chain: String,
    /// The key, PEM.
    pub key: String,
    /// The certificate, DER.
    pub der: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority with a key of its own.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate can be signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for a server at these DNS names or addresses, or for a client of these DNS names.
    pub fn host(&self, name: &str, hosts: &[&str]) -> Signed {
        self.sign(named(name, hosts))
    }

    /// A certificate for the workload of that URI, such as a SPIFFE ID.
    ///
    /// # Panics
    /// When that is no URI.
    pub fn workload(&self, name: &str, uri: &str) -> Signed {
        let mut params = named(name, &[]);
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("a URI is ASCII")));
        self.sign(params)
    }

    /// An HTTP client that trusts this authority and no other.
    ///
    /// # Panics
    /// When its own certificate cannot be read.
    pub fn trusting(&self) -> ClientBuilder {
        let root = Certificate::from_pem(self.pem.as_bytes()).expect("it is PEM");
        ClientBuilder::new().no_proxy().tls_certs_only([root])
    }

    fn sign(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Signed { chain: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }
}

impl Signed {
    /// What an HTTP client shows.
    ///
    /// # Panics
    /// When it is not PEM.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(format!("{}{}", self.key, self.chain).as_bytes()).expect("they are PEM")
    }
}

/// A certificate to be: with the default name, it would look as if it had signed itself.
fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("hosts are ASCII");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
