//! Commands for a server that runs: one JSON line in, one JSON line out, over a socket in the data folder. Whoever may write to
//! that folder may ask; nobody else can reach it.

mod promise;
mod users;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::account::Secret;
use engine::audit::{self, Actor, NewEntry};
use engine::platform::{self, CreatePlatformKey};
use engine::tables::Scope;
use engine::{Cx, Decided, Decision, Reject};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

pub use promise::{PromiseOrder, Target};
pub use users::{Mark, UserOrder};

use crate::app::App;
use crate::http::ApiError;
use crate::platform as interface;
use crate::platform::calls::Asked;

/// Bytes of one order.
const ORDER_BYTES_MAX: u64 = 64 * 1024;

/// How long one side waits for the other's next line.
const PATIENCE: Duration = Duration::from_secs(30);

/// While an order is carried out, a line is sent at least this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Lines of progress that wait to be sent; more are left out.
const PROGRESS_MAX: usize = 16;

/// Whom an order that takes long tells how far it is.
pub type Progress = Arc<dyn Fn(String) + Send + Sync>;

/// What a command asks of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Whether it runs and can read its journal.
    Health,
    /// A new key for the platform interface.
    KeysCreate {
        /// What it may be used for; everything if empty.
        scopes: Vec<Scope>,
        /// How long; until it is revoked unless given.
        #[serde(default)]
        lifetime_ms: Option<u64>,
    },
    /// All such keys, without the keys.
    KeysList,
    /// Makes a key useless.
    KeysRevoke {
        /// Its id.
        id: String,
    },
    /// What is kept, until when.
    RetentionStatus,
    /// A call of the platform API, by its name in the document.
    Platform {
        /// The name: `put_organization`.
        call: String,
        /// Path parameters in the path's order.
        #[serde(default)]
        params: Vec<String>,
        /// The query.
        #[serde(default)]
        query: String,
        /// The body.
        #[serde(default)]
        body: Value,
    },
    /// Users of the server.
    User(UserOrder),
    /// What users have reported.
    ReportsList,
    /// Proofs, erasures, backups.
    Promise(PromiseOrder),
}

/// Where the socket of a server with this data folder is.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Carries out an order.
///
/// # Errors
/// As the engine says.
pub async fn execute(app: &App, order: Order, progress: &Progress) -> Result<Value, ApiError> {
    match order {
        Order::Health => app.read(|cx| Ok(json!({ "server": cx.server.name, "batches": cx.view.seq() }))),
        Order::KeysCreate { scopes, lifetime_ms } => {
            let (id, key) = (app.entropy.id(8), app.entropy.token("vestibule_"));
            let scopes = if scopes.is_empty() { vec![Scope::Platform] } else { scopes };
            let command =
                CreatePlatformKey { id: id.clone(), key: Secret::new(key.clone()), scopes: scopes.clone(), lifetime_ms };
            let about = std::iter::once(id.clone()).chain(scopes.iter().map(|scope| scope.as_str().to_owned())).collect();
            recorded(app, "keys create", about, |cx| platform::create_platform_key(cx, &command)).await?;
            Ok(json!({ "id": id, "key": key, "scopes": scopes }))
        }
        Order::KeysList => {
            let keys = app.read(platform::platform_keys)?;
            let keys = keys
                .into_iter()
                .map(|key| json!({ "id": key.id, "scopes": key.scopes, "created": key.created, "expires": key.expires }));
            Ok(json!({ "keys": keys.collect::<Vec<_>>() }))
        }
        Order::KeysRevoke { id } => {
            recorded(app, "keys revoke", vec![id.clone()], |cx| platform::revoke_platform_key(cx, &id)).await?;
            Ok(json!({ "id": id }))
        }
        Order::RetentionStatus => promise::status(app).await,
        Order::Promise(order) => promise::execute(app, order, progress).await,
        Order::Platform { call, params, query, body } => platform_call(app, &call, params, query, &body).await,
        Order::User(order) => users::execute(app, order).await,
        Order::ReportsList => Ok(json!({ "reports": app.read(engine::reports::reports)? })),
    }
}

