//! The page for agents, and the calls it makes.

use std::{convert::Infallible, sync::Arc, time::Duration};

use appservice::Token;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, Path, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, REFERRER_POLICY, SET_COOKIE,
            X_CONTENT_TYPE_OPTIONS,
        },
        request::Parts,
    },
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post, put},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;

use super::{
    Answer, Desk,
    agent::{AGENT_CHARS_MAX, Agent},
};
use crate::database::StoreError;

/// The longest answer, in characters; it fits a Matrix event with room to spare.
const ANSWER_CHARS_MAX: usize = 10_000;
/// The largest request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a wrong password keeps the next attempt waiting: guessing is one at a time.
const WRONG_PASSWORD_PAUSE: Duration = Duration::from_secs(1);
/// An open page says this often that it is there, and its agent counts as there.
const HEARTBEAT: Duration = Duration::from_secs(20);
const COOKIE_NAME: &str = "vestibule_desk";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What the page needs to know.
#[derive(Clone)]
pub struct DeskPage {
    /// The desk.
    pub desk: Desk,
    /// What agents sign in with.
    pub password: Token,
    /// Whether the page is reached over TLS, so that its cookie must be.
    pub secure: bool,
    /// How long content lives, in milliseconds, to be said on the page.
    pub lifetime_ms: i64,
    /// One attempt at the password at a time.
    pub signing_in: Arc<Mutex<()>>,
    /// Ends the event streams when the bridge stops.
    pub stop: CancellationToken,
}

/// The page and its calls.
pub fn router(page: DeskPage) -> Router {
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    Router::new()
        .route("/", get(|| async { asset("text/html; charset=utf-8", include_str!("../../../page/desk.html")) }))
        .route("/desk.css", get(|| async { asset("text/css; charset=utf-8", include_str!("../../../page/desk.css")) }))
        .route("/desk.js", get(|| async { asset("text/javascript; charset=utf-8", include_str!("../../../page/desk.js")) }))
        .route("/icon.svg", get(|| async { asset("image/svg+xml", include_str!("../../../page/icon.svg")) }))
        .route("/api/session", get(who).post(sign_in).delete(sign_out))
        .route("/api/duty", put(duty))
        .route("/api/tickets", get(queue))
        .route("/api/tickets/{id}", get(ticket))
        .route("/api/tickets/{id}/answers", post(answer))
        .route("/api/tickets/{id}/seen", post(seen))
        .route("/api/tickets/{id}/typing", put(typing))
        .route("/api/tickets/{id}/close", post(close))
        .route("/api/files/{id}", get(file))
        .route("/api/events", get(events))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "There is nothing here.") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(header(CONTENT_SECURITY_POLICY, POLICY))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "no-referrer"))
        .layer(header(CACHE_CONTROL, "no-store"))
        .with_state(page)
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

fn problem(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

/// Anything that went wrong inside: logged, and told as little as possible.
struct Broken(StoreError);

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Broken {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "the desk failed");
        problem(StatusCode::SERVICE_UNAVAILABLE, "The desk can't reach its data right now. Please try again.")
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
        .map(str::to_owned)
}

/// The agent a request comes from; 401 without one. The cookie is `SameSite=Strict`: pages of other sites can't make calls
/// with it.
impl FromRequestParts<DeskPage> for Agent {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, page: &DeskPage) -> Result<Self, Response> {
        let signed_out = || problem(StatusCode::UNAUTHORIZED, "Please sign in.");
        let token = cookie(&parts.headers).ok_or_else(signed_out)?;
        let agent = page.desk.agent_of(token).await.map_err(|error| Broken(error).into_response())?;
        agent.ok_or_else(signed_out)
    }
}

async fn who(State(page): State<DeskPage>, agent: Agent) -> Response {
    Json(json!({"name": agent.name, "on_duty": agent.on_duty, "lifetime_ms": page.lifetime_ms})).into_response()
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
    password: String,
}

