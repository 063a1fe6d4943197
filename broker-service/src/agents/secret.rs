//! Agents' secrets: shown once, kept as a digest.

use accredit_policy::Secret;
use accredit_policy::token::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::clock;

/// What a secret hashes to, and with which salt; both in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    salt: String,
    sha256: String,
}

impl Digest {
    /// Of `secret`, with a salt of its own.
    pub fn new(secret: &Secret) -> Result<Self, getrandom::Error> {
        let salt = hex(&clock::random::<16>()?);
        Ok(Self { sha256: digest(&salt, secret), salt })
    }

    /// Whether `secret` is the one. It takes as long for a near miss as for a far one.
    pub fn matches(&self, secret: &Secret) -> bool {
        digest(&self.salt, secret).as_bytes().ct_eq(self.sha256.as_bytes()).into()
    }

    /// As much work as [`Self::matches`], so that the time does not tell which agents there are.
    pub fn nobody(secret: &Secret) -> bool {
        digest("00000000000000000000000000000000", secret).as_bytes().ct_eq(b"".as_slice()).into()
    }
}

/// A new secret of 256 bits.
pub fn new() -> Result<Secret, getrandom::Error> {
    Ok(Secret::new(hex(&clock::random::<32>()?)))
}

/// Secrets are long and random, so one round is enough: there is nothing to guess.
fn digest(salt: &str, secret: &Secret) -> String {
    hex(&Sha256::new_with_prefix(salt.as_bytes()).chain_update(secret.reveal()).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_matches() {
        let digest = Digest::new(&Secret::new("abc")).unwrap();
        assert!(digest.matches(&Secret::new("abc")));
        assert!(!digest.matches(&Secret::new("abd")) && !digest.matches(&Secret::new("")));
        assert_ne!(digest, Digest::new(&Secret::new("abc")).unwrap(), "every digest has its own salt");
        assert!(!Digest::nobody(&Secret::new("abc")));
    }
}
