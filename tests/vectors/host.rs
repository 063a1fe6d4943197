//! Envoy's `verify_signature`, made of aws-lc-rs: another library than the one in the core.

use accredit_policy::token::native::{Hash, Question, Verdict};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

/// The object identifiers of the keys, as DER has them.
///
/// [RFC 3279 §2.3.1](https://www.rfc-editor.org/rfc/rfc3279#section-2.3.1),
/// [RFC 5480 §2.1.1](https://www.rfc-editor.org/rfc/rfc5480#section-2.1.1)
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0, 34];

/// Checks a signature as Envoy does: RSA PKCS#1 as it is, ECDSA in DER.
pub fn native(question: &Question<'_>) -> Option<Verdict> {
    let key = UnparsedPublicKey::new(algorithm(question.key, question.hash)?, question.key);
    match key.verify(question.message, question.signature) {
        Ok(()) => Some(Verdict::Holds),
        Err(_) => Some(Verdict::Fails),
    }
}

fn algorithm(key: &[u8], hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    let names = |oid: &[u8]| key.windows(oid.len()).take(24).any(|part| part == oid);
    Some(match hash {
        Hash::Sha256 if names(RSA) => &signature::RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 if names(RSA) => &signature::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 if names(RSA) => &signature::RSA_PKCS1_2048_8192_SHA512,
        Hash::Sha256 if names(P256) => &signature::ECDSA_P256_SHA256_ASN1,
        Hash::Sha384 if names(P384) => &signature::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

/// The same as the foreign function of a host: protobuf in, protobuf out.
pub fn foreign(argument: &[u8]) -> Result<Vec<u8>, i32> {
    let [hash, key, signature, message] = fields(argument).expect("the argument is four fields in their order");
    let hash = [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|one| one.name().as_bytes() == hash);
    let question = Question { hash: hash.expect("the hash is one of ours"), key, signature, message };
    match native(&question).expect("the filter asks for nothing else") {
        Verdict::Holds => Ok(vec![0x08, 1]),
        Verdict::Fails => Ok(b"\x12\x02no".to_vec()),
    }
}

fn fields(mut bytes: &[u8]) -> Option<[&[u8]; 4]> {
    let mut next = |tag: u8| {
        let rest = bytes.strip_prefix(&[tag])?;
        let (length, rest) = varint(rest)?;
        let (field, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(field)
    };
    let fields = [next(0x0a)?, next(0x12)?, next(0x1a)?, next(0x22)?];
    bytes.is_empty().then_some(fields)
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().position(|byte| *byte < 0x80)?;
    let (digits, rest) = bytes.split_at(last + 1);
    Some((digits.iter().rev().fold(0, |sum, digit| sum << 7 | usize::from(digit & 0x7f)), rest))
}
