//! The one table of the platform API's calls: the router, the document and the commands at the terminal are made from it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use engine::account::Secret;
use engine::audit::{self, Actor, NewEntry};
use engine::platform::{self, Repeatable};
use engine::tables::Scope;
use engine::{Cx, Decided, Decision, Reject};
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::schema::{Schema, Schemas};
use crate::app::App;
use crate::http::ApiError;

/// Bytes of an idempotency key: a UUID fits several times.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Bytes of the nonce before a sealed answer.
const NONCE_BYTES: usize = 24;

/// A call as it comes in, over HTTP or from the terminal.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path parameters in the path's order.
    pub params: Vec<(String, String)>,
    /// The query.
    pub query: String,
    /// The body; empty counts as `{}`.
    pub body: Bytes,
    /// Who asks; `None` where anybody may, which leaves no trace.
    pub actor: Option<Actor>,
    /// If the call may be repeated: the idempotency key, and a secret that only the caller has.
    pub idempotency: Option<(String, Secret)>,
}

impl Asked {
    /// What the audit trail says it was about, as far as it stands in the address.
    fn objects(&self) -> Vec<String> {
        self.params.iter().map(|(_, value)| value.clone()).collect()
    }
}

type Handler = Arc<dyn Fn(App, Asked) -> BoxFuture<'static, Result<Value, ApiError>> + Send + Sync>;

/// One call.
pub struct Entry {
    /// The method.
    pub method: Method,
    /// The path below `/_vestibule/v1`.
    pub path: &'static str,
    /// What the key has to be for; `None`: anybody may call it.
    pub scope: Option<Scope>,
    /// Its part of the document.
    pub operation: Value,
    /// What it does.
    pub handler: Handler,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// All calls, and the schemas they name.
#[derive(Debug, Default)]
pub struct Calls {
    /// The calls.
    pub entries: Vec<Entry>,
    /// The schemas.
    pub schemas: Schemas,
}

/// How a call is declared.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    /// Its name in the document: `put_organization`.
    pub id: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What the key has to be for; `None`: anybody may call it.
    pub scope: Option<Scope>,
}

impl Calls {
    /// With one more call. The handler's types say what goes in and out.
    #[must_use]
    pub fn call<B, Q, A, F, Fut>(mut self, method: Method, path: &'static str, declared: Declared, handler: F) -> Self
    where
        B: Schema + DeserializeOwned + Send + 'static,
        Q: Schema + DeserializeOwned + Send + 'static,
        A: Schema + Serialize + Send + 'static,
        F: Fn(App, Call<B, Q>) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<A, ApiError>> + Send + 'static,
    {
        let operation = operation::<B, Q, A>(&method, path, declared, &mut self.schemas);
        let action = format!("{method} {path}");
        let handler: Handler = Arc::new(move |app, asked| Box::pin(answer(app, asked, action.clone(), handler)));
        self.entries.push(Entry { method, path, scope: declared.scope, operation, handler });
        self
    }

    /// The call of that name.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.operation["operationId"] == id)
    }
}

