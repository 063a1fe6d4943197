//! The broker as an issuer: its key, its key set, its tokens.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use accredit_policy::Secret;
use jwt_compact::alg::Es256;
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{AlgorithmExt as _, Claims, CreationError, Header};
use p256::SecretKey;
use p256::ecdsa::{SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::clock;

/// Signs tokens with ES256.
pub struct Issuer {
    url: String,
    id: String,
    key: SigningKey,
}

/// The `typ` of access tokens.
///
/// [RFC 9068 §2.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)
pub const ACCESS_TOKEN: &str = "at+jwt";

/// The claims of an access token.
///
/// [RFC 9068 §2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)
#[derive(Debug, Serialize)]
pub struct AccessToken<'a> {
    /// Us.
    pub iss: &'a str,
    /// For whom.
    pub sub: &'a str,
    /// Where it may be used.
    pub aud: &'a str,
    /// Who acts.
    pub client_id: &'a str,
    /// What was granted.
    pub scope: &'a str,
    /// Its own identifier.
    pub jti: &'a str,
    /// Issued, seconds since the epoch.
    pub iat: u64,
    /// Ends, seconds since the epoch.
    pub exp: u64,
    /// Through whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Value>,
    /// What it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Value>,
}

/// Why there is no key.
#[derive(Debug)]
pub enum NoKey {
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// Others may read the file.
    Open(PathBuf, u32),
    /// The file holds no P-256 key in PKCS#8.
    Content(PathBuf),
    /// The system gives no randomness.
    Random(getrandom::Error),
}

impl fmt::Display for NoKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Open(path, mode) => {
                let path = path.display();
                write!(formatter, "{path}: found mode `{mode:o}`, accepted is `600` (hint: chmod 600 {path})")
            }
            Self::Content(path) => write!(formatter, "{}: not a P-256 key in PKCS#8 PEM", path.display()),
            Self::Random(error) => write!(formatter, "the system gives no randomness: {error}"),
        }
    }
}

impl error::Error for NoKey {}

impl Issuer {
    /// The issuer at `url` with the key in `folder`, which is made when there is none.
    pub fn open(url: &str, folder: &Path) -> Result<Self, NoKey> {
        let path = folder.join("signing-key.pem");
        let failed = |error| NoKey::File(path.clone(), error);
        if !path.try_exists().map_err(failed)? {
            create(&path)?;
        }
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(NoKey::Open(path, mode));
        }
        let pem = Secret::new(fs::read_to_string(&path).map_err(failed)?);
        let key = SecretKey::from_pkcs8_pem(pem.reveal()).map_err(|_| NoKey::Content(path))?;
        let key = SigningKey::from(&key);
        let id = thumbprint(key.verifying_key());
        Ok(Self { url: url.to_owned(), id, key })
    }

    /// Its `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs `claims` as a token of the media type `typ`.
    pub fn sign<T: Serialize>(&self, typ: &str, claims: T) -> Result<Secret, CreationError> {
        let header = Header::empty().with_key_id(&self.id).with_token_type(typ);
        Es256.token(&header, &Claims::new(claims), &self.key).map(Secret::new)
    }

    /// The public keys as they are published.
    pub fn jwks(&self) -> Value {
        let mut key = json!(JsonWebKey::from(self.key.verifying_key()));
        if let Value::Object(members) = &mut key {
            members.extend([
                ("kid".to_owned(), json!(self.id)),
                ("use".to_owned(), json!("sig")),
                ("alg".to_owned(), json!("ES256")),
            ]);
        }
        json!({ "keys": [key] })
    }
}

/// Writes a new key where none is; never over one.
fn create(path: &Path) -> Result<(), NoKey> {
    let failed = |error| NoKey::File(path.to_owned(), error);
    let key = loop {
        let scalar = zeroize::Zeroizing::new(clock::random::<32>().map_err(NoKey::Random)?);
        // One in 2^32 texts is no scalar of the curve.
        if let Ok(key) = SecretKey::from_slice(&*scalar) {
            break key;
        }
    };
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| NoKey::Content(path.to_owned()))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)
fn thumbprint(key: &VerifyingKey) -> String {
    accredit_policy::token::encode(&JsonWebKey::from(key).thumbprint::<Sha256>())
}
