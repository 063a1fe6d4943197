//! TLS between agents and Envoy, and agents with certificates.

use harness::stack::envoy;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An authority that Envoy and agents trust.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// An agent and its certificate.
pub struct Agent {
    pub http: Client,
    /// SHA-256 of the certificate's DER.
    pub digest: [u8; 32],
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Makes the gateway speak TLS, and look at the certificates of those that have one.
    pub fn guard(&self) -> impl FnOnce(&mut Value) + use<> {
        let (chain, key, _) = self.sign(named("gateway", &["127.0.0.1"]));
        let ca = self.pem.clone();
        move |config| {
            let tls = json!({
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": [{
                        "certificate_chain": { "inline_string": chain }, "private_key": { "inline_string": key },
                    }],
                    "validation_context": { "trusted_ca": { "inline_string": ca } },
                },
            });
            envoy::chain(config)["transport_socket"] = json!({ "name": "tls", "typed_config": tls });
        }
    }

    /// An agent whose certificate names this workload.
    pub fn agent(&self, id: &str) -> Agent {
        let mut params = named("agent", &[]);
        params.subject_alt_names.push(SanType::URI(id.try_into().unwrap()));
        let (chain, key, der) = self.sign(params);
        let identity = Identity::from_pem(format!("{key}{chain}").as_bytes()).unwrap();
        let http = self.trusting().identity(identity).build().unwrap();
        Agent { http, digest: Sha256::digest(der).into() }
    }

    /// An agent without a certificate.
    pub fn stranger(&self) -> Client {
        self.trusting().build().unwrap()
    }

    fn trusting(&self) -> reqwest::ClientBuilder {
        let root = Certificate::from_pem(self.pem.as_bytes()).unwrap();
        Client::builder().no_proxy().tls_certs_only([root])
    }

    /// A certificate and its key as PEM, and the certificate's DER.
    fn sign(&self, params: CertificateParams) -> (String, String, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem(), certificate.der().to_vec())
    }
}

/// A certificate to be: with the default name, it would look as if it had signed itself.
fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
