//! What was done, by the numbers of a class.

use accredit_policy::wire::audit::{Kind, Record};

/// An activity: `99` is one the class has no number for, which its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Activity {
    pub(super) id: u32,
    pub(super) name: String,
}

/// Verbs of administrative acts.
///
/// <https://schema.ocsf.io/1.8.0/classes/entity_management>
const ACTS: &[(&str, u32, &str)] = &[
    ("register", 1, "Create"),
    ("change", 3, "Update"),
    ("put", 3, "Update"),
    ("rotate", 3, "Update"),
    ("rotate-secret", 3, "Update"),
    ("remove", 4, "Delete"),
    ("retire", 4, "Delete"),
    ("lift", 10, "Activate"),
    ("revoke", 11, "Deactivate"),
    ("suspend", 12, "Suspend"),
    ("resume", 13, "Resume"),
];

/// Methods of HTTP.
///
/// <https://schema.ocsf.io/1.8.0/classes/api_activity>
const METHODS: &[(&str, u32, &str)] = &[
    ("POST", 1, "Create"),
    ("GET", 2, "Read"),
    ("HEAD", 2, "Read"),
    ("PATCH", 3, "Update"),
    ("PUT", 3, "Update"),
    ("DELETE", 4, "Delete"),
];

impl Activity {
    /// What `record` tells of.
    pub(super) fn of(record: &Record) -> Self {
        let Record { kind, admin, method, protocol, .. } = record;
        let action = admin.as_ref().map(|admin| admin.action.as_str());
        match kind {
            Kind::Issue | Kind::Intent | Kind::Mint => Self { id: 1, name: "Assign Privileges".to_owned() },
            Kind::End => Self::other("End"),
            Kind::Chain => Self::other("Chain"),
            Kind::Cut => Self::other("Cut"),
            Kind::Gap => Self::other("Gap"),
            Kind::Admin | Kind::Revocation => {
                let action = action.unwrap_or("revocation.revoke");
                Self::among(ACTS, action.rsplit('.').next().unwrap_or(action)).unwrap_or_else(|| Self::other(action))
            }
            Kind::Decision | Kind::Outcome => {
                let method = method.as_deref().unwrap_or("unknown");
                let http = Self::among(METHODS, method).filter(|_| protocol.as_deref() == Some("http"));
                http.unwrap_or_else(|| Self::other(method))
            }
        }
    }

    fn among(rows: &[(&str, u32, &str)], word: &str) -> Option<Self> {
        let (_, id, name) = rows.iter().find(|(one, ..)| *one == word)?;
        Some(Self { id: *id, name: (*name).to_owned() })
    }

    fn other(name: &str) -> Self {
        Self { id: 99, name: name.to_owned() }
    }
}
