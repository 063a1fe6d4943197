//! Forgeries by somebody who knows how it is done: links and notes made here from their description alone.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Executor as _, Row as _};

use super::outside;
use super::{key, last, lived, restore, run, verify};

/// The hash of a link.
fn link(chain: &str, position: i64, seq: i64, before: &[u8], record: &str) -> Vec<u8> {
    let mut bytes = b"accredit audit link 1\n".to_vec();
    bytes.extend((chain.len() as u64).to_be_bytes());
    bytes.extend(chain.as_bytes());
    bytes.extend(position.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(before);
    bytes.extend((record.len() as u64).to_be_bytes());
    bytes.extend(record.as_bytes());
    Sha256::digest(bytes).to_vec()
}

/// Makes all hashes anew. Out: the last one of each chain, with its position and number.
async fn rehash(database: &mut AnyConnection) -> BTreeMap<String, (i64, i64, Vec<u8>)> {
    let mut heads = BTreeMap::new();
    for row in database.fetch_all("SELECT seq, chain, position, record FROM audit ORDER BY seq").await.unwrap() {
        let (seq, chain, position, record): (i64, String, i64, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let before = heads.get(&chain).map_or(vec![0; 32], |(_, _, hash): &(i64, i64, Vec<u8>)| hash.clone());
        let hash = link(&chain, position, seq, &before, &record);
        let query = sqlx::query("UPDATE audit SET hash = $1 WHERE seq = $2").bind(hash.clone()).bind(seq);
        query.execute(&mut *database).await.unwrap();
        heads.insert(chain, (position, seq, hash));
    }
    heads
}

/// A key of the same name, and its public half.
fn other(vkey: &str) -> (String, [u8; 4], Ed25519KeyPair, String) {
    let name = vkey.split('+').next().unwrap().to_owned();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let public = [&[1], pair.public_key().as_ref()].concat();
    let id: [u8; 4] = Sha256::digest([name.as_bytes(), b"\n", &public].concat())[..4].try_into().unwrap();
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let vkey = format!("{name}+{hex}+{}", STANDARD.encode(public));
    (name, id, pair, vkey)
}

#[tokio::test]
async fn the_hashes_are_what_their_description_says() {
    let (_desk, mut database) = lived("integrity-hashes").await;
    rehash(&mut database).await;
    let same = "SELECT COUNT(*) FROM audit JOIN kept ON audit.seq = kept.seq AND audit.hash = kept.hash";
    let same: i64 = database.fetch_one(same).await.unwrap().get(0);
    assert_eq!(same, last(&mut database).await);
}

#[tokio::test]
async fn whoever_makes_all_hashes_anew_lacks_the_signature() {
    let (desk, mut database) = lived("integrity-anew").await;
    for seq in 1..=last(&mut database).await {
        run(&mut database, &format!("UPDATE audit SET record = record || ' ' WHERE seq = {seq}")).await;
        rehash(&mut database).await;
        let verdict = verify(&desk, &[]);
        let faults = verdict.wanting().faults();
        assert!(faults.iter().all(|(what, _)| ["rewritten", "otherwise"].contains(what)), "{seq}: {faults:?}");
        restore(&mut database).await;
    }
}

#[tokio::test]
async fn whoever_signs_all_anew_with_another_key_is_found_by_the_one_that_is_pinned() {
    let (mut desk, mut database) = lived("integrity-resigned").await;
    let vkey: String = database.fetch_one("SELECT vkey FROM checkpoint_keys").await.unwrap().get(0);
    run(&mut database, "UPDATE audit SET record = record || ' ' WHERE seq = 2").await;
    // The names of the heads in the second chain's first record are over the old hashes.
    let heads = rehash(&mut database).await;
    let (first, (_, _, hash)) = heads.iter().next().unwrap();
    let old: String = {
        let query = sqlx::query("SELECT record FROM kept WHERE kind = 'chain' AND chain <> $1").bind(first.clone());
        query.fetch_one(&mut database).await.unwrap().get(0)
    };
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut record: serde_json::Value = serde_json::from_str(&old).unwrap();
    record["heads"][0]["hash"] = hex.into();
    let query = sqlx::query("UPDATE audit SET record = $1 WHERE kind = 'chain' AND chain <> $2");
    query.bind(record.to_string()).bind(first.clone()).execute(&mut database).await.unwrap();
    let (name, id, pair, forged) = other(&vkey);
    run(&mut database, "DELETE FROM checkpoints").await;
    for (chain, (position, seq, hash)) in rehash(&mut database).await {
        let text = format!(
            "{name}/{chain}\n{position}\n{}\nseq {seq}\ntime 2026-11-25T00:00:00.000Z\n",
            STANDARD.encode(hash)
        );
        let signature = STANDARD.encode([&id, pair.sign(text.as_bytes()).as_ref()].concat());
        let query = "INSERT INTO checkpoints (chain, position, seq, time, note, filed, posted) VALUES ($1, $2, $3, 0, $4, 0, 0)";
        let query = sqlx::query(query).bind(chain).bind(position).bind(seq);
        query.bind(format!("{text}\n\u{2014} {name} {signature}\n")).execute(&mut database).await.unwrap();
    }
    assert_eq!(verify(&desk, &["--key", &vkey]).wanting().faults(), [("checkpoint", None); 2]);
    verify(&desk, &[]).wanting();
    let query = sqlx::query("UPDATE checkpoint_keys SET vkey = $1").bind(forged);
    query.execute(&mut database).await.unwrap();
    assert_eq!(verify(&desk, &[]).clean().said["trust"], "not_pinned", "which says how little that is worth");
    verify(&desk, &["--key", &vkey]).wanting();
    // A broker does not go on with a key that is not the one it sealed.
    let query = sqlx::query("UPDATE checkpoint_keys SET vkey = $1").bind(vkey.clone());
    query.execute(&mut database).await.unwrap();
    desk.broker.crash().await;
    assert_eq!(key(&desk), vkey);
}

#[tokio::test]
async fn whoever_removes_the_checkpoints_and_waits_for_a_start_is_found_by_those_kept_elsewhere() {
    let mut desk = outside::desk("integrity-vouched", None).await;
    desk.live("one").await;
    let vkey = key(&desk);
    desk.broker.process.stop();
    let mut database = desk.broker.database().await;
    let records = u64::try_from(last(&mut database).await).unwrap();
    run(&mut database, "DELETE FROM checkpoints").await;
    run(&mut database, "UPDATE audit SET record = record || ' ' WHERE seq = 2").await;
    rehash(&mut database).await;
    desk.broker.crash().await;
    desk.broker.process.stop();
    let verdict = verify(&desk, &["--key", &vkey]);
    let vouched = |chain: &serde_json::Value| chain["vouched"].as_u64().unwrap();
    let chains = verdict.clean().said["chains"].as_array().unwrap();
    assert_eq!(chains.iter().map(vouched).sum::<u64>(), records, "the start has signed for what it has found");
    let kept = desk.broker.dir().join("outside.ndjson");
    let verdict = verify(&desk, &["--key", &vkey, "--checkpoints", kept.to_str().unwrap()]);
    assert!(verdict.wanting().faults().iter().all(|(what, _)| *what == "rewritten"), "{}", verdict.said);
}
