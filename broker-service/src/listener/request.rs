//! Bounds on one request: its body's size and time, its answer's time; and the answers where no handler gives one.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{ApiError, Code};

/// What all bodies held at one time may amount to. Who fills it has sent as much.
const HELD: usize = 64 * 1024 * 1024;

/// The room for bodies, shared by all routes.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HELD)))
    }
}

/// What a route takes.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The most bytes of a body.
    pub size: usize,
    /// The most time it may take to come.
    pub time: Duration,
    /// Where it is held.
    pub room: Room,
}

/// Reads the body before the handler runs.
pub async fn read(State(intake): State<Intake>, request: Request, next: Next) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let read = timeout(intake.time, collect(&intake, body)).await;
    let (bytes, held) = read.unwrap_or_else(|_| Err(ApiError::new(Code::TooSlow, "the body takes too long")))?;
    let answer = next.run(Request::from_parts(head, Body::from(bytes))).await;
    drop(held);
    Ok(answer)
}

async fn collect(intake: &Intake, body: Body) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiError> {
    let large = || ApiError::new(Code::TooLarge, "the body is too large");
    let announced = body.size_hint().lower();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
    let mut parts = body.into_data_stream();
    if announced > intake.size {
        if announced <= LET_PASS {
            pass(&mut parts).await;
        }
        return Err(large());
    }
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| ApiError::new(Code::InvalidRequest, "the body breaks off").because(error))?;
        if bytes.len().saturating_add(part.len()) > intake.size {
            pass(&mut parts).await;
            return Err(large());
        }
        let permits = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let more = intake.room.0.clone().try_acquire_many_owned(permits);
        let more = more.map_err(|_| ApiError::unavailable("no room for more bodies"))?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        bytes.extend_from_slice(&part);
    }
    Ok((bytes.into(), held))
}

/// How much of a body that is too large is read and thrown away, so that its sender gets to see why.
const LET_PASS: usize = 4 * 1024 * 1024;

/// How long the next part of such a body is waited for.
const LULL: Duration = Duration::from_millis(100);

/// Reads on without keeping anything, as long as something comes: a connection that is closed on a sender in the middle shows
/// it no answer.
async fn pass(parts: &mut BodyDataStream) {
    let mut left = LET_PASS;
    while let Ok(Some(Ok(part))) = timeout(LULL, parts.next()).await {
        left = left.saturating_sub(part.len());
        if left == 0 {
            return;
        }
    }
}

/// Gives up on a request whose answer takes longer than `limit`.
pub async fn limit(State(limit): State<Duration>, request: Request, next: Next) -> Result<Response, ApiError> {
    timeout(limit, next.run(request)).await.map_err(|_| ApiError::unavailable("the answer takes too long"))
}

/// Answers for a handler that panics.
pub async fn survive(request: Request, next: Next) -> Response {
    // Nothing of the request is used again, and what requests share is guarded by locks that know of poison.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| ApiError::new(Code::ServerError, "the broker has failed").into_response())
}

/// Answers where there is no route.
pub async fn nowhere() -> Result<Infallible, ApiError> {
    Err(ApiError::new(Code::NotFound, "there is nothing here"))
}

/// Answers where the route has other methods; the router adds `Allow`.
pub async fn wrong_method() -> Result<Infallible, ApiError> {
    Err(ApiError::new(Code::MethodNotAllowed, "this method does not apply here"))
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use axum::{Router, middleware};
    use hyper::StatusCode;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn status(router: Router, request: Request) -> StatusCode {
        TowerToHyperService::new(router).call(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_for() {
        async fn broken() -> StatusCode {
            panic!("a mistake")
        }
        let router = Router::new().route("/", get(broken)).layer(middleware::from_fn(survive));
        let request = Request::get("/").body(Body::empty()).unwrap();
        assert_eq!(status(router, request).await, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn bodies_are_held_within_the_room_there_is_and_give_it_back() {
        let intake = Intake { size: 10, time: Duration::from_secs(1), room: Room(Arc::new(Semaphore::new(6))) };
        let seen = async |body: Bytes| body;
        let router = Router::new().route("/", post(seen).layer(middleware::from_fn_with_state(intake, read)));
        for (length, expected) in [
            (6, StatusCode::OK),
            (7, StatusCode::SERVICE_UNAVAILABLE),
            (6, StatusCode::OK),
            (11, StatusCode::PAYLOAD_TOO_LARGE),
        ] {
            let request = Request::post("/").body(Body::from("x".repeat(length))).unwrap();
            assert_eq!(status(router.clone(), request).await, expected, "{length}");
        }
    }
}
