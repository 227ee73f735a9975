//! `vestibule`: the homeserver and its commands.

mod cli;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use config::{Config, LogFormat, Vars, homeserver::PREFIX};
use homeserver::clock::Clock;
use homeserver::http::tls::Tls;
use homeserver::root_key::{ROOT_KEY_CREDENTIAL, ROOT_KEY_VARIABLE};
use homeserver::{client, control, http, root_key, start, widget, workers};
use journal::RootKey;
use tokio::signal::unix::{SignalKind, signal};

use cli::{Arguments, Command, ConfigCommand};

/// glibc's own keeps what Argon2 and RocksDB give back, arena by arena: 546 MB after a minute of sixteen senders, where jemalloc has 52
/// (`docs/decisions/0013-jemalloc.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vestibule: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Command::Config(ConfigCommand::Example) = arguments.command {
        print!("{}", config::homeserver::EXAMPLE);
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Identity(identities) = &arguments.command {
        identities.print()?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(arguments.config.as_deref(), Vars::of_process(PREFIX))?;
    match arguments.command {
        Command::Serve => {
            log(&config)?;
            runtime()?.block_on(serve(config))?;
        }
        Command::Config(_) => {
            println!("the configuration can be used");
        }
        Command::Doctor => cli::doctor(config, arguments.json, root_key())?,
        Command::Restore { folder } => cli::restore(config, &folder, arguments.json, root_key()?)?,
        command => return cli::order(config, command.order()?, arguments.json, root_key()?),
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the system gave no threads")
}

/// The root key, where it comes in the environment or as a systemd credential instead of from the file.
fn root_key() -> anyhow::Result<Option<RootKey>> {
    if let Some(text) = std::env::var_os(ROOT_KEY_VARIABLE) {
        return RootKey::parse(text.as_encoded_bytes()).map(Some).context(ROOT_KEY_VARIABLE);
    }
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&folder).join(ROOT_KEY_CREDENTIAL);
    if path.exists() { Ok(Some(root_key::read(&path)?)) } else { Ok(None) }
}

fn log(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter).context("log.filter")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before anything else: a signal at the start must not kill it half-way, and PID 1 has no handlers but its own.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let addresses = config.server.listen.addresses().to_vec();
    let mut listeners = Vec::new();
    for address in &addresses {
        listeners.push(http::listen::bind(*address).await?);
    }
    let tls = Tls::open(&config)?;
    let app = start::open(config, Clock::system(), root_key()?).await?;
    let router = widget::routes(client::routes()).into_router(&app);
    app.tasks.spawn(control::serve(app.clone()));
    if let Some(tls) = tls.clone() {
        app.tasks.spawn(tls.keep(app.clone()));
    }
    workers::start(&app);
    let ending = app.clone();
    app.tasks.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = ending.tasks.ended() => {}
        }
        tracing::info!("ending: letting running requests finish");
        ending.end();
    });
    for address in addresses {
        tracing::info!(%address, "listening");
    }
    http::listen::serve(&app, listeners, tls, router).await;
    app.end();
    app.tasks.wait().await;
    app.journal.close().context("the journal did not close cleanly (nothing that was answered is lost)")?;
    Ok(())
}
