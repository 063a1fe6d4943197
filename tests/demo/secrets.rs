//! The search for secrets where none may be.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// Looks for each of these secrets in every file below `dir` but those of `secrets/`, which hold them.
/// Out: how many files were read, and which secret, by its name, was found where.
pub fn search(dir: &Path, secrets: &BTreeMap<&'static str, String>) -> Result<(usize, Vec<String>), Box<dyn Error>> {
    let (mut files, mut found, mut folders) = (0, Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.extend((name != "secrets").then_some(path));
            } else {
                let bytes = std::fs::read(&path)?;
                files += 1;
                let holds = |secret: &String| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                let holding = secrets.iter().filter(|(_, secret)| holds(secret));
                found.extend(holding.map(|(what, _)| format!("{what} in {}", path.display())));
            }
        }
    }
    Ok((files, found))
}
