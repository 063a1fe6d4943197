//! The feed of revocations over a network that loses, delays and reorders, between brokers and proxies that restart.
//!
//! The parts are the shipped ones: [`Feed`] as each proxy runs it, [`History`] as the broker does, and the bytes between them.
//! Time goes in whole seconds. Everything else happens in any order.

use std::sync::LazyLock;
use std::time::Duration;

use accredit_policy::feed::{Feed, Standing};
use accredit_policy::fetch::{Answer, Document};
use accredit_policy::history::History;
use accredit_policy::policy::Broker;
use accredit_policy::revocation::Target;
use accredit_policy::token::{Outcome, Prover, Verified};
use accredit_policy::wire::feed::{Change, Cursor, Page};
use accredit_policy::{Policy, Secret, Time, config};
use harness::{Alg, Issuer, START};
use serde_json::json;
use stateright::{Checker as _, HasDiscoveries, Model, Property};

const ISSUER: &str = "https://idp.example.test";
const RESOURCE: &str = "https://gateway.example.test/crm/mcp";

/// The shortest bound a policy can give.
const MAX_AGE: u8 = 3;

/// The network, a broker and its proxies.
struct Net {
    proxies: usize,
    /// How many seconds are looked at.
    seconds: u8,
    /// How many messages can be lost, and how many restarts there can be.
    losses: u8,
    restarts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    history: History,
    /// The database as it was when it was last saved.
    saved: Option<History>,
    lineage: u8,
    /// Since when the agent is revoked, as whoever revoked it was told.
    revoked: Option<u8>,
    feeds: Vec<Feed>,
    /// Questions on their way, those the broker holds, and answers on their way.
    questions: Vec<Question>,
    held: Vec<Question>,
    answers: Vec<(usize, u64, Vec<u8>)>,
    losses: u8,
    restarts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    proxy: usize,
    number: u64,
    cursor: Cursor,
    /// How long the broker may hold it, and since when it does.
    wait: u8,
    since: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Pass,
    Arrive(usize),
    Deliver(usize),
    LoseQuestion(usize),
    LoseAnswer(usize),
    Revoke,
    RevokeOther,
    Lift,
    Save,
    Restore,
    RestartBroker,
    RestartProxy(usize),
}

impl Model for Net {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            now: 0,
            history: History::default(),
            saved: None,
            lineage: 0,
            revoked: None,
            feeds: (0..self.proxies).map(|_| fresh(0)).collect(),
            questions: Vec::new(),
            held: Vec::new(),
            answers: Vec::new(),
            losses: self.losses,
            restarts: self.restarts,
        };
        world.ask();
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        acts.extend((world.now < self.seconds).then_some(Act::Pass));
        acts.extend((0..world.questions.len()).map(Act::Arrive));
        acts.extend((0..world.answers.len()).map(Act::Deliver));
        if world.losses > 0 {
            acts.extend((0..world.questions.len()).map(Act::LoseQuestion));
            acts.extend((0..world.answers.len()).map(Act::LoseAnswer));
        }
        acts.push(if world.revoked.is_none() { Act::Revoke } else { Act::Lift });
        acts.push(Act::RevokeOther);
        if world.restarts > 0 {
            acts.extend(world.saved.is_none().then_some(Act::Save));
            acts.extend(world.saved.is_some().then_some(Act::Restore));
            acts.push(Act::RestartBroker);
            acts.extend((0..world.feeds.len()).map(Act::RestartProxy));
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut world = world.clone();
        match act {
            Act::Pass => world.pass(),
            Act::Arrive(at) => {
                let question = Question { since: world.now, ..world.questions.remove(at) };
                world.held.push(question);
            }
            Act::Deliver(at) => {
                let (proxy, number, body) = world.answers.remove(at);
                let answer = Answer { body: Some(&body), cache_control: None };
                // The proxy may say that it comes too late.
                world.feeds[proxy].arrived(number, &answer, moment(world.now)).ok();
            }
            Act::LoseQuestion(at) => drop(world.questions.remove(at)),
            Act::LoseAnswer(at) => drop(world.answers.remove(at)),
            Act::Revoke => {
                world.change("agent-1", false)?;
                world.revoked = Some(world.now);
            }
            Act::RevokeOther => world.change("agent-2", false)?,
            Act::Lift => {
                world.change("agent-1", true)?;
                world.revoked = None;
            }
            Act::Save => world.saved = Some(world.history.clone()),
            Act::Restore => {
                // The database is what it was; only what it says is revoked counts.
                world.history = world.saved.take()?;
                world.lineage += 1;
                world.held.clear();
                let stands = world.history.standing().stands(&agent("agent-1"));
                world.revoked = stands.then_some(world.now);
            }
            Act::RestartBroker => world.held.clear(),
            Act::RestartProxy(proxy) => {
                world.feeds[proxy] = fresh(world.now);
                world.questions.retain(|question| question.proxy != proxy);
                world.held.retain(|question| question.proxy != proxy);
                world.answers.retain(|(other, ..)| *other != proxy);
            }
        }
        let lost = matches!(act, Act::LoseQuestion(_) | Act::LoseAnswer(_));
        let restarted = matches!(act, Act::Save | Act::Restore | Act::RestartBroker | Act::RestartProxy(_));
        world.losses -= u8::from(lost);
        world.restarts -= u8::from(restarted);
        world.answer();
        world.ask();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody serves a revoked agent past the bound", |_, world: &World| {
                let over = world.revoked.is_some_and(|since| world.now > since + MAX_AGE);
                !over || world.feeds.iter().all(|feed| judge(feed, world.now) != Standing::Good)
            }),
            Property::sometimes("a revoked agent is refused", |_, world: &World| {
                world.feeds.iter().all(|feed| judge(feed, world.now) == Standing::Revoked)
            }),
            Property::sometimes("an agent that was given back is served", |_, world: &World| {
                let given = world.history.page(&Cursor::default()).is_some_and(|page| page.seq >= 2);
                given
                    && world.revoked.is_none()
                    && world.feeds.iter().all(|feed| judge(feed, world.now) == Standing::Good)
            }),
            Property::sometimes("without news nobody is served", |_, world: &World| {
                world.feeds.iter().any(|feed| judge(feed, world.now) == Standing::Stale)
            }),
        ]
    }
}

