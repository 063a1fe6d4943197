//! Signatures that the host checks, many times faster than this crate can inside a VM.
//!
//! The host is asked about RSA PKCS#1 and ECDSA; it knows neither PSS nor Ed25519. What it does not answer is checked
//! here. Both have to come to the same verdict: a test runs every vector through both.

/// The hash function of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Its name as Envoy spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The hash of the message that was signed.
    pub hash: Hash,
    /// The public key as DER SubjectPublicKeyInfo.
    pub key: &'a [u8],
    /// The signature: as it is for RSA, as DER for ECDSA.
    pub signature: &'a [u8],
    /// The message.
    pub message: &'a [u8],
}

/// Checks a signature outside of this crate; `None` when it cannot.
pub type Native = fn(&Question<'_>) -> Option<Verdict>;

/// What the host says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the key's over the message.
    Holds,
    /// It is not.
    Fails,
}

/// No host to ask.
pub fn absent(_: &Question<'_>) -> Option<Verdict> {
    None
}

/// The name of Envoy's foreign function.
pub const FUNCTION: &str = "verify_signature";

/// The argument of Envoy's `verify_signature`, a protobuf message: 1 hash, 2 key, 3 signature, 4 text.
pub fn argument(question: &Question<'_>) -> Vec<u8> {
    let fields = [question.hash.name().as_bytes(), question.key, question.signature, question.message];
    let mut bytes = Vec::with_capacity(fields.iter().map(|field| field.len()).sum::<usize>().saturating_add(16));
    for (tag, field) in [0x0a, 0x12, 0x1a, 0x22].into_iter().zip(fields) {
        bytes.push(tag);
        varint(&mut bytes, field.len());
        bytes.extend_from_slice(field);
    }
    bytes
}

/// Reads its result: 1 `true` when the signature holds, else 2 an error. What is neither is no answer.
pub fn result(bytes: &[u8]) -> Option<Verdict> {
    match bytes {
        [0x08, 1] => Some(Verdict::Holds),
        [] | [0x08, 0, ..] | [0x12, ..] => Some(Verdict::Fails),
        _ => None,
    }
}

/// [Protocol Buffers encoding](https://protobuf.dev/programming-guides/encoding/#varints): seven bits a byte.
fn varint(bytes: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    while rest >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits fit")]
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 128 is left")]
    bytes.push(rest as u8);
}

/// An ECDSA signature as DER, from the fixed form of JOSE: both numbers, each `size` bytes.
///
/// [RFC 7518 §3.4](https://www.rfc-editor.org/rfc/rfc7518#section-3.4); `None` for another length or a number that is
/// zero, which no signature has.
pub fn der(signature: &[u8], size: usize) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(size)?;
    if s.len() != size {
        return None;
    }
    let (r, s) = (integer(r)?, integer(s)?);
    let mut bytes = vec![0x30];
    length(&mut bytes, r.len().checked_add(s.len())?)?;
    bytes.extend(r);
    bytes.extend(s);
    Some(bytes)
}

/// A positive DER INTEGER, as short as it can be; `None` for zero.
fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let first = number.iter().position(|byte| *byte != 0)?;
    let digits = number.get(first..)?;
    let sign = digits.first().is_some_and(|byte| *byte >= 0x80);
    let mut bytes = vec![0x02];
    length(&mut bytes, digits.len().checked_add(usize::from(sign))?)?;
    bytes.extend(sign.then_some(0));
    bytes.extend_from_slice(digits);
    Some(bytes)
}

/// A DER length below 256; longer ones no curve of ours has.
fn length(bytes: &mut Vec<u8>, value: usize) -> Option<()> {
    let short = u8::try_from(value).ok()?;
    bytes.extend((short >= 0x80).then_some(0x81));
    bytes.push(short);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_protobuf_message() {
        let long = [7; 300];
        let question = Question { hash: Hash::Sha384, key: b"key", signature: b"", message: &long };
        let bytes = argument(&question);
        let (head, message) = bytes.split_at(bytes.len() - 300);
        assert_eq!(head, b"\x0a\x06sha384\x12\x03key\x1a\x00\x22\xac\x02");
        assert_eq!(message, long);
    }

    #[test]
    fn only_a_clear_yes_holds() {
        assert_eq!(result(&[0x08, 1]), Some(Verdict::Holds));
        for no in [&b""[..], &[0x08, 0], &[0x12, 1, b'x'], &[0x08, 0, 0x12, 1, b'x']] {
            assert_eq!(result(no), Some(Verdict::Fails), "{no:?}");
        }
        for odd in [&[0x08][..], &[0x08, 2], &[0x08, 1, 0x12, 0], &[1], b"true"] {
            assert_eq!(result(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn der_is_as_short_as_it_can_be() {
        assert_eq!(der(&[0, 1, 0, 0x80], 2).unwrap(), [0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]);
        let wide = der(&[0xff; 96], 48).unwrap();
        assert_eq!(&wide[..6], [0x30, 102, 2, 49, 0, 0xff]);
        let widest = der(&[0xff; 132], 66).unwrap();
        assert_eq!(&widest[..3], [0x30, 0x81, 138]);
    }

    #[test]
    fn der_refuses_zero_and_other_lengths() {
        for bad in [&[0; 64][..], &[1; 63], &[1; 65], &[], &[&[0; 32][..], &[1; 32]].concat()] {
            assert_eq!(der(bad, 32), None, "{bad:?}");
        }
        assert_eq!(der(&[&[1; 32][..], &[0; 32]].concat(), 32), None);
    }
}
