//! The parts of other makers do what the tests of the broker lean on.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::parts::{Format, Fsync, GitHub, Keys, Moto, Oidc, OpenBao, Postgres, Settings, Trouble};
use harness::stack::broker::SECRET;
use harness::stack::fresh;
use harness::{Alg, Issuer};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};

#[tokio::test]
async fn postgres_gives_each_test_an_empty_database() {
    let Some(postgres) = Postgres::shared().await else { return };
    for _ in 0..2 {
        let url = postgres.database("part-of \"a\" test").await;
        let mut database = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE t (n int)").execute(&mut database).await.unwrap();
    }
}

#[tokio::test]
async fn postgres_asks_for_a_password() {
    let Some(postgres) = Postgres::shared().await else { return };
    let url = postgres.url("postgres", "wrong", "postgres");
    let refused = PgConnection::connect(&url).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|error| error.code()).as_deref(), Some("28P01"));
}

#[tokio::test]
async fn postgres_keeps_what_was_committed_before_a_crash() {
    let Some(mut postgres) = Postgres::start(Fsync::On).await else { return };
    let url = postgres.database("kept").await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE t AS SELECT 7 AS n").execute(&mut database).await.unwrap();
    postgres.kill();
    assert!(sqlx::query("SELECT n FROM t").fetch_one(&mut database).await.is_err(), "the session has ended");
    postgres.restart().await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    let row = sqlx::query("SELECT n, current_setting('fsync') FROM t").fetch_one(&mut database).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (7, "on"));
}

#[tokio::test]
async fn postgres_ends_with_a_test_process_that_is_killed() {
    const HELD: &str = "ACCREDIT_TEST_HOLDS_POSTGRES";
    let name = "parts::postgres_ends_with_a_test_process_that_is_killed";
    if std::env::var_os(HELD).is_some() {
        println!("\nheld: {}", Postgres::shared().await.map(Postgres::superuser).unwrap_or_default());
        return std::future::pending().await;
    }
    let mut itself = Command::new(std::env::current_exe().unwrap());
    let mut other = itself.args(["--exact", name, "--nocapture"]).env(HELD, "").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| line.strip_prefix("held: ").map(str::to_owned)).unwrap();
    assert!(url.is_empty() || PgConnection::connect(&url).await.is_ok());
    other.kill().unwrap();
    other.wait().unwrap();
    let killed = Instant::now();
    while !url.is_empty() && PgConnection::connect(&url).await.is_ok() {
        assert!(killed.elapsed() < Duration::from_secs(10), "it still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn openbao_makes_logins_that_end_with_their_lease() {
    let Some(postgres) = Postgres::shared().await else { return };
    let Some(bao) = OpenBao::start(&fresh("parts-openbao-database")).await else { return };
    bao.database(postgres, "reader", "60s", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\"").await;
    let token = bao.token("reader", r#"path "database/creds/reader" { capabilities = ["read"] }"#).await;
    let (status, lease) = bao.ask(&token, Method::GET, "database/creds/reader", &Value::Null).await;
    assert_eq!((status, &lease["lease_duration"]), (200, &json!(60)), "{lease}");
    let [name, password] = ["username", "password"].map(|name| lease["data"][name].as_str().unwrap());
    let url = postgres.url(name, password, "postgres");
    let mut session = PgConnection::connect(&url).await.unwrap();

    bao.write("sys/leases/revoke", &json!({ "lease_id": lease["lease_id"], "sync": true })).await;
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(session.ping().await.is_err());
}

#[tokio::test]
async fn openbao_signs_and_encrypts_for_whom_a_policy_allows() {
    let Some(bao) = OpenBao::start(&fresh("parts-openbao")).await else { return };
    assert!(bao.ssh("deploy", "deploy", "60s").await.starts_with("ssh-ed25519 "));
    bao.one_time("deploy", "deploy").await;
    bao.transit("kek").await;
    bao.put("crm", &json!({ "key": "k-1" })).await;
    assert_eq!(bao.read("secret/data/crm").await["data"]["data"]["key"], "k-1");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcwXDVO5HT9c6JYgEKPzfl0B1q8Ld1eEp7Ddk3BHhBI";
    let policy = r#"path "ssh/sign/deploy" { capabilities = ["update"] }"#;
    let token = bao.token("deploy", policy).await;
    let ask = async |path, body| bao.ask(&token, Method::POST, path, &body).await;
    let (status, signed) = ask("ssh/sign/deploy", json!({ "public_key": key })).await;
    assert_eq!(status, 200, "{signed}");
    assert!(signed["data"]["signed_key"].as_str().unwrap().starts_with("ssh-ed25519-cert-v01@openssh.com "));
    assert_eq!(ask("transit/encrypt/kek", json!({ "plaintext": "AAAA" })).await.0, 403);
    let sealed = bao.write("transit/encrypt/kek", &json!({ "plaintext": "AAAA" })).await;
    assert_eq!(bao.write("transit/decrypt/kek", &sealed["data"]).await["data"]["plaintext"], "AAAA");
    assert!(bao.write("otp/creds/deploy", &json!({ "ip": "127.0.0.1" })).await["data"]["key"].is_string());
}

#[tokio::test]
async fn moto_lets_only_the_trusted_assume_a_role() {
    let Some(moto) = Moto::start(&fresh("parts-moto")).await else { return };
    let broker = moto.user("broker", &Moto::allow("sts:AssumeRole")).await;
    let other = moto.user("other", &Moto::allow("sts:AssumeRole")).await;
    let arn = moto.role("reader", "broker", &Moto::allow("sts:GetCallerIdentity")).await;
    moto.enforce().await;
    let role = json!({ "RoleArn": arn, "RoleSessionName": "s-1", "DurationSeconds": 900 });
    let assume = async |keys: &Keys| moto.call(keys, "sts", "assume_role", &role).await;
    let wrong = Keys { secret: "wrong".to_owned(), ..broker.clone() };
    assert_eq!(assume(&wrong).await.unwrap_err(), "SignatureDoesNotMatch");
    assert_eq!(assume(&other).await.unwrap_err(), "AccessDenied");

    let assumed = assume(&broker).await.unwrap();
    let part = |name: &str| assumed["Credentials"][name].as_str().unwrap().to_owned();
    let session =
        Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), session: Some(part("SessionToken")) };
    let identity = moto.call(&session, "sts", "get_caller_identity", &json!({})).await.unwrap();
    assert_eq!(identity["Arn"], format!("arn:aws:sts::{}:assumed-role/reader/s-1", Moto::ACCOUNT));
    assert_eq!(moto.call(&session, "iam", "list_users", &json!({})).await.unwrap_err(), "AccessDenied");
}

