//! Writes `tests/vectors/attacks.json` and the seeds in `tests/fuzz/corpus`, signed once with keys that are forgotten.

mod forms;
mod kinds;
mod policy;
mod proofs;
mod seeds;
mod sets;
mod signatures;
mod times;
mod token;

use serde_json::{Value, json};
use std::path::Path;

fn main() {
    let tokens = [signatures::cases(), forms::cases(), times::cases(), kinds::cases()].concat();
    let document = json!({
        "policy": policy::policy(),
        "cases": tokens,
        "sets": sets::cases(),
        "proofs": proofs::document(),
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/attacks.json");
    let text = serde_json::to_string_pretty(&document).expect("it is JSON");
    std::fs::write(&path, text + "\n").expect("the file can be written");
    seeds::write(&document);
    println!("{} tokens, {} key sets in {}", tokens.len(), count(&document["sets"]), path.display());
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// One token, and the reason it is refused for.
fn case(row: &str, name: &str, token: String, reason: Option<&str>) -> Value {
    json!({ "row": row, "name": name, "token": token, "reason": reason })
}
