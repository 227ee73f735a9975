//! Puts the parts together and keeps them running.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use appservice::{Accepted, Appservice, Homeserver, Identity, RegistrationFile, Token, Transaction, Unavailable};
use bytes::Bytes;
use ruma::{
    OwnedUserId, RoomAliasId, TransactionId, UserId,
    api::{SupportedVersions, client::discovery::get_supported_versions},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Millis, now_ms},
    config::Config,
    database::Database,
    desk::{builtin, worker},
    device::{Device, DeviceError, DeviceOptions},
    matrix::Matrix,
    seal::{RootKey, Sealer},
    store::{self, Store},
    typing::Typing,
};

/// Between two attempts to set the device up while the homeserver isn't there.
const SET_UP_PAUSE: Duration = Duration::from_secs(2);

/// Libraries that name users, rooms and sessions in their logs, whatever the level.
const QUIET: &str = "matrix_sdk_crypto=off,matrix_sdk_sqlite=off,matrix_sdk_base=off,matrix_sdk_common=off";
/// How long a step under way may take to end when the bridge is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the bridge until it is told to stop.
pub fn run(config: Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{QUIET},{}", config.log.filter)).context("log.filter")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log.json {
        log.json().init();
    } else {
        log.init();
    }
    // With one provider compiled in or several: this one is meant.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was there already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let registration = RegistrationFile::read(&config.appservice.registration)
        .context("no registration; `vestibule-bridge registration` makes it")?;
    let user_id = UserId::parse(format!("@{}:{}", config.appservice.localpart, config.homeserver.name))
        .context("appservice.localpart and homeserver.name don't make a user id")?;
    let password = Token::new(config.desk_password()?);
    let parts = Parts::open(&config).context("the data folder can't be used")?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    let receiver = Receiver { store: parts.store.clone(), user_id: user_id.clone(), poke: Arc::clone(&parts.matrix) };
    let router = appservice::router::router(receiver, registration.hs_token());
    listen(&mut tasks, config.appservice.listen, router, &stop).await.context("appservice.listen")?;

    let page = builtin::web::DeskPage {
        desk: parts.desk.clone(),
        password,
        secure: config.desk.https,
        lifetime_ms: millis(config.retention.lifetime.as_ms()),
        signing_in: Arc::default(),
        stop: stop.clone(),
    };
    listen(&mut tasks, config.desk.listen, builtin::web::router(page), &stop).await.context("desk.listen")?;
    tracing::info!(desk = %config.desk.listen, appservice = %config.appservice.listen, "listening");

    tasks.spawn(work(config, parts, registration, user_id, stop.clone()));
    tokio::select! {
        () = told_to_stop() => tracing::info!("stopping"),
        Some(ended) = tasks.join_next() => {
            stop.cancel();
            ended?.context("a part of the bridge ended")?;
        }
    }
    stop.cancel();
    let ended = tokio::time::timeout(GRACE, async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    });
    match ended.await {
        Ok(ended) => ended?,
        // Whatever is still under way is in the rows, and goes on at the next start.
        Err(_) => tasks.shutdown().await,
    }
    tracing::info!("stopped");
    Ok(())
}

/// What is opened once and shared.
struct Parts {
    store: Store,
    desk: builtin::Desk,
    root_key: RootKey,
    matrix: Arc<Notify>,
    helpdesk: Arc<Notify>,
    _lock: std::fs::File,
}

impl Parts {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let data = &config.storage.data;
        let files = data.join("files");
        std::fs::create_dir_all(&files)?;
        owner_only(data)?;
        let lock = std::fs::File::create(data.join("lock"))?;
        lock.try_lock().context("another bridge uses this data folder")?;
        let root_key = RootKey::read_or_make(&config.storage.root_key).context("storage.root_key")?;
        let slot_ms = millis(config.retention.slot.as_ms());
        let sealer = Sealer::open(&data.join("keyring"), &root_key, slot_ms)?;
        let lifetime_ms = millis(config.retention.lifetime.as_ms());
        let (matrix, helpdesk) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let database = Database::open(&data.join("bridge.sqlite3"), sealer.clone(), store::MIGRATIONS)?;
        let desk_database = Database::open(&data.join("desk.sqlite3"), sealer, builtin::MIGRATIONS)?;
        let desk = builtin::Desk::new(desk_database, files, lifetime_ms, Arc::clone(&helpdesk));
        Ok(Self { store: Store::new(database, lifetime_ms), desk, root_key, matrix, helpdesk, _lock: lock })
    }
}

