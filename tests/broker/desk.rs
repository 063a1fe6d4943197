//! More of a broker and its operator: for tests of what credentials are made of.

use harness::stack::broker::SECRET;
use serde_json::Value;

use super::support::{Answer, Desk, config};

impl Desk {
    /// The same with one credential, `crm-api`, and files in the broker's folder, which only their owner may read.
    pub async fn holding(name: &str, policy: &Value, credential: &Value, files: &[(&str, &str)]) -> Self {
        let mut config = config();
        config["credentials"]["crm-api"] = credential.clone();
        Self::placed(name, policy, config, files).await
    }

    /// Ends a lease as an operator. Out: what became of it.
    pub async fn revoke_lease(&self, lease: &str) -> String {
        let request = self.http.delete(self.url(&format!("/v1/leases/{lease}"))).bearer_auth(SECRET);
        let answer = Answer::of(request.send().await.expect("the broker answers")).await;
        answer.text("outcome")
    }

    /// What no secret may be in: the broker's log and its records.
    pub async fn traces(&self) -> String {
        format!("{}{:?}", self.broker.process.log(), self.records("limit=1000").await)
    }
}
