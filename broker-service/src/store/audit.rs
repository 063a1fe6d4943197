//! Records as rows.

use std::collections::HashSet;

use accredit_policy::wire::audit::Record;
use sqlx::AnyConnection;

use super::order::Order;
use super::search;
use super::statement::{Statement, shares};
use crate::audit::columns::{self, MILLIS, NAMES, plain};
use crate::chain::Head;

/// Appends `records` in their order. None of them may be there already.
pub async fn insert(order: &mut Order<'_>, records: &[&Record]) -> Result<(), sqlx::Error> {
    order.append(records).await
}

/// Writes `records` as the next links of the chain, whose head moves; the first one gets the number after `last`.
pub(super) async fn link(
    connection: &mut AnyConnection,
    head: &mut Head,
    last: u64,
    records: &[&Record],
) -> Result<(), sqlx::Error> {
    let mut numbers = last.saturating_add(1)..;
    for records in shares(records) {
        let rows = records.iter().zip(&mut numbers).map(|(record, seq)| Row::new(head, seq, record));
        let rows: Vec<Row<'_>> = rows.collect::<Result<_, _>>()?;
        let mut statement = Statement::new("INSERT INTO audit (seq, chain, position, hash, record");
        for name in NAMES {
            statement.push(", ").push(name);
        }
        statement.push(")").rows(rows, |fields, row| {
            fields.bind(row.seq).bind(row.chain.clone()).bind(row.position).bind(row.hash).bind(row.text);
            for (name, column) in NAMES.into_iter().zip(columns::of(row.record)) {
                match name {
                    MILLIS => fields.bind(columns::millis(row.record)),
                    _ => fields.bind(column),
                };
            }
        });
        statement.build_for(connection)?.execute(&mut *connection).await?;
    }
    search::actors(last, connection, records).await
}

/// Those of `ids` that records have already, each as its column has it.
pub(super) async fn known(connection: &mut AnyConnection, ids: &[String]) -> Result<HashSet<String>, sqlx::Error> {
    let mut known = HashSet::new();
    for ids in shares(ids) {
        let mut statement = Statement::new("SELECT id FROM audit WHERE id IN (");
        for (index, id) in ids.iter().enumerate() {
            statement.push(if index == 0 { "" } else { ", " }).bind(id.clone());
        }
        statement.push(")");
        for row in statement.build_for(connection)?.fetch_all(&mut *connection).await? {
            known.insert(sqlx::Row::try_get(&row, 0)?);
        }
    }
    Ok(known)
}

/// The column of a record's identifier, by which it is known.
pub(super) fn id(record: &Record) -> String {
    plain(&record.id)
}

struct Row<'a> {
    seq: i64,
    chain: String,
    position: i64,
    hash: Vec<u8>,
    text: String,
    record: &'a Record,
}

impl<'a> Row<'a> {
    fn new(head: &mut Head, seq: u64, record: &'a Record) -> Result<Self, sqlx::Error> {
        let text = serde_json::to_string(record).map_err(|error| sqlx::Error::Encode(error.into()))?;
        head.push(seq, text.as_bytes());
        let signed = |number: u64| i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()));
        let (seq, position) = (signed(seq)?, signed(head.length)?);
        Ok(Self { seq, chain: head.chain.clone(), position, hash: head.hash.bytes().to_vec(), text, record })
    }
}
