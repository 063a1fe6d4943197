//! The orders of the demo: an HTTP API over a real PostgreSQL. It has no account there; each request brings one.

use std::error::Error;
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use harness::parts::{Fsync, Postgres};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::net::TcpListener;

/// The database and the API.
pub struct Orders {
    _database: Postgres,
    /// The database's URL, for its administrator: the broker's, and nobody else's.
    pub url: String,
    pub port: u16,
    /// What requests have brought, to look for where it may not be.
    pub brought: Brought,
}

/// The URLs of databases that requests have brought.
pub type Brought = Arc<Mutex<Vec<String>>>;

impl Orders {
    /// Starts both; `None` where PostgreSQL is not installed.
    pub async fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let Some(database) = Postgres::start(Fsync::Off).await else { return Ok(None) };
        let url = database.database("orders").await;
        let mut connection = PgConnection::connect(&url).await?;
        for statement in [
            "CREATE ROLE reader NOLOGIN",
            "CREATE TABLE orders (customer TEXT, item TEXT)",
            "INSERT INTO orders VALUES ('1001', 'analytical engine'), ('1001', 'punched cards'), ('1002', 'oil')",
            "GRANT SELECT ON orders TO reader",
        ] {
            sqlx::query(statement).execute(&mut connection).await?;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let brought = Brought::default();
        let app = Router::new().route("/orders/{customer}", get(list)).with_state(Arc::clone(&brought));
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(Some(Self { _database: database, url, port, brought }))
    }

    /// The roles the broker has made that are there now.
    pub async fn roles(&self) -> Result<Vec<String>, sqlx::Error> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let query = sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'accredit\\_%'");
        query.fetch_all(&mut connection).await
    }
}

/// The orders of a customer, read as whoever the request says, and who that was.
async fn list(
    State(brought): State<Brought>,
    Path(customer): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let url = headers.get("x-database-url").and_then(|url| url.to_str().ok()).ok_or(StatusCode::UNAUTHORIZED)?;
    let failed = |_| StatusCode::BAD_GATEWAY;
    brought.lock().expect("nobody panics with it").push(url.to_owned());
    let mut connection = PgConnection::connect(url).await.map_err(|_| StatusCode::UNAUTHORIZED)?;
    let query = sqlx::query("SELECT current_user::text, item FROM orders WHERE customer = $1").bind(customer);
    let rows = query.fetch_all(&mut connection).await.map_err(failed)?;
    let items: Vec<String> = rows.iter().filter_map(|row| row.try_get(1).ok()).collect();
    let role: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
    connection.close().await.map_err(failed)?;
    Ok(Json(json!({ "items": items, "read_as": role })))
}