impl World {
    fn pass(&mut self) {
        self.now += 1;
        self.feeds.iter_mut().for_each(|feed| feed.tick(moment(self.now)));
    }

    /// Questions that are to be asked leave at once.
    fn ask(&mut self) {
        let broker = Broker { cluster: String::new(), authority: String::new(), timeout: Duration::ZERO, client: None };
        for (proxy, feed) in self.feeds.iter_mut().enumerate() {
            if let Some(fetch) = feed.wanted(&broker, &Secret::default()) {
                let Document::Revocations(number) = fetch.document else { panic!("no question: {fetch:?}") };
                let (cursor, wait) = read(&fetch.path);
                self.questions.push(Question { proxy, number, cursor, wait, since: self.now });
            }
        }
        self.questions.sort_by_key(|question| (question.proxy, question.number));
    }

    /// The broker answers what it has an answer to, or has held for long enough.
    fn answer(&mut self) {
        for question in std::mem::take(&mut self.held) {
            let Question { proxy, number, cursor, wait, since } = &question;
            let nothing = || Page { after: cursor.seq, seq: cursor.seq, mark: cursor.mark.clone(), ..Page::default() };
            let over = self.now >= since + wait;
            match self.history.page(cursor).or_else(|| over.then(nothing)) {
                Some(page) => self.answers.push((*proxy, *number, serde_json::to_vec(&page).unwrap())),
                None => self.held.push(question),
            }
        }
        self.answers.sort();
    }

    /// At most so many changes, or there would be no end of them.
    fn change(&mut self, id: &str, lifts: bool) -> Option<()> {
        let last = self.history.page(&Cursor::default()).map_or(0, |page| page.seq);
        let change = Change { seq: last + 1, target: agent(id), before: None, until: None, lifts };
        let mark = format!("{}-{}", self.lineage, last + 1);
        (last < 2).then(|| self.history.apply(change, mark))
    }
}

fn fresh(now: u8) -> Feed {
    let mut feed = Feed::new(Duration::from_secs(MAX_AGE.into()), 1);
    feed.follow(moment(now));
    feed
}

fn moment(second: u8) -> Time {
    Time::from_seconds(START + u64::from(second))
}

fn agent(id: &str) -> Target {
    Target::Agent { issuer: ISSUER.into(), id: id.into() }
}

fn judge(feed: &Feed, now: u8) -> Standing {
    static TOKEN: LazyLock<Verified> = LazyLock::new(verified);
    feed.judge(&TOKEN, "crm", Some("crm_lookup"), moment(now))
}

fn read(path: &str) -> (Cursor, u8) {
    let (_, query) = path.split_once('?').expect("a question has a query");
    let part = |name: &str| {
        let parts = query.split('&').filter_map(|part| part.split_once('='));
        parts.filter(|(other, _)| *other == name).map(|(_, value)| value.to_owned()).next().expect("it is asked for")
    };
    let wait: u64 = part("wait").strip_suffix("ms").and_then(|wait| wait.parse().ok()).expect("a time to wait");
    let cursor = Cursor { seq: part("after").parse().expect("a number"), mark: part("mark") };
    (cursor, u8::try_from(wait.div_ceil(1000)).expect("a short wait"))
}

fn verified() -> Verified {
    let issuer = Issuer::new(ISSUER);
    let policy = policy(&issuer);
    let token = Secret::new(issuer.token().alg(Alg::EdDsa).audience(RESOURCE).agent("agent-1").sign());
    match Prover::default().prove(&token, policy.server("crm").unwrap(), &policy, moment(0), moment(0)) {
        Outcome::Proved(verified) => verified,
        other => panic!("{other:?}"),
    }
}

fn policy(issuer: &Issuer) -> Policy {
    let policy = json!({
        "version": 1,
        "issuers": { "corp": { "issuer": ISSUER, "jwks": issuer.jwks(), "algorithms": ["EdDSA"] } },
        "broker": { "cluster": "broker", "authority": "broker" },
        "servers": { "crm": {
            "resource": RESOURCE, "match": { "host": "gateway.example.test", "path": "/crm/mcp" }, "protocol": "mcp",
            "issuers": ["corp"], "tools": { "crm_lookup": { "scopes": ["crm:read"] } },
        } },
    });
    config::parse(policy.to_string().as_bytes()).unwrap()
}

/// Looks at every state there is.
fn check(net: Net) {
    let checker = net.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    eprintln!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn one_proxy_never_serves_a_revoked_agent_past_the_bound() {
    check(Net { proxies: 1, seconds: 6, losses: 1, restarts: 0 });
}

#[test]
fn nor_through_restarts_and_restored_databases() {
    check(Net { proxies: 1, seconds: 5, losses: 0, restarts: 2 });
}

#[test]
fn nor_do_two() {
    check(Net { proxies: 2, seconds: 4, losses: 0, restarts: 0 });
}
