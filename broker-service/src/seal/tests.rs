use std::collections::BTreeSet;

use super::*;

const PLAIN: &[u8] = b"sk-live-0123456789";

fn pair() -> (Id, DataKey) {
    (Id::random().unwrap(), DataKey::random().unwrap())
}

fn seal() -> Seal {
    Seal::new(pair(), [])
}

fn row<'a>(row: &'a [&'a str]) -> Place<'a> {
    Place::new("secrets", "sealed", row)
}

#[test]
fn what_was_sealed_opens_where_it_lies() {
    let seal = seal();
    for plain in [PLAIN, b"", &[0; 16 * 1024]] {
        let sealed = seal.seal(&row(&["crm", "1"]), plain).unwrap();
        assert_eq!(&**seal.open(&row(&["crm", "1"]), &sealed).unwrap(), plain);
        assert_eq!(sealed.len(), 1 + ID + NONCE + plain.len() + 16);
    }
}

#[test]
fn nothing_opens_in_another_row_version_column_or_table() {
    let seal = seal();
    let sealed = seal.seal(&row(&["crm", "1"]), PLAIN).unwrap();
    for place in [
        row(&["erp", "1"]),
        row(&["crm", "2"]),
        row(&["crm1"]),
        row(&["crm", "1", ""]),
        row(&["crm"]),
        row(&["cr", "m1"]),
        row(&["1", "crm"]),
        Place::new("secrets", "other", &["crm", "1"]),
        Place::new("leases", "sealed", &["crm", "1"]),
        Place::new("secret", "ssealed", &["crm", "1"]),
    ] {
        assert_eq!(seal.open(&place, &sealed).unwrap_err(), Unsealed::Refused, "{place:?}");
    }
}

#[test]
fn no_bit_can_be_changed_and_no_byte_left_out_or_added() {
    let seal = seal();
    let place = row(&["crm", "1"]);
    let sealed = seal.seal(&place, PLAIN).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = seal.open(&place, &changed).unwrap_err();
        assert!(matches!(error, Unsealed::Refused | Unsealed::Unknown(_)), "bit {bit}: {error:?}");
    }
    for length in 0..sealed.len() {
        assert_eq!(seal.open(&place, &sealed[..length]).unwrap_err(), Unsealed::Refused, "{length}");
    }
    assert_eq!(seal.open(&place, &[sealed.as_slice(), &[0]].concat()).unwrap_err(), Unsealed::Refused);
}

#[test]
fn no_nonce_comes_twice_and_the_same_text_never_looks_the_same() {
    let seal = seal();
    let nonces: BTreeSet<_> =
        (0..2000).map(|_| seal.seal(&row(&["crm", "1"]), PLAIN).unwrap()[1 + ID..1 + ID + NONCE].to_vec()).collect();
    assert_eq!(nonces.len(), 2000);
}

#[test]
fn the_newest_key_seals_and_older_ones_open() {
    let seal = seal();
    let place = row(&["crm", "1"]);
    let old = seal.seal(&place, PLAIN).unwrap();
    let (id, key) = pair();
    seal.clone().renew([(id, key)]);
    let new = seal.seal(&place, PLAIN).unwrap();
    assert!(new.starts_with(&id.prefix()) && !old.starts_with(&id.prefix()));
    assert_eq!(&**seal.open(&place, &old).unwrap(), PLAIN);
    assert_eq!(&**seal.open(&place, &new).unwrap(), PLAIN);
}

#[test]
fn a_key_under_another_keys_name_opens_nothing() {
    let (id, key) = pair();
    let sealed = Seal::new((id, key.clone()), []).seal(&row(&["crm"]), PLAIN).unwrap();
    let other = Seal::new((id, DataKey::random().unwrap()), []);
    assert_eq!(other.open(&row(&["crm"]), &sealed).unwrap_err(), Unsealed::Refused);
    let unknown = Seal::new(pair(), []);
    assert_eq!(unknown.open(&row(&["crm"]), &sealed).unwrap_err(), Unsealed::Unknown(id));
    // The name is part of what is authenticated: the right key under a wrong name does not open either.
    let (wrong, _) = pair();
    let renamed = [wrong.prefix().as_slice(), &sealed[1 + ID..]].concat();
    assert_eq!(Seal::new((wrong, key), []).open(&row(&["crm"]), &renamed).unwrap_err(), Unsealed::Refused);
}

/// The first 256-bit case of [RFC 8452, appendix C.2](https://www.rfc-editor.org/rfc/rfc8452#appendix-C.2) with a text.
#[test]
fn the_cipher_is_that_of_the_rfc() {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    let mut nonce = [0; NONCE];
    nonce[0] = 3;
    let mut plain = [0; 8];
    plain[0] = 1;
    let sealed = unhex::<24>("c2ef328e5c71c83b843122130f7364b761e0b97427e3df28").unwrap();
    let key = DataKey::read(&bytes).unwrap();
    assert_eq!(&**key.decrypt(&[nonce.as_slice(), sealed.as_slice()].concat(), b"").unwrap(), plain);
}

#[test]
fn identifiers_are_read_back() {
    let id = Id::random().unwrap();
    assert_eq!(Id::parse(&id.to_string()), Some(id));
    for bad in [
        "",
        "00",
        "zz000000000000000000000000000000",
        "+1000000000000000000000000000000",
        "é0000000000000000000000000000000",
    ] {
        assert_eq!(Id::parse(bad), None, "{bad}");
    }
}