/// Runs what the operator orders; the audit trail has it in the same batch, or in one of its own if it is refused.
async fn recorded(
    app: &App,
    action: &str,
    objects: Vec<String>,
    decide: impl Fn(&Cx<'_>) -> Decided<()>,
) -> Result<(), ApiError> {
    let (id, actor) = (app.entropy.id(24), Actor::Operator);
    let mut entry = NewEntry { id, actor, action: action.to_owned(), objects, status: StatusCode::OK.as_u16() };
    let done = app
        .run(|cx| {
            let mut decision = decide(cx)?;
            if let Decision::Commit { batch, .. } = &mut decision {
                audit::write(cx, batch, &entry);
            }
            Ok(decision)
        })
        .await;
    if let Err(error) = &done {
        entry.status = error.status().as_u16();
        app.run(|cx| audit::record(cx, &entry)).await?;
    }
    done
}

/// A call of the platform API, made at the server's own terminal: no key, and in the audit trail as the operator's.
async fn platform_call(app: &App, call: &str, params: Vec<String>, query: String, body: &Value) -> Result<Value, ApiError> {
    let calls = interface::all();
    let entry = calls.find(call).ok_or_else(|| Reject::Unrecognized("this server has no such call".into()))?;
    let names = entry.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let asked = Asked {
        params: names.map(ToOwned::to_owned).zip(params).collect(),
        query,
        body: if body.is_null() { Bytes::new() } else { body.to_string().into() },
        actor: Some(Actor::Operator),
        idempotency: None,
    };
    (entry.handler)(app.clone(), asked).await
}

/// Answers orders until the server ends. The socket is there when this returns the future: before the server answers anything else.
pub fn serve(app: App) -> impl Future<Output = ()> + Send {
    let path = socket_path(&app.config.server.data);
    // The journal's lock is ours, so nobody answers on a socket that is still there.
    let _: Result<(), _> = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    async move {
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "commands cannot reach this server while it runs");
                return;
            }
        };
        loop {
            let stream = tokio::select! {
                () = app.tasks.ended() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = stream else { continue };
            let app_of_task = app.clone();
            app.tasks.spawn(async move {
                // A command that hangs up early is its own affair.
                let _: Result<_, _> = answer(&app_of_task, stream).await;
            });
        }
        let _: Result<(), _> = std::fs::remove_file(&path);
    }
}

async fn answer(app: &App, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, tokio::io::BufReader::new(reader.take(ORDER_BYTES_MAX)).read_line(&mut line)).await??;
    let Ok(order) = serde_json::from_str::<Order>(&line) else {
        let unknown = json!({ "error": "this server does not know the command: is it of another version?" });
        return writer.write_all(format!("{unknown}\n").as_bytes()).await;
    };
    let (sender, mut lines) = mpsc::channel(PROGRESS_MAX);
    let progress: Progress = Arc::new(move |line| drop(sender.try_send(line)));
    let mut work = std::pin::pin!(execute(app, order, &progress));
    loop {
        let answer = tokio::select! {
            done = &mut work => match done {
                Ok(value) => json!({ "ok": value }),
                Err(error) => json!({ "error": error.sentence() }),
            },
            line = lines.recv() => json!({ "progress": line }),
            () = tokio::time::sleep_until(app.clock.deadline(SIGN_OF_LIFE)) => json!({ "progress": null }),
        };
        // What has begun goes on, even if nobody listens any more.
        let sent = tokio::time::timeout(PATIENCE, writer.write_all(format!("{answer}\n").as_bytes())).await;
        if answer.get("progress").is_none() {
            return sent?;
        }
    }
}

/// Asks the server that runs on `data`; `None` if none does.
///
/// # Errors
/// The server's refusal, as a sentence.
pub fn ask(data: &Path, order: &Order, progress: &Progress) -> Option<Result<Value, String>> {
    let stream = BlockingStream::connect(socket_path(data)).ok()?;
    Some(
        converse(stream, order, progress).unwrap_or_else(|error| Err(format!("the running server did not answer: {error}"))),
    )
}

fn converse(mut stream: BlockingStream, order: &Order, progress: &Progress) -> std::io::Result<Result<Value, String>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut answer: Value = loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        match answer.get("progress") {
            None => break answer,
            Some(line) => line.as_str().map(ToOwned::to_owned).map_or((), &**progress),
        }
    };
    Ok(match answer.get_mut("ok") {
        Some(value) => Ok(value.take()),
        None => Err(answer.get("error").and_then(Value::as_str).unwrap_or("the running server gave no reason").to_owned()),
    })
}
