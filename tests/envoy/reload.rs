//! Configuration that comes and goes while calls are under way: no call without its record.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use harness::stack::fresh;
use harness::wire::One;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::scene::{Scene, Setup, call};

/// How often the listener is replaced.
const TURNS: u32 = 6;

/// Has Envoy read its listener from a file in `folder`, as from a control plane.
fn followed(folder: PathBuf) -> impl FnOnce(&mut Value) {
    move |config| {
        let mut listener = config["static_resources"]["listeners"][0].take();
        config["static_resources"]["listeners"] = json!([]);
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        publish(&folder, &[listener]);
        let source = json!({ "path": folder.join("lds.json"), "watched_directory": { "path": folder } });
        config["dynamic_resources"] =
            json!({ "lds_config": { "resource_api_version": "V3", "path_config_source": source } });
        config["node"] = json!({ "id": "gateway-1", "cluster": "tests" });
    }
}

fn publish(folder: &Path, listeners: &[Value]) {
    let text = json!({ "resources": listeners }).to_string();
    fs::write(folder.join("new.json"), text).expect("the listeners can be written");
    fs::rename(folder.join("new.json"), folder.join("lds.json")).expect("they can be put in place");
}

fn listener(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("lds.json")).expect("the listeners are there");
    let mut listeners: Value = serde_json::from_str(&text).expect("they are JSON");
    listeners["resources"][0].take()
}

/// The same listener with another timeout: the plugin is configured anew.
fn renewed(mut listener: Value, turn: u32) -> Value {
    let config = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]["config"]
        ["configuration"]["value"];
    let mut policy: Value = serde_json::from_str(config.as_str().expect("a string")).expect("JSON");
    policy["broker"]["timeout"] = json!(format!("{}ms", 2000 + turn));
    *config = json!(policy.to_string());
    listener
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_wait_when_the_configuration_is_replaced_reach_the_broker() {
    let folder = fresh("envoy-reload-lds").canonicalize().unwrap();
    let setup = Setup::new("reload").envoy(followed(folder.clone()));
    let Some(scene) = setup.open().await else { return };
    let (scene, stop) = (Arc::new(scene), Arc::new(AtomicBool::new(false)));
    let loads = start(&scene, &stop);
    for turn in 1..=TURNS {
        sleep(Duration::from_millis(700)).await;
        publish(&folder, &[renewed(listener(&folder), turn)]);
    }
    sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::SeqCst);
    let served = finish(loads).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(lost(&scene, &served).await, 0);
    println!("{} calls were served over {TURNS} configurations", served.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_envoy_ends_without_a_loss_and_a_killed_one_loses_no_more_than_waited() {
    let mut losses = Vec::new();
    for (name, drains) in [("drained", true), ("killed", false)] {
        let Some(mut scene) = Scene::open(name).await else { return };
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(scene);
        let loads = start(&shared, &stop);
        sleep(Duration::from_secs(3)).await;
        if drains {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let url = format!("{}/drain_listeners?graceful", shared.stack.ports.envoy_admin());
            assert_eq!(http.post(url).send().await.unwrap().status(), 200);
            sleep(Duration::from_millis(500)).await;
        }
        stop.store(true, Ordering::SeqCst);
        let served = finish(loads).await;
        scene = Arc::into_inner(shared).expect("the load has ended");
        if drains {
            // As an orchestrator waits between the two: longer than `audit.flush`.
            sleep(Duration::from_millis(1500)).await;
            scene.stack.envoy.stop();
        } else {
            scene.stack.envoy.kill();
        }
        losses.push((served.len(), lost(&scene, &served).await));
    }
    let [(_, drained), (served, killed)] = losses[..] else { panic!("{losses:?}") };
    println!("a crash lost {killed} of {served} records");
    assert_eq!(drained, 0);
    assert!(killed * 2 < served, "more is lost than the last of three seconds: {killed} of {served}");
}

/// How many of these calls have no record.
async fn lost(scene: &Scene, served: &BTreeSet<String>) -> usize {
    served.difference(&outcomes(&scene.audit("kind=outcome").await)).count()
}

type Loads = Vec<JoinHandle<Vec<String>>>;

fn start(scene: &Arc<Scene>, stop: &Arc<AtomicBool>) -> Loads {
    (0..4).map(|_| tokio::spawn(load(Arc::clone(scene), Arc::clone(stop)))).collect()
}

async fn finish(loads: Loads) -> BTreeSet<String> {
    let mut served = BTreeSet::new();
    for load in loads {
        served.extend(load.await.unwrap());
    }
    assert!(served.len() > 100, "there was hardly any load");
    served
}

/// The traces of the calls that records say were served.
fn outcomes(records: &[Value]) -> BTreeSet<String> {
    let served = records.iter().filter(|record| record["kind"] == "outcome" && record["upstream"]["status"] == 200);
    served.filter_map(|record| record["trace_id"].as_str()).map(str::to_owned).collect()
}

/// A name of a call.
fn trace() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", NEXT.fetch_add(1, Ordering::SeqCst))
}

fn traced(scene: &Scene, trace: &str) -> Vec<u8> {
    let post = scene.post(&scene.token().sign(), "crm_lookup");
    post.header("traceparent", format!("00-{trace}-00000000000000ff-01")).body(call("crm_lookup").as_bytes())
}

/// Calls until it is told to stop. Out: the traces of those that were answered; a connection that is cut has no answer.
async fn load(scene: Arc<Scene>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut served = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let trace = trace();
        let request = traced(&scene, &trace);
        let Ok(mut connection) = One::connect(&scene.address()).await else { continue };
        if connection.exchange(&[request]).await.is_ok_and(|reply| reply.status == 200) {
            served.push(trace);
        }
        sleep(Duration::from_millis(20)).await;
    }
    served
}
