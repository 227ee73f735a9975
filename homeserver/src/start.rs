//! From a configuration to a running [`App`]: keyring, journal, signing key, application services.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use config::Config;
use engine::tables::{SERVER, ServerRow};
use journal::rocks::{OnCommit, Options};
use journal::{Batch, ClassTable, Journal as _, Outcome, Retention, RootKey, SLOTS_MAX, Sealer};
use ruma::signatures::Ed25519KeyPair;
use ruma::{OwnedServerName, RoomVersionId};
use tokio::sync::Semaphore;

use crate::app::{App, Resources, Store};
use crate::appservices;
use crate::backup;
use crate::clock::Clock;
use crate::connections::Connections;
use crate::delivered::Delivered;
use crate::egress::{self, LazyClient};
use crate::entropy::Entropy;
use crate::ephemeral::Ephemeral;
use crate::http::ApiError;
use crate::http::limits::{Bodies, Rates};
use crate::hub::Hub;
use crate::jwt::Jwt;
use crate::media::{MediaStore, Place};
use crate::passwords::Passwords;
use crate::previews::Previews;
use crate::root_key;
use crate::tasks::Tasks;
use crate::workers::webhooks::Webhooks;

/// How long a connection to an application service or push gateway may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a whole call to one may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Why the server cannot start. Its text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder.
    #[error("{path}: {problem}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The configuration does not fit the data.
    #[error("{0}")]
    Mismatch(String),
    /// The journal.
    #[error("the journal cannot be used: {0}")]
    Journal(String),
    /// The store below the journal.
    #[error("the journal cannot be opened: {0}")]
    Store(#[from] journal::rocks::StoreError),
    /// Files.
    #[error(transparent)]
    Media(#[from] crate::media::StoreError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] journal::KeyringError),
    /// What a backup left.
    #[error(transparent)]
    Backup(#[from] backup::BackupError),
    /// A registration file.
    #[error(transparent)]
    Appservice(#[from] appservices::RegistrationError),
}

/// Names the file that an error is about.
pub(crate) fn at(path: &Path) -> impl Fn(std::io::Error) -> StartError {
    let path = path.to_owned();
    move |error| StartError::Path { path: path.clone(), problem: error.to_string() }
}

/// Whether a server has started with this configuration before: whether a start would find what it left. What cannot be looked at counts
/// as there, and the start tells why it cannot be used.
#[must_use]
pub fn has_store(config: &Config) -> bool {
    [config.keyring(), config.server.data.join("journal")].iter().any(|path| path.try_exists().unwrap_or(true))
}

/// Opens everything. `root_key` is the operator's key if it came from elsewhere than the file.
///
/// # Errors
/// [`StartError`].
pub async fn open(config: Config, clock: Clock, root_key: Option<RootKey>) -> Result<App, StartError> {
    // Already done when several servers run in one process (tests).
    let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
    let entropy = Entropy;
    let data = &config.server.data;
    std::fs::create_dir_all(data).map_err(at(data))?;

    check_slots(&config)?;
    let sealer = Sealer::new(root_key::open_keyring(&config, root_key.clone())?, classes(&config));
    let hub = Hub::default();
    let waker = hub.clone();
    let on_commit: OnCommit = Arc::new(move |_, topics| waker.wake(topics));
    let options = Options { on_commit: Some(on_commit), now: clock.now(), ..Options::default() };
    let journal = Store::open(&data.join("journal"), sealer, options)?;
    // Nobody else is at the folder from here on.
    backup::clear_remains(data)?;
    clock.not_before(journal.latest());
    let row = server_row(&journal, &config, &clock, entropy).await?;
    let server = Arc::new(server(&config, &row)?);

    let (http, public_http) = clients();
    let previews = Previews::new(&config.previews);
    let rates = Rates::new(&config.limits, &clock);
    let passwords =
        Passwords::new(config.passwords.memory_kib, config.passwords.passes, entropy).map_err(StartError::Mismatch)?;
    let tasks = Tasks::default();
    let classes = journal.sealer().classes().clone();
    let media = MediaStore::open(Place::open(&config)?, classes, clock.clone(), entropy, tasks.clone()).await?;
    let thumbnails = Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let (webhooks, jwt) = (Webhooks::open(&config, entropy)?, Jwt::open(&config)?);
    let app = App::new(Resources {
        journal,
        server,
        ephemeral: Ephemeral::new(clock.now()),
        connections: Connections::default(),
        delivered: Delivered::default(),
        clock,
        entropy,
        hub,
        config: Arc::new(config),
        http,
        public_http,
        media,
        thumbnails,
        tasks,
        bodies: Bodies::default(),
        passwords,
        webhooks,
        jwt,
        previews,
        given_root_key: root_key,
        backing_up: Mutex::new(()),
        rates,
    });
    let unusable = |error: ApiError| match error.cause() {
        Some(cause) => StartError::Journal(cause.to_owned()),
        None => StartError::Mismatch(error.sentence()),
    };
    app.run(engine::account::ensure_senders).await.map_err(unusable)?;
    Ok(app)
}

/// Whether the keyring can hold a key for every slot of every class, also when all of them are in use.
fn check_slots(config: &Config) -> Result<(), StartError> {
    let lifetimes_ms = engine::lifetimes_ms(config.retention.lifetime.as_ms());
    let classes = u64::try_from(lifetimes_ms.len()).unwrap_or(u64::MAX);
    let total_ms = lifetimes_ms.iter().fold(0_u64, |total_ms, lifetime_ms| total_ms.saturating_add(*lifetime_ms));
    // One more that has begun and one that is about to, of each class.
    let spare = u64::from(SLOTS_MAX).saturating_sub(classes.saturating_mul(2)).max(1);
    let least_ms = total_ms.div_ceil(spare);
    if config.retention.slot.as_ms() < least_ms {
        return Err(StartError::Mismatch(format!(
            "retention.slot is too short for a retention.lifetime of {}: the keyring has a key for each slot of each class, {SLOTS_MAX} at most; \
             set it to \"{}s\" or longer",
            config.retention.lifetime,
            least_ms.div_ceil(1_000)
        )));
    }
    Ok(())
}

/// The clients for calls to addresses that the operator names, and to those that users name.
fn clients() -> (LazyClient, LazyClient) {
    let builder = || reqwest::Client::builder().connect_timeout(CONNECT_TIME_MAX).timeout(CALL_TIME_MAX);
    let http = LazyClient::new(move || builder().redirect(reqwest::redirect::Policy::none()));
    (http, LazyClient::new(move || egress::public_only(builder())))
}

/// The retention classes, in the order of [`engine::class`].
#[must_use]
pub fn classes(config: &Config) -> ClassTable {
    let lifetime_ms = config.retention.lifetime.as_ms();
    let retentions = engine::lifetimes_ms(lifetime_ms).into_iter().map(|lifetime_ms| Retention { lifetime_ms }).collect();
    ClassTable::new(config.retention.slot.as_ms(), retentions)
}

/// What the data folder says of the server it belongs to; written on the first start.
async fn server_row(journal: &Store, config: &Config, clock: &Clock, entropy: Entropy) -> Result<ServerRow, StartError> {
    let read = |journal: &Store| {
        let view = journal.view(clock.now());
        SERVER.get(&view, &(0,)).map_err(|error| StartError::Journal(error.to_string()))
    };
    let row = if let Some(row) = read(journal)? {
        row.value
    } else {
        let row = ServerRow {
            name: config.server.name.clone(),
            signing_key: STANDARD_NO_PAD.encode(entropy.signing_key()),
            signing_key_version: entropy.id(6),
            lifetime_ms: config.retention.lifetime.as_ms(),
            slot_ms: config.retention.slot.as_ms(),
        };
        let mut batch = Batch::new(clock.now());
        SERVER.require(&mut batch, &(0,), None);
        SERVER.put(&mut batch, &(0,), &row);
        let unavailable = |error: journal::Unavailable| StartError::Journal(error.to_string());
        let Outcome::Committed(_) = journal.commit(journal.seal(batch).map_err(unavailable)?).await.map_err(unavailable)?
        else {
            return Err(StartError::Journal("another program writes to it".to_owned()));
        };
        row
    };
    check_same(config, &row)?;
    Ok(row)
}

/// The name is in every id, and epochs are counted in slots: neither changes under the data. (A lifetime may:
/// `docs/decisions/0016-which-lifetime-counts.md`.)
fn check_same(config: &Config, row: &ServerRow) -> Result<(), StartError> {
    let data = config.server.data.display();
    if row.name != config.server.name {
        return Err(StartError::Mismatch(format!(
            "server.name is {}, but {data} belongs to {}: set it back, or start with another data folder",
            config.server.name, row.name
        )));
    }
    if row.slot_ms != config.retention.slot.as_ms() {
        return Err(StartError::Mismatch(format!(
            "retention.slot is {}, but {data} was made with {}: set it back, or start with another data folder",
            config.retention.slot,
            config::Span::from_ms(row.slot_ms)
        )));
    }
    Ok(())
}

fn server(config: &Config, row: &ServerRow) -> Result<engine::Server, StartError> {
    let mismatch = |what: &str| StartError::Mismatch(what.to_owned());
    let name = OwnedServerName::try_from(config.server.name.as_str())
        .map_err(|_| mismatch("server.name is not a server name: write a host name, with a port if it needs one"))?;
    let signing_key = STANDARD_NO_PAD
        .decode(&row.signing_key)
        .ok()
        .and_then(|document| Ed25519KeyPair::from_der(&document, row.signing_key_version.clone()).ok())
        .ok_or_else(|| StartError::Journal("the signing key in it is damaged".to_owned()))?;
    let default_room_version = RoomVersionId::try_from(config.rooms.default_version.as_str())
        .map_err(|_| mismatch("rooms.default_version is not a room version"))?;
    Ok(engine::Server {
        appservices: appservices::load(&config.appservices.registrations, &name)?,
        name,
        signing_key,
        default_room_version,
        retention_ms: config.retention.lifetime.as_ms(),
        upload_size_max: config.media.size_max.get(),
        upload_per_day: config.media.upload_per_day.get(),
        registration_open: config.registration.open,
        rates_enabled: config.limits.enabled,
        webhooks: config.webhooks.url.is_some(),
    })
}
