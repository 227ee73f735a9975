//! Tells the platform's webhook what is queued for it, in order, each event at least once and under one id however often it is sent
//! (invariant 6). Signed as [Standard Webhooks](https://www.standardwebhooks.com/) says, so that receivers find libraries for it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use config::Config;
use engine::account::Secret;
use engine::platform::webhooks::{self, WEBHOOKS_TOPIC, Waiting, WebhookEvent};
use hmac::{Hmac, KeyInit as _, Mac as _};
use journal::{Journal as _, Topic, View as _};
use reqwest::Url;
use ruma::{UserId, presence::PresenceState};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::app::App;
use crate::egress::{self, LazyClient};
use crate::entropy::Entropy;
use crate::http::ApiError;
use crate::start::StartError;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause: a receiver that comes back waits this long at most.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// How long a worker sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_mins(10);

/// How long a receiver may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(15);

/// What the secret's text starts with.
const SECRET_PREFIX: &str = "whsec_";

/// Bytes of a secret that is made here.
const SECRET_BYTES: usize = 32;

/// Where the platform is told, and how it knows that it is told by this server.
pub struct Webhooks {
    url: Url,
    http: LazyClient,
    secret: Secret,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// As the configuration says; `None` without a URL. Makes the secret if there is none yet.
    ///
    /// # Errors
    /// When the URL cannot be used, or the secret cannot be read or made.
    pub fn open(config: &Config, entropy: Entropy) -> Result<Option<Self>, StartError> {
        let Some(url) = &config.webhooks.url else { return Ok(None) };
        let wrong = |problem: &str| StartError::Mismatch(format!("webhooks.url {problem}"));
        let url = Url::parse(url).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        let private_network = config.webhooks.private_network;
        if !private_network && !egress::names_public(&url) {
            return Err(wrong("names a private address: set webhooks.private_network = true if that is meant"));
        }
        let http = LazyClient::new(move || {
            let builder = reqwest::Client::builder().timeout(CALL_TIME_MAX).redirect(reqwest::redirect::Policy::none());
            if private_network { builder } else { egress::public_only(builder) }
        });
        let secret = secret(&config.webhooks.secret, entropy)?;
        Ok(Some(Self { url, http, secret }))
    }

    /// `v1,` and the signature of one attempt.
    fn signature(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(sign(self.secret.expose(), id, timestamp, body)))
    }
}

/// The HMAC-SHA-256 of `{id}.{timestamp}.{body}` under the bytes that the secret's text stands for.
fn sign(secret: &str, id: &str, timestamp: u64, body: &[u8]) -> Vec<u8> {
    let key = STANDARD.decode(secret.trim_start_matches(SECRET_PREFIX)).unwrap_or_default();
    match Hmac::<Sha256>::new_from_slice(&key) {
        Ok(mut mac) => {
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            mac.finalize().into_bytes().to_vec()
        }
        Err(error) => unreachable!("HMAC takes keys of any length: {error}"),
    }
}

fn secret(path: &Path, entropy: Entropy) -> Result<Secret, StartError> {
    let wrong = |problem: String| StartError::Path { path: path.to_owned(), problem };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrong(error.to_string())),
        Err(_) => {
            let text = format!("{SECRET_PREFIX}{}", STANDARD.encode(entropy.bytes::<SECRET_BYTES>()));
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
            written.map_err(|error| wrong(error.to_string()))?;
            tracing::warn!(path = %path.display(), "made a new secret for webhooks; give it to the platform");
            text
        }
    };
    let key = text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    if key.is_none_or(|key| key.len() < 24) {
        return Err(wrong("this is no secret for webhooks: `whsec_` and the base64 of at least 24 random bytes".to_owned()));
    }
    Ok(Secret::new(text))
}

