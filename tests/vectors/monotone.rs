//! Less in a token or in a policy never permits more, whatever they are.
//!
//! Taking a rule away can let a call fall under a broader one, and what it takes to connect is open where no rule says
//! otherwise; nothing else can become permitted by it. Conditions and shadow mode are left out: a condition can ask for
//! the absence of a scope, and shadow mode permits what is denied.

use accredit_policy::call::Call;
use accredit_policy::decide::{Facts, Permit, View, decide};
use accredit_policy::headers::Headers;
use accredit_policy::sender::Bound;
use accredit_policy::token::{Outcome, Prover};
use accredit_policy::{Policy, Secret, Time, config};
use harness::{Alg, Issuer, START};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

const ISSUER: &str = "https://idp.example.com";
const RESOURCE: &str = "https://gateway.example.com/crm/mcp";
const SCOPES: [&str; 3] = ["s:1", "s:2", "s:3"];

/// The sections of a policy, what their rules are for, and what is asked for: names that are alike.
const SECTIONS: [(&str, &[&str], &[&str]); 4] = [
    ("tools", &["a", "ab", "abc", "a*", "ab*", "*"], &["a", "ab", "abc", "abcd", "b"]),
    ("prompts", &["a", "ab", "a*", "b*"], &["a", "ab", "abc", "b"]),
    (
        "resources",
        &["r://a/b", "r://a/*", "r://a/b/*", "r://*"],
        &["r://a/b", "r://a/c", "r://a/b/c", "r://d", "s://a"],
    ),
    (
        "methods",
        &["m/a", "m/*", "tools/list", "ping", "p*"],
        &["m/a", "m/b", "tools/list", "ping", "prompts/list", "n"],
    ),
];

type Rules = BTreeMap<&'static str, Vec<&'static str>>;

fn rules(section: usize) -> impl Strategy<Value = Rules> {
    btree_map(select(SECTIONS[section].1), subsequence(&SCOPES[..], 1..=2), 0..=4)
}

fn policies() -> impl Strategy<Value = [Rules; 4]> {
    (rules(0), rules(1), rules(2), rules(3))
        .prop_map(|(tools, prompts, resources, methods)| [tools, prompts, resources, methods])
}

/// What is asked for: one of a section, or two resources at once.
fn asked() -> impl Strategy<Value = (usize, Vec<&'static str>)> {
    let one =
        (0..4_usize).prop_flat_map(|section| (Just(section), select(SECTIONS[section].2).prop_map(|name| vec![name])));
    let two = subsequence(SECTIONS[2].2, 2).prop_map(|uris| (2, uris));
    prop_oneof![4 => one, 1 => two]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_token_with_fewer_scopes_is_never_permitted_more(rules in policies(), asked in asked(), held in 0..8_usize) {
        let scene = scene();
        let server = policy(&rules);
        for (place, scope) in SCOPES.iter().enumerate() {
            let fewer = scene.verdict(&server, held & !(1 << place), &asked);
            if let Some(permit) = fewer {
                prop_assert_eq!(scene.verdict(&server, held, &asked), Some(permit), "without {}", scope);
            }
        }
    }

    #[test]
    fn a_policy_with_fewer_rules_never_permits_more(rules in policies(), asked in asked(), held in 0..8_usize) {
        let scene = scene();
        let before = scene.verdict(&policy(&rules), held, &asked);
        for (section, all) in rules.iter().enumerate() {
            for key in all.keys() {
                let mut fewer = rules.clone();
                fewer[section].remove(key);
                let after = scene.verdict(&policy(&fewer), held, &asked);
                let decided = asked.0 == section && asked.1.iter().any(|name| winner(all, name) == Some(*key));
                let broader = asked.1.iter().all(|name| winner(&fewer[asked.0], name).is_some() || open(name));
                match (decided, broader) {
                    (false, _) => prop_assert_eq!(&after, &before, "`{}` is about something else", key),
                    (true, false) => prop_assert_eq!(after, None, "nothing else is about it but `{}`", key),
                    (true, true) => {}
                }
            }
        }
    }
}

/// The key of the rule that decides, by the letter of the design: the exact one, else the longest beginning.
fn winner(rules: &Rules, name: &str) -> Option<&'static str> {
    let fits = |key: &str| key == name || key.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix));
    let rank = |key: &&str| (*key == name, key.len());
    rules.keys().copied().filter(|key| fits(key)).max_by_key(rank)
}

/// Whether every client needs it to connect.
fn open(name: &str) -> bool {
    matches!(name, "tools/list" | "ping" | "prompts/list")
}

fn scene() -> &'static Scene {
    static MADE: OnceLock<Scene> = OnceLock::new();
    MADE.get_or_init(Scene::new)
}

/// A token for each set of scopes.
struct Scene {
    tokens: Vec<(Secret, Bound)>,
}

impl Scene {
    fn new() -> Self {
        let policy = policy(&Default::default());
        let token = |held: usize| {
            let scopes = SCOPES.iter().enumerate().filter(|(place, _)| held & (1 << place) != 0);
            let scopes: Vec<_> = scopes.map(|(_, scope)| *scope).collect();
            let issuer = Issuer::new(ISSUER);
            let token = issuer.token().alg(Alg::EdDsa).audience(RESOURCE).scope(&scopes.join(" ")).sign();
            let (token, now) = (Secret::new(&*token), Time::from_seconds(START));
            match Prover::default().prove(&token, policy.server("crm").unwrap(), &policy, now, now) {
                Outcome::Proved(verified) => (token, Bound::vouched(verified)),
                other => panic!("the token is in order: {other:?}"),
            }
        };
        Self { tokens: (0..8).map(token).collect() }
    }

    fn verdict(&self, policy: &Policy, held: usize, (section, names): &(usize, Vec<&str>)) -> Option<Permit> {
        let (method, params) = match (section, &names[..]) {
            (0, [name]) => ("tools/call", json!({ "name": name })),
            (1, [name]) => ("prompts/get", json!({ "name": name })),
            (2, [uri]) => ("resources/read", json!({ "uri": uri })),
            (2, uris) => ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": uris } })),
            (_, [method]) => (*method, json!({})),
            _ => unreachable!("there are four sections"),
        };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let call = Call::read(&Headers::default(), body.as_bytes()).unwrap();
        let (token, bound) = &self.tokens[held];
        let facts = Facts { token, view: View::Whole(["POST", "gateway.example.com", "/crm/mcp", ""]), tasks: &[] };
        decide(policy.server("crm").unwrap(), bound, &call, &facts).ok()
    }
}

fn policy(rules: &[Rules; 4]) -> Policy {
    let mut server = json!({
        "resource": RESOURCE, "match": { "host": "gateway.example.com", "path": "/crm/mcp" }, "protocol": "mcp",
        "issuers": ["corp"],
    });
    for ((name, ..), rules) in SECTIONS.iter().zip(rules) {
        let rule = |(key, scopes): (&&str, &Vec<&str>)| ((*key).to_owned(), json!({ "scopes": scopes }));
        server[*name] = Value::Object(rules.iter().map(rule).collect());
    }
    let corp =
        json!({ "issuer": ISSUER, "jwks": Issuer::new(ISSUER).jwks(), "algorithms": ["EdDSA", "ES256", "RS256"] });
    let broker = json!({ "cluster": "broker", "authority": "broker.internal" });
    let policy = json!({ "version": 1, "issuers": { "corp": corp }, "broker": broker, "servers": { "crm": server } });
    config::read(policy).unwrap()
}
