//! Every request of `tests/vectors/mcp` through a real Envoy, over HTTP/1.1 and HTTP/2, before an upstream that writes
//! down what arrives. The verdicts have to be those the core comes to alone, unless a case says what Envoy makes of it.

#[path = "../vectors/mcp/case.rs"]
mod case;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use harness::Alg;
use harness::wire::{Closed, End, One, Reply, Two, chunked};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::scene::{Scene, Setup};
use case::{Case, Frames, RESOURCE, Verdict, cases, server};
use seen::Upstream;

/// How many requests are under way at once.
const LANES: usize = 8;

/// How late a late body comes.
const LATE: Duration = Duration::from_millis(150);

/// Envoy, and who has a token for it.
struct Gateway {
    address: String,
    token: String,
    upstream: Upstream,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_judged_as_the_core_judges_it() {
    let upstream = Upstream::open().await;
    let Some(scene) = open(&upstream).await else { return };
    let token = scene.issuer.token().alg(Alg::EdDsa).audience(RESOURCE).scope("crm:read").sign();
    let gateway = Arc::new(Gateway { address: scene.address(), token, upstream });
    let (mut lanes, mut wrong) = (JoinSet::new(), Vec::new());
    for (place, case) in cases().into_iter().enumerate() {
        while lanes.len() >= LANES {
            wrong.extend(lanes.join_next().await.unwrap().unwrap());
        }
        let gateway = Arc::clone(&gateway);
        lanes.spawn(async move { gateway.judge(place, &case).await });
    }
    wrong.extend(lanes.join_all().await.into_iter().flatten());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let strays = gateway.upstream.strays();
    assert!(strays.is_empty(), "these came from nowhere: {strays:?}");
    scene.keeps_quiet(&[&gateway.token]);
}

/// A stack whose policy is that of the vectors, and whose upstream is ours.
async fn open(upstream: &Upstream) -> Option<Scene> {
    let Value::Object(mut members) = server() else { panic!("the server is an object") };
    // The demo's agents have tokens for the demo's resource.
    let resource = members.remove("resource").unwrap();
    members.insert("audiences".into(), Value::from([resource]));
    let setup = members.into_iter().fold(Setup::new("attacks"), |setup, (name, value)| setup.server(name, value));
    let port = upstream.port();
    let setup = setup.envoy(move |config| {
        let clusters = config["static_resources"]["clusters"].as_array_mut().unwrap();
        let crm = clusters.iter_mut().find(|cluster| cluster["name"] == "crm").unwrap();
        let socket = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
        *crm.pointer_mut(socket).unwrap() = port.into();
    });
    setup.open().await
}

impl Gateway {
    /// What is wrong with what comes of `case`.
    async fn judge(&self, place: usize, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        for (version, told) in [(1, &case.http1), (2, &case.http2)] {
            let id = format!("{place}-{version}");
            let expected = told.as_ref().or(case.verdict.as_ref()).unwrap();
            let answer = if version == 1 { self.one(case, &id).await } else { self.two(case, &id).await };
            let found = self.upstream.found(case, &id);
            if let Err(what) = verdict(case, expected, answer, found) {
                wrong.push(format!("{}: {} over HTTP/{version}: {what}; naive: {}", case.topic, case.name, case.naive));
            }
        }
        wrong
    }

    async fn one(&self, case: &Case, id: &str) -> Result<Reply, Closed> {
        let mut connection = One::connect(&self.address).await?;
        let pieces = raw(case, &self.token, id);
        if let Frames::Late(_) = case.frames {
            connection.write(&pieces[..1]).await?;
            sleep(LATE).await;
            connection.write(&pieces[1..]).await?;
        } else {
            connection.write(&pieces).await?;
        }
        connection.read_for(&case.method).await
    }

    async fn two(&self, case: &Case, id: &str) -> Result<Reply, Closed> {
        let Some((request, end)) = request(case, &self.token, id) else {
            return Err(Closed("user error: no such request".into()));
        };
        let connection = Two::connect(&self.address).await?;
        let pieces = case.pieces();
        let frames: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        match case.frames {
            Frames::Late(_) => connection.send_late(request, LATE, &frames, end).await,
            _ => connection.send(request, &frames, end).await,
        }
    }
}

fn verdict(
    case: &Case,
    expected: &Verdict,
    answer: Result<Reply, Closed>,
    found: Option<Result<(), String>>,
) -> Result<(), String> {
    let got = match (answer, found) {
        (_, Some(Err(changed))) => return Err(changed),
        (Ok(reply), Some(Ok(()))) if reply.status == 200 => match &case.verdict {
            // What is permitted was compared with what arrived.
            Some(permit @ Verdict::Permit(..)) => permit.clone(),
            _ => Verdict::Permit("tools/call".into(), Some("crm_lookup".into())),
        },
        (Ok(reply), None) => Verdict::of(reply.status, &reply.body),
        // Our own client refuses to send what HTTP/2 does not have.
        (Err(closed), None) if closed.0.starts_with("user error") => Verdict::Unsent,
        (Err(_), None) => Verdict::Close,
        (answer, Some(Ok(()))) => return Err(format!("it arrived, and was answered with {answer:?}")),
    };
    match got == *expected {
        true => Ok(()),
        false => Err(format!("{got:?}, expected {expected:?}")),
    }
}

/// The bytes of the request, head first.
fn raw(case: &Case, token: &str, id: &str) -> Vec<Vec<u8>> {
    let lines = case.lines(token);
    let framed = |name: &str| matches!(name, "content-length" | "transfer-encoding");
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\nx-case: {id}\r\n", case.method, case.path(token), case.host);
    let mut head = std::mem::take(&mut head).into_bytes();
    for (name, value) in &lines {
        let line = [name.as_bytes(), b": ", value, b"\r\n"];
        head.extend_from_slice(&line.concat());
    }
    let body = case.body();
    let trailers = case.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    if lines.iter().any(|(name, _)| framed(name)) {
        return vec![[&head, &b"\r\n"[..], &body].concat()];
    }
    if !trailers.is_empty() || !matches!(case.frames, Frames::Whole | Frames::Late(_)) {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        let pieces: Vec<_> = case.pieces().into_iter().filter(|piece| !piece.is_empty()).collect();
        let mut chunks = chunked(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
        chunks.pop();
        chunks.push(format!("0\r\n{trailers}\r\n").into_bytes());
        return match case.frames {
            // With a gap after each byte it would take too long.
            Frames::Bytes(_) => vec![head, chunks.concat()],
            _ => [vec![head], chunks].concat(),
        };
    }
    if case.method == "POST" || !body.is_empty() {
        head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    if matches!(case.frames, Frames::Late(_)) { vec![head, body] } else { vec![[head, body].concat()] }
}

/// The request in the form of HTTP/2; nothing where our client cannot make it.
fn request(case: &Case, token: &str, id: &str) -> Option<(Request<()>, End)> {
    let uri = Uri::builder().scheme("http").authority(case.host.as_str()).path_and_query(case.path(token)).build();
    let uri = uri.ok().filter(|uri| uri.path_and_query().is_some_and(|path| path.as_str() == case.path(token)))?;
    let mut request = Request::builder().method(case.method.as_str()).uri(uri).header("x-case", id);
    for (name, value) in case.lines(token) {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_bytes(&value).ok()?);
    }
    let trailers = case.trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let trailers: HeaderMap = trailers.collect();
    let end = if trailers.is_empty() { End::Stream } else { End::Trailers(trailers) };
    Some((request.body(()).ok()?, end))
}
