//! A target that answers as no target should, except that it takes back what it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::task::JoinHandle;

/// How a target answers.
#[derive(Clone, Debug)]
pub enum Oddity {
    /// This, with a status and a media type.
    Says(u16, &'static str, String),
    /// A redirect to the place itself.
    Redirects,
    /// More than anybody should read.
    Floods,
    /// Nothing for longer than anybody should wait.
    Sleeps,
}

/// A running server; it ends when dropped.
pub struct Odd {
    pub url: String,
    oddity: Arc<Mutex<Oddity>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Odd {
    pub async fn start() -> Self {
        let oddity = Arc::new(Mutex::new(Oddity::Sleeps));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (current, list) = (Arc::clone(&oddity), Arc::clone(&asked));
        let handler = async move |method: Method, uri: Uri, _: Bytes| {
            list.lock().unwrap().push(format!("{method} {}", uri.path()));
            let oddity = current.lock().unwrap().clone();
            match (method, uri.path()) {
                (Method::DELETE, _) => StatusCode::NO_CONTENT.into_response(),
                (_, "/revoke") => StatusCode::OK.into_response(),
                _ => answer(oddity, &uri).await,
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, oddity, asked, task }
    }

    /// From now on it answers like this.
    pub fn be(&self, oddity: Oddity) {
        *self.oddity.lock().unwrap() = oddity;
    }

    /// The requests since the last time, as `POST /token`.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(oddity: Oddity, uri: &Uri) -> Response {
    match oddity {
        Oddity::Says(status, media, body) => {
            (StatusCode::from_u16(status).unwrap(), [("content-type", media)], body).into_response()
        }
        Oddity::Redirects => (StatusCode::TEMPORARY_REDIRECT, [("location", uri.to_string())]).into_response(),
        Oddity::Floods => {
            let body = format!(r#"{{"access_token":"t","token_type":"Bearer","pad":"{}"}}"#, "x".repeat(300 * 1024));
            ([("content-type", "application/json")], body).into_response()
        }
        Oddity::Sleeps => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
    }
}
