//! What comes out: medians over the rounds, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::machine;
use crate::mints::Mints;
use crate::revoked::Revoked;
use crate::round::Cell;
use crate::row::{Budget, Row};
use crate::variant::{ACCREDIT, BARE, VARIANTS};
use crate::{CONNECTIONS, ROUNDS};

/// All rows of a run.
pub struct Report {
    machine: Value,
    requests: usize,
    rows: Vec<Outcome>,
    mints: Option<Mints>,
    revoked: Option<Revoked>,
}

/// One row.
struct Outcome {
    row: &'static Row,
    lines: Vec<Line>,
    /// What the filter adds: as a share of what the first of `beside` adds, or in microseconds where there is none.
    measure: f64,
    /// The same for each round, smallest first: how far to trust it.
    spread: Vec<f64>,
}

/// One variant in a row.
struct Line {
    variant: &'static str,
    cpu: f64,
    /// The same for each round, in order: how far to trust it.
    rounds: Vec<f64>,
    added: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

impl Report {
    /// In: the rows, and of each round the cells of each row.
    pub fn new(
        rows: &[&'static Row],
        rounds: &[Vec<Vec<Cell>>],
        requests: usize,
        (mints, revoked): (Option<Mints>, Option<Revoked>),
    ) -> Self {
        let cells = |at: usize| rounds.iter().map(|round| &round[at][..]).collect::<Vec<_>>();
        let row = |(at, row): (usize, &&'static Row)| Outcome::new(row, &cells(at));
        let rows = rows.iter().enumerate().map(row).collect();
        Self { machine: machine::describe(), requests, rows, mints, revoked }
    }

    pub fn json(&self) -> Value {
        json!({
            "machine": self.machine,
            "rounds": ROUNDS,
            "requests": self.requests,
            "connections": CONNECTIONS,
            "rows": self.rows.iter().map(Outcome::json).collect::<Vec<_>>(),
            "mints": self.mints.as_ref().map(Mints::json),
            "revoked": self.revoked.as_ref().map(Revoked::json),
        })
    }
}

impl Outcome {
    fn new(row: &'static Row, rounds: &[&[Cell]]) -> Self {
        let measured = VARIANTS.iter().filter(|variant| cell(rounds[0], variant.name).is_some());
        let lines: Vec<_> = measured.map(|variant| Line::new(row, variant.name, rounds)).collect();
        let spread = rounds.iter().map(|round| measure(row, std::slice::from_ref(round)));
        let mut spread: Vec<_> = spread.collect();
        spread.sort_by(f64::total_cmp);
        Self { row, lines, measure: measure(row, rounds), spread }
    }

    fn met(&self) -> Option<bool> {
        match self.row.budget {
            Budget::Share(budget) | Budget::Time(budget) => Some(self.measure <= budget),
            Budget::None => None,
        }
    }

    fn json(&self) -> Value {
        let variants = self.lines.iter().map(|line| (line.variant.to_owned(), line.json()));
        json!({
            "name": self.row.name,
            "variants": variants.collect::<serde_json::Map<_, _>>(),
            "against": self.row.beside.first(),
            "measure": self.measure,
            "measure_by_round": self.spread,
            "budget": match self.row.budget {
                Budget::Share(budget) | Budget::Time(budget) => Some(budget),
                Budget::None => None,
            },
            "met": self.met(),
        })
    }
}

fn measure(row: &Row, rounds: &[&[Cell]]) -> f64 {
    let ours = added(row, ACCREDIT, rounds);
    row.beside.first().map_or(ours, |other| ours / added(row, other, rounds))
}

/// What `variant` adds to the CPU time of Envoy alone; of a refusal all of its time.
fn added(row: &Row, variant: &str, rounds: &[&[Cell]]) -> f64 {
    let cpu = |name| over(rounds, name, |cell| cell.cpu);
    cpu(variant) - if row.permitted() { cpu(BARE) } else { 0.0 }
}

impl Line {
    fn new(row: &Row, variant: &'static str, rounds: &[&[Cell]]) -> Self {
        Self {
            variant,
            cpu: over(rounds, variant, |cell| cell.cpu),
            rounds: rounds.iter().filter_map(|cells| cell(cells, variant)).map(|cell| cell.cpu).collect(),
            added: added(row, variant, rounds),
            rate: over(rounds, variant, |cell| cell.timing.rate()),
            p50: over(rounds, variant, |cell| cell.timing.latency(50)),
            p99: over(rounds, variant, |cell| cell.timing.latency(99)),
        }
    }

    fn json(&self) -> Value {
        json!({
            "cpu_us": self.cpu,
            "cpu_us_by_round": self.rounds,
            "added_us": self.added,
            "requests_per_second": self.rate,
            "p50_us": self.p50,
            "p99_us": self.p99,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, requests) = (&self.machine, self.requests);
        let text = |name: &str| machine[name].as_str().unwrap_or("unknown");
        writeln!(f, "Envoy {}, one worker, {} cores of {}", text("envoy"), machine["cores"], text("cpu"))?;
        writeln!(f, "accredit_filter.wasm: {} bytes; its records go to `accredit serve`", machine["wasm_bytes"])?;
        writeln!(f, "medians of {ROUNDS} rounds with {requests} requests each, {CONNECTIONS} at a time; times in µs")?;
        self.rows.iter().try_for_each(|row| row.fmt(f))?;
        self.mints.iter().try_for_each(|mints| mints.fmt(f))?;
        self.revoked.iter().try_for_each(|revoked| revoked.fmt(f))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<28}{:>9}{:>9}{:>12}{:>9}{:>9}", self.row.name, "CPU", "added", "requests/s", "p50", "p99")?;
        self.lines.iter().try_for_each(|line| line.fmt(f))?;
        let (low, high) = (self.spread[0], self.spread[self.spread.len() - 1]);
        let what = if self.row.permitted() { "adds" } else { "takes" };
        match self.row.beside.first() {
            Some(against) => {
                write!(f, "  {ACCREDIT} {what} {:.2} of what {against} {what} ({low:.2} to {high:.2})", self.measure)?;
            }
            None => write!(f, "  {ACCREDIT} {what} {:.0} µs ({low:.0} to {high:.0})", self.measure)?,
        }
        match (self.row.budget, self.met()) {
            (Budget::Share(budget) | Budget::Time(budget), Some(true)) => writeln!(f, ", budget {budget}: met"),
            (Budget::Share(budget) | Budget::Time(budget), _) => writeln!(f, ", budget {budget}: MISSED"),
            (Budget::None, _) => writeln!(f, ", no budget"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variant, cpu, added, rate, p50, p99, rounds: _ } = self;
        writeln!(f, "  {variant:<26}{cpu:>9.1}{added:>9.1}{rate:>12.0}{p50:>9.0}{p99:>9.0}")
    }
}

fn cell<'a>(cells: &'a [Cell], variant: &str) -> Option<&'a Cell> {
    cells.iter().find(|cell| cell.variant == variant)
}

/// The median over the rounds of one value of `variant`.
fn over(rounds: &[&[Cell]], variant: &str, value: impl Fn(&Cell) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().filter_map(|cells| cell(cells, variant)).map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