async fn sign_in(State(page): State<DeskPage>, Json(request): Json<SignIn>) -> Result<Response, Broken> {
    let name = request.name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() || name.chars().count() > AGENT_CHARS_MAX {
        let detail = format!("Please give your name, in at most {AGENT_CHARS_MAX} characters. People will see it.");
        return Ok(problem(StatusCode::UNPROCESSABLE_ENTITY, &detail));
    }
    {
        let _one_at_a_time = page.signing_in.lock().await;
        if !page.password.matches(&request.password) {
            tokio::time::sleep(WRONG_PASSWORD_PAUSE).await;
            tracing::warn!("an agent gave a wrong password");
            return Ok(problem(StatusCode::FORBIDDEN, "This is not the password of the desk."));
        }
    }
    let Ok(token) = Token::random() else {
        return Ok(problem(StatusCode::SERVICE_UNAVAILABLE, "Please try again."));
    };
    page.desk.sign_in(token.reveal().to_owned(), name).await?;
    let secure = if page.secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Strict{secure}", token.reveal());
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

async fn sign_out(State(page): State<DeskPage>, headers: HeaderMap) -> Result<Response, Broken> {
    if let Some(token) = cookie(&headers) {
        page.desk.sign_out(token).await?;
    }
    let cookie = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

#[derive(Deserialize)]
struct Duty {
    on_duty: bool,
}

async fn duty(State(page): State<DeskPage>, agent: Agent, Json(duty): Json<Duty>) -> Result<Response, Broken> {
    page.desk.set_duty(agent.name, duty.on_duty).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn queue(State(page): State<DeskPage>, _: Agent) -> Result<Response, Broken> {
    Ok(Json(page.desk.queue().await?).into_response())
}

async fn ticket(State(page): State<DeskPage>, _: Agent, Path(id): Path<i64>) -> Result<Response, Broken> {
    Ok(match page.desk.ticket(id).await? {
        Some(ticket) => Json(ticket).into_response(),
        None => problem(StatusCode::NOT_FOUND, "There is no such chat."),
    })
}

#[derive(Deserialize)]
struct NewAnswer {
    key: String,
    text: String,
}

async fn answer(
    State(page): State<DeskPage>,
    agent: Agent,
    Path(id): Path<i64>,
    Json(new): Json<NewAnswer>,
) -> Result<Response, Broken> {
    let text = new.text.trim_end().to_owned();
    if text.trim().is_empty() || text.chars().count() > ANSWER_CHARS_MAX || new.key.is_empty() || new.key.len() > 100 {
        let detail = format!("An answer has between 1 and {ANSWER_CHARS_MAX} characters.");
        return Ok(problem(StatusCode::UNPROCESSABLE_ENTITY, &detail));
    }
    Ok(if page.desk.answer(id, Answer { key: new.key, agent: agent.name, text }).await? {
        page.desk.agent_types(id, false);
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(StatusCode::CONFLICT, "This chat has ended.")
    })
}

async fn seen(State(page): State<DeskPage>, agent: Agent, Path(id): Path<i64>) -> Result<Response, Broken> {
    page.desk.see(id, agent.name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct AgentTyping {
    typing: bool,
}

/// The page says it again every few seconds as long as it is so.
async fn typing(State(page): State<DeskPage>, _: Agent, Path(id): Path<i64>, Json(now): Json<AgentTyping>) -> Response {
    page.desk.agent_types(id, now.typing);
    StatusCode::NO_CONTENT.into_response()
}

async fn close(State(page): State<DeskPage>, agent: Agent, Path(id): Path<i64>) -> Result<Response, Broken> {
    Ok(if page.desk.end(id, agent.name).await? {
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(StatusCode::NOT_FOUND, "There is no such chat.")
    })
}

/// A file, always as a download: what people send is never run or shown by the desk's own origin.
async fn file(State(page): State<DeskPage>, _: Agent, Path(id): Path<i64>) -> Result<Response, Broken> {
    let Some((info, bytes)) = page.desk.file(id).await? else {
        return Ok(problem(StatusCode::NOT_FOUND, "This file is no longer here."));
    };
    let disposition = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{}", percent_encode(&info.name)))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"));
    let content_type = HeaderValue::from_static("application/octet-stream");
    Ok(([(CONTENT_TYPE, content_type), (CONTENT_DISPOSITION, disposition)], bytes).into_response())
}

/// A file name for a header (RFC 8187).
fn percent_encode(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string doesn't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Pokes the page whenever something changed; the page then asks for what it shows. While the stream is open, its agent
/// counts as there.
async fn events(
    State(page): State<DeskPage>,
    agent: Agent,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Broken> {
    page.desk.agent_seen(agent.name.clone()).await?;
    page.desk.bridge.notify_one();
    let watching = Watching { changes: page.desk.watch(), page, name: agent.name };
    let events = stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok(event), watching))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Watching {
    page: DeskPage,
    name: String,
    changes: watch::Receiver<u64>,
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            changed = self.changes.changed() => {
                changed.ok()?;
                Some(Event::default().event("change").data("1"))
            }
            () = tokio::time::sleep(HEARTBEAT) => {
                if let Err(error) = self.page.desk.agent_seen(self.name.clone()).await {
                    tracing::warn!(%error, "an agent's heartbeat was not kept");
                }
                Some(Event::default().event("heartbeat").data("1"))
            }
            () = self.page.stop.cancelled() => None,
        }
    }
}
