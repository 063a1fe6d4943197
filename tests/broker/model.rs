//! Random lives of agents against a model: what it permits is permitted, what it forbids is refused, whatever came before,
//! and nothing is handed out that is not on the record.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use harness::stack::broker::SECRET;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::support::{Answer, Desk, RESOURCE};
use super::team::claims;

/// How many agents a life has; the last one's tokens are short.
const AGENTS: usize = 3;

/// How long it takes until short tokens are over.
const OVER: Duration = Duration::from_millis(1050);

/// So close to its end, nobody can say whether a token counts.
const CLOSE: u64 = 100;

/// What is done, to the agent or the token of that number.
#[derive(Clone, Debug)]
enum Step {
    Register(usize),
    Issue(usize),
    Exchange(usize),
    Turn(usize, Turn),
    Revoke(usize),
    Wait,
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Suspend,
    Resume,
    Retire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Active,
    Suspended,
    Retired,
}

/// What should be so.
struct Model {
    agents: [Option<(Status, String)>; AGENTS],
    tokens: Vec<Token>,
    /// Leases that were handed out.
    leases: BTreeSet<String>,
    names: String,
}

struct Token {
    agent: usize,
    text: String,
    /// In milliseconds.
    expires: u64,
    revoked: bool,
}

/// What is to be done with a token, if that is sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Permit,
    Refuse,
    Either,
}

