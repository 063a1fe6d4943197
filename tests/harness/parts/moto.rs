//! moto: AWS's STS and IAM as a server in memory, and boto3, AWS's own client, to try what was issued.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{find, free_port, setup, text, tied};
use crate::stack::Process;

/// A running server; it ends when dropped, and with this process at the latest.
///
/// Until [`enforce`](Self::enforce) it takes any key for any call. From a web identity it never checks the token.
pub struct Moto {
    pub process: Process,
    /// The endpoint of all services.
    pub url: String,
    python: PathBuf,
}

/// What a caller signs with.
#[derive(Clone, Debug, Serialize)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub session: Option<String>,
}

impl Moto {
    /// The account that all is in.
    pub const ACCOUNT: &str = "123456789012";

    /// Starts one, its log in `dir`; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start(dir: &Path) -> Option<Self> {
        let server = find("moto", "MOTO", || setup("python/bin/moto_server"))?;
        let url = format!("http://127.0.0.1:{}", free_port());
        let mut command = tied::command(&server, "TERM", None);
        command.args(["-H", "127.0.0.1", "-p", url.rsplit(':').next().unwrap_or_default()]);
        let process = tied::spawn("moto", command, dir, Signal::TERM).ready(&format!("{url}/moto-api/data.json")).await;
        let process = process.unwrap_or_else(|failure| panic!("{failure}"));
        Some(Self { process, url, python: server.with_file_name("python") })
    }

    /// A policy that allows one action, such as `sts:AssumeRole`, on everything.
    pub fn allow(action: &str) -> Value {
        document(&json!({ "Effect": "Allow", "Action": action, "Resource": "*" }))
    }

    /// Makes a role that `user` may assume, and that may do what `policy` says. Out: its ARN.
    pub async fn role(&self, name: &str, user: &str, policy: &Value) -> String {
        let principal = json!({ "AWS": format!("arn:aws:iam::{}:user/{user}", Self::ACCOUNT) });
        let trust = document(&json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" }));
        let role = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust.to_string() });
        let role = self.administer("create_role", &role).await;
        let attached = json!({ "RoleName": name, "PolicyName": "own", "PolicyDocument": policy.to_string() });
        self.administer("put_role_policy", &attached).await;
        text(&role, "/Role/Arn")
    }

    /// Makes a user that may do what `policy` says, and keys for it.
    pub async fn user(&self, name: &str, policy: &Value) -> Keys {
        self.administer("create_user", &json!({ "UserName": name })).await;
        let attached = json!({ "UserName": name, "PolicyName": "own", "PolicyDocument": policy.to_string() });
        self.administer("put_user_policy", &attached).await;
        let keys = self.administer("create_access_key", &json!({ "UserName": name })).await;
        let part = |name| text(&keys, &format!("/AccessKey/{name}"));
        Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), session: None }
    }

    /// From now on checks the signature of each call, and whether the caller's policies and a role's trust allow it.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn enforce(&self) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client builds");
        let answer = http.post(format!("{}/moto-api/reset-auth", self.url)).body("0").send().await;
        assert_eq!(answer.expect("moto answers").status(), 200);
    }

    /// A call by boto3, such as `sts` `get_caller_identity`. Out: its result, or the code of the error.
    ///
    /// # Panics
    /// When boto3 cannot make it.
    pub async fn call(&self, keys: &Keys, service: &str, operation: &str, arguments: &Value) -> Result<Value, String> {
        let call = json!({
            "endpoint": self.url, "keys": keys, "service": service, "operation": operation, "arguments": arguments,
        });
        let mut command = Command::new(&self.python);
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("parts/aws.py"))
            .env("NO_PROXY", "127.0.0.1")
            .kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(call.to_string().as_bytes()).await.expect("it reads the call");
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        assert!(output.status.success(), "{operation}: {}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).expect("it says JSON");
        answer.get("ok").cloned().ok_or_else(|| text(&answer, "/error"))
    }

    async fn administer(&self, operation: &str, arguments: &Value) -> Value {
        let anyone = Keys { id: "AKIAANYONE".to_owned(), secret: "any".to_owned(), session: None };
        let done = self.call(&anyone, "iam", operation, arguments).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }
}

fn document(statement: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}
