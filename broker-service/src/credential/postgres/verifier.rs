//! What PostgreSQL keeps instead of a password: made here, so that no statement holds the password itself.

use accredit_policy::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What clients have to compute as well, PostgreSQL's own default.
const ROUNDS: u32 = 4096;

type Key = Zeroizing<[u8; 32]>;

/// The SCRAM-SHA-256 verifier of an ASCII password, as `pg_authid.rolpassword` holds it.
///
/// [RFC 5802 §3](https://www.rfc-editor.org/rfc/rfc5802#section-3) and
/// [PostgreSQL, `pg_authid`](https://www.postgresql.org/docs/current/catalog-pg-authid.html)
pub fn verifier(password: &Secret, salt: [u8; 16]) -> String {
    let salted = salted(password.reveal().as_bytes(), &salt);
    let stored = Sha256::digest(*mac(&*salted, &[b"Client Key"]));
    let server = mac(&*salted, &[b"Server Key"]);
    let [salt, stored, server] = [&salt[..], &stored, &*server].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")
}

/// `Hi(password, salt, rounds)`: PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8]) -> Key {
    let mut last = mac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = last.clone();
    for _ in 1..ROUNDS {
        last = mac(password, &[&*last]);
        sum.iter_mut().zip(last.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Key {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // Every length is a key for HMAC.
        return Key::default();
    };
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [RFC 7677 §3](https://www.rfc-editor.org/rfc/rfc7677#section-3)
    #[test]
    fn the_server_signature_of_the_standards_example_comes_out() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let verifier = verifier(&Secret::new("pencil"), salt);
        let (head, server) = verifier.rsplit_once(':').unwrap();
        assert!(head.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                       c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = mac(&STANDARD.decode(server).unwrap(), &[message.as_bytes()]);
        assert_eq!(STANDARD.encode(*signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
