//! The measurement.

use std::time::Duration;

use crate::Failure;
use crate::audit::Audit;
use crate::envoy::Envoy;
use crate::load::{Load, Timing, requests};
use crate::row::Row;
use crate::token::Mint;

/// Everything that runs.
pub struct Bench {
    // Stopped in this order: the filter may still have records for the broker.
    pub envoys: Vec<Envoy>,
    pub audit: Audit,
    pub mint: Mint,
    pub rows: Vec<&'static Row>,
    pub requests: usize,
}

/// What one variant took for the requests of one row.
pub struct Cell {
    pub variant: &'static str,
    /// CPU time of Envoy per request, in microseconds.
    pub cpu: f64,
    pub timing: Timing,
}

impl Bench {
    /// Every row once; out: its cells. Each round begins with another variant, so that none always runs first.
    pub async fn round(&mut self, round: usize) -> Result<Vec<Vec<Cell>>, Failure> {
        let mut cells = Vec::new();
        for row in self.rows.clone() {
            cells.push(self.row(row, round).await?);
        }
        Ok(cells)
    }

    /// The same requests for one variant after the other. The CPU times cover the same span for all of them: from
    /// before the first request until the last record of the filter is in the audit.
    async fn row(&mut self, row: &Row, round: usize) -> Result<Vec<Cell>, Failure> {
        let count = (self.requests / row.share).max(16);
        let requests = requests(&self.mint.tokens(row.tokens, count), row.asks);
        let mut envoys: Vec<_> = self.envoys.iter().filter(|envoy| row.measures(envoy.variant.name)).collect();
        let turn = round % envoys.len();
        envoys.rotate_left(turn);

        let before = cpu(&envoys)?;
        let mut timings = Vec::new();
        for envoy in &envoys {
            let load = Load { requests: requests.clone(), status: row.status(), asks: row.asks };
            let timing = load.run(&envoy.address).await;
            timings.push(timing.map_err(|error| format!("{}: {}: {error}", row.name, envoy.variant.name))?);
        }
        self.audit.settle(count).await.map_err(|error| format!("{}: {error}", row.name))?;
        let spent = cpu(&envoys)?.into_iter().zip(before).map(|(after, before)| after.saturating_sub(before));

        let cells = envoys.iter().zip(spent).zip(timings).map(|((envoy, spent), timing)| {
            let cpu = spent.as_secs_f64() * 1e6 / count as f64;
            Cell { variant: envoy.variant.name, cpu, timing }
        });
        Ok(cells.collect())
    }
}

fn cpu(envoys: &[&Envoy]) -> Result<Vec<Duration>, Failure> {
    envoys.iter().map(|envoy| envoy.cpu()).collect()
}