fn owner_only(folder: &std::path::Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn millis(ms: u64) -> Millis {
    Millis::try_from(ms).unwrap_or(Millis::MAX)
}

/// Sets the device up, however long the homeserver takes to come, and then works until stopped.
async fn work(
    config: Config,
    parts: Parts,
    registration: RegistrationFile,
    user_id: OwnedUserId,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let device = loop {
        match set_up(&config, &parts, &registration, &user_id).await {
            Ok(device) => break device,
            Err(error) => tracing::warn!(%error, "the support device can't be set up yet; tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(SET_UP_PAUSE) => {}
            () = stop.cancelled() => return Ok(()),
        }
    };
    tracing::info!("the support device is ready");
    let typing = Typing::default();
    let as_user = Identity { user_id: Some(user_id.clone()), device_id: None };
    let worker = worker::Worker {
        store: parts.store.clone(),
        helpdesk: Arc::new(parts.desk.clone()),
        homeserver: device.homeserver().acting_as(as_user),
        user_id,
        poke: Arc::clone(&parts.helpdesk),
        matrix: Arc::clone(&parts.matrix),
        typing: typing.clone(),
        attachment_bytes_max: config.attachments.size_max.get(),
        sweep: config.retention.sweep.as_duration(),
    };
    let (poke, desk) = (Arc::clone(&parts.matrix), Arc::clone(&parts.helpdesk));
    let matrix = Matrix { device, store: parts.store.clone(), poke, desk, typing };
    tokio::join!(worker.run(stop.clone()), matrix.run(stop));
    Ok(())
}

async fn set_up(
    config: &Config,
    parts: &Parts,
    registration: &RegistrationFile,
    user_id: &OwnedUserId,
) -> Result<Device, DeviceError> {
    let url = &config.homeserver.url;
    let none = SupportedVersions::from_parts(&[], &std::collections::BTreeMap::new());
    let anybody = Homeserver::new(url, registration.as_token(), none)?;
    let versions = anybody.send(get_supported_versions::Request::new()).await?;
    let versions = SupportedVersions::from_parts(&versions.versions, &versions.unstable_features);
    let homeserver = Homeserver::new(url, registration.as_token(), versions)?;
    let store_key = parts.root_key.derive("vestibule bridge 2026 encryption store");
    let options = DeviceOptions {
        user_id: user_id.clone(),
        display_name: &config.appservice.display_name,
        folder: &config.storage.data.join("crypto"),
        store_key: store_key.as_slice(),
    };
    Device::set_up(&homeserver, &parts.store, options).await
}

/// Takes what the homeserver pushes.
struct Receiver {
    store: Store,
    user_id: OwnedUserId,
    poke: Arc<Notify>,
}

impl Appservice for Receiver {
    async fn accept(&self, txn_id: &TransactionId, body: Bytes, _: Transaction) -> Result<Accepted, Unavailable> {
        let kept = self.store.keep_transaction(txn_id.to_string(), body, now_ms()).await;
        let new = kept.map_err(|error| Unavailable(error.to_string()))?;
        self.poke.notify_one();
        Ok(if new { Accepted::New } else { Accepted::Replayed })
    }

    async fn knows_user(&self, user_id: &UserId) -> bool {
        user_id == self.user_id
    }

    async fn knows_alias(&self, _: &RoomAliasId) -> bool {
        false
    }
}

async fn listen(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    address: SocketAddr,
    router: axum::Router,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let stopped = stop.clone().cancelled_owned();
    tasks.spawn(async move { Ok(axum::serve(listener, router).with_graceful_shutdown(stopped).await?) });
    Ok(())
}

/// SIGTERM (a service manager) or SIGINT (a person).
async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    // Without signals there is nothing to wait for but a person.
    let _ = tokio::signal::ctrl_c().await;
}