#[tokio::test]
async fn oidc_gives_tokens_to_clients_with_a_secret() {
    let (api, opaque) = ("https://api.example.test", "https://opaque.example.test");
    let settings = Settings::default().client("broker", SECRET);
    let settings = settings.resource(api, "read write", Format::Jwt, 60).resource(opaque, "read", Format::Opaque, 60);
    let Some(oidc) = Oidc::start(&fresh("parts-oidc"), &settings).await else { return };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |url: String, secret: &str, form: &[(&str, &str)]| {
        let answer = http.post(url).basic_auth("broker", Some(secret)).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let ask = async |secret: &str, resource: &str| {
        let form = [("grant_type", "client_credentials"), ("scope", "read"), ("resource", resource)];
        post(oidc.token_endpoint(), secret, &form).await
    };
    assert_eq!(ask("wrong", api).await.1["error"], "invalid_client");
    assert_eq!(ask(SECRET, "https://other.example.test").await.1["error"], "invalid_target");
    assert_eq!(claims(&ask(SECRET, api).await.1)["aud"], api);
    let token = ask(SECRET, opaque).await.1["access_token"].as_str().unwrap().to_owned();
    let introspect = async || post(oidc.introspection_endpoint(), SECRET, &[("token", &token)]).await.1;
    assert_eq!((&introspect().await["active"], &introspect().await["scope"]), (&json!(true), &json!("read")));
    post(oidc.revocation_endpoint(), SECRET, &[("token", &token)]).await;
    assert_eq!(introspect().await, json!({ "active": false }));

    let answered = oidc.requests("/token");
    assert_eq!(answered.iter().map(|request| request.status).collect::<Vec<_>>(), [401, 400, 200, 200]);
    assert_eq!(answered[2].client.as_deref(), Some("broker"));
    assert!(!format!("{answered:?}").contains(SECRET));
}

#[tokio::test]
async fn oidc_exchanges_only_tokens_it_was_told_to_trust() {
    let (issuer, api) = (Issuer::new("https://broker.example.test").at_now(), "https://api.example.test");
    let settings = Settings::default().client_with_key("broker", &issuer.jwks_for(&[Alg::Es256]));
    let settings = settings.exchange("https://broker.example.test", "https://foreign.example.test", &issuer.jwks());
    let settings = settings.resource(api, "read write", Format::Jwt, 3600);
    let Some(oidc) = Oidc::start(&fresh("parts-oidc-exchange"), &settings).await else { return };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |subject: &str, scope: &str| {
        let assertion = issuer.token().header("typ", "JWT").claim("iss", "broker").agent("broker");
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion.audience(&oidc.issuer).sign()),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", scope),
            ("resource", api),
        ];
        http.post(oidc.token_endpoint()).form(&form).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let subject = || issuer.token().scope("read").audience("https://foreign.example.test");
    let token = ask(&subject().sign(), "read").await;
    let claims = claims(&token);
    assert_eq!((&claims["sub"], &claims["act"]), (&json!("agent-1"), &json!({ "sub": "broker" })), "{token}");
    assert!(token["expires_in"].as_u64().unwrap() <= 600, "it outlives the subject token: {token}");

    let refused = [
        subject().expired().sign(),
        subject().without("exp").sign(),
        subject().audience("https://other.example.test").sign(),
        subject().claim("iss", "https://other.example.test").sign(),
        subject().sign_foreign(),
        subject().unsigned(),
    ];
    for subject in refused {
        assert_eq!(ask(&subject, "read").await["error"], "invalid_grant");
    }
    assert_eq!(ask(&subject().sign(), "write").await["error"], "invalid_scope");
    assert_eq!(oidc.requests("/token")[0].auth.as_deref(), Some("private_key_jwt"));
}

