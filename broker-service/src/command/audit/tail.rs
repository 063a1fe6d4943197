//! Follows the audit, whatever becomes of the broker.

use std::error::Error;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::filter::{Filter, Query, set};
use super::{EVENTS, number, row, say, seen};
use crate::command::Output;
use crate::command::remote::{Refused, Remote, To};

/// How long the broker may wait for a record.
const WAIT: &str = "20s";

/// The longest pause before it is asked again.
const PAUSE: Duration = Duration::from_secs(8);

/// How far apart questions are.
const SPACE: Duration = Duration::from_millis(200);

/// Prints what comes until somebody has seen enough.
pub async fn follow(filter: &Filter, to: &To) -> Result<(), Box<dyn Error>> {
    tokio::select! {
        done = print(filter, to) => done,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

async fn print(filter: &Filter, to: &To) -> Result<(), Box<dyn Error>> {
    let remote = Remote::new(&to.remote)?;
    let mut query = filter.query();
    if !filter.begins() {
        let newest = vec![("order", Some("newest".to_owned())), ("limit", Some("1".to_owned()))];
        set(&mut query, "after", number(&ask(&remote, &newest).await?));
    }
    set(&mut query, "limit", 1000);
    set(&mut query, "wait", WAIT);
    loop {
        let asked = Instant::now();
        let answer = ask(&remote, &query).await?;
        for record in answer.get("records").and_then(Value::as_array).into_iter().flatten() {
            let line = match to.output {
                Output::Json => record.to_string(),
                Output::Text => row::line(record),
            };
            if !seen(say(&line))? {
                return Ok(());
            }
        }
        set(&mut query, "after", number(&answer));
        // A broker that does not wait, since its answers have to be quick or it stops, is not asked all the time.
        sleep_until(asked.checked_add(SPACE).unwrap_or(asked)).await;
    }
}

/// Asks until there is an answer. What the broker refuses it refuses again; one that is away comes back.
async fn ask(remote: &Remote, query: &Query) -> Result<Value, Box<dyn Error>> {
    let mut pause = Duration::from_millis(250);
    loop {
        let error = match remote.search(EVENTS, query).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if error.downcast_ref::<Refused>().is_some_and(Refused::for_good) {
            return Err(error);
        }
        eprintln!("waiting for the broker: {error}");
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE);
    }
}
