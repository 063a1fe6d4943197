//! OpenBao: a real server in its development mode, which keeps everything in memory.

use std::net::TcpListener;
use std::path::Path;

use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Postgres, find, free_port, setup, text, tied};
use crate::stack::Process;

/// A running server; it ends when dropped, and with this process at the latest. What it knew is gone then.
pub struct OpenBao {
    pub process: Process,
    pub url: String,
    http: Client,
}

impl OpenBao {
    /// The token that may do anything.
    pub const ROOT: &str = "a-root-token-of-tests";

    /// Starts one, its log in `dir`; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start(dir: &Path) -> Option<Self> {
        let binary = find("OpenBao", "BAO", || setup("bao"))?;
        // It listens on the next port too.
        let pair = |port: &u16| port.checked_add(1).is_some_and(|next| TcpListener::bind(("127.0.0.1", next)).is_ok());
        let port = std::iter::repeat_with(free_port).find(pair).expect("loopback has free ports");
        let mut command = tied::command(&binary, "TERM", None);
        command.args(["server", "-dev", "-dev-no-store-token", "-log-level=warn"]);
        command.arg(format!("-dev-root-token-id={}", Self::ROOT));
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let url = format!("http://127.0.0.1:{port}");
        let http = Client::builder().no_proxy().build().expect("a client builds");
        // The mount `secret/` gets ready after the first answers.
        let secret = http.get(format!("{url}/v1/secret/config")).header("x-vault-token", Self::ROOT);
        let ready = async || {
            let request = secret.try_clone().expect("it has no body");
            request.send().await.is_ok_and(|answer| answer.status() == 200)
        };
        let process = tied::spawn("openbao", command, dir, Signal::TERM).ready_when("it had no `secret/`", ready).await;
        let process = process.unwrap_or_else(|failure| panic!("{failure}"));
        Some(Self { process, url, http })
    }

    /// A request with any token; `path` is what follows `/v1/`. Out: the status and the body, null where it is empty.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(&self, token: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}/v1/{path}", self.url)).header("x-vault-token", token);
        let answer = request.json(body).send().await.expect("OpenBao answers");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Writes as root.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn write(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(Self::ROOT, Method::POST, path, body).await;
        assert!(matches!(status, 200 | 204), "POST {path}: {status} {answer}");
        answer
    }

    /// Reads as root.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Self::ROOT, Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// Mounts an engine, such as `database`, at `path`.
    pub async fn mount(&self, path: &str, engine: &str) {
        self.write(&format!("sys/mounts/{path}"), &json!({ "type": engine })).await;
    }

    /// Puts a secret at `secret/data/<path>`, where version 2 of the key-value engine is from the start.
    pub async fn put(&self, path: &str, data: &Value) {
        self.write(&format!("secret/data/{path}"), &json!({ "data": data })).await;
    }

    /// Mounts `database/`: each read of `database/creds/<role>` makes a login for `postgres` that lives as long as the
    /// lease, `ttl`, and may read what `grant` lets it: one statement, `{{name}}` in it for the login.
    pub async fn database(&self, postgres: &Postgres, role: &str, ttl: &str, grant: &str) {
        self.mount("database", "database").await;
        let connection = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": [role],
            "connection_url": postgres.superuser(),
        });
        self.write("database/config/postgres", &connection).await;
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'";
        let revoke = ["REVOKE ALL ON ALL TABLES IN SCHEMA public FROM \"{{name}}\"", end, "DROP ROLE \"{{name}}\""];
        let login = json!({
            "db_name": "postgres", "creation_statements": [create, grant], "revocation_statements": revoke,
            "default_ttl": ttl, "max_ttl": ttl,
        });
        self.write(&format!("database/roles/{role}"), &login).await;
    }

    /// Mounts `ssh/` with a key of its own: `ssh/sign/<role>` signs users' keys for the account `user`. Out: the public
    /// key for `TrustedUserCAKeys`.
    pub async fn ssh(&self, role: &str, user: &str, ttl: &str) -> String {
        self.mount("ssh", "ssh").await;
        let authority =
            self.write("ssh/config/ca", &json!({ "generate_signing_key": true, "key_type": "ed25519" })).await;
        let signer = json!({
            "key_type": "ca", "allow_user_certificates": true, "allowed_users": user, "default_user": user,
            "default_extensions": { "permit-pty": "" }, "ttl": ttl, "max_ttl": ttl,
        });
        self.write(&format!("ssh/roles/{role}"), &signer).await;
        text(&authority, "/data/public_key")
    }

    /// Mounts `otp/`: `otp/creds/<role>` makes a one-time password for `user` on loopback.
    pub async fn one_time(&self, role: &str, user: &str) {
        self.mount("otp", "ssh").await;
        let password = json!({ "key_type": "otp", "default_user": user, "cidr_list": "127.0.0.0/8" });
        self.write(&format!("otp/roles/{role}"), &password).await;
    }

    /// Mounts `transit/` with one key, for `transit/encrypt/<key>` and the like.
    pub async fn transit(&self, key: &str) {
        self.mount("transit", "transit").await;
        self.write(&format!("transit/keys/{key}"), &json!({})).await;
    }

    /// A token that may do what `policy`, in OpenBao's own language, says; both have that name.
    pub async fn token(&self, name: &str, policy: &str) -> String {
        self.write(&format!("sys/policies/acl/{name}"), &json!({ "policy": policy })).await;
        let token = json!({ "policies": [name], "display_name": name, "no_default_policy": true, "ttl": "1h" });
        text(&self.write("auth/token/create-orphan", &token).await, "/auth/client_token")
    }
}
