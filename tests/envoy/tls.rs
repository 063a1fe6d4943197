//! TLS between agents and Envoy, and agents with certificates.

use harness::authority::{self, Signed};
use harness::stack::envoy;
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An authority that Envoy and agents trust.
pub struct Authority(authority::Authority);

/// An agent and its certificate.
pub struct Agent {
    pub http: Client,
    /// SHA-256 of the certificate's DER.
    pub digest: [u8; 32],
}

impl Authority {
    pub fn new() -> Self {
        Self(authority::Authority::new())
    }

    /// Makes the gateway speak TLS, and look at the certificates of those that have one.
    pub fn guard(&self) -> impl FnOnce(&mut Value) + use<> {
        let Signed { chain, key, .. } = self.0.host("gateway", &["127.0.0.1"]);
        let ca = self.0.pem.clone();
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
        let signed = self.0.workload("agent", id);
        let http = self.0.trusting().identity(signed.identity()).build().unwrap();
        Agent { http, digest: Sha256::digest(signed.der).into() }
    }

    /// An agent without a certificate.
    pub fn stranger(&self) -> Client {
        self.0.trusting().build().unwrap()
    }
}
