//! A certificate by ACME ([RFC 8555](https://www.rfc-editor.org/rfc/rfc8555)): had from an authority, kept in a folder, renewed
//! in time. That the names lead here is shown in a TLS handshake, so no other port is needed than the server's own.

mod cache;
mod challenge;
mod client;
mod held;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rustls::ServerConfig;
use rustls::server::ClientHello;
use zeroize::Zeroizing;

use crate::app::App;
use crate::http::tls::{Certificate, TlsError};
use cache::Cache;
use challenge::Challenges;
use client::Client;
use held::{Held, Window};

/// How long an authority may take to look at the names, and again to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_mins(3));

/// How often the authority is asked when it wants the certificate renewed, unless it says how often
/// ([RFC 9773](https://www.rfc-editor.org/rfc/rfc9773#section-4.3)); and the bounds of what it may say.
const ASK_EVERY: Duration = Duration::from_hours(6);
const ASK_EVERY_MIN: Duration = Duration::from_mins(1);
const ASK_EVERY_MAX: Duration = Duration::from_hours(24);

/// How long a new certificate is left alone whatever the authority says of it.
const REST: Duration = Duration::from_hours(1);

/// The pause after a first failure. Authorities count what they refuse (Let's Encrypt five an hour), not who did not reach them.
const UNREACHED_PAUSE: Duration = Duration::from_secs(5);
const REFUSED_PAUSE: Duration = Duration::from_mins(2);

/// The longest pause; each is twice the one before.
const PAUSE_MAX: Duration = Duration::from_hours(6);

/// Why there is no new certificate.
#[derive(Debug)]
struct Failure {
    problem: String,
    /// Whether the authority may have counted it.
    refused: bool,
}

impl Failure {
    fn refused(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), refused: true }
    }

    fn pause(&self, failures: u32) -> Duration {
        let first = if self.refused { REFUSED_PAUSE } else { UNREACHED_PAUSE };
        first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(PAUSE_MAX)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let unreached = matches!(&error, Error::Other(cause) if cause.is::<reqwest::Error>());
        let (mut problem, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            problem = format!("{problem}: {error}");
            cause = error.source();
        }
        Self { problem, refused: !unreached }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::refused(format!("tls.acme.cache cannot be used: {error}"))
    }
}

/// Has the server's certificate from an authority, and keeps it fresh.
#[derive(Debug)]
pub(super) struct Acme {
    settings: config::Acme,
    domains: Vec<String>,
    cache: Cache,
    client: Client,
    challenges: Challenges,
    certificate: Arc<Certificate>,
}

