//! The signature algorithms we accept, and nothing else.
//!
//! [RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1): the verifier names the algorithms;
//! the token only picks one of them.

use std::fmt;

use super::native::Hash;

/// A signature algorithm, asymmetric throughout: there is no value for `none` or HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519, under its old name `EdDSA` or the one of RFC 9864, `Ed25519`.
    EdDsa,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// The names accepted in `alg`.
    pub const NAMES: &'static [&'static str] =
        &["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

    /// All of them, for proofs a client signs itself.
    pub const ALL: &'static [Self] = &[
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// The algorithm of that exact name.
    ///
    /// [RFC 7515 §4.1.1](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.1): a case-sensitive string.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            // [RFC 9864 §2.2](https://www.rfc-editor.org/rfc/rfc9864#section-2.2): the fully specified name.
            "Ed25519" => Some(Self::EdDsa),
            _ => Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name),
        }
    }

    /// Its name in `alg`, the older one where there are two.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The kind of key it takes.
    pub fn kind(self) -> Kind {
        match self {
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::EdDsa => Kind::Ed25519,
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::Rs256 | Self::Rs384 | Self::Rs512 => Kind::Rsa,
        }
    }

    /// The hash the host is asked to use, where the host can check this algorithm at all.
    pub fn native(self) -> Option<Hash> {
        match self {
            Self::Es256 | Self::Rs256 => Some(Hash::Sha256),
            Self::Es384 | Self::Rs384 => Some(Hash::Sha384),
            Self::Rs512 => Some(Hash::Sha512),
            Self::EdDsa | Self::Ps256 | Self::Ps384 | Self::Ps512 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A kind of key: type and curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `OKP` on Ed25519.
    Ed25519,
    /// `EC` on P-256.
    P256,
    /// `EC` on P-384.
    P384,
    /// `RSA`.
    Rsa,
}

impl Kind {
    /// The kind of a key of this `kty` and `crv`.
    ///
    /// [RFC 7518 §6](https://www.rfc-editor.org/rfc/rfc7518#section-6),
    /// [RFC 8037 §2](https://www.rfc-editor.org/rfc/rfc8037#section-2)
    pub fn of(kty: &str, crv: Option<&str>) -> Option<Self> {
        match (kty, crv) {
            ("EC", Some("P-256")) => Some(Self::P256),
            ("EC", Some("P-384")) => Some(Self::P384),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519),
            ("RSA", None) => Some(Self::Rsa),
            _ => None,
        }
    }

    /// The algorithm a key of this kind serves that names none: the only one `accepted` has for it, else the usual.
    ///
    /// [RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1): each key with exactly one algorithm.
    pub fn natural(self, accepted: &[Algorithm]) -> Algorithm {
        match self {
            Self::Ed25519 => Algorithm::EdDsa,
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::Rsa => {
                let mut fitting = accepted.iter().filter(|algorithm| algorithm.kind() == Self::Rsa);
                let only = fitting.next().filter(|first| fitting.all(|other| other == *first));
                only.copied().unwrap_or(Algorithm::Rs256)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_to_the_letter() {
        for name in Algorithm::NAMES {
            let algorithm = Algorithm::parse(name).unwrap();
            assert!(algorithm.name() == *name || *name == "Ed25519");
        }
        for other in ["none", "HS256", "es256", "ES512", "ES256K", "Ed448", "RSA-OAEP", "RS256 ", ""] {
            assert_eq!(Algorithm::parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_unnamed_rsa_key_serves_one_algorithm_only() {
        let natural = |accepted: &[Algorithm]| Kind::Rsa.natural(accepted);
        assert_eq!(natural(&[Algorithm::Ps256, Algorithm::Es256]), Algorithm::Ps256);
        assert_eq!(natural(&[Algorithm::Rs512, Algorithm::Rs512]), Algorithm::Rs512);
        assert_eq!(natural(&[Algorithm::Ps256, Algorithm::Rs384]), Algorithm::Rs256);
        assert_eq!(natural(&[]), Algorithm::Rs256);
    }
}
