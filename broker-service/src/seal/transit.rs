//! A key of OpenBao's transit engine that wraps the data keys; it never leaves OpenBao.
//!
//! [OpenBao, transit secrets engine](https://openbao.org/api-docs/secret/transit/)

use std::path::PathBuf;

use accredit_policy::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::wrap::Unwrapped;
use super::{DataKey, Id};
use crate::credential::Failure;
use crate::outbound::{Outbound, send};

/// Wraps data keys with a key of OpenBao.
#[derive(Clone, Debug)]
pub struct Transit {
    /// Sends the requests.
    pub outbound: Outbound,
    /// OpenBao's address.
    pub address: String,
    /// A file with a token that may encrypt and decrypt; read each time, since whoever renews it writes it anew.
    pub token_file: PathBuf,
    /// Where the engine is mounted.
    pub mount: String,
    /// The key's name.
    pub key: String,
}

impl Transit {
    /// Which key it is.
    pub fn name(&self) -> String {
        format!("openbao:{}/{}", self.mount, self.key)
    }

    pub(super) async fn wrap(&self, id: Id, key: &DataKey) -> Result<Vec<u8>, Unwrapped> {
        let plain = Zeroizing::new(BASE64_STANDARD.encode(key.bytes()));
        let body = json!({ "plaintext": &*plain, "associated_data": together(id) });
        let ciphertext = self.ask("encrypt", &body, "ciphertext").await?;
        Ok(ciphertext.reveal().as_bytes().to_vec())
    }

    pub(super) async fn unwrap(&self, id: Id, wrapped: &[u8]) -> Result<DataKey, Unwrapped> {
        let ciphertext = str::from_utf8(wrapped).map_err(|_| Unwrapped::Unfit(id))?;
        let body = json!({ "ciphertext": ciphertext, "associated_data": together(id) });
        let plain = self.ask("decrypt", &body, "plaintext").await?;
        let plain = BASE64_STANDARD.decode(plain.reveal()).map(Zeroizing::new).ok();
        plain.and_then(|plain| DataKey::read(&plain)).ok_or(Unwrapped::Unfit(id))
    }

    /// One operation of the engine; out comes one text of its `data`.
    async fn ask(&self, operation: &str, body: &Value, member: &str) -> Result<Secret, Unwrapped> {
        let failed = |failure| Unwrapped::Target(self.name(), failure);
        let token = std::fs::read_to_string(&self.token_file);
        let token = token.map_err(|error| Unwrapped::File(self.token_file.clone(), error))?;
        let token = Secret::new(Zeroizing::new(token).trim());
        let url = format!("{}/v1/{}/{operation}/{}", self.address, self.mount, self.key);
        let body = Zeroizing::new(body.to_string());
        let request = self.outbound.client().post(url).header("x-vault-token", token.reveal());
        let request = request.header("content-type", "application/json").body(body.to_string());
        let reply = send(request).await.map_err(failed)?;
        if reply.status != StatusCode::OK {
            return Err(failed(refusal(reply.status, operation)));
        }
        let value = reply.json().map_err(failed)?;
        let text = value.pointer(&format!("/data/{member}")).and_then(Value::as_str);
        text.map(Secret::new).ok_or_else(|| failed(Failure::Unavailable(format!("the answer has no `{member}`"))))
    }
}

/// What a status says; the texts of the answer are not shown, they can repeat what was asked.
fn refusal(status: StatusCode, operation: &str) -> Failure {
    match status {
        StatusCode::FORBIDDEN => Failure::Refused(format!("the token may not `{operation}` (status 403)")),
        StatusCode::BAD_REQUEST => {
            Failure::Refused(format!("`{operation}` is not possible: another key, or changed (status 400)"))
        }
        StatusCode::NOT_FOUND => Failure::Refused("no such mount or key (status 404)".into()),
        other => Failure::Unavailable(format!("status {other}")),
    }
}

/// Ties a wrapped key to its name; the engine takes it in base64 and only for ciphers with associated data.
fn together(id: Id) -> String {
    BASE64_STANDARD.encode(format!("accredit data key {id}"))
}
