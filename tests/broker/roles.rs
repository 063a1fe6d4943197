//! A broker whose credentials live on at a target: roles of a real PostgreSQL, beside tokens that it signs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::Issuer;
use harness::parts::Postgres;
use harness::stack::broker::SECRET;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::support::{Answer, Desk, FOREIGN, call, config, policy, set};

/// A call that gets a role, and one that gets a token.
pub const ROLE: (&str, &str, &str) = ("crm_lookup", "crm:read", "crm-api");
pub const TOKEN: (&str, &str, &str) = ("crm_update", "crm:read crm:write", "crm-token");

/// The broker, and the server where it makes roles.
pub struct Roles {
    pub desk: Desk,
    pub prefix: String,
    pub target: String,
}

impl Roles {
    /// With roles of this server, and changes to the configuration.
    pub async fn open(postgres: &Postgres, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let prefix = format!("{}_", name.replace('-', "_"));
        let (mut policy, mut config) = (policy(&Issuer::new(FOREIGN)), config());
        policy["servers"]["crm"]["tools"]["crm_update"]["credential"] = json!(TOKEN.2);
        config["credentials"][TOKEN.2] = config["credentials"][ROLE.2].clone();
        config["credentials"][ROLE.2] =
            json!({ "kind": "postgres", "ttl": "60s", "url_file": "target", "role_prefix": prefix });
        config["proxies"]["edge"] = config["proxies"]["gateway"].clone();
        config["agents"][0]["token_lifetime"] = json!("60s");
        change(&mut config);
        let target = postgres.superuser();
        let desk = Desk::placed(name, &policy, config, &[("target", &target)]).await;
        Self { desk, prefix, target }
    }

    /// A new token of `agent-7`.
    pub async fn token(&self) -> String {
        self.desk.token("crm:read crm:write").await
    }

    /// The exchange of `token` for such a call by `gateway`.
    pub async fn exchange(&self, token: &str, call: (&str, &str, &str)) -> Answer {
        exchange(&self.desk, token, call).await.expect("the broker answers")
    }

    /// A new role.
    pub async fn mint(&self) -> Answer {
        let answer = self.exchange(&self.token().await, ROLE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// Lets time pass for leases, which otherwise other replicas could still be at.
    pub async fn pass(&self, seconds: i64) {
        let query = "UPDATE leases SET issued = issued - $1, \
                     claimed = CASE WHEN claimed > $1 THEN claimed - $1 ELSE claimed END WHERE state <> 'ended'";
        let query = sqlx::query(query).bind(seconds * 1000);
        query.execute(&mut self.desk.broker.database().await).await.expect("the database can be changed");
    }

    /// The role's name of a lease.
    pub fn role(&self, lease: &str) -> String {
        format!("{}{}", self.prefix, lease.replace('-', ""))
    }

    /// All roles of this broker that there are.
    pub async fn roles(&self) -> BTreeSet<String> {
        let mut admin = self.admin().await;
        let query = sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1)");
        query.bind(&self.prefix).fetch_all(&mut admin).await.unwrap().into_iter().collect()
    }

    /// The superuser at the target.
    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.target).await.unwrap()
    }

    /// Keeps everybody from making and ending roles until the result is dropped.
    pub async fn stall(&self) -> PgConnection {
        let mut admin = self.admin().await;
        admin.execute("BEGIN; LOCK TABLE pg_catalog.pg_authid IN EXCLUSIVE MODE").await.unwrap();
        admin
    }

    /// An operator's request.
    pub async fn operate(&self, method: Method, path: &str) -> Answer {
        let request = self.desk.http.request(method, self.desk.url(path)).bearer_auth(SECRET);
        Answer::of(request.send().await.expect("the broker answers")).await
    }

    /// The leases that match, as operators see them.
    pub async fn leases(&self, query: &str) -> Vec<Value> {
        let answer = self.operate(Method::GET, &format!("/v1/leases?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["leases"].as_array().unwrap().clone()
    }

    /// What became of a lease.
    pub async fn lease(&self, id: &str) -> Value {
        let leases = self.leases("limit=1000").await;
        leases.into_iter().find(|lease| lease["id"] == id).unwrap_or_else(|| panic!("no lease {id}"))
    }

    /// Waits until a lease has ended. Out: the reason.
    pub async fn ended(&self, id: &str) -> String {
        soon(&format!("{id} has not ended"), async || self.lease(id).await["state"] == "ended").await;
        assert!(!self.roles().await.contains(&self.role(id)), "the lease has ended, its role has not");
        let ends = self.desk.records("kind=end&limit=1000").await;
        let ends: Vec<_> = ends.iter().filter(|record| record["credential"]["lease"] == id).collect();
        let reason = self.lease(id).await["reason"].clone();
        assert_eq!((ends.len(), &ends[0]["reason"]), (1, &reason), "{ends:?}");
        reason.as_str().unwrap().to_owned()
    }
}

/// The exchange of `token` for such a call; `None` when the broker is away.
pub async fn exchange(desk: &Desk, token: &str, (tool, scope, credential): (&str, &str, &str)) -> Option<Answer> {
    request(&desk.http, &desk.broker.url, token, (tool, scope, credential)).await
}

/// The same by any client at any broker.
pub async fn request(
    http: &reqwest::Client,
    url: &str,
    token: &str,
    (tool, scope, credential): (&str, &str, &str),
) -> Option<Answer> {
    let mut form = call(token, tool, scope);
    let details = json!([{ "type": "tool_call", "server": "crm", "tool": tool, "credential": credential }]);
    set(&mut form, "authorization_details", &details.to_string());
    let sent = http.post(format!("{url}/token")).basic_auth("gateway", Some(SECRET)).form(&form).send().await.ok()?;
    let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
    let body = serde_json::from_str(&sent.text().await.ok()?).ok()?;
    Some(Answer { status, headers, body })
}

/// Waits for what comes soon.
pub async fn soon(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(15), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}