/// A call's part of the document.
fn operation<B: Schema, Q: Schema, A: Schema>(
    method: &Method,
    path: &str,
    declared: Declared,
    schemas: &mut Schemas,
) -> Value {
    let mut parameters = Vec::new();
    for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let description = format!("The platform's id of the {name}.");
        let description = if name == "user_id" { "The Matrix user.".to_owned() } else { description };
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        parameters
            .push(json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema }));
    }
    let mut query = Schemas::new();
    Q::schema(&mut query);
    for schema in query.values() {
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let (mut schema, description) = (member.clone(), member["description"].clone());
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("description");
            }
            parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
        }
    }
    let writes = *method != Method::GET;
    if writes {
        parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
    let answer = A::schema(schemas);
    let mut operation = json!({
        "operationId": declared.id,
        "summary": declared.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": { "application/json": { "schema": answer } } },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    operation["security"] = match declared.scope {
        Some(scope) => json!([{ "key": [scope.as_str()] }]),
        None => json!([]),
    };
    let mut own = Schemas::new();
    B::schema(&mut own);
    if own.values().any(|schema| schema["properties"].as_object().is_some_and(|members| !members.is_empty())) {
        let schema = B::schema(schemas);
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// A call, parsed: what its handler works with.
#[derive(Debug)]
pub struct Call<B, Q> {
    /// The body.
    pub body: B,
    /// The query.
    pub query: Q,
    asked: Asked,
    action: String,
    repeatable: Option<Repeatable>,
    trace: Arc<Trace>,
}

/// What the audit trail has to know of a call beside its address, also when the call is refused.
#[derive(Debug, Default)]
struct Trace {
    /// Whether the entry is in the batch of the call's command.
    recorded: AtomicBool,
    /// What the call is about that stands in its body.
    named: OnceLock<String>,
}

impl<B, Q> Call<B, Q> {
    /// The path parameter `name`.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.asked.params.iter().find(|(param, _)| param == name).map_or("", |(_, value)| value)
    }

    /// Notes what the call is about, an id, where that stands in its body: the audit trail has it whatever comes of the call.
    pub fn is_about(&self, id: String) {
        // A call is about one thing: what is noted first stays.
        let _: Result<(), String> = self.trace.named.set(id);
    }

    /// What a repeated call has been answered: for a call that does something before it runs its command.
    ///
    /// # Errors
    /// 409 when the idempotency key was used for another call.
    pub fn answered<A: DeserializeOwned>(&self, app: &App) -> Result<Option<A>, ApiError> {
        let Some(repeatable) = &self.repeatable else { return Ok(None) };
        let sealed = app.read(|cx| platform::answered(cx, repeatable))?;
        sealed.map(|sealed| self.open(&sealed)).transpose()
    }

    /// [`Call::run`] where nothing is to be done afterwards.
    ///
    /// # Errors
    /// As the command says.
    pub async fn carry_out<A>(&self, app: &App, decide: impl Fn(&Cx<'_>) -> Decided<A>) -> Result<A, ApiError>
    where
        A: Serialize + DeserializeOwned,
    {
        let (answer, ()) = self.run(app, |cx| Ok(decide(cx)?.map(|answer| (answer, ())))).await?;
        Ok(answer)
    }

    /// Runs a command. Its batch also says in the audit trail that it was run, and keeps the answer for who repeats the call. What
    /// is to be done after it comes beside the answer; a repeated call has none.
    ///
    /// # Errors
    /// As the command says.
    pub async fn run<A, X>(&self, app: &App, decide: impl Fn(&Cx<'_>) -> Decided<(A, X)>) -> Result<(A, X), ApiError>
    where
        A: Serialize + DeserializeOwned,
        X: Default,
    {
        let entry = self.entry(app, StatusCode::OK);
        let outcome = app
            .run(|cx| {
                if let Some(repeatable) = &self.repeatable
                    && let Some(sealed) = platform::answered(cx, repeatable)?
                {
                    self.trace.recorded.store(false, Ordering::Relaxed);
                    return Ok(Decision::Done(Err(sealed)));
                }
                let mut decision = decide(cx)?;
                let answer = match &decision {
                    Decision::Commit { output, .. } | Decision::Done(output) => serde_json::to_vec(&output.0),
                };
                if let Some(repeatable) = &self.repeatable {
                    let answer = answer.map_err(|_| Reject::Unknown("this answer cannot be kept".into()))?;
                    decision = platform::remember(cx, repeatable, decision, self.seal(app, &answer))?;
                }
                // A call that changes nothing is in the trail as well, in a batch of its own.
                let commits = match (&mut decision, &entry) {
                    (Decision::Commit { batch, .. }, Some(entry)) => {
                        audit::write(cx, batch, entry);
                        true
                    }
                    _ => false,
                };
                self.trace.recorded.store(commits, Ordering::Relaxed);
                Ok(decision.map(Ok))
            })
            .await?;
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(sealed) => Ok((self.open(&sealed)?, X::default())),
        }
    }

    fn entry(&self, app: &App, status: StatusCode) -> Option<NewEntry> {
        let actor = self.asked.actor.clone()?;
        Some(NewEntry {
            id: app.entropy.id(24),
            actor,
            action: self.action.clone(),
            objects: self.asked.objects().into_iter().chain(self.trace.named.get().cloned()).collect(),
            status: status.as_u16(),
        })
    }

    /// Sealed under a key that only the caller can make again.
    fn cipher(&self) -> Option<XChaCha20Poly1305> {
        let (key, secret) = self.asked.idempotency.as_ref()?;
        let material = [key.as_bytes(), &[0], secret.expose().as_bytes()].concat();
        Some(XChaCha20Poly1305::new(
            &blake3::derive_key("vestibule platform 2026 answers to repeated calls", &material).into(),
        ))
    }

    fn seal(&self, app: &App, answer: &[u8]) -> Vec<u8> {
        let nonce = app.entropy.bytes::<NONCE_BYTES>();
        let sealed = self.cipher().and_then(|cipher| cipher.encrypt(&XNonce::from(nonce), answer).ok());
        [nonce.as_slice(), &sealed.unwrap_or_default()].concat()
    }

    fn open<A: DeserializeOwned>(&self, sealed: &[u8]) -> Result<A, ApiError> {
        let lost = || ApiError::internal("a kept answer cannot be opened");
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(lost)?;
        let opened = self.cipher().and_then(|cipher| cipher.decrypt(&XNonce::from(*nonce), sealed).ok());
        serde_json::from_slice(&opened.ok_or_else(lost)?).map_err(ApiError::internal)
    }
}

/// Parses, calls, and sees to it that the audit trail has the call, whatever came of it.
async fn answer<B, Q, A, F, Fut>(app: App, asked: Asked, action: String, handler: F) -> Result<Value, ApiError>
where
    B: DeserializeOwned,
    Q: DeserializeOwned,
    A: Serialize,
    F: Fn(App, Call<B, Q>) -> Fut,
    Fut: Future<Output = Result<A, ApiError>>,
{
    let trace = Arc::new(Trace::default());
    let entry = asked.actor.clone().map(|actor| {
        let id = app.entropy.id(24);
        NewEntry { id, actor, action: action.clone(), objects: asked.objects(), status: 200 }
    });
    let result = match parse(asked, action, Arc::clone(&trace)) {
        Ok(call) => handler(app.clone(), call).await,
        Err(error) => Err(error),
    };
    if let Some(mut entry) = entry.filter(|_| !trace.recorded.load(Ordering::Relaxed) || result.is_err()) {
        entry.status = result.as_ref().map_or_else(|error| error.status().as_u16(), |_| 200);
        entry.objects.extend(trace.named.get().cloned());
        app.run(|cx| audit::record(cx, &entry)).await?;
    }
    result.and_then(|answer| serde_json::to_value(answer).map_err(ApiError::internal))
}

fn parse<B: DeserializeOwned, Q: DeserializeOwned>(
    asked: Asked,
    action: String,
    trace: Arc<Trace>,
) -> Result<Call<B, Q>, ApiError> {
    let body = if asked.body.is_empty() { b"{}".as_slice() } else { &asked.body };
    let body =
        serde_json::from_slice(body).map_err(|error| ApiError::from(ruma::api::error::FromHttpRequestError::from(error)))?;
    let query = serde_html_form::from_str(&asked.query)
        .map_err(|_| Reject::invalid_param("a parameter in the address is unknown or not of its form"))?;
    let repeatable = match (&asked.idempotency, &asked.actor) {
        (Some((key, _)), _) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            return Err(Reject::invalid_param("an idempotency key has between 1 and 255 bytes").into());
        }
        (Some((key, _)), Some(Actor::Key(id))) => {
            let params: Vec<_> = asked.params.iter().map(|(_, value)| value.as_str()).collect();
            let request = format!("{action}\n{}\n{}", params.join("\n"), blake3::hash(&asked.body));
            Some(Repeatable { key: id.clone(), idempotency_key: key.clone(), request })
        }
        _ => None,
    };
    Ok(Call { body, query, asked, action, repeatable, trace })
}
