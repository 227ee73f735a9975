//! Everything a handler needs, and the two ways to use it: [`App::read`] and [`App::run`].

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use config::Config;
use engine::account::{self, Authenticated, Credentials, Secret};
use engine::{Cx, Decided, Decision, Requester, Stop};
use journal::{Journal as _, Outcome, RootKey, SealedBatch, View};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::connections::Connections;
use crate::delivered::Delivered;
use crate::egress::LazyClient;
use crate::entropy::Entropy;
use crate::ephemeral::Ephemeral;
use crate::http::ApiError;
use crate::http::limits::{Bodies, Rates};
use crate::hub::Hub;
use crate::jwt::Jwt;
use crate::media::MediaStore;
use crate::passwords::Passwords;
use crate::previews::Previews;
use crate::tasks::Tasks;
use crate::workers::webhooks::Webhooks;

/// The journal that the server runs on.
pub type Store = journal::rocks::RocksJournal;

/// How often a command is decided anew because something it rests on has changed meanwhile. Each conflict means that
/// somebody else's commit went through, so this is reached only under a load that a 503 answers better.
const DECISIONS_MAX: usize = 64;

/// The server's resources. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct App(Arc<Resources>);

/// What an [`App`] owns.
pub struct Resources {
    /// All durable state.
    pub journal: Store,
    /// What the engine knows of this server.
    pub server: Arc<engine::Server>,
    /// The time.
    pub clock: Clock,
    /// Random bytes.
    pub entropy: Entropy,
    /// Wake-ups.
    pub hub: Hub,
    /// Typing and presence.
    pub ephemeral: Ephemeral,
    /// Sliding sync's connections.
    pub connections: Connections,
    /// Which messages to devices are gone.
    pub delivered: Delivered,
    /// The configuration.
    pub config: Arc<Config>,
    /// For calls to addresses that the operator names: application services, push gateways of their own.
    pub http: LazyClient,
    /// For calls to addresses that users name: public ones only, see [`crate::egress`].
    pub public_http: LazyClient,
    /// Files.
    pub media: MediaStore,
    /// Turns at making thumbnails.
    pub thumbnails: Semaphore,
    /// Running tasks.
    pub tasks: Tasks,
    /// Memory for request bodies.
    pub bodies: Bodies,
    /// Hashing passwords.
    pub passwords: Passwords,
    /// How the platform's JSON Web Tokens are checked, if it signs any.
    pub jwt: Option<Jwt>,
    /// Where the platform is told what happens, if anywhere.
    pub webhooks: Option<Webhooks>,
    /// Fetching previews of web pages; `None` when they are off.
    pub previews: Option<Previews>,
    /// The operator's root key, if it did not come from the file.
    pub given_root_key: Option<RootKey>,
    /// Held while a backup is made: one at a time.
    pub backing_up: Mutex<()>,
    /// How often one may ask; `None` when limits are off.
    pub rates: Option<Rates>,
}

impl Deref for App {
    type Target = Resources;

    fn deref(&self) -> &Resources {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A decision that is ready to be committed, or needs no commit.
enum Ready<T> {
    Commit(SealedBatch, T),
    Done(T),
}

impl App {
    /// Of its resources.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        Self(Arc::new(resources))
    }

    /// Reads from one consistent view at the present moment.
    ///
    /// # Errors
    /// What `read` stopped at.
    pub fn read<T>(&self, read: impl FnOnce(&Cx<'_>) -> Result<T, Stop>) -> Result<T, ApiError> {
        let view = self.journal.view(self.clock.now());
        Ok(read(&Cx::new(&view, &self.server))?)
    }

    /// Runs a command: decides from a fresh view, commits, waits for the disk. Decides again when something that the
    /// decision rests on has changed; `decide` is therefore called once or more and must not act by itself.
    ///
    /// # Errors
    /// What `decide` stopped at; 503 when the journal cannot be written.
    pub async fn run<T>(&self, decide: impl Fn(&Cx<'_>) -> Decided<T>) -> Result<T, ApiError> {
        for _ in 0..DECISIONS_MAX {
            match self.decide(&decide)? {
                Ready::Done(output) => return Ok(output),
                Ready::Commit(batch, output) => {
                    if self.commit(batch).await? {
                        return Ok(output);
                    }
                }
            }
        }
        Err(ApiError::unavailable("a command met only conflicts"))
    }

    /// Who the holder of `token` is; for an application service, `user_id` and `device_id` say whom it speaks for. The first use
    /// of a refreshed token is noted: it ends the tokens it replaces. Answers also whether the account is locked.
    ///
    /// # Errors
    /// 401 `M_UNKNOWN_TOKEN`, and what an application service may not do.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<(Requester, bool), ApiError> {
        let Authenticated { requester, first_use, locked } = self.read(|cx| account::authenticate(cx, credentials))?;
        if first_use {
            let token = Secret::new(credentials.token.to_owned());
            self.run(|cx| account::confirm_tokens(cx, &token)).await?;
        }
        Ok((requester, locked))
    }

    /// Counts a request against the rates.
    ///
    /// # Errors
    /// 429 `M_LIMIT_EXCEEDED`.
    pub fn count(&self, requester: Option<&Requester>, address: IpAddr) -> Result<(), ApiError> {
        let Some(rates) = &self.rates else { return Ok(()) };
        let Some(requester) = requester else { return rates.count_address(address) };
        let appservice = requester.appservice.as_ref().and_then(|id| self.server.appservices.get(id));
        if appservice.is_some_and(|appservice| appservice.registration.rate_limited == Some(false)) {
            return Ok(());
        }
        rates.count_user(&requester.user_id)
    }

    /// Where clients reach the server.
    #[must_use]
    pub fn base_url(&self) -> String {
        let server = &self.config.server;
        server.public_url.clone().unwrap_or_else(|| match server.listen.addresses().first() {
            Some(address) if self.config.tls.is_on() => format!("https://{}:{}", server.name, address.port()),
            Some(address) => format!("http://{address}"),
            None => format!("https://{}", server.name),
        })
    }

    /// Tells everything to end: listeners, workers, waiting requests.
    pub fn end(&self) {
        self.tasks.end();
        self.hub.end();
    }

    /// A view lives here and nowhere longer: it holds a snapshot, and must not be held across an `.await`.
    fn decide<T>(&self, decide: &impl Fn(&Cx<'_>) -> Decided<T>) -> Result<Ready<T>, ApiError> {
        let view = self.journal.view(self.clock.now());
        let decision = decide(&Cx::new(&view as &dyn View, &self.server))?;
        drop(view);
        Ok(match decision {
            Decision::Done(output) => Ready::Done(output),
            Decision::Commit { batch, output } => Ready::Commit(self.journal.seal(batch)?, output),
        })
    }

    /// Commits; false on a conflict. The journal's writer wakes the batch's topics, whether or not this task is still there.
    async fn commit(&self, batch: SealedBatch) -> Result<bool, ApiError> {
        Ok(matches!(self.journal.commit(batch).await?, Outcome::Committed(_)))
    }
}
