//! Signatures, checked as Envoy's foreign function `verify_signature` does: with the same kind of library, and nothing of
//! the filter's.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};

/// The name under which the guest finds it.
pub(crate) const NAME: &str = "verify_signature";

/// What the guest gets for an argument that is no question.
const BAD_ARGUMENT: i32 = 2;

/// Answers the protobuf message `{1 hash, 2 key, 3 signature, 4 text}` with `{1 result}` or `{2 error}`.
pub(crate) fn verify(argument: &[u8]) -> Result<Vec<u8>, i32> {
    let [hash, key, signature, message] = fields(argument).ok_or(BAD_ARGUMENT)?;
    let holds = algorithm(hash, key)
        .is_some_and(|algorithm| UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok());
    Ok(if holds { vec![0x08, 1] } else { [&[0x12, 6][..], b"failed"].concat() })
}

/// The algorithm, from the hash and from what the key says it is.
fn algorithm(hash: &[u8], key: &[u8]) -> Option<&'static dyn VerificationAlgorithm> {
    let is = |identifier: &[u8]| key.windows(identifier.len()).any(|window| window == identifier);
    let rsa = is(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
    let (p256, p384) = (is(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]), is(&[0x2b, 0x81, 4, 0, 0x22]));
    Some(match hash {
        b"sha256" if rsa => &RSA_PKCS1_2048_8192_SHA256,
        b"sha384" if rsa => &RSA_PKCS1_2048_8192_SHA384,
        b"sha512" if rsa => &RSA_PKCS1_2048_8192_SHA512,
        b"sha256" if p256 => &ECDSA_P256_SHA256_ASN1,
        b"sha384" if p384 => &ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

/// The four fields, each of which is bytes and has a one-byte tag.
fn fields(mut rest: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields = [&b""[..]; 4];
    while let Some((tag, more)) = rest.split_first() {
        let place = [0x0a, 0x12, 0x1a, 0x22].iter().position(|known| known == tag)?;
        let digits = more.iter().position(|byte| *byte < 0x80)? + 1;
        let size = more[..digits].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        (fields[place], rest) = more[digits..].split_at_checked(size)?;
    }
    Some(fields)
}