impl Acme {
    /// As configured, with the certificate of the last time if there is one; `None` if it is not configured.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, TlsError> {
        let Some(settings) = config.tls.acme.clone() else { return Ok(None) };
        let cache = Cache::new(&config.acme_cache(), &settings.directory);
        let path = cache.certificate();
        let certificate = Arc::new(Certificate::new([path.clone(), path.clone()]));
        if path.exists()
            && let Err(error) = certificate.read_again()
        {
            tracing::warn!(%error, "the TLS certificate of the last time is not used; getting another");
        }
        Ok(Some(Self {
            domains: settings.domains(&config.server.name),
            client: Client::new(settings.root.as_deref())?,
            challenges: Challenges::new()?,
            cache,
            certificate,
            settings,
        }))
    }

    /// What connections are shown.
    pub(super) fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }

    /// How to answer if the handshake is an authority's question.
    pub(super) fn challenged(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.challenges.asked(hello)
    }

    /// Gets a certificate whenever it is time for one, until the server ends.
    pub(super) async fn keep(&self, app: &App) {
        let mut failures = 0_u32;
        loop {
            let outcome = tokio::select! {
                () = app.tasks.ended() => return,
                outcome = self.step(app) => outcome,
            };
            let pause = match outcome {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(failure) => {
                    failures = failures.saturating_add(1);
                    let pause = failure.pause(failures);
                    self.tell(&failure, pause);
                    pause
                }
            };
            tokio::select! {
                () = app.tasks.ended() => return,
                () = tokio::time::sleep_until(app.clock.deadline(pause)) => {}
            }
        }
    }

    fn tell(&self, failure: &Failure, pause: Duration) {
        let (domains, problem, again_in_s) = (self.domains.join(" "), &failure.problem, pause.as_secs());
        if let Some(held) = self.held() {
            let until = held.until_text;
            tracing::warn!(domains, problem, again_in_s, until, "the TLS certificate was not renewed; the old one is shown");
        } else {
            tracing::warn!(domains, problem, again_in_s, "no TLS certificate was had; connections fail without one");
        }
    }

    /// The certificate that connections are shown, as long as it is for all the names.
    fn held(&self) -> Option<Held> {
        let current = self.certificate.current()?;
        let held = Held::read(current.end_entity_cert().ok()?).ok()?;
        held.covers(&self.domains).then_some(held)
    }

    /// Gets a certificate if it is time for one. Answers when to look again.
    async fn step(&self, app: &App) -> Result<Duration, Failure> {
        let account = self.account().await;
        let held = self.held();
        if let Some(held) = &held {
            let (window, ask_every) = self.window(account.as_ref().ok(), held).await;
            let now = app.clock.now();
            let due = held.due(window, now, u32::from_le_bytes(app.entropy.bytes()));
            if due > now {
                return Ok(Duration::from_millis(due.as_ms() - now.as_ms()).min(ask_every));
            }
        }
        let fresh = self.renew(&account?, held.as_ref()).await?;
        tracing::info!(domains = self.domains.join(" "), until = fresh.until_text, "there is a new TLS certificate");
        let now = app.clock.now();
        let due = fresh.due(None, now, 0);
        if due <= now {
            let problem =
                format!("the new certificate ends {}, which is too soon by this machine's clock", fresh.until_text);
            return Err(Failure::refused(problem));
        }
        Ok(Duration::from_millis(due.as_ms() - now.as_ms()).min(REST))
    }

    /// The account with the authority; made if there is none.
    async fn account(&self) -> Result<Account, Failure> {
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(credentials) = self.cache.account()? {
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact = self.settings.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let terms_of_service_agreed = self.settings.terms_of_service_agreed;
        let new = NewAccount { contact: &contact, terms_of_service_agreed, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.settings.directory.clone(), None).await?;
        self.cache.put_account(&credentials)?;
        tracing::info!(directory = self.settings.directory, "made an account with the authority for TLS certificates");
        Ok(account)
    }

    /// When the authority wants the certificate renewed, and how soon to ask again. Not every authority says it, nor has to.
    async fn window(&self, account: Option<&Account>, held: &Held) -> (Option<Window>, Duration) {
        let (Some(account), Some(id)) = (account, &held.id) else { return (None, ASK_EVERY) };
        match account.renewal_info(id).await {
            Ok((info, ask_every)) => {
                (Some(Window::from(&info.suggested_window)), ask_every.clamp(ASK_EVERY_MIN, ASK_EVERY_MAX))
            }
            Err(error) => {
                tracing::debug!(problem = Failure::from(error).problem, "the authority does not say when to renew");
                (None, ASK_EVERY)
            }
        }
    }

    /// Orders a certificate, shows that the names lead here, keeps what comes and uses it.
    async fn renew(&self, account: &Account, held: Option<&Held>) -> Result<Held, Failure> {
        tracing::info!(
            domains = self.domains.join(" "),
            directory = self.settings.directory,
            "asking for a TLS certificate"
        );
        let mut order = self.order(account, held).await?;
        let proved = self.prove(&mut order).await;
        self.challenges.clear();
        proved?;
        let mut contents = Zeroizing::new(order.finalize().await?);
        contents.push_str(&order.poll_certificate(&PATIENCE).await?);
        self.cache.put_certificate(contents.as_bytes())?;
        self.certificate.read_again().map_err(|error| Failure::refused(error.to_string()))?;
        self.held().ok_or_else(|| Failure::refused("the certificate is not for all the names it was asked for"))
    }

    async fn order(&self, account: &Account, held: Option<&Held>) -> Result<Order, Failure> {
        let names: Vec<Identifier> = self.domains.iter().cloned().map(Identifier::Dns).collect();
        // To say which one it replaces spares the authority's limits, but not every one knows this, nor for every certificate.
        if let Some(id) = held.and_then(|held| held.id.clone())
            && let Ok(order) = account.new_order(&NewOrder::new(&names).replaces(id)).await
        {
            return Ok(order);
        }
        match account.new_order(&NewOrder::new(&names)).await {
            Err(Error::Api(problem))
                if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist") =>
            {
                self.cache.forget_account()?;
                Err(Failure {
                    problem: "the authority does not know our account; making another".to_owned(),
                    refused: false,
                })
            }
            outcome => Ok(outcome?),
        }
    }

    /// Shows for every name that it leads here.
    async fn prove(&self, order: &mut Order) -> Result<(), Failure> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let domain = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(Failure::refused(format!("the authority does not offer TLS-ALPN-01 for {domain}")));
            };
            let key = challenge.key_authorization();
            self.challenges.put(&domain, key.digest().as_ref()).map_err(Failure::refused)?;
            challenge.set_ready().await?;
        }
        let problem = match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => return Ok(()),
            Ok(_) => "the authority refused the order".to_owned(),
            Err(error @ Error::Api(_)) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        Err(Failure::refused(refusal(order).await.unwrap_or(problem)))
    }
}

/// What the authority found wrong with a name.
async fn refusal(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(format!("{}: {problem}", state.identifier()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_longer_where_the_authority_counts() {
        let refused = Failure::refused("no");
        let unreached = Failure { problem: "nobody there".to_owned(), refused: false };
        assert_eq!([1, 2, 3].map(|failures| refused.pause(failures).as_secs()), [120, 240, 480]);
        assert_eq!([1, 2, 3].map(|failures| unreached.pause(failures).as_secs()), [5, 10, 20]);
        assert_eq!([20, u32::MAX].map(|failures| unreached.pause(failures)), [PAUSE_MAX; 2]);
        // Let's Encrypt's five an hour are not reached.
        let within_an_hour = (1..).map(|failures| refused.pause(failures)).scan(Duration::ZERO, |at, pause| {
            *at += pause;
            Some(*at)
        });
        assert!(within_an_hour.take_while(|at| *at < Duration::from_hours(1)).count() < 5);
    }
}