fn step() -> impl Strategy<Value = Step> {
    let agent = || 0..AGENTS;
    let turn = prop_oneof![3 => Just(Turn::Suspend), 4 => Just(Turn::Resume), 1 => Just(Turn::Retire)];
    prop_oneof![
        1 => agent().prop_map(Step::Register),
        5 => agent().prop_map(Step::Issue),
        5 => (0..20_usize).prop_map(Step::Exchange),
        4 => (agent(), turn).prop_map(|(agent, turn)| Step::Turn(agent, turn)),
        2 => (0..20_usize).prop_map(Step::Revoke),
        1 => Just(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

#[test]
fn an_agent_gets_what_its_life_so_far_permits_and_nothing_else() {
    let runtime = Runtime::new().unwrap();
    let desk = RefCell::new(runtime.block_on(Desk::open("model")));
    let (lives, permitted, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = Config { cases: 12, max_shrink_iters: 30, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 12..20), |steps| {
        lives.set(lives.get() + 1);
        let mut model = Model::new(format!("life-{}", lives.get()));
        let counts = runtime.block_on(model.live(&mut desk.borrow_mut(), &steps))?;
        permitted.set(permitted.get() + counts.0);
        refused.set(refused.get() + counts.1);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} lives, {} exchanges permitted, {} refused", lives.get(), permitted.get(), refused.get());
    assert!(permitted.get() > 10 && refused.get() > 10, "the lives were too dull to prove anything");
}

impl Model {
    fn new(names: String) -> Self {
        Self { agents: [const { None }; AGENTS], tokens: Vec::new(), leases: BTreeSet::new(), names }
    }

    /// Out: how many exchanges were permitted, and how many refused.
    async fn live(&mut self, desk: &mut Desk, steps: &[Step]) -> Result<(u32, u32), TestCaseError> {
        let begin = (0..AGENTS).flat_map(|agent| [Step::Register(agent), Step::Issue(agent)]);
        for step in begin.chain(steps.iter().cloned()) {
            self.take(desk, &step).await.map_err(|error| TestCaseError::fail(format!("{step:?}: {error}")))?;
        }
        let (mut permitted, mut refused) = (0, 0);
        for number in 0..self.tokens.len() {
            let answer = self.exchange(desk, number).await?;
            *(if answer == 200 { &mut permitted } else { &mut refused }) += 1;
        }
        self.recorded(desk).await?;
        Ok((permitted, refused))
    }

    async fn take(&mut self, desk: &mut Desk, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Register(agent) => self.register(desk, agent).await?,
            Step::Issue(agent) => self.issue(desk, agent).await?,
            Step::Turn(agent, turn) => self.turn(desk, agent, turn).await?,
            Step::Exchange(number) => drop(self.exchange(desk, number % self.tokens.len()).await?),
            Step::Revoke(number) => self.revoke(desk, number % self.tokens.len()).await?,
            Step::Wait => sleep(OVER).await,
            Step::Crash => desk.broker.crash().await,
        }
        Ok(())
    }

    fn name(&self, agent: usize) -> String {
        format!("{}-{agent}", self.names)
    }

    fn status(&self, agent: usize) -> Option<Status> {
        self.agents[agent].as_ref().map(|(status, _)| *status)
    }

    async fn register(&mut self, desk: &Desk, agent: usize) -> Result<(), TestCaseError> {
        let lifetime = if agent + 1 == AGENTS { "1s" } else { "60s" };
        let body = json!({
            "id": self.name(agent), "owner": "ops@example.test", "purpose": "a model", "scopes": ["crm:read"],
            "resources": [RESOURCE], "token_lifetime": lifetime,
        });
        let answer = operate(desk, Method::POST, "/v1/agents", &body).await;
        match &self.agents[agent] {
            Some(_) => prop_assert_eq!(answer.status, 409, "{:?}", answer),
            None => {
                prop_assert_eq!(answer.status, 201, "{:?}", answer);
                self.agents[agent] = Some((Status::Active, answer.text("secret")));
            }
        }
        Ok(())
    }

    async fn issue(&mut self, desk: &Desk, agent: usize) -> Result<(), TestCaseError> {
        let Some((status, secret)) = &self.agents[agent] else { return Ok(()) };
        let form = [("grant_type", "client_credentials"), ("scope", "crm:read"), ("resource", RESOURCE)];
        let answer = ask(desk, "/token", &self.name(agent), secret, &form).await;
        prop_assert_eq!(answer.status == 200, *status == Status::Active, "{:?}", answer);
        if answer.status == 200 {
            let text = answer.text("access_token");
            let expires = claims(&text)["exp"].as_u64().unwrap() * 1000;
            self.tokens.push(Token { agent, text, expires, revoked: false });
        }
        Ok(())
    }

    async fn turn(&mut self, desk: &Desk, agent: usize, turn: Turn) -> Result<(), TestCaseError> {
        let (word, new) = match turn {
            Turn::Suspend => ("suspend", Status::Suspended),
            Turn::Resume => ("resume", Status::Active),
            Turn::Retire => ("retire", Status::Retired),
        };
        let path = format!("/v1/agents/{}/{word}", self.name(agent));
        let answer = operate(desk, Method::POST, &path, &json!({})).await;
        let can = match turn {
            Turn::Suspend => self.status(agent) == Some(Status::Active),
            Turn::Resume => self.status(agent) == Some(Status::Suspended),
            Turn::Retire => self.status(agent) != Some(Status::Retired),
        };
        prop_assert_eq!(answer.status, if can { 200 } else { 409 }, "{:?}", answer);
        if let Some((status, _)) = self.agents[agent].as_mut().filter(|_| can) {
            *status = new;
        }
        Ok(())
    }

    async fn revoke(&mut self, desk: &Desk, number: usize) -> Result<(), TestCaseError> {
        let (agent, text) = (self.tokens[number].agent, self.tokens[number].text.clone());
        let Some((status, secret)) = &self.agents[agent] else { return Ok(()) };
        let answer = ask(desk, "/revoke", &self.name(agent), secret, &[("token", &text)]).await;
        let active = *status == Status::Active;
        prop_assert_eq!(answer.status, if active { 200 } else { 401 }, "{:?}", answer);
        self.tokens[number].revoked |= active;
        Ok(())
    }

    /// What a token is worth, from `began` until now.
    fn expected(&self, number: usize, began: u64) -> Expected {
        let Token { agent, expires, revoked, .. } = &self.tokens[number];
        if self.status(*agent) != Some(Status::Active) || *revoked || began >= *expires {
            return Expected::Refuse;
        }
        if now() + CLOSE < *expires { Expected::Permit } else { Expected::Either }
    }

    async fn exchange(&mut self, desk: &Desk, number: usize) -> Result<u16, TestCaseError> {
        let (began, text) = (now(), self.tokens[number].text.clone());
        let answer = desk.exchange(&text, "crm_lookup", "crm:read", |_| ()).await;
        let shown = ask(desk, "/introspect", "gateway", SECRET, &[("token", &text)]).await;
        let active = shown.body["active"] == true;
        match self.expected(number, began) {
            Expected::Permit => prop_assert!(answer.status == 200 && active, "{:?} {:?}", answer, shown),
            Expected::Refuse => prop_assert!(matches!(answer.status, 400 | 403) && !active, "{:?} {:?}", answer, shown),
            Expected::Either => (),
        }
        if answer.status == 200 {
            self.leases.insert(answer.text("lease_id"));
            self.recorded(desk).await?;
        }
        Ok(answer.status)
    }

    /// What was handed out has its intent, and nothing else has one.
    async fn recorded(&self, desk: &Desk) -> Result<(), TestCaseError> {
        let mut intents = BTreeSet::new();
        for agent in 0..AGENTS {
            let query = format!("kind=intent&limit=1000&agent={}", self.name(agent));
            let records = desk.records(&query).await;
            intents.extend(records.iter().map(|record| record["credential"]["lease"].as_str().unwrap().to_owned()));
        }
        prop_assert_eq!(&intents, &self.leases);
        Ok(())
    }
}

fn now() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

async fn operate(desk: &Desk, method: Method, path: &str, body: &Value) -> Answer {
    let request = desk.http.request(method, desk.url(path)).bearer_auth(SECRET).json(body);
    Answer::of_secrets(request.send().await.expect("the broker answers")).await
}

async fn ask(desk: &Desk, path: &str, id: &str, secret: &str, form: &[(&str, &str)]) -> Answer {
    let request = desk.http.post(desk.url(path)).basic_auth(id, Some(secret)).form(form);
    Answer::of(request.send().await.expect("the broker answers")).await
}