/// Runs until the server ends; at once if there is no webhook.
pub async fn run(app: App) {
    let Some(hook) = &app.webhooks else { return };
    let topic = Topic(app.journal.view(app.clock.now()).name(WEBHOOKS_TOPIC));
    let mut pause = PAUSE_MIN;
    while !app.tasks.is_ended() {
        let waiter = app.hub.register(topic);
        match tell_next(&app, hook).await {
            Ok(true) => pause = PAUSE_MIN,
            Ok(false) => drop(waiter.wait(app.clock.deadline(IDLE)).await),
            Err(error) => {
                tracing::warn!(%error, retry_ms = pause.as_millis(), "the webhook did not take an event");
                tokio::select! {
                    () = app.tasks.ended() => return,
                    () = tokio::time::sleep_until(app.clock.deadline(pause)) => {}
                }
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
        }
    }
}

/// Why an event is still in the queue. Without the URL, which may hold a secret of the platform's.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("the name leads to no public address")]
    NotPublic,
    #[error("no answer in time")]
    TimedOut,
    #[error("no connection")]
    Unreachable,
    #[error("answered {0}")]
    Status(u16),
    #[error("the journal could not be used")]
    Journal,
}

impl From<ApiError> for TellError {
    fn from(_: ApiError) -> Self {
        Self::Journal
    }
}

/// Tells the oldest event; `false` when there is none.
async fn tell_next(app: &App, hook: &Webhooks) -> Result<bool, TellError> {
    let Some(next) = app.read(|cx| Ok(webhooks::untold(cx, 1)?))?.pop() else { return Ok(false) };
    let needed = match &next.row.event {
        WebhookEvent::MessageWaiting(user) => !is_here(app, &user.user_id)?,
        WebhookEvent::UserFirstOnline(_) | WebhookEvent::SessionChatEnded { .. } => true,
    };
    if needed {
        tell(app, hook, &next).await?;
    }
    app.run(|cx| webhooks::told(cx, next.place)).await?;
    Ok(true)
}

/// Whether one of the user's pages is open.
fn is_here(app: &App, user_id: &UserId) -> Result<bool, ApiError> {
    let shown = app.ephemeral.presence(user_id).is_some_and(|presence| presence.state != PresenceState::Offline);
    Ok(shown || app.hub.is_waited_for(app.read(|cx| Ok(Topic(cx.user(user_id))))?))
}

fn body(next: &Waiting) -> Value {
    // The event's own form has `type` and `data`.
    let mut body = serde_json::to_value(&next.row.event).unwrap_or_default();
    body["timestamp"] = json!(next.row.at.as_ms());
    body
}

async fn tell(app: &App, hook: &Webhooks, next: &Waiting) -> Result<(), TellError> {
    let body = body(next).to_string();
    let timestamp = app.clock.now().as_ms() / 1_000;
    let failed = |error: reqwest::Error| {
        if egress::is_not_public(&error) {
            TellError::NotPublic
        } else if error.is_timeout() {
            TellError::TimedOut
        } else {
            TellError::Unreachable
        }
    };
    let client = hook.http.get().map_err(failed)?;
    let request = client
        .post(hook.url.clone())
        .header("content-type", "application/json")
        .header("webhook-id", &next.row.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", hook.signature(&next.row.id, timestamp, body.as_bytes()))
        .body(body);
    let response = request.send().await.map_err(failed)?;
    if response.status().is_success() { Ok(()) } else { Err(TellError::Status(response.status().as_u16())) }
}

/// A user came or went: from now on the next message that waits for them is told.
pub fn note_presence(app: &App, user_id: &UserId) {
    if app.webhooks.is_none() {
        return;
    }
    let (app, user_id) = (app.clone(), user_id.to_owned());
    let tasks = app.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = app.run(|cx| webhooks::been_there(cx, &user_id)).await {
            tracing::warn!(
                cause = error.cause(),
                "that somebody was there could not be noted: a message that waits may not be told"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(STANDARD.encode(signature), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_address_of_this_network_has_to_be_meant() {
        let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.webhooks.secret = folder.path().join("webhook.key");
        assert!(Webhooks::open(&config, Entropy).expect("no webhook is fine").is_none());
        config.webhooks.url = Some("https://127.0.0.1:1/".to_owned());
        assert!(Webhooks::open(&config, Entropy).is_err());
        config.webhooks.private_network = true;
        assert!(Webhooks::open(&config, Entropy).expect("meant").is_some());
        config.webhooks.url = Some("no URL".to_owned());
        assert!(Webhooks::open(&config, Entropy).is_err());
    }

    #[test]
    fn the_secret_is_made_once_and_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("webhook.key");
        let made = secret(&path, Entropy).expect("made");
        assert_eq!(secret(&path, Entropy).expect("read"), made);
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            std::fs::write(&path, wrong).expect("written");
            assert!(secret(&path, Entropy).is_err(), "{wrong:?}");
        }
    }
}