#[tokio::test]
async fn github_gives_an_app_no_more_than_its_installation_has() {
    let Some(github) = GitHub::start().await else { return };
    github.install(7, "octo-org", &["site", "api"], &json!({ "contents": "write", "metadata": "read" }));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let jwt = |iss: &str, iat: u64, exp: u64| {
        let key = EncodingKey::from_rsa_pem(GitHub::private_key().as_bytes()).unwrap();
        encode(&Header::new(Algorithm::RS256), &json!({ "iss": iss, "iat": iat, "exp": exp }), &key).unwrap()
    };
    let call = async |method: Method, path: &str, token: &str, body: &Value| {
        let request = http.request(method, format!("{}{path}", github.url)).bearer_auth(token);
        let answer = request.json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let mint =
        async |jwt: &str, body: Value| call(Method::POST, "/app/installations/7/access_tokens", jwt, &body).await;
    let app = jwt(GitHub::CLIENT, now - 60, now + 500);
    let wrong = [
        jwt("4712", now - 60, now + 500),
        jwt(GitHub::CLIENT, now + 60, now + 500),
        jwt(GitHub::CLIENT, now - 60, now - 1),
        jwt(GitHub::CLIENT, now - 60, now + 660),
        Issuer::new(GitHub::CLIENT).at_now().token().alg(Alg::Rs256).sign(),
    ];
    for jwt in wrong {
        assert_eq!(mint(&jwt, json!({})).await.0, 401);
    }
    for body in [
        json!({ "permissions": { "contents": "admin" } }),
        json!({ "permissions": { "issues": "read" } }),
        json!({ "repositories": ["other"] }),
        json!({ "repositories": "site" }),
    ] {
        assert_eq!(mint(&app, body.clone()).await.0, 422, "{body}");
    }
    assert_eq!(call(Method::GET, "/app/installations", &app, &json!({})).await.1[0]["id"], 7);

    let narrow = json!({ "repositories": ["site"], "permissions": { "contents": "read" } });
    let (status, granted) = mint(&app, narrow).await;
    assert_eq!((status, &granted["permissions"]), (201, &json!({ "contents": "read" })), "{granted}");
    let token = granted["token"].as_str().unwrap();
    let repositories = async || call(Method::GET, "/installation/repositories", token, &json!({})).await;
    assert_eq!(repositories().await.1["repositories"][0]["full_name"], "octo-org/site");
    github.trouble(Trouble::Broken, 1);
    assert_eq!((repositories().await.0, repositories().await.0), (500, 200));
    assert_eq!(call(Method::DELETE, "/installation/token", token, &json!({})).await.0, 204);
    assert_eq!(repositories().await.0, 401);
    assert!(!github.grants()[0].live);
}

fn claims(answer: &Value) -> Value {
    let payload = answer["access_token"].as_str().and_then(|token| token.split('.').nth(1));
    let payload = payload.unwrap_or_else(|| panic!("no JWT: {answer}"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
