use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jwt_compact::alg::{Es256, Rsa as Rs256};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{AlgorithmExt as _, UntrustedToken};
use serde_json::Value;

use super::*;

/// An RSA key of 1024 bits in PKCS#8, which AWS-LC does not make.
const SHORT: &str = "\
    MIICXQIBAAKBgQDaWRpOQyEcfCJMCaCddal0UutzDDGceXTCMK+6BDt9BqtgVRKGT3nigU6qYlXO6Hn8Js6gMN8RNZRsTijVbv/yQUJ6+TFc3lyg\
    hOqw4oytae9HPh0nsQzwMuOGvUJje84sT9efCxF0BxY5I6NJapgV71iMKh2MwmwNOpyDYlznOQIDAQABAoGBAKlMk0ABfuf2PCWXBWlxtP1T2env\
    l3wLFIQJegeShomvpSvhaqancws0Vcl4y63Nxd/EO0wr+JoAYGAFzlWHZn2BmOD0H0auw7K7HapD8YKXzKrOFseDcVvWyyPZKq+DLQQ3P8XW1hfj\
    t4eHTDWjIIddc07j493wjO/RfA+C4gGxAkEA/eHt2LfLcplc7eiPRsUYVCnQL84BwMiTjId6NyXKi18gN3tP35wQKyCMmnvLiWlQC4ZBxn1ig0/4\
    59pfinRVHQJBANwrTZliBZ/h/NGSW+DuQ/vQmxaLDPWogObUVxpndPl1gPuW2+zVPgFqCalxgOpvu+j06gsv1Mgiu4neTUKWi80CQQCO2HHEwBTe\
    U9/vlCwZO4gmwqf6XcSqvbAXH5rqMH83z7wGu4EDZYHLYjL6MLEijXiWI2Ia1i15iKOZgErFUhMZAkBShLxh15ZKFVY/af6bsFG0qLvn2Bf0XsJp\
    QX6f+9SgxsSgByvIeSfzOb4DTvJFa7lfF6Q8qyGyHSpzAumsImalAkBTQ3KlmNCkYaj5WLMjI9E2URczWLR6+6xKQA/aYYYCAn+4XPoN00fpVPJn\
    LJQh0ce1iepm+YB2loOOPCrB8MRr";

/// `der` in PEM.
pub(crate) fn pem(label: &str, der: &[u8]) -> Secret {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    Secret::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
}

/// A new RSA key in PKCS#8.
pub(crate) fn rsa(size: KeySize) -> Secret {
    pem("PRIVATE KEY", Rsa::generate(size).unwrap().as_der().unwrap().as_ref())
}

fn p256() -> (EcdsaKeyPair, Secret) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = key.to_pkcs8v1().unwrap();
    (key, pem("PRIVATE KEY", der.as_ref()))
}

#[test]
fn another_implementation_reads_what_a_p256_key_signs() {
    let (key, pem) = p256();
    let signer = Signer::read(&pem, None, Some("k-1".into())).unwrap();
    assert_eq!(signer.algorithm, Algorithm::Es256);
    let token = signer.sign(&json!({ "iss": "us" })).unwrap();
    let token = UntrustedToken::new(token.reveal()).unwrap();
    assert_eq!(token.header().key_id.as_deref(), Some("k-1"));
    assert_eq!(token.header().token_type.as_deref(), Some("JWT"));
    let point = key.public_key().as_ref();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) });
    let public = (&serde_json::from_value::<JsonWebKey<'_>>(jwk).unwrap()).try_into().unwrap();
    let proved = Es256.validator::<Value>(&public).validate(&token).unwrap();
    assert_eq!(proved.claims().custom, json!({ "iss": "us" }));
}

#[test]
fn another_implementation_reads_what_an_rsa_key_signs() {
    let key = Rsa::generate(KeySize::Rsa2048).unwrap();
    let der = key.as_der().unwrap();
    // What stands in PKCS#8 behind 26 bytes of frame is PKCS#1.
    let forms = [pem("PRIVATE KEY", der.as_ref()), pem("RSA PRIVATE KEY", &der.as_ref()[26..])];
    let part = |number: aws_lc_rs::rsa::PublicKeyComponents<Vec<u8>>| (encode(&number.n), encode(&number.e));
    let (n, e) = part(key.public_key().into());
    let jwk = json!({ "kty": "RSA", "n": n, "e": e });
    let public = (&serde_json::from_value::<JsonWebKey<'_>>(jwk).unwrap()).try_into().unwrap();
    for form in forms {
        let token = Signer::read(&form, None, None).unwrap().sign(&json!({ "iss": "us" })).unwrap();
        let token = UntrustedToken::new(token.reveal()).unwrap();
        assert_eq!((token.algorithm(), token.header().key_id.as_deref()), ("RS256", None));
        Rs256::rs256().validator::<Value>(&public).validate(&token).unwrap();
    }
}

#[test]
fn rsa_signs_with_the_padding_it_is_told() {
    let key = Rsa::generate(KeySize::Rsa2048).unwrap();
    let form = pem("PRIVATE KEY", key.as_der().unwrap().as_ref());
    let token = Signer::read(&form, Some(Algorithm::Ps256), None).unwrap().sign(&json!({})).unwrap();
    let (input, signature) = token.reveal().rsplit_once('.').unwrap();
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = key.public_key().as_ref();
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public).verify(input.as_bytes(), &signature).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(input.as_bytes(), &signature).unwrap_err();
}

#[test]
fn a_key_that_is_weak_or_of_another_kind_is_refused() {
    let refused = |pem: &Secret, algorithm| Signer::read(pem, algorithm, None).unwrap_err();
    assert_eq!(refused(&Secret::new("x"), None), BadKey::Content);
    assert_eq!(refused(&pem("PRIVATE KEY", b"x"), None), BadKey::Content);
    assert_eq!(refused(&pem("PRIVATE KEY", &STANDARD.decode(SHORT).unwrap()), None), BadKey::Content);
    let (_, curve) = p256();
    assert_eq!(refused(&curve, Some(Algorithm::Rs256)), BadKey::Algorithm(Algorithm::Rs256));
    assert_eq!(refused(&rsa(KeySize::Rsa2048), Some(Algorithm::Es256)), BadKey::Algorithm(Algorithm::Es256));
}
