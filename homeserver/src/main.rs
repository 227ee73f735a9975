//! `vestibule`: the homeserver and its commands.

mod cli;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use config::{Config, LogFormat, Vars, homeserver::PREFIX};
use homeserver::clock::Clock;
use homeserver::control::Order;
use homeserver::http::tls::Tls;
use homeserver::start::ROOT_KEY_VARIABLE;
use homeserver::{client, control, http, start, widget, workers};
use journal::RootKey;
use tokio::signal::unix::{SignalKind, signal};

use cli::{Arguments, Command, ConfigCommand};

/// glibc's own keeps what Argon2 and RocksDB give back, arena by arena: 546 MB after a minute of sixteen senders, where jemalloc has 52
/// (`docs/decisions/0013-jemalloc.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vestibule: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Command::Config(ConfigCommand::Example) = arguments.command {
        print!("{}", config::homeserver::EXAMPLE);
        return Ok(());
    }
    let config = Config::load(arguments.config.as_deref(), Vars::of_process(PREFIX))?;
    match arguments.command {
        Command::Serve => {
            log(&config)?;
            runtime()?.block_on(serve(config))
        }
        Command::Config(_) => {
            println!("the configuration can be used");
            Ok(())
        }
        Command::Doctor => cli::doctor(config, arguments.json, root_key()),
        Command::Keys(command) => cli::order(config, command.into(), arguments.json, root_key()?),
        Command::Org(command) => cli::order(config, command.into(), arguments.json, root_key()?),
        Command::Account(command) => cli::order(config, command.into(), arguments.json, root_key()?),
        Command::Host(command) => cli::order(config, command.into(), arguments.json, root_key()?),
        Command::Session(command) => cli::order(config, command.into(), arguments.json, root_key()?),
        Command::Usage { organization } => cli::order(config, cli::usage(organization), arguments.json, root_key()?),
        Command::Audit(paging) => cli::order(config, cli::audit(paging), arguments.json, root_key()?),
        Command::User(command) => cli::order(config, Order::User(command.order()?), arguments.json, root_key()?),
        Command::Reports(command) => cli::order(config, command.into(), arguments.json, root_key()?),
        Command::Retention(command) => cli::order(config, command.into(), arguments.json, root_key()?),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the system gave no threads")
}

/// The root key, where it comes in the environment instead of a file.
fn root_key() -> anyhow::Result<Option<RootKey>> {
    let Some(text) = std::env::var_os(ROOT_KEY_VARIABLE) else { return Ok(None) };
    RootKey::parse(text.as_encoded_bytes()).map(Some).context(ROOT_KEY_VARIABLE)
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
    let tls = Tls::open(&config.tls)?;
    let app = start::open(config, Clock::system(), root_key()?).await?;
    let router = widget::routes(client::routes()).into_router(&app);
    app.tasks.spawn(control::serve(app.clone()));
    if let Some(tls) = tls.clone() {
        app.tasks.spawn(tls.follow(app.clone()));
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
